/* shows: NFR-SEC-46, NFR-SEC-56 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "egressd/shape.h"
#include "libocu/err.h"

static uint32_t summed[SHAPE_KINDS][SHAPE_CODES], rows;

static void add(void *arg, enum shape_kind kind, int code, uint32_t count)
{
	(void)arg;
	summed[kind][-code] += count;
	rows++;
}

START_TEST(a_bucket_holds_its_rate)
{
	struct bucket b = {0};
	unsigned got = 0;
	for (uint64_t ms = 1000; ms < 11000; ms++)
		got += bucket_take(&b, ms, 10, 20);
	ck_assert_uint_ge(got, 119);
	ck_assert_uint_le(got, 120);
	for (unsigned i = 0; i < 20; i++)
		ck_assert(bucket_take(&b, 60000, 10, 20));
	ck_assert(!bucket_ready(&b, 60000, 10, 20));
	ck_assert(!bucket_take(&b, 60000, 10, 20));
	ck_assert(bucket_ready(&b, 60100, 10, 20));
}
END_TEST

START_TEST(a_flood_is_counted_in_full)
{
	struct shape s = {0};
	unsigned events = 0;
	for (unsigned i = 0; i < 10000; i++)
		events +=
		    shape_denial(&s, 5000 + i / 100, SHAPE_NET, i % 2 ? OCU_E_EGRESS_DEST : OCU_E_EGRESS_SNI);
	ck_assert_uint_ge(events, SHAPE_BURST);
	ck_assert_uint_le(events, SHAPE_BURST + 3);
	shape_summary(&s, add, NULL);
	ck_assert_uint_eq(rows, 2);
	ck_assert_uint_eq(
	    summed[SHAPE_NET][-OCU_E_EGRESS_DEST] + summed[SHAPE_NET][-OCU_E_EGRESS_SNI] + events, 10000);
	shape_summary(&s, add, NULL);
	ck_assert_uint_eq(rows, 2);
}
END_TEST

START_TEST(a_name_is_recorded_once_a_minute)
{
	struct shape s = {0};
	unsigned events = 0;
	for (uint64_t ms = 1000; ms < 181000; ms += 100)
		events += shape_lookup(&s, ms, "tunnel.evil.example", OCU_E_EGRESS_DEST);
	ck_assert_uint_eq(events, 3);
	shape_summary(&s, add, NULL);
	ck_assert_uint_eq(summed[SHAPE_DNS][-OCU_E_EGRESS_DEST], 1800 - 3);
}
END_TEST

START_TEST(made_up_names_do_not_pass_the_rate)
{
	struct shape s = {0};
	unsigned events = 0;
	char name[32];
	for (unsigned i = 0; i < 100000; i++) {
		snprintf(name, sizeof name, "x%u.evil.example", i);
		events += shape_lookup(&s, 1000 + i / 100, name, OCU_E_EGRESS_DEST);
	}
	ck_assert_uint_le(events, SHAPE_BURST + SHAPE_RATE + 1);
	shape_summary(&s, add, NULL);
	ck_assert_uint_eq(summed[SHAPE_DNS][-OCU_E_EGRESS_DEST] + events, 100000);
}
END_TEST

START_TEST(a_flood_of_one_kind_leaves_the_other)
{
	struct shape s = {0};
	for (unsigned i = 0; i < 1000; i++)
		shape_denial(&s, 1000, SHAPE_NET, OCU_E_EGRESS_DEST);
	ck_assert(shape_lookup(&s, 1000, "a.example", OCU_E_EGRESS_DEST));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("egressd_shape");
	TCase *t = tcase_create("shape");
	tcase_add_test(t, a_bucket_holds_its_rate);
	tcase_add_test(t, a_flood_is_counted_in_full);
	tcase_add_test(t, a_name_is_recorded_once_a_minute);
	tcase_add_test(t, made_up_names_do_not_pass_the_rate);
	tcase_add_test(t, a_flood_of_one_kind_leaves_the_other);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
