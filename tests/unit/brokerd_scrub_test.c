/* scrub and store: any tree is removed, however deep; what a crash left is found again. */
/* shows: NFR-SEC-65 (in part), NFR-REL-11, NFR-COST-07 */
#include <dirent.h>
#include <errno.h>

#include "brokerd/path.h"
#include "brokerd/scrub.h"
#include "brokerd/store.h"
#include "tests/unit/brokerd_fixture.h"
#include "libocu/clock.h"
#include "libocu/err.h"

#define FS  "fs_01ARZ3NDEKTSV4RRFFQ69G5FAV"
#define SES "ses_01ARZ3NDEKTSV4RRFFQ69G5FAV"

/* A chain of folders under dir, longer than any path may be, with a file at the bottom. */
static void make_deep(int dir, int levels)
{
	int at = dup(dir);
	for (int i = 0; i < levels; i++) {
		ck_assert_int_eq(mkdirat(at, "deeper-and-deeper", 0755), 0);
		int next = openat(at, "deeper-and-deeper", O_RDONLY | O_DIRECTORY);
		close(at);
		at = next;
		ck_assert_int_ge(at, 0);
	}
	put_file(at, "bottom", "x");
	close(at);
}

START_TEST(removes_the_deepest_tree)
{
	uint64_t count = 0;
	mkdirat(root, "tree", 0755);
	int tree = openat(root, "tree", O_RDONLY | O_DIRECTORY);
	make_deep(tree, 3000);
	make_deep(root, 1);
	ck_assert_int_eq(scrub_tree(root, "tree", 0, &count), 0);
	ck_assert_uint_eq(count, 3001);
	ck_assert_int_lt(faccessat(root, "tree", F_OK, 0), 0);
	ck_assert_int_eq(faccessat(root, "deeper-and-deeper/bottom", F_OK, 0), 0);
	close(tree);
}
END_TEST

START_TEST(removes_wide_trees_odd_names_and_closed_folders)
{
	char name[300];
	uint64_t count = 0;
	mkdirat(root, "tree", 0755);
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof name, "tree/d%d", i % 7);
		mkdirat(root, name, 0755);
		snprintf(name, sizeof name, "tree/d%d/\xff\n%d", i % 7, i);
		put_file(root, name, "x");
	}
	mkdirat(root, "tree/flat-0", 0755); /* a name the sweep would like itself */
	put_file(root, "tree/flat-0/f", "x");
	mkdirat(root, "tree/d0/sub", 0755);
	put_file(root, "tree/d0/sub/f", "x");
	ck_assert_int_eq(symlinkat("../../outside", root, "tree/link"), 0);
	ck_assert_int_eq(mknodat(root, "tree/d1/fifo", S_IFIFO | 0600, 0), 0);
	snprintf(name, sizeof name, "%s/outside/kept", scratch);
	int fd = open(name, O_CREAT | O_WRONLY, 0600);
	close(fd);
	ck_assert_int_eq(fchmodat(root, "tree/d0/sub", 0, 0), 0);
	ck_assert_int_eq(fchmodat(root, "tree/d0", 0, 0), 0);
	ck_assert_int_eq(fchmodat(root, "tree", 0, 0), 0);
	ck_assert_int_eq(scrub_tree(root, "tree", 0, &count), 0);
	ck_assert_uint_eq(count, 7 + 300 + 2 + 2 + 2);
	ck_assert_int_eq(access(name, F_OK), 0);
	ck_assert_int_eq(scrub_tree(root, "tree", 0, &count), 0); /* none: nothing to do */
}
END_TEST

START_TEST(stops_at_the_deadline_and_goes_on_later)
{
	char name[64];
	uint64_t count = 0;
	mkdirat(root, "tree", 0755);
	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof name, "tree/%d", i);
		put_file(root, name, "");
	}
	ck_assert_int_eq(scrub_tree(root, "tree", 1, &count), -ETIME);
	ck_assert_uint_gt(count, 0);
	ck_assert_uint_lt(count, 2000);
	ck_assert_int_eq(scrub_tree(root, "tree", 0, &count), 0);
	ck_assert_uint_eq(count, 2000);
}
END_TEST

START_TEST(counts_what_quota_charges)
{
	struct usage u;
	mkdirat(root, "d", 0755);
	put_file(root, "d/a", "x");
	put_file(root, "d/b", "");
	ck_assert_int_eq(symlinkat("a", root, "l"), 0);
	int fd = openat(root, "big", O_CREAT | O_WRONLY, 0);
	ck_assert_int_eq(ftruncate(fd, 10000), 0);
	close(fd);
	ck_assert_int_eq(fchmodat(root, "d", 0, 0), 0);
	ck_assert_int_eq(scrub_usage(root, &u), 0);
	ck_assert_uint_eq(u.files, 5);
	ck_assert_uint_eq(u.bytes, 4096 + 12288);
}
END_TEST

