/* confine: nothing outside of the folder is reached, by whatever name, and not while names are swapped. */
/* shows: NFR-SEC-25, NFR-SEC-31, NFR-SEC-43 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "brokerd/confine.h"
#include "tests/unit/brokerd_fixture.h"

static void setup(void)
{
	char text[128];
	scratch_make();
	int top = open(scratch, O_RDONLY | O_DIRECTORY),
	    outside = openat(top, "outside", O_RDONLY | O_DIRECTORY);
	put_file(outside, "victim", "secret");
	mkdirat(outside, "dir", 0755);
	mkdirat(root, "sub", 0755);
	put_file(root, "file", "inside");
	put_file(root, "sub/file", "inside");
	snprintf(text, sizeof text, "%s/outside", scratch);
	ck_assert_int_eq(symlinkat(text, root, "abs"), 0);
	ck_assert_int_eq(symlinkat("../outside", root, "rel"), 0);
	ck_assert_int_eq(symlinkat("file", root, "inner"), 0);
	ck_assert_int_eq(symlinkat("/proc/self/root", root, "magic"), 0);
	close(outside);
	close(top);
}

static const struct {
	const char *path;
	int error;
} escapes[] = {
    {"..", -EXDEV},
    {"../outside/victim", -EXDEV},
    {"sub/../../outside/victim", -EXDEV},
    {"/etc/passwd", -EXDEV},
    {"abs/victim", -ELOOP},
    {"rel/victim", -ELOOP},
    {"magic/etc/passwd", -ELOOP},
};

START_TEST(no_name_leads_out)
{
	ck_assert_int_eq(confine_open(root, escapes[_i].path, O_RDONLY, 0), escapes[_i].error);
	ck_assert_int_eq(confine_dir(root, escapes[_i].path), escapes[_i].error);
	ck_assert_int_eq(confine_open(root, escapes[_i].path, O_WRONLY | O_CREAT, 0600), escapes[_i].error);
}
END_TEST

START_TEST(links_are_not_followed_even_inside)
{
	struct stat st;
	ck_assert_int_eq(confine_open(root, "inner", O_RDONLY, 0), -ELOOP);
	ck_assert_int_eq(confine_file(root, "inner", O_RDONLY, &st), -ELOOP);
	ck_assert_int_eq(confine_file(root, "abs", O_RDONLY, &st), -ELOOP);
	ck_assert_int_eq(confine_stat(root, "inner", &st), 0);
	ck_assert(S_ISLNK(st.st_mode));
	ck_assert_int_eq(confine_list(root, "rel"), -ENOTDIR);
}
END_TEST

START_TEST(only_regular_files_are_content)
{
	struct stat st;
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	ck_assert_int_eq(mknodat(root, "fifo", S_IFIFO | 0666, 0), 0);
	ck_assert_int_eq(confine_file(root, "fifo", O_RDONLY, &st), -EINVAL);
	ck_assert_int_eq(confine_file(root, "fifo", O_WRONLY, &st), -EINVAL);
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(sa.sun_path, sizeof sa.sun_path, "%s/root/sock", scratch);
	ck_assert_int_eq(bind(s, (struct sockaddr *)&sa, sizeof sa), 0);
	ck_assert_int_eq(confine_file(root, "sock", O_RDONLY, &st), -EINVAL);
	ck_assert_int_eq(confine_file(root, "sub", O_RDONLY, &st), -EISDIR);
	close(s);
	int fd = confine_file(root, "file", O_RDWR, &st);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(st.st_size, 6);
	close(fd);
}
END_TEST

START_TEST(another_file_system_is_refused)
{
	int slash = open("/", O_RDONLY | O_DIRECTORY);
	ck_assert_int_eq(confine_dir(slash, "proc/self"), -EXDEV);
	close(slash);
}
END_TEST

/* As root nothing is refused by mode bits, so this runs as somebody else. */
static void become_nobody(void)
{
	ck_assert_int_eq(chmod(scratch, 0755), 0);
	ck_assert_int_eq(fchown(root, 65534, 65534), 0);
	static const char *const all[] = {"sub", "file", "sub/file"};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		ck_assert_int_eq(fchownat(root, all[i], 65534, 65534, AT_SYMLINK_NOFOLLOW), 0);
	ck_assert_int_eq(setgid(65534), 0);
	ck_assert_int_eq(setuid(65534), 0);
}

