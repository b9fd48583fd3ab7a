/* node and handle: ids that were given back find nothing, ceilings hold, and folders are found through
 * renames. */
/* shows: NFR-SEC-46, NFR-SEC-43 */
#include <errno.h>

#include "brokerd/handle.h"
#include "brokerd/fds.h"
#include "brokerd/node.h"
#include "brokerd/path.h"
#include "tests/unit/brokerd_fixture.h"

static struct nodes t;

static void setup(void)
{
	scratch_make();
	ck_assert_int_eq(nodes_init(&t, root, 4096, 2, 4), 0);
}

static void teardown(void)
{
	nodes_done(&t);
	scratch_drop();
}

static struct node *look(struct node *parent, const char *name, ino_t ino, mode_t type)
{
	struct stat st = {.st_ino = ino, .st_mode = type};
	struct node *n = NULL;
	ck_assert_int_eq(node_intern(&t, parent, name, &st, &n), 0);
	node_looked_up(&t, n);
	node_unref(&t, n);
	return n;
}

static void check_path(struct node *n, const char *leaf, const char *want)
{
	char out[128];
	ck_assert_uint_eq(node_path(&t, n, leaf, out, sizeof out), strlen(want));
	ck_assert_str_eq(out, want);
}

START_TEST(a_node_lives_as_long_as_it_is_known)
{
	struct node *n = look(t.root, "a", 10, S_IFREG);
	uint64_t id = n->id;
	ck_assert_ptr_eq(look(t.root, "a", 10, S_IFREG), n);
	ck_assert_uint_eq(nodes_count(&t), 2);
	node_forget(&t, id, 1);
	ck_assert_uint_eq(nodes_count(&t), 2);
	struct node *got = node_get(&t, id);
	node_forget(&t, id, UINT64_MAX); /* more than was ever given: no harm */
	ck_assert_uint_eq(nodes_count(&t), 2);
	node_unref(&t, got);
	ck_assert_uint_eq(nodes_count(&t), 1);
	ck_assert_ptr_null(node_get(&t, id));
	ck_assert_ptr_null(node_get(&t, 0));
	ck_assert_ptr_null(node_get(&t, UINT64_MAX));
	node_forget(&t, 12345, 1);
	ck_assert_uint_ne(look(t.root, "a", 10, S_IFREG)->id, id);
}
END_TEST

START_TEST(parents_stay_for_their_children)
{
	struct node *a = look(t.root, "a", 10, S_IFDIR), *b = look(a, "b", 11, S_IFDIR),
	            *c = look(b, "c", 12, S_IFREG);
	uint64_t id = c->id;
	node_forget(&t, a->id, 1);
	node_forget(&t, b->id, 1);
	ck_assert_uint_eq(nodes_count(&t), 4);
	check_path(c, NULL, "a/b/c");
	node_forget(&t, id, 1);
	ck_assert_uint_eq(nodes_count(&t), 1);
}
END_TEST

START_TEST(another_file_of_the_same_name_is_another_node)
{
	struct node *old = look(t.root, "a", 10, S_IFREG);
	uint64_t id = old->id;
	struct node *new = look(t.root, "a", 11, S_IFREG);
	ck_assert_uint_ne(new->id, id);
	struct node *parent;
	char name[256];
	ck_assert(!node_place(&t, old, &parent, name));
	struct node *other = look(t.root, "a", 11, S_IFDIR); /* the same number, but no file any more */
	ck_assert_uint_ne(other->id, new->id);
}
END_TEST

START_TEST(paths_follow_moves_and_exchanges)
{
	struct node *a = look(t.root, "a", 10, S_IFDIR), *b = look(t.root, "b", 11, S_IFDIR);
	struct node *f = look(a, "f", 12, S_IFREG), *g = look(b, "g", 13, S_IFREG);
	check_path(t.root, NULL, "");
	check_path(t.root, "x", "x");
	check_path(f, NULL, "a/f");
	node_move(&t, f, b, "h");
	check_path(f, NULL, "b/h");
	ck_assert_ptr_null(node_child(&t, a, "f"));
	struct node *found = node_child(&t, b, "h");
	ck_assert_ptr_eq(found, f);
	node_unref(&t, found);
	node_exchange(&t, f, g);
	check_path(f, NULL, "b/g");
	check_path(g, NULL, "b/h");
	node_exchange(&t, a, g);
	check_path(a, NULL, "b/h");
	check_path(g, NULL, "a");
	node_move(&t, f, t.root, "a"); /* over g, which loses its name */
	check_path(f, NULL, "a");
	struct node *parent;
	char name[256];
	ck_assert(!node_place(&t, g, &parent, name));
	ck_assert_uint_eq(node_depth(&t, a), 2);
}
END_TEST

