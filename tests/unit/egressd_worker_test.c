/* Calls into a worker from other threads, and its end under them. */
/* shows: NFR-SEC-01, NFR-REL-11 */
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "egressd/egress.h"
#include "egressd/worker.h"
#include "libocu/err.h"

static struct egress egress = {.limits = {.resolve_ms = 300}};
static struct worker *worker;

static void setup(void)
{
	ck_assert_int_eq(worker_new(&worker, &egress, NULL), 0);
	ck_assert_int_eq(worker_start(worker, NULL), 0);
}

static int add(struct worker *w, void *arg)
{
	ck_assert(pthread_equal(pthread_self(), w->thread));
	return ++*(int *)arg;
}

static void *callers(void *arg)
{
	for (unsigned i = 0; i < 1000; i++)
		ck_assert_int_gt(worker_call(worker, add, arg), 0);
	return NULL;
}

START_TEST(calls_run_one_at_a_time)
{
	pthread_t t[4];
	int sum = 0;
	for (unsigned i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, callers, &sum);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	ck_assert_int_eq(sum, 4000);
	worker_stop_begin(worker, 0);
	worker_stop_wait(worker);
	worker_free(worker);
}
END_TEST

static atomic_int ended;

static void *call_until_ended(void *arg)
{
	while (worker_call(worker, add, arg) != OCU_E_CANCELLED)
		;
	ended++;
	return NULL;
}

START_TEST(no_call_is_lost_at_the_end)
{
	pthread_t t[4];
	int sum = 0;
	for (unsigned i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, call_until_ended, &sum);
	usleep(20000);
	worker_stop_begin(worker, 0);
	worker_stop_wait(worker);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	ck_assert_int_eq(ended, 4);
	ck_assert_int_eq(worker_call(worker, add, &sum), OCU_E_CANCELLED);
	worker_free(worker);
}
END_TEST

static unsigned ran;

static void count(struct worker *w, struct task *t)
{
	(void)w;
	ran++;
	free(t);
}

START_TEST(messages_after_the_end_are_run_when_it_is_freed)
{
	worker_stop_begin(worker, 0);
	worker_stop_wait(worker);
	for (unsigned i = 0; i < 3; i++) {
		struct task *t = calloc(1, sizeof *t);
		t->run = count;
		worker_post(worker, t);
	}
	worker_free(worker);
	ck_assert_uint_eq(ran, 3);
}
END_TEST

struct pipe_end {
	struct watch watch;
	int other;
	atomic_uint seen;
};

static void on_readable(struct watch *w, uint32_t events)
{
	struct pipe_end *p = (struct pipe_end *)w;
	char byte;
	(void)events;
	ck_assert_int_eq(read(w->fd, &byte, 1), 1);
	p->seen++;
}

static int watch(struct worker *w, void *arg)
{
	struct pipe_end *p = arg;
	return worker_watch(w, &p->watch, EPOLLIN);
}

static int unwatch(struct worker *w, void *arg)
{
	struct pipe_end *p = arg;
	worker_unwatch(w, &p->watch);
	return p->watch.fd;
}

START_TEST(watches_report_until_they_are_taken_out)
{
	struct pipe_end p = {.watch.ready = on_readable};
	int fds[2];
	ck_assert_int_eq(pipe(fds), 0);
	p.watch.fd = fds[0];
	ck_assert_int_eq(worker_call(worker, watch, &p), 0);
	for (unsigned i = 1; i <= 3; i++) {
		ck_assert_int_eq(write(fds[1], "x", 1), 1);
		while (p.seen < i)
			usleep(100);
	}
	ck_assert_int_eq(worker_call(worker, unwatch, &p), -1);
	ck_assert_int_eq(write(fds[1], "x", 1), -1); /* its end is closed */
	worker_stop_begin(worker, 0);
	worker_stop_wait(worker);
	worker_free(worker);
	close(fds[1]);
}
END_TEST

#define BUSY 300

static struct watch busy[BUSY];
static unsigned looks;

struct order {
	struct task task;
	unsigned given, taken; /* looks at that time */
	atomic_bool done;
};

static struct order *to_give;

static void on_busy(struct watch *w, uint32_t events)
{
	(void)w;
	(void)events;
	looks++;
	if (to_give && looks > 2 * BUSY) {
		to_give->given = looks;
		worker_post(worker, &to_give->task);
		to_give = NULL;
	}
}

static void take_order(struct worker *w, struct task *t)
{
	struct order *o = (struct order *)t;
	(void)w;
	o->taken = looks;
	o->done = true;
}

static int make_busy(struct worker *w, void *arg)
{
	for (unsigned i = 0; i < BUSY; i++) {
		busy[i] = (struct watch){.fd = eventfd(1, EFD_CLOEXEC), .ready = on_busy};
		ck_assert_int_eq(worker_watch(w, &busy[i], EPOLLIN), 0);
	}
	to_give = arg;
	return 0;
}

static int make_idle(struct worker *w, void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < BUSY; i++)
		worker_unwatch(w, &busy[i]);
	return 0;
}

/* Every descriptor is ready all the time: a message is not one more that waits for its turn. */
START_TEST(a_message_is_taken_in_the_next_round)
{
	struct order o = {.task.run = take_order};
	ck_assert_int_eq(worker_call(worker, make_busy, &o), 0);
	while (!o.done)
		usleep(100);
	ck_assert_uint_le(o.taken - o.given, 64);
	ck_assert_int_eq(worker_call(worker, make_idle, NULL), 0);
	worker_stop_begin(worker, 0);
	worker_stop_wait(worker);
	worker_free(worker);
}
END_TEST

static int meet(struct worker *w, void *arg)
{
	(void)w;
	pthread_barrier_wait(arg);
	return 0;
}

START_TEST(a_call_to_all_runs_on_all_at_once)
{
	struct worker *both[2] = {worker, NULL};
	pthread_barrier_t barrier;
	pthread_barrier_init(&barrier, NULL, 2);
	ck_assert_int_eq(worker_new(&both[1], &egress, NULL), 0);
	ck_assert_int_eq(worker_start(both[1], NULL), 0);
	worker_call_all(both, 2, meet, &barrier);
	for (unsigned i = 0; i < 2; i++) {
		worker_stop_begin(both[i], 0);
		worker_stop_wait(both[i]);
	}
	worker_call_all(both, 2, meet, &barrier); /* nobody is there any more */
	for (unsigned i = 0; i < 2; i++)
		worker_free(both[i]);
	pthread_barrier_destroy(&barrier);
}
END_TEST

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	Suite *s = suite_create("egressd_worker");
	TCase *t = tcase_create("worker");
	tcase_add_test(t, calls_run_one_at_a_time);
	tcase_add_test(t, no_call_is_lost_at_the_end);
	tcase_add_test(t, messages_after_the_end_are_run_when_it_is_freed);
	tcase_add_test(t, watches_report_until_they_are_taken_out);
	tcase_add_test(t, a_message_is_taken_in_the_next_round);
	tcase_add_test(t, a_call_to_all_runs_on_all_at_once);
	tcase_add_checked_fixture(t, setup, NULL);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