START_TEST(modes_a_guest_sets_do_not_lock_the_owner_out)
{
	struct stat st;
	become_nobody();
	ck_assert_int_eq(fchmodat(root, "sub/file", 0, 0), 0);
	ck_assert_int_eq(fchmodat(root, "sub", 0, 0), 0);
	int dir = confine_dir(root, "sub");
	ck_assert_int_ge(dir, 0);
	int fd = confine_file(dir, "file", O_RDWR, &st);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(confine_stat(dir, "file", &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0);
	fd = confine_list(root, "sub");
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(CONFINE_LENT(dir, mkdirat(dir, "new", 0755)), 0);
	ck_assert_int_eq(confine_chmod(dir, 0500), 0);
	ck_assert_int_eq(CONFINE_LENT(dir, unlinkat(dir, "new", AT_REMOVEDIR)), 0);
	int deep = confine_parent(root, "sub/file");
	ck_assert_int_ge(deep, 0);
	close(deep);
	close(dir);
	ck_assert_int_eq(fstatat(root, "sub", &st, 0), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0500);
}
END_TEST

START_TEST(a_mode_of_a_stranger_is_not_lent)
{
	struct stat st;
	become_nobody();
	ck_assert_int_eq(confine_stat(root, "file", &st), 0);
	ck_assert_int_lt(confine_dir(root, "../outside"), 0);
}
END_TEST

static atomic_bool swapping;

/* "door" is by turns a folder inside and a link to one outside. */
static void *swap(void *arg)
{
	(void)arg;
	while (atomic_load(&swapping)) {
		renameat2(root, "door", root, "trap", RENAME_EXCHANGE);
		sched_yield();
	}
	return NULL;
}

START_TEST(swapping_names_never_opens_the_outside)
{
	pthread_t t;
	struct stat st, victim;
	char text[128];
	unsigned inside = 0, refused = 0;
	snprintf(text, sizeof text, "%s/outside/victim", scratch);
	ck_assert_int_eq(stat(text, &victim), 0);
	mkdirat(root, "door", 0755);
	put_file(root, "door/victim", "inside");
	ck_assert_int_eq(symlinkat("../outside", root, "trap"), 0);
	atomic_store(&swapping, true);
	pthread_create(&t, NULL, swap, NULL);
	for (int i = 0; i < 40000 || inside == 0 || refused == 0; i++) {
		int fd = confine_open(root, "door/victim", O_RDWR, 0);
		if (fd < 0) {
			ck_assert(fd == -ELOOP || fd == -ENOENT);
			refused++;
			continue;
		}
		ck_assert_int_eq(fstat(fd, &st), 0);
		ck_assert_uint_ne(st.st_ino, victim.st_ino);
		inside++;
		close(fd);
	}
	atomic_store(&swapping, false);
	pthread_join(t, NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("brokerd_confine");
	TCase *c = tcase_create("confine");
	tcase_set_timeout(c, 120);
	tcase_add_checked_fixture(c, setup, scratch_drop);
	tcase_add_loop_test(c, no_name_leads_out, 0, sizeof escapes / sizeof *escapes);
	tcase_add_test(c, links_are_not_followed_even_inside);
	tcase_add_test(c, only_regular_files_are_content);
	tcase_add_test(c, another_file_system_is_refused);
	if (geteuid() == 0) {
		tcase_add_test(c, modes_a_guest_sets_do_not_lock_the_owner_out);
		tcase_add_test(c, a_mode_of_a_stranger_is_not_lent);
	}
	tcase_add_test(c, swapping_names_never_opens_the_outside);
	suite_add_tcase(suite, c);
	return run_suite(suite);
}