START_TEST(long_paths_are_cut_at_the_root_end)
{
	char out[16];
	struct node *a = look(t.root, "abcdefgh", 10, S_IFDIR), *b = look(a, "ijklmnop", 11, S_IFDIR);
	ck_assert_uint_eq(node_path(&t, b, "q", out, sizeof out), 15);
	ck_assert_str_eq(out, "efgh/ijklmnop/q");
}
END_TEST

START_TEST(the_table_is_bounded_and_grows_to_its_bound)
{
	char name[32];
	struct stat st = {.st_mode = S_IFREG};
	struct node *n;
	for (unsigned i = 0; i < 4095; i++) {
		snprintf(name, sizeof name, "n%u", i);
		look(t.root, name, 100 + i, S_IFREG);
	}
	ck_assert_int_eq(node_intern(&t, t.root, "one more", &st, &n), -ENFILE);
	for (unsigned i = 0; i < 4095; i++) {
		snprintf(name, sizeof name, "n%u", i);
		n = node_child(&t, t.root, name);
		ck_assert_ptr_nonnull(n);
		ck_assert_uint_eq(n->ino, 100 + i);
		node_forget(&t, n->id, 1);
		node_unref(&t, n);
	}
	ck_assert_uint_eq(nodes_count(&t), 1);
}
END_TEST

static struct node *real(struct node *parent, int dir, const char *name)
{
	struct stat st;
	ck_assert_int_eq(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return look(parent, name, st.st_ino, st.st_mode & S_IFMT);
}

START_TEST(folder_descriptors_are_found_and_bounded)
{
	struct stat st;
	mkdirat(root, "a", 0755);
	mkdirat(root, "a/b", 0755);
	mkdirat(root, "a/b/c", 0755);
	int ab = openat(root, "a/b", O_PATH);
	struct node *a = real(t.root, root, "a"), *b = look(a, "b", 0, S_IFDIR), *c;
	ck_assert_int_eq(fstat(ab, &st), 0);
	ck_assert_int_eq(node_dir_get(&t, b), -ESTALE); /* not the folder the table believes it is */
	b = look(a, "b", st.st_ino, S_IFDIR);
	c = real(b, ab, "c");
	int fd = node_dir_get(&t, c);
	ck_assert_int_ge(fd, 0);
	ck_assert_uint_le(t.cached, 3); /* one over the bound while it is in use */
	node_dir_put(&t, c);
	ck_assert_uint_eq(t.cached, 2);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_ge(node_dir_get(&t, i == 0 ? a : i == 1 ? b : c), 0);
		node_dir_put(&t, i == 0 ? a : i == 1 ? b : c);
	}
	ck_assert_uint_le(t.cached, 2);
	ck_assert_int_eq(node_dir_get(&t, look(a, "f", 1, S_IFREG)), -ENOTDIR);
	close(ab);
}
END_TEST

START_TEST(a_folder_swapped_for_a_link_is_stale)
{
	char text[128];
	mkdirat(root, "a", 0755);
	struct node *a = real(t.root, root, "a");
	snprintf(text, sizeof text, "%s/outside", scratch);
	ck_assert_int_eq(renameat(root, "a", root, "b"), 0);
	ck_assert_int_eq(symlinkat(text, root, "a"), 0);
	ck_assert_int_eq(node_dir_get(&t, a), -ESTALE);
}
END_TEST

START_TEST(too_deep_is_refused)
{
	struct node *n = t.root;
	for (int i = 0; i < PATH_DEPTH_MAX + 5; i++)
		n = look(n, "d", 50, S_IFDIR);
	ck_assert_int_eq(node_dir_get(&t, n), -ENAMETOOLONG);
	ck_assert_uint_eq(node_depth(&t, n), PATH_DEPTH_MAX + 5);
}
END_TEST