START_TEST(what_is_too_deep_to_count_is_said)
{
	struct usage u;
	make_deep(root, PATH_DEPTH_MAX - 1);
	ck_assert_int_eq(scrub_usage(root, &u), 0);
	ck_assert_uint_eq(u.files, PATH_DEPTH_MAX);
	mkdirat(root, "t", 0755);
	int t = openat(root, "t", O_RDONLY | O_DIRECTORY);
	make_deep(t, PATH_DEPTH_MAX - 1);
	close(t);
	ck_assert_int_eq(scrub_usage(root, &u), -ENAMETOOLONG);
	uint64_t count = 0;
	ck_assert_int_eq(scrub_tree(root, "t", 0, &count), 0);
	ck_assert_int_eq(scrub_tree(root, "deeper-and-deeper", 0, &count), 0);
}
END_TEST

static struct store *open_store(void)
{
	struct store *s = NULL;
	struct ocu_error err = {0};
	char path[128];
	snprintf(path, sizeof path, "%s/root", scratch);
	ck_assert_int_eq(store_open(&s, path, &err), 0);
	return s;
}

START_TEST(volumes_are_made_found_and_discarded)
{
	struct ocu_error err = {0};
	struct store_volume v;
	struct store *s = open_store();
	char found[OCU_ID_MAX], trash[STORE_TRASH_MAX];
	struct store_sweep w = {0};
	ck_assert_int_eq(store_volume_open(s, FS, SES, &v, &err), 0);
	ck_assert(!v.existed);
	put_file(v.data, "kept", "x");
	put_file(v.staging, "half an upload", "x");
	store_volume_close(&v);
	ck_assert_int_eq(store_volume_open(s, FS, SES, &v, &err), 0);
	ck_assert(v.existed);
	ck_assert_int_eq(faccessat(v.data, "kept", F_OK, 0), 0);
	ck_assert_int_lt(faccessat(v.staging, "half an upload", F_OK, 0), 0);
	store_volume_close(&v);
	ck_assert_int_eq(store_find_session(s, SES, found), 0);
	ck_assert_str_eq(found, FS);
	ck_assert_int_eq(store_find_session(s, "ses_01ARZ3NDEKTSV4RRFFQ69G5FAW", found), OCU_E_NOT_FOUND);
	ck_assert_int_eq(store_discard(s, FS, trash, &err), 0);
	ck_assert_int_eq(store_find_session(s, SES, found), OCU_E_NOT_FOUND);
	ck_assert_int_eq(store_discard(s, FS, trash, &err), OCU_E_NOT_FOUND);
	ck_assert_int_eq(store_empty_trash(s, &w, &err), 0);
	ck_assert_uint_eq(w.removed, 4); /* kept, data, staging, stamp */
	store_close(s);
}
END_TEST

struct told {
	unsigned times;
	int answer;
	char filesystem_id[OCU_ID_MAX], session_id[OCU_ID_MAX];
};

static int tell(void *arg, const char *filesystem_id, const char *session_id, struct ocu_error *err)
{
	struct told *t = arg;
	t->times++;
	snprintf(t->filesystem_id, sizeof t->filesystem_id, "%s", filesystem_id);
	snprintf(t->session_id, sizeof t->session_id, "%s", session_id);
	return t->answer ? ocu_error_set(err, t->answer, "as told") : 0;
}

static void discard_with_files(struct store *s, int files, char trash[STORE_TRASH_MAX])
{
	struct ocu_error err = {0};
	struct store_volume v;
	char name[16];
	ck_assert_int_eq(store_volume_open(s, FS, SES, &v, &err), 0);
	for (int i = 0; i < files; i++) {
		snprintf(name, sizeof name, "%d", i);
		put_file(v.data, name, "x");
	}
	store_volume_close(&v);
	ck_assert_int_eq(store_discard(s, FS, trash, &err), 0);
}

/* Not told at the deadline, not told twice, and not let go before it was told. */
START_TEST(that_nothing_is_left_is_told_when_it_is_so)
{
	struct ocu_error err = {0};
	struct told told = {0};
	struct store *s = open_store();
	char trash[STORE_TRASH_MAX], found[STORE_TRASH_MAX];
	discard_with_files(s, 300, trash);
	struct store_sweep w = {.deadline = 1, .gone = tell, .arg = &told};
	ck_assert_int_eq(store_scrub(s, trash, &w, &err), OCU_E_TIMEOUT);
	ck_assert_uint_gt(w.removed, 0);
	ck_assert_uint_eq(told.times, 0);
	store_close(s);
	s = open_store(); /* another life: the name in the trash is all it knows */
	ck_assert_int_eq(store_find_trash(s, SES, found), 0);
	ck_assert_str_eq(found, trash);
	w.deadline = 0;
	told.answer = OCU_E_AUDIT;
	ck_assert_int_eq(store_empty_trash(s, &w, &err), OCU_E_AUDIT);
	ck_assert_uint_eq(w.removed, 303);
	ck_assert_int_eq(store_find_trash(s, SES, found), 0);
	told.answer = 0;
	ck_assert_int_eq(store_empty_trash(s, &w, &err), 0);
	ck_assert_uint_eq(told.times, 2);
	ck_assert_str_eq(told.filesystem_id, FS);
	ck_assert_str_eq(told.session_id, SES);
	ck_assert_int_eq(store_find_trash(s, SES, found), OCU_E_NOT_FOUND);
	ck_assert_int_eq(store_scrub(s, trash, &w, &err), 0); /* somebody else was first */
	ck_assert_uint_eq(told.times, 2);
	store_close(s);
}
END_TEST

