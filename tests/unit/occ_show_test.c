/* show: what an operator's terminal gets to see of texts that others chose. shows: NFR-SEC-43 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operatord/occ/show.h"

/* ESC, BEL, a line end, DEL, C1's CSI in UTF-8 and bare, an override of direction, a line separator. */
#define HOSTILE                                                                                              \
	"a\x1b[2Jb\x07"                                                                                      \
	"c\n"                                                                                                \
	"d\x7f"                                                                                              \
	"e\xc2\x9b"                                                                                          \
	"31mf\x9bg\xe2\x80\xae"                                                                              \
	"h\xe2\x80\xa8"                                                                                      \
	"i"
#define SHOWN "a\\x1b[2Jb\\x07c\\x0ad\\x7fe\\xc2\\x9b31mf\\x9bg\\xe2\\x80\\xaeh\\xe2\\x80\\xa8i"
/* The same without the bare byte, which no JSON has. */
#define IN_JSON                                                                                              \
	"a\x1b[2Jb\x07"                                                                                      \
	"c\n"                                                                                                \
	"d\x7f"                                                                                              \
	"e\xc2\x9b"                                                                                          \
	"31mg\xe2\x80\xae"                                                                                   \
	"h\xe2\x80\xa8"                                                                                      \
	"i"
#define GOOD "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"

static char path[] = "/tmp/ocu-show-XXXXXX";
static char said[65536];

static void begin(void)
{
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_ptr_nonnull(freopen(path, "w", stdout));
}

static const char *end(void)
{
	FILE *f;

	fflush(stdout);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	said[fread(said, 1, sizeof said - 1, f)] = '\0';
	fclose(f);
	remove(path);
	return said;
}

/* Nothing that a terminal would obey. */
static void expect_tame(const char *s)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		ck_assert_msg(c == '\n' || (c >= 0x20 && c != 0x7f), "byte %02x", c);
		ck_assert_msg(!(c == 0xe2 && (unsigned char)s[1] == 0x80), "another direction");
		ck_assert_msg(!(c == 0xc2 && (unsigned char)s[1] < 0xa0), "a control of C1");
	}
}

START_TEST(text_is_shown_and_not_obeyed)
{
	begin();
	show_text(HOSTILE);
	ck_assert_str_eq(end(), SHOWN);
}
END_TEST

START_TEST(good_text_stays_as_it_is)
{
	begin();
	show_text(GOOD);
	ck_assert_str_eq(end(), GOOD);
}
END_TEST

START_TEST(tables_are_tame)
{
	static const struct column columns[] = {{"NAME", "name"}, {"MORE", "more"}, {0}};
	json_t *rows = json_pack("[{ss ss}]", "name", IN_JSON, "more", GOOD);

	begin();
	show_table(columns, rows);
	show_object(columns, json_array_get(rows, 0));
	expect_tame(end());
	ck_assert_ptr_nonnull(strstr(said, GOOD));
	ck_assert_ptr_nonnull(strstr(said, "\\x1b[2J"));
	json_decref(rows);
}
END_TEST

START_TEST(json_is_tame_and_still_says_the_same)
{
	json_t *j = json_pack("{ss ss}", "name" IN_JSON, IN_JSON, "good", GOOD), *back;

	begin();
	if (_i)
		show_json_line(j);
	else
		show_json(j);
	expect_tame(end());
	ck_assert_ptr_nonnull(strstr(said, GOOD));
	back = json_loads(said, 0, NULL);
	ck_assert_ptr_nonnull(back);
	ck_assert(json_equal(back, j));
	json_decref(back);
	json_decref(j);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("occ_show");
	TCase *t = tcase_create("show");
	SRunner *r;
	int failed;

	tcase_add_test(t, text_is_shown_and_not_obeyed);
	tcase_add_test(t, good_text_stays_as_it_is);
	tcase_add_test(t, tables_are_tame);
	tcase_add_loop_test(t, json_is_tame_and_still_says_the_same, 0, 2);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
