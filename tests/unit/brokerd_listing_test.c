/* listing: pages put together are the whole, in order, whatever the page size and whatever changes meanwhile.
 */
/* shows: NFR-SEC-31, NFR-SEC-78 */
#include <errno.h>
#include <jansson.h>

#include "brokerd/listing.h"
#include "tests/unit/brokerd_fixture.h"

static char all[4000][PATH_NORTH_MAX + 1];
static unsigned count;
static json_int_t omitted;

static void make_tree(void)
{
	char name[128];
	mkdirat(root, "a", 0755);
	mkdirat(root, "a/x", 0755);
	mkdirat(root, "a.b", 0755);
	mkdirat(root, "empty", 0755);
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof name, "a/f%03d", i);
		put_file(root, name, "x");
	}
	for (int i = 0; i < 150; i++) {
		snprintf(name, sizeof name, "a/x/%d", i);
		put_file(root, name, "");
	}
	put_file(root, "a.b/c", "");
	put_file(root, "z", "zz");
	put_file(root, "bad\xff", "");
	put_file(root, "a/new\nline", "");
	ck_assert_int_eq(symlinkat("/etc", root, "link"), 0);
	ck_assert_int_eq(mknodat(root, "pipe", S_IFIFO | 0600, 0), 0);
}

/* Every page until there is no next one. */
static int collect(const char *path, bool recursive, unsigned limit)
{
	struct list_query q = {.recursive = recursive, .limit = limit};
	snprintf(q.path, sizeof q.path, "%s", path);
	count = 0;
	omitted = 0;
	for (;;) {
		json_t *page = NULL;
		int r = listing_page(root, &q, &page);
		if (r < 0)
			return r;
		const json_t *entries = json_object_get(page, "entries");
		ck_assert_uint_le(json_array_size(entries), limit);
		for (size_t i = 0; i < json_array_size(entries); i++)
			snprintf(all[count++], sizeof *all, "%s",
			         json_string_value(json_object_get(json_array_get(entries, i), "path")));
		omitted += json_integer_value(json_object_get(page, "omitted"));
		const char *next = json_string_value(json_object_get(page, "next_cursor"));
		if (next)
			ck_assert_int_eq(
			    header_list_query(&q, path, recursive ? "true" : "false", NULL, next, NULL), 0);
		q.limit = limit;
		json_decref(page);
		if (!next)
			return 0;
	}
}

/* Folder by folder: '/' sorts before everything. */
static int compare(const char *a, const char *b)
{
	for (; *a && *a == *b; a++, b++)
		;
	unsigned char x = (unsigned char)*a, y = (unsigned char)*b;
	return (x == '/' ? (x ? 1 : 0) : x ? x + 1 : 0) - (y == '/' ? (y ? 1 : 0) : y ? y + 1 : 0);
}

static const unsigned limits[] = {1, 2, 7, 127, 128, 129, 449, 1000};

START_TEST(pages_add_up_to_the_tree)
{
	make_tree();
	ck_assert_int_eq(collect("", true, limits[_i]), 0);
	ck_assert_uint_eq(count, 4 + 300 + 150 + 1 + 1 + 1 + 1);
	for (unsigned i = 1; i < count; i++)
		ck_assert_msg(compare(all[i - 1], all[i]) < 0, "%s before %s", all[i - 1], all[i]);
	ck_assert_int_ge(omitted, 2);
}
END_TEST

START_TEST(one_folder_is_one_folder)
{
	make_tree();
	ck_assert_int_eq(collect("", false, 1000), 0);
	ck_assert_uint_eq(count, 6);
	ck_assert_str_eq(all[0], "a");
	ck_assert_str_eq(all[1], "a.b");
	ck_assert_int_eq(omitted, 1);
	ck_assert_int_eq(collect("a", false, 3), 0);
	ck_assert_uint_eq(count, 301);
	ck_assert_str_eq(all[0], "a/f000");
	ck_assert_str_eq(all[300], "a/x");
	ck_assert_int_eq(collect("empty", true, 3), 0);
	ck_assert_uint_eq(count, 0);
	ck_assert_int_eq(collect("none", true, 3), -ENOENT);
	ck_assert_int_eq(collect("z", true, 3), -ENOTDIR);
	ck_assert_int_eq(collect("link", true, 3), -ENOTDIR);
	ck_assert_int_eq(collect("link/passwd", true, 3), -ELOOP);
}
END_TEST

