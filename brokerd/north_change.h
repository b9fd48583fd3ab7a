/*
 * north_change: changes to a volume from the north, in step with its mount: quota, the table of what the
 * kernel knows, and the word to the kernel.
 */
#ifndef BROKERD_NORTH_CHANGE_H
#define BROKERD_NORTH_CHANGE_H

#include <stdbool.h>
#include <sys/stat.h>

struct volume;

/* Decides, with the tree locked, whether to go on: st is what stands at the path, NULL when nothing does.
 * Returns 0 or a negative errno (ECANCELED for a condition that does not hold). */
typedef int change_check(const struct stat *st, void *arg);

struct placed {
	bool there;    /* it is at the path now, and counts; also when what comes after that failed */
	bool replaced; /* something was there before */
	struct stat st;
};

/* Renames staging/name to path, folders on the way made. The bytes were charged (quota_resize) by the caller,
 * who takes them back unless it is there; names are charged here. */
int change_place(struct volume *v, const char *staged, const char *path, change_check *check, void *arg,
                 struct placed *ret);
/* Removes a file, a symbolic link or an empty folder. */
int change_remove(struct volume *v, const char *path, change_check *check, void *arg);

#endif
