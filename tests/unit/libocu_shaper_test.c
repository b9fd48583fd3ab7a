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
		taken += ocu_shaper_take(&s, "mcp.authenticate unknown", 5000, &hidden);
	ck_assert_uint_eq(taken, OCU_SHAPER_EACH_S);
	ck_assert_uint_eq(hidden, 0);
	ck_assert(ocu_shaper_take(&s, "mcp.authenticate unknown", 6000, &hidden));
	ck_assert_uint_eq(hidden, 1000 - OCU_SHAPER_EACH_S);
	ck_assert(ocu_shaper_take(&s, "mcp.authenticate unknown", 6000, &hidden));
	ck_assert_uint_eq(hidden, 0);
}
END_TEST

START_TEST(nobody_hides_behind_it)
{
	unsigned hidden;

	for (int i = 0; i < 1000; i++)
		ocu_shaper_take(&s, "tool.call mallory", 5000, &hidden);
	ck_assert(ocu_shaper_take(&s, "tool.call alice", 5000, &hidden));
	ck_assert_uint_eq(hidden, 0);
}
END_TEST

START_TEST(all_together_have_a_bound)
{
	unsigned hidden, taken = 0;
	char key[32];

	for (int i = 0; i < 10000; i++) {
		snprintf(key, sizeof key, "tool.call %d", i);
		taken += ocu_shaper_take(&s, key, 5000, &hidden);
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
	tcase_add_test(t, all_together_have_a_bound);
	suite_add_tcase(suite, t);
	r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
