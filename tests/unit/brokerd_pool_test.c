/* pool: every request is served once, ceilings hold, a flood costs neighbours little, and the end is orderly.
 */
/* shows: NFR-SEC-46 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>

#include "brokerd/pool.h"
#include "tests/unit/brokerd_fixture.h"
#include "libocu/err.h"

enum { LANES = 8 };

struct end {
	struct lane *lane;
	sem_t *gate;      /* serving waits here when set */
	int ours, theirs; /* a datagram socket pair: each datagram a request */
	atomic_uint served, inside, most_inside, tasks, closed;
	bool later;   /* serving posts a task and answers from it */
	bool charged; /* each counts over time */
};

struct later {
	struct task task;
	struct end *end;
};

static struct pool *pool;
static struct end end[LANES];
static sem_t gate;

static ssize_t do_read(void *arg, struct pool_buffer *b)
{
	struct end *e = arg;
	ssize_t n = recv(e->theirs, b->in, b->in_size, MSG_DONTWAIT);
	if (n > 0)
		return n;
	return n == 0 ? -ENODEV : -errno;
}

static void run_later(struct task *t)
{
	struct later *l = (struct later *)(void *)t;
	atomic_fetch_add(&l->end->tasks, 1);
	struct lane *lane = l->end->lane;
	free(l);
	lane_release(lane);
}

static void serve(void *arg, struct pool_buffer *b, size_t len)
{
	struct end *e = arg;
	(void)b;
	(void)len;
	unsigned now = atomic_fetch_add(&e->inside, 1) + 1, most = atomic_load(&e->most_inside);
	while (now > most && !atomic_compare_exchange_weak(&e->most_inside, &most, now))
		;
	if (e->later) {
		struct later *l = malloc(sizeof *l);
		*l = (struct later){.task = {.run = run_later}, .end = e};
		lane_hold(e->lane);
		lane_post(e->lane, &l->task);
	}
	if (e->charged)
		lane_charge(e->lane);
	if (e->gate)
		sem_wait(e->gate);
	atomic_fetch_sub(&e->inside, 1);
	atomic_fetch_add(&e->served, 1);
}

static void closed(void *arg)
{
	struct end *e = arg;
	atomic_fetch_add(&e->closed, 1);
}

static const struct lane_ops ops = {.read = do_read, .serve = serve, .closed = closed};

static void setup(void)
{
	struct pool_opts o = {.workers = 4,
	                      .lane_workers = 2,
	                      .lane_inflight = 16,
	                      .lane_rate = 50,
	                      .lanes = LANES,
	                      .in_size = 4096,
	                      .out_size = 4096};
	struct ocu_error err = {0};
	ck_assert_int_eq(pool_start(&pool, &o, &err), 0);
	ck_assert_int_eq(sem_init(&gate, 0, 0), 0);
	memset(end, 0, sizeof end);
	for (int i = 0; i < LANES; i++) {
		int fd[2];
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, fd), 0);
		end[i].ours = fd[0];
		end[i].theirs = fd[1];
		ck_assert_int_eq(lane_new(pool, fd[1], &ops, &end[i], &end[i].lane, &err), 0);
		ck_assert_int_eq(lane_start(end[i].lane, &err), 0);
	}
}

static void teardown(void)
{
	for (int i = 0; i < LANES; i++) {
		lane_close(end[i].lane);
		ck_assert_int_eq(lane_wait_idle(end[i].lane, 5000), 1);
		while (!atomic_load(&end[i].closed))
			sched_yield();
		ck_assert_uint_eq(atomic_load(&end[i].closed), 1);
	}
	pool_stop(pool);
	for (int i = 0; i < LANES; i++) {
		lane_free(end[i].lane);
		close(end[i].ours);
		close(end[i].theirs);
	}
	sem_destroy(&gate);
}

static void await(atomic_uint *what, unsigned want)
{
	struct timespec now, until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += 20;
	while (atomic_load(what) < want) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		ck_assert_msg(now.tv_sec < until.tv_sec, "only %u of %u", atomic_load(what), want);
		sched_yield();
	}
	ck_assert_uint_eq(atomic_load(what), want);
}

START_TEST(every_request_is_served_once)
{
	for (int n = 0; n < 500; n++)
		for (int i = 0; i < LANES; i++)
			ck_assert_int_eq(send(end[i].ours, "x", 1, 0), 1);
	for (int i = 0; i < LANES; i++)
		await(&end[i].served, 500);
}
END_TEST

START_TEST(tasks_come_back_and_all_of_them)
{
	for (int i = 0; i < LANES; i++)
		end[i].later = true;
	for (int n = 0; n < 500; n++)
		for (int i = 0; i < LANES; i++)
			ck_assert_int_eq(send(end[i].ours, "x", 1, 0), 1);
	for (int i = 0; i < LANES; i++)
		await(&end[i].tasks, 500);
}
END_TEST

START_TEST(a_lane_takes_its_share_of_workers_and_no_more)
{
	end[0].gate = &gate;
	for (int n = 0; n < 8; n++)
		ck_assert_int_eq(send(end[0].ours, "x", 1, 0), 1);
	await(&end[0].inside, 2);
	for (int n = 0; n < 200; n++)
		ck_assert_int_eq(send(end[1].ours, "x", 1, 0), 1);
	await(&end[1].served, 200); /* while lane 0 hangs */
	ck_assert_uint_eq(atomic_load(&end[0].inside), 2);
	ck_assert_uint_eq(atomic_load(&end[0].served), 0);
	for (int n = 0; n < 8; n++)
		sem_post(&gate);
	await(&end[0].served, 8);
	ck_assert_uint_eq(atomic_load(&end[0].most_inside), 2);
}
END_TEST

