/* scrub: flattening removal and a bounded walk. */
#include "brokerd/scrub.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "brokerd/confine.h"
#include "brokerd/path.h"
#include "brokerd/quota.h"
#include "libocu/cleanup.h"
#include "libocu/clock.h"

struct sweep {
	int top; /* the folder everything is flattened into */
	uint64_t deadline;
	uint64_t *count;
	unsigned steps;
	uint64_t moved; /* makes unique names */
};

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static bool dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Whatever mode a guest left: from here on the tree is ours to remove. */
static int open_owned(int dir, const char *name)
{
	OCU_CLOSE int path = confine_dir(dir, name);
	if (path < 0)
		return path;
	int r = confine_chmod(path, 0700);
	return r < 0 ? r : confine_reopen(path, O_RDONLY | O_DIRECTORY);
}

static DIR *list_owned(int dir, const char *name, int *ret_error)
{
	int fd = open_owned(dir, name);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	*ret_error = d ? 0 : fd < 0 ? fd : -errno;
	if (!d && fd >= 0)
		close(fd);
	return d;
}

static bool late(struct sweep *s)
{
	return s->deadline && ++s->steps % 64 == 0 && ocu_mono_ms() >= s->deadline;
}

static int move_up(struct sweep *s, int dir, const char *name)
{
	char to[40];
	OCU_CLOSE int path = confine_dir(dir, name);
	if (path < 0)
		return path;
	confine_chmod(path, 0700); /* a folder that changes its parent must be writable */
	do {
		snprintf(to, sizeof to, "flat-%llu", (unsigned long long)s->moved++);
		if (renameat2(dir, name, s->top, to, RENAME_NOREPLACE) == 0)
			return 0;
	} while (errno == EEXIST);
	return -errno;
}

/* One name inside dir: gone, or moved up to the top. *left counts those that stayed at the top. */
static int remove_entry(struct sweep *s, int dir, const char *name)
{
	if (unlinkat(dir, name, 0) == 0 || (errno == EISDIR && unlinkat(dir, name, AT_REMOVEDIR) == 0)) {
		++*s->count;
		return 0;
	}
	if (errno == EPERM && unlinkat(dir, name, AT_REMOVEDIR) == 0) { /* POSIX's word for a folder */
		++*s->count;
		return 0;
	}
	return errno == ENOTEMPTY || errno == EEXIST ? move_up(s, dir, name) : -errno;
}

static void first_of(int *first, int r)
{
	if (*first == 0 && r < 0)
		*first = r;
}

static int empty_folder(struct sweep *s, const char *name)
{
	int r;
	OCU_CLEANUP(close_dir) DIR *d = list_owned(s->top, name, &r);
	if (!d)
		return r;
	for (struct dirent *e; (e = readdir(d));) {
		if (dots(e->d_name))
			continue;
		first_of(&r, remove_entry(s, dirfd(d), e->d_name));
		if (late(s))
			return -ETIME;
	}
	if (unlinkat(s->top, name, AT_REMOVEDIR) == 0) {
		++*s->count;
		return 0;
	}
	/* Entries may have been skipped, or have appeared: another pass takes them. */
	first_of(&r, errno == ENOTEMPTY ? 0 : -errno);
	return r;
}

/* One pass over the top folder; *ret_seen tells how many names it met. A name that cannot be removed keeps no
 * other. */
static int pass(struct sweep *s, DIR *top, uint64_t *ret_seen)
{
	int failed = 0;
	*ret_seen = 0;
	rewinddir(top);
	for (struct dirent *e; (e = readdir(top));) {
		if (dots(e->d_name))
			continue;
		++*ret_seen;
		int r = 0;
		if (unlinkat(s->top, e->d_name, 0) == 0)
			++*s->count;
		else if (errno == EISDIR || errno == EPERM)
			r = empty_folder(s, e->d_name);
		else if (errno != ENOENT)
			r = -errno;
		if (r == -ETIME || late(s))
			return -ETIME;
		first_of(&failed, r);
	}
	return failed;
}

int scrub_inside(int parent, const char *name, uint64_t deadline, uint64_t *count)
{
	int r;
	OCU_CLEANUP(close_dir) DIR *top = list_owned(parent, name, &r);
	if (!top)
		return r == -ENOENT ? 0 : r;
	struct sweep s = {.top = dirfd(top), .deadline = deadline, .count = count};
	for (uint64_t seen = 1; seen > 0;) {
		uint64_t before = *count + s.moved;
		r = pass(&s, top, &seen);
		if (r == -ETIME || (r < 0 && *count + s.moved == before))
			return r;
	}
	return 0;
}

int scrub_tree(int parent, const char *name, uint64_t deadline, uint64_t *count)
{
	int r = scrub_inside(parent, name, deadline, count);
	if (r < 0)
		return r;
	return unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

/* Counts the entries of d; the first folder below it is opened into *ret_sub for the caller to go down into.
 */
static int count_until_folder(DIR *d, struct usage *u, DIR **ret_sub)
{
	*ret_sub = NULL;
	for (struct dirent *e; (e = readdir(d));) {
		struct stat st;
		if (dots(e->d_name))
			continue;
		int r = confine_stat(dirfd(d), e->d_name, &st);
		if (r == -ENOENT)
			continue;
		if (r < 0)
			return r;
		u->files++;
		if (S_ISREG(st.st_mode))
			u->bytes += quota_charge((uint64_t)st.st_size);
		if (!S_ISDIR(st.st_mode))
			continue;
		int fd = confine_list(dirfd(d), e->d_name);
		if (fd < 0)
			return fd;
		*ret_sub = fdopendir(fd);
		if (!*ret_sub)
			close(fd);
		return *ret_sub ? 1 : -ENOMEM;
	}
	return 0;
}

int scrub_usage(int root, struct usage *ret)
{
	DIR *stack[PATH_DEPTH_MAX];
	struct usage u = {0};
	int depth = 0, r = confine_list(root, ".");
	if (r < 0)
		return r;
	stack[0] = fdopendir(r);
	if (!stack[0]) {
		close(r);
		return -ENOMEM;
	}
	for (r = 0; depth >= 0 && r >= 0;) {
		DIR *sub;
		r = count_until_folder(stack[depth], &u, &sub);
		if (r == 1 && depth + 1 == PATH_DEPTH_MAX) {
			closedir(sub);
			r = -ENAMETOOLONG;
		} else if (r == 1) {
			stack[++depth] = sub;
		} else if (r == 0) {
			closedir(stack[depth--]);
		}
	}
	while (depth >= 0)
		closedir(stack[depth--]);
	if (r >= 0)
		*ret = u;
	return r < 0 ? r : 0;
}
