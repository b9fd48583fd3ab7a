/* shows: NFR-SEC-46, NFR-SEC-48 (in part) */
#include <check.h>
#include <stdlib.h>

#include "egressd/timers.h"

#define N 500

static struct timers ts;
static struct timer timer[N];
static uint64_t now, fired_at[N];
static unsigned fired;

static void note(struct timer *t)
{
	fired_at[t - timer] = now;
	fired++;
}

static void run_until(uint64_t end)
{
	for (; now <= end; now++)
		timers_run(&ts, now);
}

static void setup(void)
{
	ts = (struct timers){0};
	fired = 0;
	now = 1;
	for (unsigned i = 0; i < N; i++)
		timer[i] = (struct timer){.fire = note};
}

static void teardown(void)
{
	timers_done(&ts);
}

START_TEST(fires_each_on_time)
{
	uint64_t due[N];
	srand(7);
	for (unsigned i = 0; i < N; i++)
		timers_set(&ts, &timer[i], due[i] = 1 + (unsigned)rand() % 1000);
	run_until(1001);
	ck_assert_uint_eq(fired, N);
	for (unsigned i = 0; i < N; i++)
		ck_assert_uint_eq(fired_at[i], due[i]);
}
END_TEST

START_TEST(cancelled_ones_stay_silent)
{
	for (unsigned i = 0; i < N; i++)
		timers_set(&ts, &timer[i], 10 + i % 50);
	for (unsigned i = 0; i < N; i += 2)
		timers_cancel(&ts, &timer[i]);
	timers_cancel(&ts, &timer[0]);
	run_until(100);
	ck_assert_uint_eq(fired, N / 2);
	ck_assert_uint_eq(fired_at[0], 0);
}
END_TEST

START_TEST(extending_is_lazy_and_exact)
{
	timers_extend(&ts, &timer[0], 50);
	for (uint64_t i = 1; i < 40; i++)
		timers_extend(&ts, &timer[0], 50 + i);
	timers_set(&ts, &timer[1], 60);
	run_until(70);
	ck_assert_uint_eq(fired, 1);
	run_until(200);
	ck_assert_uint_eq(fired_at[0], 89);
	ck_assert_uint_eq(fired_at[1], 60);
}
END_TEST

START_TEST(a_nearer_deadline_counts_at_once)
{
	timers_extend(&ts, &timer[0], 500);
	timers_extend(&ts, &timer[0], 20);
	run_until(30);
	ck_assert_uint_eq(fired_at[0], 20);
}
END_TEST

static void again(struct timer *t)
{
	fired++;
	if (fired < 5)
		timers_set(&ts, t, now + 10);
}

START_TEST(may_rearm_itself)
{
	timer[0].fire = again;
	timers_set(&ts, &timer[0], 10);
	run_until(100);
	ck_assert_uint_eq(fired, 5);
}
END_TEST

START_TEST(says_how_long_to_wait)
{
	ck_assert_int_eq(timers_wait(&ts, 0, 777), 777);
	timers_set(&ts, &timer[0], 100);
	ck_assert_int_eq(timers_wait(&ts, 40, 777), 60);
	ck_assert_int_eq(timers_wait(&ts, 40, 7), 7);
	ck_assert_int_eq(timers_wait(&ts, 100, 777), 0);
	ck_assert_int_eq(timers_wait(&ts, 1000, 777), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("egressd_timers");
	TCase *t = tcase_create("timers");
	tcase_add_test(t, fires_each_on_time);
	tcase_add_test(t, cancelled_ones_stay_silent);
	tcase_add_test(t, extending_is_lazy_and_exact);
	tcase_add_test(t, a_nearer_deadline_counts_at_once);
	tcase_add_test(t, may_rearm_itself);
	tcase_add_test(t, says_how_long_to_wait);
	tcase_add_checked_fixture(t, setup, teardown);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
