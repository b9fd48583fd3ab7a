/* A scratch folder, and the usual end of a Check program. */
#ifndef BROKERD_FIXTURE_H
#define BROKERD_FIXTURE_H

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch[64];
static int root = -1;

static inline int scratch_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

/* scratch/root is what a test confines to; scratch/outside is what it must not reach. */
static inline void scratch_make(void)
{
	umask(0);
	snprintf(scratch, sizeof scratch, "/var/tmp/brokerd-unit-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(scratch));
	int top = open(scratch, O_RDONLY | O_DIRECTORY);
	ck_assert_int_eq(mkdirat(top, "root", 0755), 0);
	ck_assert_int_eq(mkdirat(top, "outside", 0755), 0);
	root = openat(top, "root", O_RDONLY | O_DIRECTORY);
	ck_assert_int_ge(root, 0);
	close(top);
}

static inline void scratch_drop(void)
{
	close(root);
	nftw(scratch, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void put_file(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static inline int run_suite(Suite *suite)
{
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