START_TEST(pins_are_kept_and_bounded)
{
	struct stat st;
	char name[16];
	struct node *n[5];
	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof name, "f%d", i);
		put_file(root, name, "x");
		n[i] = real(t.root, root, name);
		int pin = openat(root, name, O_PATH);
		ck_assert_int_eq(unlinkat(root, name, 0), 0);
		node_unlink(&t, n[i], pin);
	}
	int fd = node_pin_dup(&t, n[3]);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_nlink, 0);
	close(fd);
	ck_assert_int_eq(node_pin_dup(&t, n[4]), -ESTALE);
	for (int i = 0; i < 5; i++)
		node_forget(&t, n[i]->id, 1);
	ck_assert_uint_eq(t.pins, 0);
	ck_assert_uint_eq(nodes_count(&t), 1);
}
END_TEST

static struct handles h;
static struct fd_budget budget;
static struct fd_share share;

/* A session that may keep so many open: nothing for certain but what it does not use here, and a pot. */
static void join(long most)
{
	fds_init(&budget, 64 + 2 * most, 1);
	ck_assert_int_eq(fds_join(&share, &budget), 0);
}

static uint64_t open_one(enum handle_kind kind, int want)
{
	uint64_t number = 0;
	int fd = open("/dev/null", O_RDONLY);
	int r = handle_open(&h, kind, fd, NULL, &number, NULL);
	ck_assert_int_eq(r, want);
	if (r < 0)
		close(fd);
	return number;
}

START_TEST(handles_are_numbers_with_a_generation)
{
	join(1000);
	long used = share.used;
	ck_assert_int_eq(handles_init(&h, 100, 2, &share), 0);
	uint64_t a = open_one(HANDLE_FILE, 0);
	struct handle *got = handle_get(&h, HANDLE_FILE, a);
	ck_assert_ptr_nonnull(got);
	ck_assert_ptr_null(handle_get(&h, HANDLE_DIR, a));
	ck_assert_ptr_null(handle_get(&h, HANDLE_FILE, a + 1));
	ck_assert_ptr_null(handle_get(&h, HANDLE_FILE, a + (UINT64_C(1) << 32)));
	ck_assert_ptr_null(handle_get(&h, HANDLE_FILE, UINT64_MAX));
	struct handle *closed = handle_close(&h, HANDLE_FILE, a);
	ck_assert_ptr_eq(closed, got);
	ck_assert_ptr_null(handle_close(&h, HANDLE_FILE, a));
	handle_put(&h, closed);
	ck_assert_int_ge(fcntl(got->fd, F_GETFD), 0); /* still in use */
	int fd = got->fd;
	handle_put(&h, got);
	ck_assert_int_lt(fcntl(fd, F_GETFD), 0);
	uint64_t b = open_one(HANDLE_FILE, 0);
	ck_assert_uint_ne(a, b);
	ck_assert_ptr_null(handle_get(&h, HANDLE_FILE, a));
	handle_put(&h, handle_close_any(&h));
	ck_assert_ptr_null(handle_close_any(&h));
	ck_assert_int_eq(share.used, used);
	handles_done(&h);
}
END_TEST

START_TEST(handles_are_bounded_by_session_and_daemon)
{
	join(1000);
	long used = share.used;
	ck_assert_int_eq(handles_init(&h, 50, 2, &share), 0);
	for (int i = 0; i < 50; i++)
		open_one(HANDLE_FILE, 0);
	open_one(HANDLE_FILE, -EMFILE);
	open_one(HANDLE_DIR, 0);
	open_one(HANDLE_DIR, 0);
	open_one(HANDLE_DIR, -EMFILE);
	ck_assert_int_eq(share.used, used + 52);
	handle_put(&h, handle_close_any(&h));
	ck_assert_int_eq(share.used, used + 51);
	ck_assert_uint_eq(handles_files(&h), 49);
	share.used += budget.floor;
	budget.pot = 0;
	open_one(HANDLE_FILE, -ENFILE);
	share.used -= budget.floor;
	for (struct handle *x; (x = handle_close_any(&h));)
		handle_put(&h, x);
	ck_assert_int_eq(share.used, used);
	handles_done(&h);
}
END_TEST

