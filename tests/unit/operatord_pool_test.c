/* pool, hands, rate, text: the small parts. */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/err.h"
#include "operatord/hands.h"
#include "operatord/pool.h"
#include "operatord/rate.h"
#include "operatord/text.h"

static struct ocu_error err;
static pthread_mutex_t hold = PTHREAD_MUTEX_INITIALIZER;
static atomic_int ran, entered;

static void waits(void *arg)
{
	(void)arg;
	atomic_fetch_add(&entered, 1);
	pthread_mutex_lock(&hold);
	pthread_mutex_unlock(&hold);
	atomic_fetch_add(&ran, 1);
}

/* shows: NFR-SEC-55 */
START_TEST(a_full_pool_refuses_and_runs_what_it_took)
{
	struct pool *p = NULL, *other = NULL;

	ck_assert_int_eq(pool_new(&p, "one", 2, 4, &err), 0);
	ck_assert_int_eq(pool_new(&other, "other", 1, 1, &err), 0);
	pthread_mutex_lock(&hold);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pool_submit(p, waits, NULL, &err), 0);
	while (atomic_load(&entered) < 2)
		sched_yield();
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pool_submit(p, waits, NULL, &err), 0);
	ck_assert_int_eq(pool_submit(p, waits, NULL, &err), OCU_E_BUSY);
	ck_assert_int_eq(pool_submit(other, waits, NULL, &err),
	                 0); /* not touched by the crowd at the first */
	while (atomic_load(&entered) < 3)
		sched_yield();
	pthread_mutex_unlock(&hold);
	pool_stop(p);
	pool_stop(other);
	ck_assert_int_eq(atomic_load(&ran), 7);
	pool_stop(NULL);
}
END_TEST

START_TEST(hands_are_counted)
{
	struct hands *h = hands_new();

	ck_assert(!hands_taken(h, "a"));
	ck_assert(hands_take(h, "a"));
	ck_assert(hands_take(h, "a"));
	ck_assert(hands_take(h, "b"));
	hands_drop(h, "a");
	ck_assert(hands_taken(h, "a"));
	hands_drop(h, "a");
	ck_assert(!hands_taken(h, "a"));
	ck_assert(hands_taken(h, "b"));
	hands_drop(h, "never taken");
	hands_free(h);
}
END_TEST

START_TEST(a_rate_is_kept)
{
	struct rate r;
	int taken = 0;

	rate_init(&r, 10, 5);
	for (int i = 0; i < 20; i++)
		taken += rate_take(&r, 1000);
	ck_assert_int_eq(taken, 5);
	for (uint64_t ms = 1001; ms <= 3000; ms++)
		taken += rate_take(&r, ms);
	ck_assert_int_eq(taken, 25);
	/* However long nothing happens, no more than the burst is saved up. */
	for (int i = 0; i < 20; i++)
		taken += rate_take(&r, 10000000000);
	ck_assert_int_eq(taken, 30);
}
END_TEST

START_TEST(texts)
{
	char out[8];

	ck_assert(text_ok("", 0));
	ck_assert(text_ok("caf\xc3\xa9", 5));
	ck_assert(!text_ok("caf\xc3\xa9", 4));
	ck_assert(!text_ok("a\nb", 10));
	ck_assert(!text_ok("\x7f", 10));
	ck_assert(!text_ok("\xc2\x85", 10)); /* a control character of two bytes */
	ck_assert(!text_ok("\xff", 10));
	ck_assert(!text_ok("\xc3", 10));
	text_copy(out, sizeof out, "a\x1b[2J");
	ck_assert_str_eq(out, "a?[2J");
	text_copy(out, sizeof out, "1234567890");
	ck_assert_str_eq(out, "1234567");
	text_copy(out, sizeof out, "123456\xc3\xa9"); /* whole characters only */
	ck_assert_str_eq(out, "123456");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("operatord_pool");
	TCase *c = tcase_create("parts");

	tcase_add_test(c, a_full_pool_refuses_and_runs_what_it_took);
	tcase_add_test(c, hands_are_counted);
	tcase_add_test(c, a_rate_is_kept);
	tcase_add_test(c, texts);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
