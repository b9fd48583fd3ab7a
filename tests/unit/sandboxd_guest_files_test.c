/* The guest agent's file tools: view, create_file, str_replace, and what they refuse to touch.
 * shows: NFR-SEC-46, NFR-SEC-51 */
#include <fcntl.h>
#include <stdint.h>

#include "tests/unit/sandboxd_guest_fixture.h"

static struct guest g;

static void setup(void)
{
	guest_open(&g);
}

static void teardown(void)
{
	char command[128];

	ck_assert_int_eq(guest_close(&g), 0);
	snprintf(command, sizeof command, "%s", g.dir);
	if (fork() == 0)
		execlp("rm", "rm", "-rf", command, (char *)NULL);
	wait(NULL);
}

static const char *in_dir(const char *name)
{
	static char path[8][256];
	static int n;
	char *p = path[n++ % 8];

	snprintf(p, sizeof path[0], "%s/%s", g.dir, name);
	return p;
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(in_dir(name), "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void ck_content(const char *name, const char *want)
{
	char text[4096] = "";
	FILE *f = fopen(in_dir(name), "r");

	ck_assert_ptr_nonnull(f);
	text[fread(text, 1, sizeof text - 1, f)] = 0;
	fclose(f);
	ck_assert_str_eq(text, want);
}

static Ocu__Agent__Reply *view(const char *path, uint32_t first, uint32_t last, uint32_t max)
{
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__View v = OCU__AGENT__VIEW__INIT;

	v.path = (char *)path;
	v.first_line = first;
	v.last_line = last;
	v.max_bytes = max;
	r.op_case = OCU__AGENT__REQUEST__OP_VIEW;
	r.view = &v;
	return guest_call(&g, &r);
}

static void ck_view(const char *name, uint32_t first, uint32_t last, const char *want, uint32_t lines)
{
	Ocu__Agent__Reply *r = view(in_dir(name), first, last, 0);

	ck_assert_msg(r->code == 0, "%s", r->text);
	ck_assert_msg(guest_said(&r->view->content, want), "%.*s", (int)r->view->content.len,
	              (const char *)r->view->content.data);
	ck_assert_uint_eq(r->view->total_lines, lines);
	ck_assert(!r->view->is_directory);
	guest_free(r);
}

static void ck_view_fails(const char *path, int code)
{
	Ocu__Agent__Reply *r = view(path, 0, 0, 0);

	ck_assert_msg((int)r->code == code, "%s: %d %s", path, (int)r->code, r->text);
	ck_assert_uint_gt(strlen(r->text), 0);
	guest_free(r);
}

static Ocu__Agent__Reply *create(const char *path, const char *content)
{
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__CreateFile c = OCU__AGENT__CREATE_FILE__INIT;

	c.path = (char *)path;
	c.content.data = (uint8_t *)content;
	c.content.len = strlen(content);
	r.op_case = OCU__AGENT__REQUEST__OP_CREATE_FILE;
	r.create_file = &c;
	return guest_call(&g, &r);
}

static int create_code(const char *path)
{
	Ocu__Agent__Reply *r = create(path, "x");
	int code = (int)r->code;

	guest_free(r);
	return code;
}

static Ocu__Agent__Reply *replace(const char *path, const char *old, const char *new)
{
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__StrReplace s = OCU__AGENT__STR_REPLACE__INIT;

	s.path = (char *)path;
	s.old_str.data = (uint8_t *)old;
	s.old_str.len = strlen(old);
	s.new_str.data = (uint8_t *)new;
	s.new_str.len = strlen(new);
	r.op_case = OCU__AGENT__REQUEST__OP_STR_REPLACE;
	r.str_replace = &s;
	return guest_call(&g, &r);
}

START_TEST(views_lines)
{
	Ocu__Agent__Reply *r;

	put("f", "one\ntwo\nthree\n");
	ck_view("f", 0, 0, "one\ntwo\nthree\n", 3);
	ck_view("f", 2, 2, "two\n", 3);
	ck_view("f", 2, 0, "two\nthree\n", 3);
	ck_view("f", 3, 9, "three\n", 3);
	put("f", "no newline");
	ck_view("f", 1, 1, "no newline", 1);
	put("f", "");
	ck_view("f", 0, 0, "", 0);
	ck_view("f", 1, 0, "", 0);
	put("f", "\n\n");
	ck_view("f", 2, 2, "\n", 2);
	r = view(in_dir("f"), 3, 0, 0);
	ck_assert_int_eq(r->code, OCU__AGENT__CODE__PARAMS);
	ck_assert_ptr_nonnull(strstr(r->text, "2 lines"));
	guest_free(r);
	r = view(in_dir("f"), 2, 1, 0);
	ck_assert_int_eq(r->code, OCU__AGENT__CODE__PARAMS);
	guest_free(r);
}
END_TEST

START_TEST(a_cut_falls_between_characters)
{
	Ocu__Agent__Reply *r;

	put("f", "a\xE2\x82\xAC"
	         "b\xE2\x82\xAC");
	for (uint32_t max = 1; max <= 8; max++) {
		static const size_t want[] = {0, 1, 1, 1, 4, 5, 5, 5, 8};

		r = view(in_dir("f"), 0, 0, max);
		ck_assert_uint_eq(r->view->content.len, want[max]);
		ck_assert_int_eq(r->view->truncated, max < 8);
		ck_assert_uint_eq(r->view->size, 8);
		guest_free(r);
	}
}
END_TEST

START_TEST(a_large_file_is_looked_at_in_bounds)
{
	Ocu__Agent__Reply *r;
	FILE *f = fopen(in_dir("big"), "w");

	for (int i = 0; i < 300000; i++)
		fprintf(f, "%07d\n", i);
	fclose(f);
	r = view(in_dir("big"), 250001, 250002, 0);
	ck_assert(guest_said(&r->view->content, "0250000\n0250001\n"));
	ck_assert_uint_eq(r->view->total_lines, 300000);
	ck_assert(!r->view->truncated);
	guest_free(r);
	r = view(in_dir("big"), 0, 0, 0);
	ck_assert_uint_eq(r->view->content.len, FILES_VIEW_MAX);
	ck_assert(r->view->truncated);
	guest_free(r);
}
END_TEST

START_TEST(lists_folders_two_levels)
{
	char want[1024];
	Ocu__Agent__Reply *r;

	mkdir(in_dir("b"), 0755);
	mkdir(in_dir("b/c"), 0755);
	mkdir(in_dir("b/c/deep"), 0755);
	mkdir(in_dir("locked"), 0000);
	put("b/x", "");
	put("a", "");
	put(".hidden", "");
	snprintf(want, sizeof want, "%s/\n%s/a\n%s/b/\n%s/b/c/\n%s/b/x\n%s/locked/\n", g.dir, g.dir, g.dir,
	         g.dir, g.dir, g.dir);
	r = view(g.dir, 0, 0, 0);
	ck_assert_int_eq(r->code, 0);
	ck_assert(r->view->is_directory);
	ck_assert_msg(guest_said(&r->view->content, want), "%.*s", (int)r->view->content.len,
	              (const char *)r->view->content.data);
	guest_free(r);
}
END_TEST

START_TEST(a_huge_folder_is_listed_in_bounds)
{
	Ocu__Agent__Reply *r;

	mkdir(in_dir("many"), 0755);
	for (int i = 0; i < FILES_LIST_MAX + 500; i++) {
		char name[64];

		snprintf(name, sizeof name, "many/%06d", i);
		close(open(in_dir(name), O_CREAT | O_WRONLY, 0600));
	}
	r = view(in_dir("many"), 0, 0, 0);
	ck_assert(r->view->truncated);
	ck_assert_uint_le(r->view->content.len, FILES_VIEW_MAX);
	guest_free(r);
	r = view(in_dir("many"), 0, 0, 100);
	ck_assert(r->view->truncated);
	ck_assert_uint_le(r->view->content.len, 100);
	guest_free(r);
}
END_TEST

START_TEST(only_regular_files_are_opened)
{
	mkfifo(in_dir("fifo"), 0600);
	ck_view_fails(in_dir("fifo"), OCU__AGENT__CODE__PARAMS);
	ck_view_fails("/dev/null", OCU__AGENT__CODE__PARAMS);
	ck_view_fails("/dev/ptmx", OCU__AGENT__CODE__PARAMS);
	ck_view_fails(in_dir("missing"), OCU__AGENT__CODE__NOT_FOUND);
	ck_view_fails("relative", OCU__AGENT__CODE__PARAMS);
	ck_view_fails("", OCU__AGENT__CODE__PARAMS);
	ck_assert_int_eq(symlink("loop", in_dir("loop")), 0);
	ck_view_fails(in_dir("loop"), OCU__AGENT__CODE__PARAMS);
	ck_assert_int_eq(create_code(in_dir("fifo")), OCU__AGENT__CODE__PARAMS);
	ck_assert_int_eq(create_code(g.dir), OCU__AGENT__CODE__PARAMS);
	ck_assert_int_eq(create_code("/dev/null"), OCU__AGENT__CODE__PARAMS);
	ck_assert_int_eq(create_code("relative"), OCU__AGENT__CODE__PARAMS);
	ck_assert_int_eq(create_code(in_dir("folder/")), OCU__AGENT__CODE__PARAMS);
}
END_TEST

START_TEST(creates_files_and_their_folders)
{
	Ocu__Agent__Reply *r = create(in_dir("x/y/z"), "hello");
	struct stat st;

	ck_assert_msg(r->code == 0, "%s", r->text);
	ck_assert_uint_eq(r->create_file->size, 5);
	ck_assert(!r->create_file->replaced);
	guest_free(r);
	ck_content("x/y/z", "hello");
	chmod(in_dir("x/y/z"), 0755);
	r = create(in_dir("x/y/z"), "again");
	ck_assert(r->create_file->replaced);
	guest_free(r);
	ck_content("x/y/z", "again");
	ck_assert_int_eq(stat(in_dir("x/y/z"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0755);
	/* A file in the way of a folder. */
	ck_assert_int_eq(create_code(in_dir("x/y/z/below")), OCU__AGENT__CODE__NOT_FOUND);
}
END_TEST

START_TEST(leaves_nothing_beside)
{
	Ocu__Agent__Reply *r;

	guest_free(create(in_dir("one"), "1"));
	guest_free(create(in_dir("one"), "2"));
	guest_free(replace(in_dir("one"), "2", "3"));
	r = guest_sh(&g, (struct guest_run){.command = "ls -A", .cwd = g.dir});
	ck_assert(guest_said(&r->run->stdout, "one\n"));
	guest_free(r);
}
END_TEST

START_TEST(writes_through_a_link)
{
	struct stat st;

	put("target", "old");
	ck_assert_int_eq(symlink("target", in_dir("link")), 0);
	guest_free(create(in_dir("link"), "new"));
	ck_content("target", "new");
	ck_assert_int_eq(lstat(in_dir("link"), &st), 0);
	ck_assert(S_ISLNK(st.st_mode));
	ck_assert_int_eq(symlink("nowhere", in_dir("dangling")), 0);
	ck_assert_int_eq(create_code(in_dir("dangling")), OCU__AGENT__CODE__NOT_FOUND);
}
END_TEST

START_TEST(replaces_exactly_one)
{
	Ocu__Agent__Reply *r;

	put("f", "alpha\nbeta\ngamma\n");
	r = replace(in_dir("f"), "beta", "BETA!");
	ck_assert_msg(r->code == 0, "%s", r->text);
	ck_assert_uint_eq(r->str_replace->line, 2);
	ck_assert_uint_eq(r->str_replace->size, 18);
	guest_free(r);
	ck_content("f", "alpha\nBETA!\ngamma\n");
	r = replace(in_dir("f"), "\ngamma\n", "");
	ck_assert_int_eq(r->code, 0);
	guest_free(r);
	ck_content("f", "alpha\nBETA!");
	r = replace(in_dir("f"), "delta", "x");
	ck_assert_int_eq(r->code, OCU__AGENT__CODE__NOT_FOUND);
	guest_free(r);
	put("f", "x\ny x\nx\n");
	r = replace(in_dir("f"), "x", "z");
	ck_assert_int_eq(r->code, OCU__AGENT__CODE__PARAMS);
	ck_assert_ptr_nonnull(strstr(r->text, "3 times"));
	ck_assert_ptr_nonnull(strstr(r->text, "1, 2, 3"));
	guest_free(r);
	ck_content("f", "x\ny x\nx\n");
	/* Places that overlap are two as well. */
	put("f", "aaa");
	r = replace(in_dir("f"), "aa", "b");
	ck_assert_int_eq(r->code, OCU__AGENT__CODE__PARAMS);
	guest_free(r);
	r = replace(in_dir("f"), "", "b");
	ck_assert_int_eq(r->code, OCU__AGENT__CODE__PARAMS);
	guest_free(r);
	r = replace(in_dir("f"), "aaaa", "b");
	ck_assert_int_eq(r->code, OCU__AGENT__CODE__NOT_FOUND);
	guest_free(r);
}
END_TEST

START_TEST(does_not_edit_what_is_too_large)
{
	Ocu__Agent__Reply *r;

	put("huge", "");
	ck_assert_int_eq(truncate(in_dir("huge"), FILES_EDIT_MAX + 1), 0);
	r = replace(in_dir("huge"), "a", "b");
	ck_assert_int_eq(r->code, OCU__AGENT__CODE__TOO_LARGE);
	guest_free(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sandboxd_guest_files");
	TCase *t = tcase_create("files");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, views_lines);
	tcase_add_test(t, a_cut_falls_between_characters);
	tcase_add_test(t, a_large_file_is_looked_at_in_bounds);
	tcase_add_test(t, lists_folders_two_levels);
	tcase_add_test(t, a_huge_folder_is_listed_in_bounds);
	tcase_add_test(t, only_regular_files_are_opened);
	tcase_add_test(t, creates_files_and_their_folders);
	tcase_add_test(t, leaves_nothing_beside);
	tcase_add_test(t, writes_through_a_link);
	tcase_add_test(t, replaces_exactly_one);
	tcase_add_test(t, does_not_edit_what_is_too_large);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