/* Whatever one session takes, those that are there have their own and another can come. */
START_TEST(a_session_takes_no_other_ones_descriptors)
{
	struct fd_share greedy = {0}, second = {0}, other = {0}, late = {0};
	unsigned most = 0;
	fds_init(&budget, 300, 900); /* 4 places with 32 each, and 172 for all */
	ck_assert_int_eq(fds_join(&greedy, &budget), 0);
	ck_assert_int_eq(fds_join(&second, &budget), 0);
	ck_assert_int_eq(fds_join(&other, &budget), 0);
	while (fds_take(&greedy) == 0)
		most++;
	ck_assert_int_eq(fds_take(&greedy), -EMFILE);
	ck_assert_int_eq(greedy.used, 32 + 86);
	while (fds_take(&second) == 0)
		;
	ck_assert_int_eq(second.used, 32 + 86);
	ck_assert_int_eq(budget.pot, 0);
	ck_assert_int_eq(fds_join(&late, &budget), 0);
	for (int i = 0; i < 13; i++) {
		ck_assert_int_eq(fds_take(&other), 0);
		ck_assert_int_eq(fds_take(&late), 0);
	}
	ck_assert_int_eq(fds_take(&other), -ENFILE);
	ck_assert_int_eq(fds_join(&share, &budget), -ENFILE);
	fds_give(&greedy);
	ck_assert_int_eq(fds_take(&other), 0);
	for (unsigned i = 1; i < most; i++)
		fds_give(&greedy);
	ck_assert_int_eq(budget.pot, 85);
	fds_leave(&greedy);
	fds_leave(&greedy); /* has none */
	ck_assert_int_eq(budget.places, 1);
}
END_TEST

START_TEST(pins_come_out_of_the_same_share)
{
	struct stat st = {.st_ino = 1, .st_mode = S_IFREG};
	struct node *n[3];
	fds_init(&budget, 64, 1); /* one place of 32, and 32 beside it of which it gets 16 */
	ck_assert_int_eq(fds_join(&share, &budget), 0);
	t.fds = &share;
	struct node *top = node_get(&t, NODE_ROOT);
	share.used = budget.floor + budget.half_pot - 2;
	for (int i = 0; i < 3; i++) {
		char name[2] = {(char)('a' + i)};
		st.st_ino++;
		ck_assert_int_eq(node_intern(&t, top, name, &st, &n[i]), 0);
		node_looked_up(&t, n[i]);
		node_unlink(&t, n[i], open("/dev/null", O_PATH));
	}
	ck_assert_uint_eq(t.pins, 2);
	ck_assert_int_eq(node_pin_dup(&t, n[2]), -ESTALE);
	node_unref(&t, n[0]);
	node_forget(&t, n[0]->id, 1);
	ck_assert_int_eq(share.used, budget.floor + budget.half_pot - 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("brokerd_node");
	TCase *c = tcase_create("node"), *d = tcase_create("handle");
	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, a_node_lives_as_long_as_it_is_known);
	tcase_add_test(c, parents_stay_for_their_children);
	tcase_add_test(c, another_file_of_the_same_name_is_another_node);
	tcase_add_test(c, paths_follow_moves_and_exchanges);
	tcase_add_test(c, long_paths_are_cut_at_the_root_end);
	tcase_add_test(c, the_table_is_bounded_and_grows_to_its_bound);
	tcase_add_test(c, folder_descriptors_are_found_and_bounded);
	tcase_add_test(c, a_folder_swapped_for_a_link_is_stale);
	tcase_add_test(c, too_deep_is_refused);
	tcase_add_test(c, pins_are_kept_and_bounded);
	tcase_add_test(c, pins_come_out_of_the_same_share);
	suite_add_tcase(suite, c);
	tcase_add_test(d, handles_are_numbers_with_a_generation);
	tcase_add_test(d, handles_are_bounded_by_session_and_daemon);
	tcase_add_test(d, a_session_takes_no_other_ones_descriptors);
	suite_add_tcase(suite, d);
	return run_suite(suite);
}
