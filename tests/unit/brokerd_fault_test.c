/* brokerd on a disk that fails: what is there counts, what is not does not, and one name that stays holds up
 * no other. The system calls below stand in for the C library's and fail when they are told to. */
/* shows: NFR-REL-11, NFR-SEC-46, NFR-SEC-65 (in part) */
#include <errno.h>
#include <sys/syscall.h>

#include "brokerd/evidence.h"
#include "brokerd/north_change.h"
#include "brokerd/scrub.h"
#include "brokerd/store.h"
#include "brokerd/volume.h"
#include "libocu/err.h"
#include "tests/unit/brokerd_fixture.h"

static struct {
	int fsync;         /* errno; 0: it works */
	int mkdirat;       /* likewise, from the call on that finds folders at 0 */
	unsigned folders;  /* that can still be made */
	const char *stays; /* name that cannot be removed */
} fault;

int fsync(int fd)
{
	errno = fault.fsync;
	return fault.fsync ? -1 : (int)syscall(SYS_fsync, fd);
}

int mkdirat(int dir, const char *name, mode_t mode)
{
	errno = fault.mkdirat;
	if (fault.mkdirat && fault.folders == 0)
		return -1;
	fault.folders -= fault.mkdirat != 0;
	return (int)syscall(SYS_mkdirat, dir, name, mode);
}

int unlinkat(int dir, const char *name, int flags)
{
	errno = EPERM; /* of an immutable file */
	return fault.stays && strcmp(name, fault.stays) == 0 ? -1
	                                                     : (int)syscall(SYS_unlinkat, dir, name, flags);
}

#define FS    "fs_01ARZ3NDEKTSV4RRFFQ69G5FAV"
#define SES   "ses_01ARZ3NDEKTSV4RRFFQ69G5FAV"
#define OTHER "01ARZ3NDEKTSV4RRFFQ69G5FAW"
#define K4    UINT64_C(4096)

static struct store *store;
static struct fd_budget budget;
static struct volume *volume;
static struct ocu_error err;

static struct volume *open_volume(const char *fs, const char *session)
{
	const struct volume_id id = {.session_id = session,
	                             .filesystem_id = fs,
	                             .caller = "alice",
	                             .quota_bytes = 100 * K4,
	                             .quota_files = 100};
	struct volume *v = NULL;
	ck_assert_msg(volume_new(&v, store, &id, &budget, &err) == 0, "%s", err.text);
	return v;
}

static void setup(void)
{
	char path[128];
	scratch_make();
	memset(&fault, 0, sizeof fault);
	snprintf(path, sizeof path, "%s/root", scratch);
	fds_init(&budget, 1000, 2);
	ck_assert_int_eq(store_open(&store, path, &err), 0);
	volume = open_volume(FS, SES);
}

static void teardown(void)
{
	memset(&fault, 0, sizeof fault);
	volume_unref(volume);
	store_close(store);
	scratch_drop();
}

static int any(const struct stat *st, void *arg)
{
	(void)st;
	(void)arg;
	return 0;
}

/* An upload as the files API makes it: charged, staged, placed, and taken back unless it is there. */
static int upload(const char *path, const char *text, struct placed *ret)
{
	ck_assert_int_eq(quota_resize(&volume->quota, 0, strlen(text)), 0);
	put_file(volume->disk.staging, "up", text);
	int r = change_place(volume, "up", path, any, NULL, ret);
	if (!ret->there) {
		ck_assert_int_eq(unlinkat(volume->disk.staging, "up", 0), 0);
		quota_drop_bytes(&volume->quota, strlen(text));
	}
	return r;
}

/* What is charged is what somebody finds who counts. */
static void assert_counted(uint64_t files, uint64_t bytes)
{
	struct usage u;
	ck_assert_int_eq(scrub_usage(volume->disk.data, &u), 0);
	ck_assert_uint_eq(u.files, files);
	ck_assert_uint_eq(u.bytes, bytes);
	ck_assert_uint_eq(atomic_load(&volume->quota.files), files);
	ck_assert_uint_eq(atomic_load(&volume->quota.bytes), bytes);
}

START_TEST(an_upload_whose_folder_cannot_be_synced_is_there_and_counts)
{
	struct placed placed;
	fault.fsync = EIO;
	ck_assert_int_eq(upload("d/f", "one", &placed), -EIO);
	ck_assert(placed.there && !placed.replaced);
	assert_counted(2, K4);
	ck_assert_int_eq(upload("d/f", "two", &placed), -EIO); /* in its place: charged once */
	ck_assert(placed.there && placed.replaced);
	assert_counted(2, K4);
	fault.fsync = 0;
	ck_assert_int_eq(upload("d/f", "three", &placed), 0);
	assert_counted(2, K4);
	ck_assert_int_eq(change_remove(volume, "d/f", any, NULL), 0);
	assert_counted(1, 0);
}
END_TEST

