/* shows: NFR-SEC-08, NFR-SEC-46 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/names.h"

static const char *nth(unsigned i)
{
	static char text[32];
	snprintf(text, sizeof text, "h%u.example", i);
	return text;
}

START_TEST(one_name_one_address)
{
	struct names *n = names_new(16);
	struct name *a = names_get(n, "a.example"), *b = names_get(n, "b.example");
	ck_assert_ptr_eq(names_get(n, "a.example"), a);
	ck_assert_ptr_eq(names_peek(n, "b.example"), b);
	ck_assert_ptr_null(names_peek(n, "c.example"));
	ck_assert_uint_ne(a->addr, b->addr);
	ck_assert(names_in_range(a->addr));
	ck_assert_ptr_eq(names_find(n, a->addr), a);
	ck_assert_ptr_eq(names_find(n, b->addr), b);
	ck_assert_ptr_null(names_find(n, b->addr + 1));
	ck_assert_ptr_null(names_find(n, 0x7f000001));
	ck_assert_uint_eq(names_count(n), 2);
	names_free(n);
}
END_TEST

START_TEST(the_range_is_198_18_to_198_19)
{
	ck_assert(names_in_range(0xc6120000u));
	ck_assert(names_in_range(0xc613ffffu));
	ck_assert(!names_in_range(0xc611ffffu));
	ck_assert(!names_in_range(0xc6140000u));
}
END_TEST

START_TEST(the_least_used_goes_first)
{
	struct names *n = names_new(4);
	uint32_t addr[4];
	for (unsigned i = 0; i < 4; i++)
		addr[i] = names_get(n, nth(i))->addr;
	names_find(n, addr[0]); /* used: 1 is now the oldest */
	names_get(n, "new.example");
	ck_assert_uint_eq(names_count(n), 4);
	ck_assert_ptr_null(names_find(n, addr[1]));
	ck_assert_ptr_null(names_peek(n, "h1.example"));
	ck_assert_ptr_nonnull(names_find(n, addr[0]));
	names_free(n);
}
END_TEST

START_TEST(live_connections_keep_their_entry)
{
	struct names *n = names_new(4);
	struct name *held[4];
	for (unsigned i = 0; i < 4; i++) {
		held[i] = names_get(n, nth(i));
		names_hold(held[i]);
	}
	ck_assert_ptr_null(names_get(n, "new.example"));
	names_hold(held[2]);
	names_release(held[2]);
	ck_assert_ptr_null(names_get(n, "new.example"));
	names_release(held[2]);
	ck_assert_ptr_nonnull(names_get(n, "new.example"));
	ck_assert_ptr_null(names_peek(n, "h2.example"));
	names_free(n);
}
END_TEST

START_TEST(a_number_comes_again_only_after_all_others)
{
	struct names *n = names_new(8);
	uint32_t first = names_get(n, "first.example")->addr;
	unsigned given = 1;
	for (;; given++) {
		struct name *e = names_get(n, nth(given));
		ck_assert(names_in_range(e->addr));
		ck_assert_uint_ne(e->addr & 0x1ffff, 0);
		ck_assert_uint_ne(e->addr & 0x1ffff, 0x1ffff);
		if (e->addr == first)
			break;
	}
	ck_assert_uint_eq(given, NAMES_ADDR_COUNT);
	names_free(n);
}
END_TEST

START_TEST(a_held_address_is_passed_over)
{
	struct names *n = names_new(8);
	struct name *kept = names_get(n, "kept.example");
	names_hold(kept);
	for (unsigned i = 0; i < NAMES_ADDR_COUNT + 100; i++)
		ck_assert_uint_ne(names_get(n, nth(i))->addr, kept->addr);
	ck_assert_str_eq(names_find(n, kept->addr)->host, "kept.example");
	names_free(n);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("egressd_names");
	TCase *t = tcase_create("names");
	tcase_add_test(t, one_name_one_address);
	tcase_add_test(t, the_range_is_198_18_to_198_19);
	tcase_add_test(t, the_least_used_goes_first);
	tcase_add_test(t, live_connections_keep_their_entry);
	tcase_add_test(t, a_number_comes_again_only_after_all_others);
	tcase_add_test(t, a_held_address_is_passed_over);
	tcase_set_timeout(t, 30);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
