/* The guest agent runs programs: output, bounds, time-outs, input, what they inherit.
 * shows: NFR-SEC-74, NFR-SEC-75, NFR-REL-09, NFR-REL-11 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "tests/unit/sandboxd_guest_fixture.h"

static struct guest g;

static void setup(void)
{
	guest_open(&g);
}

static void teardown(void)
{
	ck_assert_int_eq(guest_close(&g), 0);
	rmdir(g.dir);
}

static uint64_t ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

START_TEST(gives_back_output_and_exit_code)
{
	Ocu__Agent__Reply *r = guest_sh(&g, (struct guest_run){.command = "echo out; echo err >&2; exit 3"});

	ck_assert_int_eq(r->code, 0);
	ck_assert_int_eq(r->result_case, OCU__AGENT__REPLY__RESULT_RUN);
	ck_assert(guest_said(&r->run->stdout, "out\n"));
	ck_assert(guest_said(&r->run->stderr, "err\n"));
	ck_assert_uint_eq(r->run->exit_code, 3);
	ck_assert_uint_eq(r->run->signal, 0);
	ck_assert(!r->run->timed_out);
	ck_assert_uint_gt(r->run->duration_us, 0);
	guest_free(r);
}
END_TEST

START_TEST(an_end_by_signal_is_128_and_more)
{
	Ocu__Agent__Reply *r = guest_sh(&g, (struct guest_run){.command = "kill -9 $$"});

	ck_assert_uint_eq(r->run->signal, 9);
	ck_assert_uint_eq(r->run->exit_code, 137);
	guest_free(r);
}
END_TEST

START_TEST(a_program_that_is_not_there_is_said)
{
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__Run run = OCU__AGENT__RUN__INIT;
	char *argv[] = {(char *)"no-such-program-here"};
	Ocu__Agent__Reply *reply;

	run.argv = argv;
	run.n_argv = 1;
	run.cwd = (char *)"/";
	r.op_case = OCU__AGENT__REQUEST__OP_RUN;
	r.run = &run;
	reply = guest_call(&g, &r);
	ck_assert_int_eq(reply->code, OCU__AGENT__CODE__NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(reply->text, "no-such-program-here"));
	guest_free(reply);
	/* Looked up in PATH. */
	argv[0] = (char *)"true";
	reply = guest_call(&g, &r);
	ck_assert_int_eq(reply->code, 0);
	guest_free(reply);
	run.n_argv = 0;
	reply = guest_call(&g, &r);
	ck_assert_int_eq(reply->code, OCU__AGENT__CODE__PARAMS);
	guest_free(reply);
}
END_TEST

START_TEST(a_folder_that_is_not_there_is_said)
{
	Ocu__Agent__Reply *r = guest_sh(&g, (struct guest_run){.command = "true", .cwd = "/no/such/folder"});

	ck_assert_int_eq(r->code, OCU__AGENT__CODE__NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(r->text, "/no/such/folder"));
	guest_free(r);
}
END_TEST

START_TEST(the_environment_is_an_allow_list)
{
	Ocu__Agent__Reply *r;
	char text[4096];

	setenv("CANARY_API_KEY", "leak", 1);
	r = guest_sh(&g, (struct guest_run){.command = "/usr/bin/env"});
	snprintf(text, sizeof text, "%.*s", (int)r->run->stdout.len, (const char *)r->run->stdout.data);
	ck_assert_ptr_null(strstr(text, "CANARY"));
	ck_assert_ptr_nonnull(strstr(text, "PATH=/usr/local/sbin:"));
	ck_assert_ptr_nonnull(strstr(text, "HOME=/root\n"));
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		static const char *const known[] = {
		    "PATH=", "HOME=", "USER=", "LANG=", "TERM=", "PWD=", "OLDPWD=", "SHLVL=", "_="};
		bool ok = false;

		for (size_t i = 0; i < sizeof known / sizeof *known; i++)
			ok |= strncmp(line, known[i], strlen(known[i])) == 0;
		ck_assert_msg(ok, "%s", line);
	}
	guest_free(r);
}
END_TEST

START_TEST(programs_inherit_three_descriptors)
{
	Ocu__Agent__Reply *r =
	    guest_sh(&g, (struct guest_run){.command = "ls -l /proc/self/fd | grep -c socket:; "
	                                               "ls /proc/self/fd | wc -l"});

	/* The fourth is the folder that ls reads. */
	ck_assert_msg(guest_said(&r->run->stdout, "0\n4\n"), "%.*s", (int)r->run->stdout.len,
	              (const char *)r->run->stdout.data);
	guest_free(r);
}
END_TEST

