/* Refusals that did not become events are told in bounded time, whether or not anybody comes back.
 * shows: NFR-SEC-26 */
#include <check.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/refusals.h"

static struct {
	pthread_mutex_t lock;
	pthread_cond_t came;
	unsigned events, told, declined;
	bool decline;
	char action[64], actor[64];
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER};

static bool tell(void *arg, const struct ocu_event *ev)
{
	(void)arg;
	pthread_mutex_lock(&seen.lock);
	bool takes = !seen.decline;
	if (takes) {
		seen.events++;
		seen.told += (unsigned)json_integer_value(json_object_get(ev->detail, "unreported_before"));
		snprintf(seen.action, sizeof seen.action, "%s", ev->action);
		snprintf(seen.actor, sizeof seen.actor, "%s", ev->actor_id);
	}
	seen.declined += !takes;
	pthread_cond_broadcast(&seen.came);
	pthread_mutex_unlock(&seen.lock);
	return takes;
}

static void wait_for(const unsigned *n, unsigned least)
{
	pthread_mutex_lock(&seen.lock);
	while (*n < least)
		pthread_cond_wait(&seen.came, &seen.lock);
	pthread_mutex_unlock(&seen.lock);
}

static struct ocu_refusals *start(unsigned tell_ms)
{
	struct ocu_refusals *r = NULL;
	ck_assert_int_eq(ocu_refusals_start(&r, tell_ms, tell, NULL, NULL), 0);
	return r;
}

/* n refusals; how many of them are accounted for: recorded, or told with one that was. */
static unsigned flood(struct ocu_refusals *r, const char *actor, unsigned n)
{
	unsigned accounted = 0, hidden;

	for (unsigned i = 0; i < n; i++)
		if (ocu_refusals_take(r, "mcp.authenticate", actor, 10, &hidden))
			accounted += 1 + hidden;
	return accounted;
}

/* The last flood of somebody who never comes back. */
START_TEST(told_without_a_next_one)
{
	struct ocu_refusals *r = start(20);
	unsigned accounted = flood(r, "mallory of the north", 1000);

	ck_assert_uint_lt(accounted, 1000);
	wait_for(&seen.told, 1000 - accounted);
	ck_assert_str_eq(seen.action, "mcp.authenticate");
	ck_assert_str_eq(seen.actor, "mallory of the north");
	ocu_refusals_stop(r);
	ck_assert_uint_eq(seen.told, 1000 - accounted);
}
END_TEST

/* However many actors there are, the events are few and the number is right. */
START_TEST(few_events_for_many)
{
	struct ocu_refusals *r = start(100000);
	unsigned accounted = 0;
	char actor[32];

	for (int i = 0; i < 5000; i++) {
		snprintf(actor, sizeof actor, "bot-%d", i);
		accounted += flood(r, actor, 2);
	}
	ck_assert_uint_eq(seen.events, 0);
	ocu_refusals_stop(r);
	ck_assert_uint_eq(seen.told, 10000 - accounted);
	ck_assert_uint_le(seen.events, OCU_SHAPER_SLOTS);
	ck_assert_str_eq(seen.actor, "several");
	ck_assert_str_eq(seen.action, "refusals.unreported");
}
END_TEST

START_TEST(not_lost_while_nobody_takes_them)
{
	struct ocu_refusals *r = start(20);

	seen.decline = true;
	unsigned accounted = flood(r, "mallory", 500);
	wait_for(&seen.declined, 2);
	pthread_mutex_lock(&seen.lock);
	seen.decline = false;
	pthread_mutex_unlock(&seen.lock);
	wait_for(&seen.told, 500 - accounted);
	ocu_refusals_stop(r);
	ck_assert_uint_eq(seen.told, 500 - accounted);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("refusals");
	TCase *t = tcase_create("refusals");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, told_without_a_next_one);
	tcase_add_test(t, few_events_for_many);
	tcase_add_test(t, not_lost_while_nobody_takes_them);
	suite_add_tcase(suite, t);
	r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
