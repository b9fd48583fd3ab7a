/* path: what a client may name, and that evidence cannot be forged by a name. */
/* shows: NFR-SEC-31, NFR-SEC-43, NFR-SEC-51, NFR-SEC-79 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "brokerd/path.h"
#include "libocu/err.h"

static const char *const good[] = {
    "a",
    "a/b/c",
    "..a",
    "a..",
    "...",
    "a b",
    "-",
    "~",
    "a:b",
    "x:",
    "notes: 1/2",
    "\xc3\xa9",
    "\xe2\x82\xac/\xf0\x9f\x98\x80",
    "\\",
    "a\\..\\b",
    "%2e%2e",
    "\xef\xbf\xbf",
    "C:file",
    "1:/a",
};
static const char *const bad[] = {
    "",           "/",        "/a",         "a/",           "a//b",         ".",
    "..",         "./a",      "../a",       "a/.",          "a/..",         "a/./b",
    "a/../b",     "a/b/..",   "a\nb",       "a\x1b[2J",     "\x7f",         "\xc2\x85",
    "\xc2\x80",   "\xff",     "\xc0\xaf",   "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
    "a\xc3",      "\xe2\x82", "http://h/x", "s3://b",       "s3:/b",        "file:/etc/passwd",
    "A+b.c-1:/x",
};

START_TEST(accepts_relative_clean_paths)
{
	ck_assert_int_eq(path_north_check(good[_i], NULL), 0);
}
END_TEST

START_TEST(refuses_what_could_lead_elsewhere)
{
	struct ocu_error err = {0};
	ck_assert_int_eq(path_north_check(bad[_i], &err), OCU_E_PARAMS);
	ck_assert_int_eq(err.code, OCU_E_PARAMS);
}
END_TEST

START_TEST(bounds_hold_exactly)
{
	char path[PATH_NORTH_MAX + 2], name[PATH_COMPONENT_MAX + 2];
	memset(name, 'n', sizeof name);
	name[PATH_COMPONENT_MAX] = 0;
	ck_assert_int_eq(path_north_check(name, NULL), 0);
	ck_assert(path_name_ok(name));
	name[PATH_COMPONENT_MAX] = 'n';
	name[PATH_COMPONENT_MAX + 1] = 0;
	ck_assert_int_eq(path_north_check(name, NULL), OCU_E_TOO_LARGE);
	ck_assert(!path_name_ok(name));
	for (size_t i = 0; i < sizeof path; i++)
		path[i] = i % 2 ? '/' : 'a';
	path[PATH_NORTH_MAX] = 0;
	path[PATH_NORTH_MAX - 1] = 'a';
	ck_assert_int_eq(path_north_check(path, NULL), 0);
	path[PATH_NORTH_MAX] = 'a';
	path[PATH_NORTH_MAX + 1] = 0;
	ck_assert_int_eq(path_north_check(path, NULL), OCU_E_TOO_LARGE);
}
END_TEST

START_TEST(kernel_names_may_hold_any_byte_but_two)
{
	ck_assert(path_name_ok("\xff\x01 \n"));
	ck_assert(path_name_ok("..."));
	ck_assert(!path_name_ok(""));
	ck_assert(!path_name_ok("."));
	ck_assert(!path_name_ok(".."));
	ck_assert(!path_name_ok("a/b"));
	ck_assert(!path_north_name_ok("\xff"));
	ck_assert(path_north_name_ok("\xc3\xa9"));
}
END_TEST

START_TEST(leaf_is_the_last_name)
{
	ck_assert_uint_eq(path_leaf("abc"), 0);
	ck_assert_uint_eq(path_leaf("a/b/cd"), 4);
}
END_TEST

static const char *handle(const char *raw)
{
	static char out[PATH_HANDLE_MAX];
	path_handle(raw, strlen(raw), out);
	return out;
}

START_TEST(evidence_text_shows_every_odd_byte)
{
	ck_assert_str_eq(handle("a/b c.txt"), "a/b c.txt");
	ck_assert_str_eq(handle("\xc3\xa9"), "\xc3\xa9");
	ck_assert_str_eq(handle("a\nb"), "a\\x0ab");
	ck_assert_str_eq(handle("a\\x0ab"), "a\\x5cx0ab"); /* cannot be mistaken for the one above */
	ck_assert_str_eq(handle("\xff\xc3"), "\\xff\\xc3");
	ck_assert_str_eq(handle("\xc2\x9b"), "\\xc2\\x9b");
}
END_TEST

START_TEST(long_evidence_keeps_both_ends)
{
	char raw[9000], out[PATH_HANDLE_MAX];
	memset(raw, 'a', sizeof raw);
	for (int i = 0; i < 5; i++)
		raw[i] = "start"[i];
	for (int i = 0; i < 4; i++)
		raw[sizeof raw - 4 + (size_t)i] = "tail"[i];
	path_handle(raw, sizeof raw, out);
	ck_assert_uint_lt(strlen(out), PATH_HANDLE_MAX);
	ck_assert_int_eq(strncmp(out, "start", 5), 0);
	ck_assert_ptr_nonnull(strstr(out, "\\..."));
	ck_assert_str_eq(out + strlen(out) - 4, "tail");
	memset(raw, 0xff, sizeof raw);
	path_handle(raw, sizeof raw, out);
	ck_assert_uint_lt(strlen(out), PATH_HANDLE_MAX);
	ck_assert_str_eq(out + strlen(out) - 4, "\\xff");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("brokerd_path");
	TCase *c = tcase_create("path");
	tcase_add_loop_test(c, accepts_relative_clean_paths, 0, sizeof good / sizeof *good);
	tcase_add_loop_test(c, refuses_what_could_lead_elsewhere, 0, sizeof bad / sizeof *bad);
	tcase_add_test(c, bounds_hold_exactly);
	tcase_add_test(c, kernel_names_may_hold_any_byte_but_two);
	tcase_add_test(c, leaf_is_the_last_name);
	tcase_add_test(c, evidence_text_shows_every_odd_byte);
	tcase_add_test(c, long_evidence_keeps_both_ends);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