static const struct {
	int error, code;
} full[] = {{ENOSPC, OCU_E_NO_SPACE}, {EDQUOT, OCU_E_QUOTA}};

START_TEST(a_folder_that_the_disk_refuses_is_not_charged)
{
	struct placed placed;
	fault.mkdirat = full[_i].error;
	fault.folders = 1;
	ck_assert_int_eq(upload("a/b/f", "x", &placed), -full[_i].error);
	ck_assert(!placed.there);
	assert_counted(1, 0); /* the one that was made stays */
	ck_assert_int_eq(upload("a/b/f", "x", &placed), -full[_i].error);
	ck_assert_int_eq(upload("c/f", "x", &placed), -full[_i].error);
	assert_counted(1, 0);
	ck_assert_int_eq(evidence_code(full[_i].error), full[_i].code);
	fault.mkdirat = 0;
	ck_assert_int_eq(upload("a/b/f", "x", &placed), 0);
	assert_counted(3, K4);
}
END_TEST

static int note_gone(void *arg, const char *filesystem_id, const char *session_id, struct ocu_error *e)
{
	(void)session_id;
	(void)e;
	snprintf(arg, OCU_ID_MAX, "%s", filesystem_id);
	return 0;
}

START_TEST(a_name_that_cannot_be_removed_holds_up_nothing_else)
{
	struct placed placed;
	char trash[STORE_TRASH_MAX], gone[OCU_ID_MAX] = "";
	struct store_sweep w = {.gone = note_gone, .arg = gone};
	struct usage u;
	static const char *const paths[] = {"a", "d/b", "d/e/stays", "d/e/c", "d/e/g/h", "z"};
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		ck_assert_int_eq(upload(paths[i], "x", &placed), 0);
	struct volume *second = open_volume("fs_" OTHER, "ses_" OTHER);
	put_file(second->disk.data, "f", "x");
	volume_unref(second);
	fault.stays = "stays";
	ck_assert_int_eq(store_discard(store, FS, trash, &err), 0);
	ck_assert_int_eq(store_scrub(store, trash, &w, &err), OCU_E_IO);
	int left = openat(root, "trash", O_RDONLY | O_DIRECTORY);
	ck_assert_int_eq(scrub_usage(left, &u), 0);
	ck_assert_uint_eq(u.files, 3); /* it, its folder and what the volume is called */
	ck_assert_int_eq(store_discard(store, "fs_" OTHER, trash, &err), 0);
	ck_assert_int_eq(store_empty_trash(store, &w, &err), OCU_E_IO);
	ck_assert_str_eq(gone, "fs_" OTHER);
	ck_assert_int_eq(scrub_usage(left, &u), 0);
	ck_assert_uint_eq(u.files, 3);
	fault.stays = NULL;
	ck_assert_int_eq(store_empty_trash(store, &w, &err), 0);
	ck_assert_str_eq(gone, FS);
	ck_assert_int_eq(scrub_usage(left, &u), 0);
	ck_assert_uint_eq(u.files, 0);
	close(left);
}
END_TEST

/* That it is gone may be told only of what a power failure cannot bring back. */
START_TEST(a_removal_that_is_not_on_disk_is_not_told_of)
{
	char trash[STORE_TRASH_MAX], gone[OCU_ID_MAX] = "";
	struct store_sweep w = {.gone = note_gone, .arg = gone};
	ck_assert_int_eq(store_discard(store, FS, trash, &err), 0);
	fault.fsync = EIO;
	ck_assert_int_eq(store_scrub(store, trash, &w, &err), OCU_E_IO);
	ck_assert_str_eq(gone, "");
	fault.fsync = 0;
	ck_assert_int_eq(store_empty_trash(store, &w, &err), 0);
	ck_assert_str_eq(gone, FS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("brokerd_fault");
	TCase *c = tcase_create("fault");
	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, an_upload_whose_folder_cannot_be_synced_is_there_and_counts);
	tcase_add_loop_test(c, a_folder_that_the_disk_refuses_is_not_charged, 0, 2);
	tcase_add_test(c, a_name_that_cannot_be_removed_holds_up_nothing_else);
	tcase_add_test(c, a_removal_that_is_not_on_disk_is_not_told_of);
	suite_add_tcase(suite, c);
	return run_suite(suite);
}