START_TEST(a_lane_with_too_much_pending_is_not_read)
{
	for (int n = 0; n < 16; n++)
		ck_assert_int_eq(lane_hold(end[0].lane), 0);
	for (int n = 0; n < 50; n++)
		ck_assert_int_eq(send(end[0].ours, "x", 1, 0), 1);
	for (int n = 0; n < 200; n++)
		ck_assert_int_eq(send(end[1].ours, "x", 1, 0), 1);
	await(&end[1].served, 200);
	/* The request that was armed for before the holds may have gone through. */
	ck_assert_uint_le(atomic_load(&end[0].served), 1);
	for (int n = 0; n < 16; n++)
		lane_release(end[0].lane);
	await(&end[0].served, 50);
}
END_TEST

/* A minute's worth at once, then as they come in: nothing is lost, and nobody else waits. */
START_TEST(a_lane_has_its_rate_over_time)
{
	const unsigned saved = 50 * 60, more = 100;
	struct timespec began, now;
	end[0].charged = end[1].charged = true;
	clock_gettime(CLOCK_MONOTONIC, &began);
	for (unsigned n = 0; n < saved + more; n++)
		ck_assert_int_eq(send(end[0].ours, "x", 1, 0), 1);
	for (int n = 0; n < 200; n++)
		ck_assert_int_eq(send(end[1].ours, "x", 1, 0), 1);
	await(&end[1].served, 200);
	await(&end[0].served, saved + more);
	clock_gettime(CLOCK_MONOTONIC, &now);
	/* 100 at 50 a second; what two workers had in hand when it was used up comes on top. */
	ck_assert_int_ge((now.tv_sec - began.tv_sec) * 1000 + (now.tv_nsec - began.tv_nsec) / 1000000, 1800);
	/* One that is paused ends like any other. */
	for (int n = 0; n < 20; n++)
		ck_assert_int_eq(send(end[0].ours, "x", 1, 0), 1);
}
END_TEST

START_TEST(an_ended_lane_waits_for_what_is_under_way)
{
	ck_assert_int_eq(lane_hold(end[0].lane), 0);
	lane_close(end[0].lane);
	ck_assert_uint_eq(atomic_load(&end[0].closed), 0);
	ck_assert_int_eq(lane_wait_idle(end[0].lane, 20), 0);
	ck_assert_int_eq(lane_hold(end[0].lane), 0);
	lane_release(end[0].lane);
	lane_release(end[0].lane);
	await(&end[0].closed, 1);
	ck_assert_int_eq(lane_hold(end[0].lane), -1);
	lane_close(end[0].lane);
	ck_assert_uint_eq(atomic_load(&end[0].closed), 1);
}
END_TEST

START_TEST(a_peer_that_hangs_up_ends_its_lane)
{
	ck_assert_int_eq(send(end[0].ours, "", 0, 0), 0); /* reads as the end */
	await(&end[0].closed, 1);
	ck_assert_int_eq(send(end[1].ours, "x", 1, 0), 1);
	await(&end[1].served, 1);
}
END_TEST

START_TEST(a_lane_closed_before_its_start_still_ends)
{
	static struct end late;
	struct ocu_error err = {0};
	int fd[2];
	lane_close(end[0].lane);
	await(&end[0].closed, 1);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, fd), 0);
	late.theirs = fd[1];
	ck_assert_int_eq(lane_new(pool, fd[1], &ops, &late, &late.lane, &err), 0);
	ck_assert_int_eq(lane_hold(late.lane), 0);
	lane_close(late.lane);
	ck_assert_int_eq(lane_start(late.lane, &err), OCU_E_CANCELLED);
	ck_assert_uint_eq(atomic_load(&late.closed), 0);
	lane_release(late.lane);
	await(&late.closed, 1);
	lane_free(late.lane);
	close(fd[0]);
	close(fd[1]);
}
END_TEST

START_TEST(lanes_are_bounded)
{
	struct lane *l;
	struct ocu_error err = {0};
	int fd[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, fd), 0);
	ck_assert_int_eq(lane_new(pool, fd[1], &ops, &end[0], &l, &err), OCU_E_QUOTA);
	close(fd[0]);
	close(fd[1]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("brokerd_pool");
	TCase *c = tcase_create("pool");
	tcase_set_timeout(c, 120);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, every_request_is_served_once);
	tcase_add_test(c, tasks_come_back_and_all_of_them);
	tcase_add_test(c, a_lane_takes_its_share_of_workers_and_no_more);
	tcase_add_test(c, a_lane_with_too_much_pending_is_not_read);
	tcase_add_test(c, a_lane_has_its_rate_over_time);
	tcase_add_test(c, an_ended_lane_waits_for_what_is_under_way);
	tcase_add_test(c, a_peer_that_hangs_up_ends_its_lane);
	tcase_add_test(c, a_lane_closed_before_its_start_still_ends);
	tcase_add_test(c, lanes_are_bounded);
	suite_add_tcase(suite, c);
	return run_suite(suite);
}
