/* Refusals in the trail: a flood has its share, and so has everybody else. shows: NFR-SEC-26 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/shaper.h"

static struct ocu_shaper s;

static void setup(void)
{
	memset(&s, 0, sizeof s);
}

START_TEST(a_flood_has_its_share_and_is_counted)
{
	unsigned hidden = 99, taken = 0;

	for (int i = 0; i < 1000; i++)
		taken += ocu_shaper_take(&s, "mcp.authenticate unknown", OCU_SHAPER_EACH_S, 5000, &hidden);
	ck_assert_uint_eq(taken, OCU_SHAPER_EACH_S);
	ck_assert_uint_eq(hidden, 0);
	ck_assert(ocu_shaper_take(&s, "mcp.authenticate unknown", OCU_SHAPER_EACH_S, 6000, &hidden));
	ck_assert_uint_eq(hidden, 1000 - OCU_SHAPER_EACH_S);
	ck_assert(ocu_shaper_take(&s, "mcp.authenticate unknown", OCU_SHAPER_EACH_S, 6000, &hidden));
	ck_assert_uint_eq(hidden, 0);
}
END_TEST

START_TEST(nobody_hides_behind_it)
{
	unsigned hidden;

	for (int i = 0; i < 1000; i++)
		ocu_shaper_take(&s, "tool.call mallory", OCU_SHAPER_EACH_S, 5000, &hidden);
	ck_assert(ocu_shaper_take(&s, "tool.call alice", OCU_SHAPER_EACH_S, 5000, &hidden));
	ck_assert_uint_eq(hidden, 0);
}
END_TEST

/* Two keys that share a slot: neither is told of the other's. */
START_TEST(what_is_told_is_of_the_same_key)
{
	struct ocu_shaper_hidden h;
	char key[32], other[32] = "";
	unsigned hidden = 0, slot = 0;

	for (int i = 0; i < 20; i++)
		ocu_shaper_take(&s, "tool.call mallory", 10, 5000, &hidden);
	while (s.slots[slot].hidden.n == 0)
		slot++;
	for (int i = 0; !other[0]; i++) {
		snprintf(key, sizeof key, "tool.call %d", i);
		ocu_shaper_take(&s, key, 0, 5000, &hidden);
		if (s.slots[slot].hidden.several)
			memcpy(other, key, sizeof other);
	}
	ck_assert(ocu_shaper_take(&s, other, 10, 6000, &hidden));
	ck_assert_uint_eq(hidden, 0);
	ck_assert(!ocu_shaper_left(&s, slot, 4999, &h));
	ck_assert(ocu_shaper_left(&s, slot, 5000, &h));
	ck_assert_uint_eq(h.n, 11);
	ck_assert(h.several);
	ck_assert(!ocu_shaper_left(&s, slot, UINT64_MAX, &h));
	/* Not told, and more since. */
	ocu_shaper_take(&s, "tool.call mallory", 0, 7000, &hidden);
	ocu_shaper_give_back(&s, slot, &h);
	ck_assert(ocu_shaper_left(&s, slot, 5000, &h));
	ck_assert_uint_eq(h.n, 12);
}
END_TEST

START_TEST(all_together_have_a_bound)
{
	unsigned hidden, taken = 0;
	char key[32];

	for (int i = 0; i < 10000; i++) {
		snprintf(key, sizeof key, "tool.call %d", i);
		taken += ocu_shaper_take(&s, key, OCU_SHAPER_EACH_S, 5000, &hidden);
	}
	ck_assert_uint_eq(taken, OCU_SHAPER_ALL_S);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shaper");
	TCase *t = tcase_create("shaper");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, a_flood_has_its_share_and_is_counted);
	tcase_add_test(t, nobody_hides_behind_it);
	tcase_add_test(t, what_is_told_is_of_the_same_key);
	tcase_add_test(t, all_together_have_a_bound);
	suite_add_tcase(suite, t);
	r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
