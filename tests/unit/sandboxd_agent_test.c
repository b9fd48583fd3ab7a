/* The host's end of the control channel against guests that lie, flood, stall and vanish: each costs only
 * itself, every call ends exactly once, and memory follows what has arrived. shows: NFR-SEC-36, NFR-SEC-43,
 * NFR-SEC-46, NFR-SEC-74 */
#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "libocu/err.h"
#include "sandboxd/agent.h"
#include "sandboxd/guest/frame.h"

static struct agents *loop;

struct outcome {
	atomic_int calls, code;
	atomic_uint text;
	char why[128];
};

struct peer {
	struct agent *agent;
	int guest; /* the guest's end */
	struct outcome hello;
	atomic_int lost;
	char why[128];
};

static void setup(void)
{
	ck_assert_int_eq(agents_start(&loop, NULL), 0);
}

static void teardown(void)
{
	agents_stop(loop);
}

static void done(void *arg, Ocu__Agent__Reply **r, const struct ocu_error *err)
{
	struct outcome *o = arg;

	o->code = err ? err->code : 0;
	if (!err && (*r)->result_case == OCU__AGENT__REPLY__RESULT_RUN)
		o->text = (unsigned)(*r)->run->stdout.len;
	o->calls++;
}

static void hello_done(void *arg, Ocu__Agent__Reply **r, const struct ocu_error *err)
{
	done(&((struct peer *)arg)->hello, r, err);
}

static void lost(void *owner, const char *why)
{
	struct peer *p = owner;

	strncpy(p->why, why, sizeof p->why - 1);
	p->lost++;
}

static void wait_until(atomic_int *what, int value)
{
	for (int i = 0; i < 60000 && *what != value; i++)
		poll(NULL, 0, 1);
	ck_assert_int_eq(*what, value);
}

static void say(struct peer *p, const void *data, size_t len)
{
	for (size_t off = 0; off < len;) {
		ssize_t n = send(p->guest, (const char *)data + off, len - off, MSG_NOSIGNAL);

		if (n < 0)
			return; /* the host has hung up */
		off += (size_t)n;
	}
}

static void answer(struct peer *p, Ocu__Agent__Reply *r)
{
	size_t len;
	unsigned char *data = frame_pack(&r->base, FRAME_REPLY_MAX + 4096, &len);

	ck_assert_ptr_nonnull(data);
	say(p, data, len);
	free(data);
}

