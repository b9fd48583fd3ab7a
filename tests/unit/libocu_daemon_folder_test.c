/* daemon_folder: a folder in a place that is another user's, asked for by one who is not root. */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libocu/daemon.h"
#include "libocu/err.h"

#define NOBODY  65534
#define LONG_MS 60000u

static char place[64], folder[80];

static void setup(void)
{
	snprintf(place, sizeof place, "/tmp/ocu-folder-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(place));
	ck_assert_int_eq(chmod(place, 0755), 0);
	snprintf(folder, sizeof folder, "%s/d", place);
}

static void teardown(void)
{
	rmdir(folder);
	ck_assert_int_eq(rmdir(place), 0);
}

/* As a daemon without rights, with its signals blocked; says "waiting" in its log, which is out. */
static pid_t ask(uint64_t wait_ms, int *out)
{
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		const struct ocu_daemon_owner owner = {(uid_t)-1, (gid_t)-1, 0755};
		struct ocu_error err = {0};
		sigset_t set;

		dup2(fds[1], 2);
		sigfillset(&set);
		sigprocmask(SIG_SETMASK, &set, NULL);
		if (setgid(NOBODY) || setuid(NOBODY))
			_exit(99);
		_exit(-ocu_daemon_folder(folder, &owner, wait_ms, &err));
	}
	close(fds[1]);
	*out = fds[0];
	return pid;
}

static void until_it_waits(int out)
{
	char text[512] = "";
	struct pollfd p = {.fd = out, .events = POLLIN};

	ck_assert_int_eq(poll(&p, 1, (int)LONG_MS), 1);
	ck_assert_int_gt(read(out, text, sizeof text - 1), 0);
	ck_assert_msg(strstr(text, "daemon.waiting") && strstr(text, folder), "%s", text);
}

static int outcome(pid_t pid, int out)
{
	int status = 0;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	close(out);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int asked_for(uint64_t wait_ms)
{
	int out = -1;
	pid_t pid = ask(wait_ms, &out);

	return outcome(pid, out);
}

START_TEST(room_that_is_made_later)
{
	int out = -1;
	pid_t pid = ask(LONG_MS, &out);

	until_it_waits(out);
	/* First there and not ours yet, as between another's mkdir() and chown(). */
	ck_assert_int_eq(mkdir(folder, 0755), 0);
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
	ck_assert_int_eq(chown(folder, NOBODY, NOBODY), 0);
	ck_assert_int_eq(outcome(pid, out), 0);
}
END_TEST

START_TEST(room_at_once)
{
	ck_assert_int_eq(chown(place, NOBODY, NOBODY), 0);
	ck_assert_int_eq(asked_for(0), 0);
	ck_assert_int_eq(access(folder, F_OK), 0);
}
END_TEST

START_TEST(without_a_wait_it_is_refused)
{
	ck_assert_int_eq(asked_for(0), -OCU_E_IO);
	ck_assert_int_eq(asked_for(300), -OCU_E_IO);
}
END_TEST

START_TEST(what_no_wait_mends_is_refused_at_once)
{
	FILE *f = fopen(folder, "w");

	ck_assert_ptr_nonnull(f);
	fclose(f);
	ck_assert_int_eq(asked_for(LONG_MS), -OCU_E_IO);
	unlink(folder);
}
END_TEST

START_TEST(a_stop_ends_the_wait)
{
	int out = -1;
	pid_t pid = ask(LONG_MS, &out);

	until_it_waits(out);
	kill(pid, SIGTERM);
	ck_assert_int_eq(outcome(pid, out), -OCU_E_CANCELLED);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("libocu_daemon_folder");
	TCase *tc = tcase_create("folder");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, room_that_is_made_later);
	tcase_add_test(tc, room_at_once);
	tcase_add_test(tc, without_a_wait_it_is_refused);
	tcase_add_test(tc, what_no_wait_mends_is_refused_at_once);
	tcase_add_test(tc, a_stop_ends_the_wait);
	tcase_set_timeout(tc, 90);
	suite_add_tcase(s, tc);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
