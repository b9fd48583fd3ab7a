/*
 * serve_dir: reading folders. Entries come straight from getdents64; the offsets of the file system below are
 * handed on, so that a listing survives changes in the middle the way the file system's own does.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "brokerd/broker.h"
#include "brokerd/confine.h"
#include "brokerd/meter.h"
#include "brokerd/mount.h"
#include "brokerd/path.h"
#include "brokerd/serve.h"
#include "brokerd/volume.h"

#define READ_AHEAD (16u << 10)

static int open_folder(struct mount *m, struct node *n)
{
	int path = serve_path_fd(m, n);
	if (path < 0)
		return path;
	int fd = confine_list(path, ".");
	close(path);
	return fd;
}

void serve_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	struct node *n = node_get(&m->nodes, ino);
	int r = -ESTALE;
	if (n) {
		pthread_rwlock_rdlock(&m->volume->tree);
		r = open_folder(m, n);
		pthread_rwlock_unlock(&m->volume->tree);
	}
	int fd = r;
	if (fd >= 0)
		r = handle_open(&m->handles, HANDLE_DIR, fd, n, &fi->fh, NULL);
	if (r < 0) {
		if (fd >= 0)
			close(fd);
		node_unref(&m->nodes, n);
		fuse_reply_err(req, -r);
	} else if (fuse_reply_open(req, fi) == -ENOENT) {
		struct handle *h = handle_close(&m->handles, HANDLE_DIR, fi->fh);
		if (h)
			serve_close(m, h);
	}
	meter_request();
}

void serve_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	struct mount *m = fuse_req_userdata(req);
	struct handle *h = handle_close(&m->handles, HANDLE_DIR, fi->fh);
	if (h)
		serve_close(m, h);
	fuse_reply_err(req, h ? 0 : EBADF);
	meter_request();
}

/* The next entry, or NULL with *ret_error 0 at the end. */
static struct dirent64 *next_entry(struct handle *h, int *ret_error)
{
	*ret_error = 0;
	if (!h->entries && !(h->entries = malloc(READ_AHEAD))) {
		*ret_error = -ENOMEM;
		return NULL;
	}
	if (h->at >= h->have) {
		ssize_t n = getdents64(h->fd, h->entries, READ_AHEAD);
		if (n < 0)
			*ret_error = -errno;
		h->at = 0;
		h->have = n > 0 ? (uint32_t)n : 0;
		if (n <= 0)
			return NULL;
	}
	return (struct dirent64 *)(void *)(h->entries + h->at);
}

static void step(struct handle *h, const struct dirent64 *e)
{
	h->at += e->d_reclen;
	h->next = e->d_off;
}

static int go_to(struct handle *h, off_t off)
{
	if (off == h->next)
		return 0;
	h->at = h->have = 0;
	h->next = off;
	return lseek(h->fd, off, SEEK_SET) < 0 ? -errno : 0;
}

static bool dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Adds one entry without attributes. Returns bytes used, 0 when it does not fit. */
static size_t add_plain(fuse_req_t req, char *out, size_t room, const struct dirent64 *e)
{
	struct stat st = {.st_ino = e->d_ino, .st_mode = DTTOIF(e->d_type)};
	size_t need = fuse_add_direntry(req, out, room, e->d_name, &st, e->d_off);
	return need <= room ? need : 0;
}

/* The same with attributes: every entry is a lookup. One that vanished meanwhile is passed on without a node.
 */
static size_t add_looked_up(fuse_req_t req, char *out, size_t room, const struct dirent64 *e,
                            struct node *dir)
{
	struct mount *m = fuse_req_userdata(req);
	struct fuse_entry_param p = {
	    .attr = {.st_ino = e->d_ino, .st_mode = DTTOIF(e->d_type)},
	    .attr_timeout = m->broker->limits.entry_timeout,
	    .entry_timeout = m->broker->limits.entry_timeout,
	};
	struct node *n = NULL;
	struct stat st;
	if (fuse_add_direntry_plus(req, NULL, 0, e->d_name, NULL, 0) > room)
		return 0;
	if (!dots(e->d_name) && serve_find(m, dir, e->d_name, &n, &st) == 0) {
		p.ino = n->id;
		p.attr = st;
		node_looked_up(&m->nodes, n);
		node_unref(&m->nodes, n);
	}
	return fuse_add_direntry_plus(req, out, room, e->d_name, &p, e->d_off);
}

static int fill(fuse_req_t req, struct handle *h, size_t size, off_t off, bool plus, size_t *ret_used)
{
	char *out = mount_buffer()->out;
	size_t used = 0;
	int r = go_to(h, off);
	while (r == 0) {
		struct dirent64 *e = next_entry(h, &r);
		if (!e)
			break;
		size_t n = plus ? add_looked_up(req, out + used, size - used, e, h->node)
		                : add_plain(req, out + used, size - used, e);
		if (n == 0)
			break;
		used += n;
		step(h, e);
	}
	*ret_used = used;
	return used > 0 ? 0 : r; /* what was gathered counts lookups: it must be delivered */
}

static void read_folder(fuse_req_t req, size_t size, off_t off, uint64_t number, bool plus)
{
	struct mount *m = fuse_req_userdata(req);
	struct handle *h = handle_get(&m->handles, HANDLE_DIR, number);
	size_t used = 0;
	int r = -EBADF;
	if (size > mount_buffer()->out_size)
		size = mount_buffer()->out_size;
	if (h) {
		pthread_mutex_lock(&h->lock);
		pthread_rwlock_rdlock(&m->volume->tree);
		r = fill(req, h, size, off, plus, &used);
		pthread_rwlock_unlock(&m->volume->tree);
		pthread_mutex_unlock(&h->lock);
	}
	if (r == 0)
		fuse_reply_buf(req, mount_buffer()->out, used);
	else
		fuse_reply_err(req, -r);
	handle_put(&m->handles, h);
	meter_request();
}

void serve_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)ino;
	read_folder(req, size, off, fi->fh, false);
}

void serve_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)ino;
	read_folder(req, size, off, fi->fh, true);
}
