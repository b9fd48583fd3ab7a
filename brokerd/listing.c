/* listing: a walk that keeps, for each folder on the way, the next few names in order. */
#include "brokerd/listing.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "brokerd/confine.h"
#include "libocu/clock.h"

#define CHUNK     128   /* names kept for one folder, at the least: then it is read again */
#define HELD_MAX  4096  /* names kept for all folders on the way where more are */
#define NAMES_MAX 16384 /* read for a page, before a folder is not read again for it */

/* One folder on the way down. */
struct level {
	size_t path_len; /* of walk.path up to this folder, without a trailing slash */
	unsigned have, at, room;
	char last[PATH_COMPONENT_MAX + 1]; /* names up to this one are done */
	char *name[];
};

struct walk {
	int root;
	const struct list_query *q;
	char path[PATH_NORTH_MAX + 1]; /* of the entry at hand, from the volume's root */
	size_t base_len;               /* of q->path in it, slash included */
	struct level *level[PATH_NORTH_MAX / 2 + 1];
	unsigned depth, held; /* held: room of all levels */
	uint64_t read;
	bool enough; /* the page ends here */
	json_t *entries;
	char newest[PATH_NORTH_MAX + 1]; /* the last one listed, below q->path */
	uint64_t omitted;
};

static void drop_names(struct level *l)
{
	while (l->have > 0)
		free(l->name[--l->have]);
	l->at = 0;
}

static void pop(struct walk *w)
{
	struct level *l = w->level[--w->depth];
	drop_names(l);
	w->held -= l->room;
	free(l);
}

static int push(struct walk *w, size_t path_len)
{
	unsigned room = w->q->limit + 1; /* with the one that shows that there is more */
	if (room < CHUNK || w->held + room > HELD_MAX)
		room = CHUNK;
	struct level *l = calloc(1, sizeof *l + room * sizeof *l->name);
	if (!l)
		return -ENOMEM;
	l->path_len = path_len;
	l->room = room;
	w->held += room;
	w->level[w->depth++] = l;
	return 0;
}

/* Keeps name when it is among the smallest seen. */
static int keep(struct level *l, const char *name)
{
	if (l->have == l->room && strcmp(name, l->name[l->room - 1]) >= 0)
		return 0;
	char *copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	if (l->have == l->room)
		free(l->name[--l->have]);
	unsigned lo = 0, hi = l->have;
	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		if (strcmp(l->name[mid], name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	memmove(&l->name[lo + 1], &l->name[lo], (l->have - lo) * sizeof *l->name);
	l->name[lo] = copy;
	l->have++;
	return 0;
}

/* Reads the folder again for the next names after l->last. */
static int refill(struct walk *w, struct level *l)
{
	bool first = l->last[0] == 0;
	char folder[PATH_NORTH_MAX + 1];
	memcpy(folder, w->path, l->path_len);
	folder[l->path_len] = 0;
	drop_names(l);
	int fd = confine_list(w->root, l->path_len ? folder : ".");
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			close(fd);
		return fd < 0 ? fd : -ENOMEM;
	}
	int r = 0;
	for (struct dirent *e; r == 0 && (e = readdir(d)); w->read++) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		size_t len = l->path_len + (l->path_len > 0) + strlen(e->d_name);
		if (!path_north_name_ok(e->d_name) || len > PATH_NORTH_MAX)
			w->omitted += first;
		else if (strcmp(e->d_name, l->last) > 0)
			r = keep(l, e->d_name);
	}
	closedir(d);
	return r;
}

/* The next name of the folder into w->path; 1, or 0 when there is none. */
static int next_name(struct walk *w, struct level *l)
{
	if (l->at == l->have) {
		if (l->have > 0 && l->have < l->room)
			return 0;
		w->enough = w->read >= NAMES_MAX && json_array_size(w->entries) > 0;
		int r = w->enough ? 0 : refill(w, l);
		if (r < 0 || l->at == l->have)
			return r;
	}
	const char *name = l->name[l->at++];
	size_t at = l->path_len, len = strlen(name);
	memcpy(l->last, name, len + 1);
	if (at > 0)
		w->path[at++] = '/';
	memcpy(w->path + at, name, len + 1);
	return 1;
}

