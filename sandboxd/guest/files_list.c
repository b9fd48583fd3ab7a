/* files_list: the entries of a folder and of its folders, sorted, without hidden ones; see files.h. */
#include "sandboxd/guest/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sandboxd/guest/fail.h"

struct entry {
	char *name;
	bool is_dir;
};

struct listing {
	unsigned char *out;
	size_t len, max;
	unsigned left; /* entries that may still be listed */
	bool truncated;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static void free_entries(struct entry *e, size_t n)
{
	for (size_t i = 0; e && i < n; i++)
		free(e[i].name);
	free(e);
}

/* Visible entries of one folder, at most `most`; *more is set when there were others. */
static long read_entries(const char *path, struct entry **ret, unsigned most, bool *more)
{
	DIR *dir = opendir(path);
	struct entry *e = NULL;
	size_t n = 0, cap = 0;
	struct dirent *d;

	if (!dir)
		return -errno;
	while ((d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		if (n == most) {
			*more = true;
			break;
		}
		if (n == cap) {
			struct entry *grown = reallocarray(e, cap ? cap * 2 : 64, sizeof *e);

			if (!grown)
				break;
			e = grown;
			cap = cap ? cap * 2 : 64;
		}
		e[n] = (struct entry){.name = strdup(d->d_name), .is_dir = d->d_type == DT_DIR};
		if (!e[n].name)
			break;
		n++;
	}
	closedir(dir);
	if (n > 0)
		qsort(e, n, sizeof *e, by_name);
	*ret = e;
	return (long)n;
}

static void put_line(struct listing *l, const char *path, bool is_dir)
{
	size_t n = strlen(path);

	if (l->left == 0 || l->len + n + 2 > l->max) {
		l->truncated = true;
		return;
	}
	l->left--;
	memcpy(l->out + l->len, path, n);
	l->len += n;
	if (is_dir && path[n - 1] != '/')
		l->out[l->len++] = '/';
	l->out[l->len++] = '\n';
}

static int list_level(struct listing *l, const char *path, int levels)
{
	struct entry *e = NULL;
	char child[PATH_MAX];
	long n = read_entries(path, &e, FILES_LIST_MAX, &l->truncated);

	for (long i = 0; e && i < n && !l->truncated; i++) {
		int len = snprintf(child, sizeof child, "%s%s%s", path,
		                   path[strlen(path) - 1] == '/' ? "" : "/", e[i].name);

		if (len < 0 || (size_t)len >= sizeof child)
			continue;
		put_line(l, child, e[i].is_dir);
		/* A folder that cannot be read is still listed by its name. */
		if (e[i].is_dir && levels > 1)
			list_level(l, child, levels - 1);
	}
	if (n >= 0)
		free_entries(e, (size_t)n);
	return n < 0 ? (int)n : 0;
}

int files_list(const char *path, size_t max, unsigned char **ret, size_t *len, bool *truncated,
               struct fail *f)
{
	struct listing l = {.out = malloc(max), .max = max, .left = FILES_LIST_MAX};
	int rc;

	if (!l.out)
		return fail_set(f, FAIL_NO_MEMORY, "out of memory");
	put_line(&l, path, true);
	rc = list_level(&l, path, 2);
	if (rc < 0) {
		free(l.out);
		return fail_errno(f, -rc, "cannot list", path);
	}
	*ret = l.out;
	*len = l.len;
	*truncated = l.truncated;
	return 0;
}