START_TEST(programs_lead_a_session_with_nothing_blocked)
{
	/* Read by the shell itself: while it forks, everything is blocked for a moment. */
	Ocu__Agent__Reply *r = guest_sh(
	    &g, (struct guest_run){
	            .command = "[ $(cut -d' ' -f6 /proc/$$/stat) = $$ ] && while read -r l; do "
	                       "case $l in SigBlk*|SigIgn*) echo \"$l\";; esac; done </proc/$$/status"});
	unsigned long long blocked, ignored;
	char text[256];

	snprintf(text, sizeof text, "%.*s", (int)r->run->stdout.len, (const char *)r->run->stdout.data);
	ck_assert_uint_eq(r->run->exit_code, 0);
	ck_assert_ptr_nonnull(strstr(text, "SigBlk:\t"));
	ck_assert_ptr_nonnull(strstr(text, "SigIgn:\t"));
	blocked = strtoull(strstr(text, "SigBlk:\t") + 8, NULL, 16);
	ignored = strtoull(strstr(text, "SigIgn:\t") + 8, NULL, 16);
	ck_assert_uint_eq(blocked, 0);
	/* Those of the C library's own threads are out of anybody's reach. */
	ck_assert_uint_eq(ignored & ~0x180000000ull, 0);
	guest_free(r);
}
END_TEST

START_TEST(output_past_the_bound_is_counted)
{
	Ocu__Agent__Reply *r =
	    guest_sh(&g, (struct guest_run){.command = "head -c 300000 /dev/zero; head -c 5 /dev/zero >&2",
	                                    .max_output = 1000});

	ck_assert_uint_eq(r->run->stdout.len, 1000);
	ck_assert_uint_eq(r->run->stdout_dropped, 299000);
	ck_assert_uint_eq(r->run->stderr.len, 5);
	ck_assert_uint_eq(r->run->stderr_dropped, 0);
	ck_assert_uint_eq(r->run->exit_code, 0);
	guest_free(r);
}
END_TEST

START_TEST(both_streams_full_fit_one_reply)
{
	Ocu__Agent__Reply *r = guest_sh(
	    &g, (struct guest_run){.command = "head -c 9000000 /dev/zero; head -c 9000000 /dev/zero >&2"});
	uint64_t kept = r->run->stdout.len + r->run->stderr.len;

	ck_assert_uint_eq(r->run->stdout.len, 8u << 20);
	ck_assert_uint_le(kept, FRAME_REPLY_MAX);
	ck_assert_uint_eq(kept + r->run->stdout_dropped + r->run->stderr_dropped, 18000000);
	guest_free(r);
}
END_TEST

START_TEST(input_reaches_the_program)
{
	char *big = malloc(200001);
	Ocu__Agent__Reply *r;

	memset(big, 'x', 200000);
	big[200000] = 0;
	r = guest_sh(&g, (struct guest_run){.command = "wc -c", .input = big});
	ck_assert(guest_said(&r->run->stdout, "200000\n"));
	guest_free(r);
	/* One that does not read it is no problem. */
	r = guest_sh(&g, (struct guest_run){.command = "exec <&-; echo ok", .input = big});
	ck_assert(guest_said(&r->run->stdout, "ok\n"));
	guest_free(r);
	r = guest_sh(&g, (struct guest_run){.command = "wc -c"});
	ck_assert(guest_said(&r->run->stdout, "0\n"));
	guest_free(r);
	free(big);
}
END_TEST

START_TEST(a_time_out_ends_the_group)
{
	uint64_t t = ms();
	Ocu__Agent__Reply *r =
	    guest_sh(&g, (struct guest_run){.command = "sleep 60 & sleep 60; echo no", .timeout_ms = 200});

	ck_assert(r->run->timed_out);
	ck_assert_uint_eq(r->run->signal, SIGTERM);
	ck_assert_uint_lt(ms() - t, 30000);
	guest_free(r);
}
END_TEST

static uint64_t send_run(const char *command)
{
	Ocu__Agent__Request r;
	Ocu__Agent__Run run;
	char *argv[3];

	guest_run_request(&r, &run, argv, &(struct guest_run){.command = command});
	return guest_send(&g, &r);
}

static void send_cancel(uint64_t request)
{
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__Cancel cancel = OCU__AGENT__CANCEL__INIT;

	cancel.request = request;
	r.op_case = OCU__AGENT__REQUEST__OP_CANCEL;
	r.cancel = &cancel;
	guest_send(&g, &r);
}

static Ocu__Agent__Reply *receive_answer_to(uint64_t request)
{
	for (;;) {
		Ocu__Agent__Reply *r = guest_receive(&g);

		ck_assert_ptr_nonnull(r);
		if (r->id == request)
			return r;
		guest_free(r);
	}
}

START_TEST(who_ignores_sigterm_is_killed)
{
	char command[256], path[128];
	Ocu__Agent__Reply *r;
	uint64_t id, t;

	snprintf(path, sizeof path, "%s/trapped", g.dir);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	snprintf(command, sizeof command, "trap '' TERM; echo began; : >%s; while :; do sleep 0.1; done",
	         path);
	id = send_run(command);
	close(open(path, O_RDONLY)); /* waits for the shell to open it */
	t = ms();
	send_cancel(id);
	r = receive_answer_to(id);
	ck_assert_int_eq(r->code, OCU__AGENT__CODE__CANCELLED);
	ck_assert_uint_eq(r->run->signal, SIGKILL);
	ck_assert(guest_said(&r->run->stdout, "began\n"));
	ck_assert_uint_ge(ms() - t, PROC_KILL_MS);
	guest_free(r);
	unlink(path);
}
END_TEST

