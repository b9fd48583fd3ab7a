/* forbid: a process aside makes threads and nothing else. shows: NFR-SEC-03 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auditd/forbid.h"
#include "libocu/err.h"

static void *nothing(void *arg)
{
	return arg;
}

/* 0, or what was wrong. In a process of its own: there is no way back. */
static int confined(void)
{
	struct ocu_error err = {0};
	pthread_t t;
	if (forbid_processes(&err))
		return 1;
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	if (pid > 0 || errno != EPERM)
		return 2;
	if (kill(getppid(), 0) == 0 || errno != EPERM)
		return 4;
	if (pthread_create(&t, NULL, nothing, NULL) || pthread_join(t, NULL))
		return 5;
	return 0;
}

START_TEST(threads_yes_processes_no)
{
	int status = -1;
	pid_t pid = fork();
	if (pid == 0)
		_exit(confined());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("auditd_forbid");
	TCase *c = tcase_create("forbid");
	tcase_add_test(c, threads_yes_processes_no);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