START_TEST(a_cursor_survives_what_it_names)
{
	struct list_query q = {.recursive = true, .limit = 10};
	json_t *page = NULL;
	make_tree();
	snprintf(q.after, sizeof q.after, "a/f005");
	ck_assert_int_eq(unlinkat(root, "a/f005", 0), 0);
	ck_assert_int_eq(unlinkat(root, "a/f006", 0), 0);
	ck_assert_int_eq(listing_page(root, &q, &page), 0);
	ck_assert_str_eq(
	    json_string_value(json_object_get(json_array_get(json_object_get(page, "entries"), 0), "path")),
	    "a/f007");
	json_decref(page);
	snprintf(q.after, sizeof q.after, "a/x/gone/deep");
	ck_assert_int_eq(listing_page(root, &q, &page), 0);
	ck_assert_str_eq(
	    json_string_value(json_object_get(json_array_get(json_object_get(page, "entries"), 0), "path")),
	    "a.b");
	json_decref(page);
	q.recursive = false;
	ck_assert_int_eq(listing_page(root, &q, &page), -EINVAL);
}
END_TEST

START_TEST(paths_too_long_for_the_face_are_left_out)
{
	struct list_query q = {.recursive = true, .limit = 1000};
	json_t *page = NULL;
	char name[201];
	memset(name, 'n', 200);
	name[200] = 0;
	int at = dup(root);
	for (int i = 0; i < 8; i++) {
		ck_assert_int_eq(mkdirat(at, name, 0755), 0);
		int next = openat(at, name, O_RDONLY | O_DIRECTORY);
		close(at);
		at = next;
	}
	close(at);
	ck_assert_int_eq(listing_page(root, &q, &page), 0);
	ck_assert_uint_eq(json_array_size(json_object_get(page, "entries")), 5);
	ck_assert_int_eq(json_integer_value(json_object_get(page, "omitted")), 1);
	json_decref(page);
}
END_TEST

/* What is deep is read again for every few names; a page does not go on with that for ever. */
START_TEST(a_page_ends_early_when_it_has_read_much)
{
	struct list_query q = {.recursive = true, .limit = 1000};
	const char deep[] = "a/b/c/d/e";
	enum { NAMES = 16500, TOLD = 5 + 128 };
	json_t *page = NULL;
	char name[32], last[32];
	for (size_t i = 1; i < sizeof deep; i += 2) {
		snprintf(name, i + 1, "%s", deep);
		ck_assert_int_eq(mkdirat(root, name, 0755), 0);
	}
	put_file(root, "a/b/c/d/e/000000", "");
	for (int i = 1; i < NAMES; i++) {
		snprintf(name, sizeof name, "a/b/c/d/e/%06d", i);
		ck_assert_int_eq(linkat(root, "a/b/c/d/e/000000", root, name, 0), 0);
	}
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(listing_page(root, &q, &page), 0);
		const json_t *entries = json_object_get(page, "entries");
		ck_assert_uint_eq(json_array_size(entries), i ? 128 : TOLD);
		snprintf(last, sizeof last, "a/b/c/d/e/%06d", 128 * (i + 1) - 1);
		ck_assert_str_eq(json_string_value(json_object_get(
		                     json_array_get(entries, json_array_size(entries) - 1), "path")),
		                 last);
		const char *next = json_string_value(json_object_get(page, "next_cursor"));
		ck_assert_ptr_nonnull(next);
		ck_assert_int_eq(header_list_query(&q, "", "true", "1000", next, NULL), 0);
		json_decref(page);
	}
	/* Asked for itself, it takes one reading a page. */
	snprintf(q.path, sizeof q.path, "%s", deep);
	q.after[0] = 0;
	ck_assert_int_eq(listing_page(root, &q, &page), 0);
	ck_assert_uint_eq(json_array_size(json_object_get(page, "entries")), 1000);
	ck_assert(json_is_string(json_object_get(page, "next_cursor")));
	json_decref(page);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("brokerd_listing");
	TCase *c = tcase_create("listing");
	tcase_set_timeout(c, 120);
	tcase_add_checked_fixture(c, scratch_make, scratch_drop);
	tcase_add_loop_test(c, pages_add_up_to_the_tree, 0, sizeof limits / sizeof *limits);
	tcase_add_test(c, one_folder_is_one_folder);
	tcase_add_test(c, a_cursor_survives_what_it_names);
	tcase_add_test(c, paths_too_long_for_the_face_are_left_out);
	tcase_add_test(c, a_page_ends_early_when_it_has_read_much);
	suite_add_tcase(suite, c);
	return run_suite(suite);
}