START_TEST(what_stays_in_the_background_does_not_hold_the_answer)
{
	uint64_t t = ms();
	Ocu__Agent__Reply *r =
	    guest_sh(&g, (struct guest_run){.command = "(sleep 60; echo late) & echo now"});

	ck_assert(guest_said(&r->run->stdout, "now\n"));
	ck_assert_uint_lt(ms() - t, 30000);
	guest_free(r);
}
END_TEST

START_TEST(what_stays_in_the_background_can_go_on_writing)
{
	char command[256], path[128];
	Ocu__Agent__Reply *r;

	snprintf(path, sizeof path, "%s/done", g.dir);
	snprintf(command, sizeof command, "(sleep 0.6; head -c 500000 /dev/zero && touch %s) & true", path);
	r = guest_sh(&g, (struct guest_run){.command = command});
	guest_free(r);
	snprintf(command, sizeof command,
	         "for i in $(seq 100); do [ -e %s ] && exit 0; sleep 0.1; done; exit 1", path);
	r = guest_sh(&g, (struct guest_run){.command = command});
	ck_assert_uint_eq(r->run->exit_code, 0);
	guest_free(r);
	unlink(path);
}
END_TEST

START_TEST(a_cancelled_run_ends)
{
	uint64_t id = send_run("sleep 60");
	Ocu__Agent__Reply *reply;
	int seen = 0;

	send_cancel(id);
	while (seen != 3) {
		reply = guest_receive(&g);
		ck_assert_ptr_nonnull(reply);
		if (reply->id == id) {
			ck_assert_int_eq(reply->code, OCU__AGENT__CODE__CANCELLED);
			seen |= 1;
		} else {
			ck_assert_int_eq(reply->code, 0);
			seen |= 2;
		}
		guest_free(reply);
	}
}
END_TEST

START_TEST(several_runs_at_once)
{
	Ocu__Agent__Request r;
	Ocu__Agent__Run run;
	char *argv[3];
	uint64_t sum = 0, want = 0;

	for (int i = 0; i < 20; i++) {
		guest_run_request(&r, &run, argv, &(struct guest_run){.command = "sleep 0.2; echo x"});
		want += guest_send(&g, &r);
	}
	for (int i = 0; i < 20; i++) {
		Ocu__Agent__Reply *reply = guest_receive(&g);

		ck_assert(guest_said(&reply->run->stdout, "x\n"));
		sum += reply->id;
		guest_free(reply);
	}
	ck_assert_uint_eq(sum, want);
}
END_TEST

START_TEST(orphans_are_reaped)
{
	Ocu__Agent__Reply *r;
	char command[128];

	/* The agent is the subreaper here, as it is init in a sandbox. */
	snprintf(command, sizeof command, "ps -o stat= --ppid %d | grep -c Z; true", (int)g.pid);
	for (int i = 0; i < 20; i++)
		guest_free(guest_sh(&g, (struct guest_run){.command = "no-such-thing-at-all"}));
	r = guest_sh(&g, (struct guest_run){.command = command});
	ck_assert_msg(guest_said(&r->run->stdout, "0\n"), "%.*s", (int)r->run->stdout.len,
	              (const char *)r->run->stdout.data);
	guest_free(r);
}
END_TEST

START_TEST(nonsense_ends_the_agent)
{
	static const unsigned char bad[][12] = {{0, 0, 0, 0},
	                                        {255, 255, 255, 255},
	                                        {4, 0, 0, 0, 255, 255, 255, 255},
	                                        {3, 0, 0, 0, 0xf8, 0x07, 1}};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct guest other;
		int status;

		guest_open(&other);
		ck_assert_int_eq(send(other.fd, bad[i], sizeof bad[i], 0), sizeof bad[i]);
		ck_assert_ptr_null(guest_receive(&other));
		status = guest_close(&other);
		ck_assert_int_eq(status, 72);
		rmdir(other.dir);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sandboxd_guest_run");
	TCase *t = tcase_create("run");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, gives_back_output_and_exit_code);
	tcase_add_test(t, an_end_by_signal_is_128_and_more);
	tcase_add_test(t, a_program_that_is_not_there_is_said);
	tcase_add_test(t, a_folder_that_is_not_there_is_said);
	tcase_add_test(t, the_environment_is_an_allow_list);
	tcase_add_test(t, programs_inherit_three_descriptors);
	tcase_add_test(t, programs_lead_a_session_with_nothing_blocked);
	tcase_add_test(t, output_past_the_bound_is_counted);
	tcase_add_test(t, both_streams_full_fit_one_reply);
	tcase_add_test(t, input_reaches_the_program);
	tcase_add_test(t, a_time_out_ends_the_group);
	tcase_add_test(t, who_ignores_sigterm_is_killed);
	tcase_add_test(t, what_stays_in_the_background_does_not_hold_the_answer);
	tcase_add_test(t, what_stays_in_the_background_can_go_on_writing);
	tcase_add_test(t, a_cancelled_run_ends);
	tcase_add_test(t, several_runs_at_once);
	tcase_add_test(t, orphans_are_reaped);
	tcase_add_test(t, nonsense_ends_the_agent);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