static const char *type_text(mode_t mode)
{
	return S_ISREG(mode) ? "file" : S_ISDIR(mode) ? "directory" : S_ISLNK(mode) ? "symlink" : "other";
}

static int add_entry(struct walk *w, const struct stat *st)
{
	char when[32], etag[ETAG_SIZE];
	ocu_time_rfc3339(st->st_mtim.tv_sec * INT64_C(1000) + st->st_mtim.tv_nsec / 1000000, when);
	json_t *e =
	    json_pack("{s:s, s:s, s:s}", "path", w->path, "type", type_text(st->st_mode), "modified", when);
	if (e && S_ISREG(st->st_mode)) {
		header_etag(st, etag);
		json_object_set_new(e, "size", json_integer(st->st_size));
		json_object_set_new(e, "etag", json_string(etag));
	}
	memcpy(w->newest, w->path + w->base_len, strlen(w->path + w->base_len) + 1);
	return e && json_array_append_new(w->entries, e) == 0 ? 0 : -ENOMEM;
}

static int stat_path(struct walk *w, struct stat *st)
{
	int dir = confine_parent(w->root, w->path);
	if (dir < 0)
		return dir;
	int r = confine_stat(dir, w->path + path_leaf(w->path), st);
	close(dir);
	return r;
}

/* One step of the walk: an entry, or the end of a folder. */
static int step(struct walk *w)
{
	struct level *l = w->level[w->depth - 1];
	struct stat st;
	int r = next_name(w, l);
	if (w->enough)
		return 0;
	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
		r = w->depth > 1 ? 0 : r; /* a folder that went away while we were on the way to it */
	if (r == 0)
		pop(w);
	if (r <= 0)
		return r;
	if (stat_path(w, &st) < 0)
		return 0; /* gone since it was read */
	r = add_entry(w, &st);
	if (r == 0 && w->q->recursive && S_ISDIR(st.st_mode))
		r = push(w, strlen(w->path));
	return r;
}

/* Down to where the page before ended: after each name of the cursor, and inside its last one. */
static int resume(struct walk *w)
{
	const char *p = w->q->after;
	while (*p) {
		struct level *l = w->level[w->depth - 1];
		size_t n = strcspn(p, "/"), at = l->path_len + (l->path_len > 0);
		if (at + n > PATH_NORTH_MAX || (p[n] && !w->q->recursive))
			return -EINVAL;
		memcpy(l->last, p, n);
		l->last[n] = 0;
		if (at > 0)
			w->path[at - 1] = '/';
		memcpy(w->path + at, p, n);
		w->path[at + n] = 0;
		p += n + (p[n] == '/');
		if (w->q->recursive && push(w, at + n) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Whether anything comes after the page; an entry too many is dropped again. */
static int finish(struct walk *w, json_t **ret)
{
	char cursor[CURSOR_MAX], newest[PATH_NORTH_MAX + 1];
	bool more = false;
	int r = 0;
	memcpy(newest, w->newest, sizeof newest);
	while (r == 0 && w->depth > 0 && !more) {
		r = w->enough ? 0 : step(w);
		more = w->enough || json_array_size(w->entries) > w->q->limit;
	}
	if (r < 0)
		return r;
	if (json_array_size(w->entries) > w->q->limit)
		json_array_remove(w->entries, w->q->limit);
	header_cursor(newest, cursor);
	*ret = json_pack("{s:O, s:o, s:I}", "entries", w->entries, "next_cursor",
	                 more ? json_string(cursor) : json_null(), "omitted", (json_int_t)w->omitted);
	return *ret ? 0 : -ENOMEM;
}

int listing_page(int root, const struct list_query *q, json_t **ret)
{
	struct walk *w = calloc(1, sizeof *w);
	if (!w)
		return -ENOMEM;
	*w = (struct walk){.root = root, .q = q, .entries = json_array()};
	size_t len = strlen(q->path);
	memcpy(w->path, q->path, len);
	w->base_len = len + (len > 0);
	int r = w->entries ? push(w, len) : -ENOMEM;
	if (r == 0)
		r = resume(w);
	while (r == 0 && w->depth > 0 && !w->enough && json_array_size(w->entries) < q->limit)
		r = step(w);
	if (r == 0)
		r = finish(w, ret);
	while (w->depth > 0)
		pop(w);
	json_decref(w->entries);
	free(w);
	return r;
}