START_TEST(names_in_the_trash_that_say_nothing_are_removed_all_the_same)
{
	static const char *const names[] = {"01ARZ3NDEKTSV4RRFFQ69G5FAV", "left-by-a-crash", FS "..01ARZ",
	                                    FS ".ses_x.1", "..."};
	struct ocu_error err = {0};
	struct told told = {0};
	struct store *s = open_store();
	int trash = openat(root, "trash", O_RDONLY | O_DIRECTORY);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char file[128];
		ck_assert_int_eq(mkdirat(trash, names[i], 0700), 0);
		snprintf(file, sizeof file, "%s/f", names[i]);
		put_file(trash, file, "x");
	}
	struct store_sweep w = {.gone = tell, .arg = &told};
	ck_assert_int_eq(store_empty_trash(s, &w, &err), 0);
	ck_assert_uint_eq(w.removed, sizeof names / sizeof *names);
	ck_assert_uint_eq(told.times, 1); /* a volume without a session is one */
	ck_assert_str_eq(told.session_id, "");
	close(trash);
	store_close(s);
}
END_TEST

static struct store *busy_store;

static int scrub_beside(void *arg, const char *filesystem_id, const char *session_id, struct ocu_error *err)
{
	(void)filesystem_id;
	(void)session_id;
	struct store_sweep w = {.deadline = ocu_mono_ms() + 10};
	ck_assert_int_eq(store_scrub(busy_store, arg, &w, err), OCU_E_TIMEOUT);
	return 0;
}

START_TEST(who_removes_beside_another_waits_until_the_deadline_only)
{
	struct ocu_error err = {0};
	char trash[STORE_TRASH_MAX];
	busy_store = open_store();
	discard_with_files(busy_store, 1, trash);
	struct store_sweep w = {.gone = scrub_beside, .arg = trash};
	ck_assert_int_eq(store_scrub(busy_store, trash, &w, &err), 0);
	store_close(busy_store);
}
END_TEST

START_TEST(volume_ids_are_checked)
{
	struct ocu_error err = {0};
	struct store_volume v;
	struct store *s = open_store();
	char trash[STORE_TRASH_MAX];
	ck_assert_int_eq(store_volume_open(s, "../outside", SES, &v, &err), OCU_E_PARAMS);
	ck_assert_int_eq(store_volume_open(s, "trash", SES, &v, &err), OCU_E_PARAMS);
	ck_assert_int_eq(store_discard(s, "trash", trash, &err), OCU_E_PARAMS);
	store_close(s);
}
END_TEST

START_TEST(a_planted_link_is_no_volume)
{
	struct ocu_error err = {0};
	struct store_volume v;
	struct store *s = open_store();
	ck_assert_int_eq(symlinkat("../outside", root, FS), 0);
	ck_assert_int_lt(store_volume_open(s, FS, SES, &v, &err), 0);
	store_close(s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("brokerd_scrub");
	TCase *c = tcase_create("scrub");
	tcase_set_timeout(c, 120);
	tcase_add_checked_fixture(c, scratch_make, scratch_drop);
	tcase_add_test(c, removes_the_deepest_tree);
	tcase_add_test(c, removes_wide_trees_odd_names_and_closed_folders);
	tcase_add_test(c, stops_at_the_deadline_and_goes_on_later);
	tcase_add_test(c, counts_what_quota_charges);
	tcase_add_test(c, what_is_too_deep_to_count_is_said);
	tcase_add_test(c, volumes_are_made_found_and_discarded);
	tcase_add_test(c, that_nothing_is_left_is_told_when_it_is_so);
	tcase_add_test(c, names_in_the_trash_that_say_nothing_are_removed_all_the_same);
	tcase_add_test(c, who_removes_beside_another_waits_until_the_deadline_only);
	tcase_add_test(c, volume_ids_are_checked);
	tcase_add_test(c, a_planted_link_is_no_volume);
	suite_add_tcase(suite, c);
	return run_suite(suite);
}