static void open_peer(struct peer *p, unsigned hello_ms)
{
	const int room = 64 << 10; /* what a socket takes is not for the machine to say */
	int pair[2];

	*p = (struct peer){0};
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
	ck_assert_int_eq(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
	p->guest = pair[1];
	ck_assert_int_eq(
	    agent_open(&p->agent, loop, pair[0], dup(pair[0]), hello_ms, hello_done, lost, p, NULL), 0);
}

static void greet(struct peer *p)
{
	Ocu__Agent__Reply r = OCU__AGENT__REPLY__INIT;
	Ocu__Agent__Hello h = OCU__AGENT__HELLO__INIT;

	h.version = 1;
	r.result_case = OCU__AGENT__REPLY__RESULT_HELLO;
	r.hello = &h;
	answer(p, &r);
	wait_until(&p->hello.calls, 1);
	ck_assert_int_eq(p->hello.code, 0);
}

static void close_peer(struct peer *p)
{
	agent_close(p->agent);
	close(p->guest);
}

static uint64_t run(struct peer *p, struct outcome *o, uint32_t reply_max, uint32_t deadline_ms)
{
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__Run run_ = OCU__AGENT__RUN__INIT;
	uint64_t id = 0;

	r.op_case = OCU__AGENT__REQUEST__OP_RUN;
	r.run = &run_;
	ck_assert_int_eq(agent_call(p->agent,
	                            &(struct agent_call){.request = &r,
	                                                 .expect = OCU__AGENT__REPLY__RESULT_RUN,
	                                                 .reply_max = reply_max,
	                                                 .deadline_ms = deadline_ms,
	                                                 .done = done,
	                                                 .arg = o},
	                            &id, NULL),
	                 0);
	return id;
}

static void answer_run(struct peer *p, uint64_t id, size_t stdout_len)
{
	Ocu__Agent__Reply r = OCU__AGENT__REPLY__INIT;
	Ocu__Agent__RunResult res = OCU__AGENT__RUN_RESULT__INIT;

	res.stdout.len = stdout_len;
	res.stdout.data = calloc(1, stdout_len + 1);
	r.id = id;
	r.result_case = OCU__AGENT__REPLY__RESULT_RUN;
	r.run = &res;
	answer(p, &r);
	free(res.stdout.data);
}

/* After it, the guest is lost, and the call under way has ended with code. */
static void ck_lost(struct peer *p, struct outcome *o, int code)
{
	wait_until(&p->lost, 1);
	wait_until(&o->calls, 1);
	ck_assert_int_eq(o->code, code);
	ck_assert_uint_gt(strlen(p->why), 0);
}

START_TEST(answers_in_any_order)
{
	struct outcome o[10] = {0};
	uint64_t id[10];
	struct peer p;

	open_peer(&p, 60000);
	greet(&p);
	for (int i = 0; i < 10; i++)
		id[i] = run(&p, &o[i], 1 << 20, 60000);
	for (int i = 9; i >= 0; i--)
		answer_run(&p, id[i], (size_t)i * 100000);
	for (int i = 0; i < 10; i++) {
		wait_until(&o[i].calls, 1);
		ck_assert_int_eq(o[i].code, 0);
		ck_assert_uint_eq(o[i].text, (uintmax_t)i * 100000);
	}
	ck_assert_int_eq(p.lost, 0);
	close_peer(&p);
	ck_assert_int_eq(p.lost, 0);
}
END_TEST

START_TEST(a_guests_own_errors_are_its_own)
{
	Ocu__Agent__Reply r = OCU__AGENT__REPLY__INIT;
	struct outcome o = {0}, o2 = {0};
	struct peer p;

	open_peer(&p, 60000);
	greet(&p);
	r.id = run(&p, &o, 100, 60000);
	r.code = OCU__AGENT__CODE__NOT_FOUND;
	r.text = (char *)"no such file";
	answer(&p, &r);
	wait_until(&o.calls, 1);
	ck_assert_int_eq(o.code, OCU_E_NOT_FOUND);
	ck_assert_int_eq(p.lost, 0);
	/* A code that is none of a guest's ends it. */
	r.id = run(&p, &o2, 100, 60000);
	r.code = (Ocu__Agent__Code)99;
	answer(&p, &r);
	ck_lost(&p, &o2, OCU_E_SESSION_GONE);
	close_peer(&p);
}
END_TEST

static const struct {
	const char *what;
	unsigned char bytes[16];
	size_t len;
} garbage[] = {
    {"length 0", {0, 0, 0, 0}, 4},
    {"4 GiB", {255, 255, 255, 255}, 4},
    {"longer than anything asked for", {0, 0, 32, 0}, 4},
    {"no protobuf", {4, 0, 0, 0, 255, 255, 255, 255}, 8},
    {"an unknown field", {5, 0, 0, 0, 8, 1, 0xf8, 7, 1}, 9},
    {"an answer nobody asked for", {2, 0, 0, 0, 8, 77}, 6},
    {"an empty answer to a run", {2, 0, 0, 0, 8, 1}, 6},
    {"a second hello", {4, 0, 0, 0, 0x22, 2, 8, 1}, 8},
};

START_TEST(garbage_ends_the_guest)
{
	struct outcome o = {0}, after = {0};
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	struct peer p;

	open_peer(&p, 60000);
	greet(&p);
	ck_assert_uint_eq(run(&p, &o, 1 << 20, 60000), 1);
	say(&p, garbage[_i].bytes, garbage[_i].len);
	ck_lost(&p, &o, OCU_E_SESSION_GONE);
	ck_assert_int_eq(
	    agent_call(p.agent, &(struct agent_call){.request = &r, .done = done, .arg = &after}, NULL, NULL),
	    OCU_E_SESSION_GONE);
	close_peer(&p);
	ck_assert_int_eq(o.calls, 1);
	ck_assert_int_eq(after.calls, 0);
	ck_assert_int_eq(p.lost, 1);
}
END_TEST

START_TEST(silence_ends_the_guest)
{
	struct outcome o = {0}, other = {0};
	struct peer p, good;

	open_peer(&p, 60000);
	greet(&p);
	open_peer(&good, 60000);
	greet(&good);
	run(&p, &o, 100, 300);
	ck_lost(&p, &o, OCU_E_TIMEOUT);
	/* Nobody else notices. */
	answer_run(&good, run(&good, &other, 100, 60000), 1);
	wait_until(&other.calls, 1);
	ck_assert_int_eq(other.code, 0);
	close_peer(&p);
	close_peer(&good);
}
END_TEST

START_TEST(no_hello_is_silence_too)
{
	struct peer p;

	open_peer(&p, 200);
	wait_until(&p.hello.calls, 1);
	ck_assert_int_eq(p.hello.code, OCU_E_TIMEOUT);
	close_peer(&p);
	open_peer(&p, 60000);
	close(p.guest);
	wait_until(&p.hello.calls, 1);
	ck_assert_int_eq(p.hello.code, OCU_E_SESSION_GONE);
	agent_close(p.agent);
}
END_TEST

START_TEST(the_end_of_the_guest_ends_its_calls)
{
	struct outcome o[20] = {0};
	struct peer p;

	open_peer(&p, 60000);
	greet(&p);
	for (int i = 0; i < 20; i++)
		run(&p, &o[i], 100, 60000);
	close(p.guest);
	for (int i = 0; i < 20; i++) {
		wait_until(&o[i].calls, 1);
		ck_assert_int_eq(o[i].code, OCU_E_SESSION_GONE);
	}
	wait_until(&p.lost, 1);
	agent_close(p.agent);
}
END_TEST

START_TEST(a_cut_says_why)
{
	struct outcome o = {0};
	struct peer p;
	char byte;

	open_peer(&p, 60000);
	greet(&p);
	run(&p, &o, 100, 60000);
	agent_cut(p.agent, OCU_E_SESSION_DENIED, "stopped");
	ck_assert_int_eq(o.calls, 1);
	ck_assert_int_eq(o.code, OCU_E_SESSION_DENIED);
	/* The guest reads what it had been sent, and then the end. */
	while (recv(p.guest, &byte, 1, 0) == 1) {
	}
	close_peer(&p);
	ck_assert_int_eq(o.calls, 1);
	ck_assert_int_eq(p.lost, 0);
}
END_TEST

START_TEST(calls_and_bytes_under_way_are_bounded)
{
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__CreateFile c = OCU__AGENT__CREATE_FILE__INIT;
	struct outcome o[AGENT_CALLS_MAX + 1] = {0};
	struct agent_call call = {.request = &r,
	                          .expect = OCU__AGENT__REPLY__RESULT_CREATE_FILE,
	                          .deadline_ms = 60000,
	                          .done = done};
	struct peer p;
	int n = 0, rc;

	open_peer(&p, 60000);
	greet(&p);
	/* A guest that does not read. */
	c.content.len = 900000;
	c.content.data = calloc(1, c.content.len);
	r.op_case = OCU__AGENT__REQUEST__OP_CREATE_FILE;
	r.create_file = &c;
	for (;;) {
		call.arg = &o[n];
		rc = agent_call(p.agent, &call, NULL, NULL);
		if (rc)
			break;
		ck_assert_int_lt(++n, AGENT_CALLS_MAX);
	}
	ck_assert_int_eq(rc, OCU_E_BUSY);
	ck_assert_int_le((intmax_t)n * 900000, (intmax_t)AGENT_QUEUE_MAX + (2 << 20));
	/* Small ones, many. */
	close_peer(&p);
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(o[i].calls, 1);
	memset(o, 0, sizeof o);
	open_peer(&p, 60000);
	greet(&p);
	for (n = 0; n < AGENT_CALLS_MAX; n++)
		run(&p, &o[n], 10, 60000);
	ck_assert_int_eq(agent_call(p.agent, &call, NULL, NULL), OCU_E_BUSY);
	c.content.len = FRAME_REQUEST_MAX;
	close_peer(&p);
	free(c.content.data);
}
END_TEST

START_TEST(too_large_a_request_is_refused_here)
{
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__CreateFile c = OCU__AGENT__CREATE_FILE__INIT;
	struct outcome o = {0};
	struct peer p;

	open_peer(&p, 60000);
	greet(&p);
	c.content.len = FRAME_REQUEST_MAX;
	c.content.data = calloc(1, c.content.len);
	r.op_case = OCU__AGENT__REQUEST__OP_CREATE_FILE;
	r.create_file = &c;
	ck_assert_int_eq(
	    agent_call(p.agent, &(struct agent_call){.request = &r, .done = done, .arg = &o}, NULL, NULL),
	    OCU_E_TOO_LARGE);
	ck_assert_int_eq(o.calls, 0);
	free(c.content.data);
	close_peer(&p);
}
END_TEST

/* A promise of 12 MiB in every header costs nothing until the bytes come. */
START_TEST(memory_follows_what_has_arrived)
{
	const unsigned char header[] = {0, 0, 0xb0, 0};
	struct rusage before, after;
	struct peer p[100];
	struct outcome o[100] = {0};

	getrusage(RUSAGE_SELF, &before);
	for (int i = 0; i < 100; i++) {
		open_peer(&p[i], 60000);
		greet(&p[i]);
		run(&p[i], &o[i], FRAME_REPLY_MAX, 60000);
		say(&p[i], header, sizeof header);
	}
	poll(NULL, 0, 50);
	getrusage(RUSAGE_SELF, &after);
	ck_assert_int_lt(after.ru_maxrss - before.ru_maxrss, 64 << 10);
	for (int i = 0; i < 100; i++)
		close_peer(&p[i]);
}
END_TEST

static void *flood(void *arg)
{
	struct peer *p = arg;
	static char zeros[1 << 16];

	for (int i = 0; i < 2000; i++)
		if (send(p->guest, zeros, sizeof zeros, MSG_NOSIGNAL) < 0)
			break;
	return NULL;
}

START_TEST(a_flood_is_cut_off_at_once)
{
	struct peer p, good;
	struct outcome o = {0};
	pthread_t t;

	open_peer(&p, 60000);
	greet(&p);
	open_peer(&good, 60000);
	greet(&good);
	pthread_create(&t, NULL, flood, &p);
	wait_until(&p.lost, 1);
	answer_run(&good, run(&good, &o, 100, 60000), 1);
	wait_until(&o.calls, 1);
	/* The flood has nowhere to go once the host hung up. */
	agent_close(p.agent);
	pthread_join(t, NULL);
	close(p.guest);
	close_peer(&good);
}
END_TEST

/* Opening and closing from several threads, with the guest's own end in between or not. */
static void *churn_open(void *arg)
{
	for (int i = 0; i < 200; i++) {
		struct peer p;

		open_peer(&p, 60000);
		if (i % 2)
			close(p.guest);
		agent_close(p.agent);
		ck_assert_int_eq(p.hello.calls, 1);
		if (i % 2 == 0)
			close(p.guest);
	}
	return arg;
}

START_TEST(every_call_ends_once_whatever_comes_first)
{
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, churn_open, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sandboxd_agent");
	TCase *t = tcase_create("agent");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, answers_in_any_order);
	tcase_add_test(t, a_guests_own_errors_are_its_own);
	tcase_add_loop_test(t, garbage_ends_the_guest, 0, sizeof garbage / sizeof *garbage);
	tcase_add_test(t, silence_ends_the_guest);
	tcase_add_test(t, no_hello_is_silence_too);
	tcase_add_test(t, the_end_of_the_guest_ends_its_calls);
	tcase_add_test(t, a_cut_says_why);
	tcase_add_test(t, calls_and_bytes_under_way_are_bounded);
	tcase_add_test(t, too_large_a_request_is_refused_here);
	tcase_add_test(t, memory_follows_what_has_arrived);
	tcase_add_test(t, a_flood_is_cut_off_at_once);
	tcase_add_test(t, every_call_ends_once_whatever_comes_first);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
