/* serve: the table, the negotiation, and the operations that only look. */
#include "brokerd/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "brokerd/broker.h"
#include "brokerd/confine.h"
#include "brokerd/meter.h"
#include "brokerd/mount.h"
#include "brokerd/path.h"
#include "brokerd/volume.h"

#define SHOWN_BLOCK                                                                                          \
	(64u << 10)   /* st_blksize: programs size their buffers by it, and a request costs a round trip */
#define BACKGROUND 32 /* read-ahead requests the kernel keeps under way */

mode_t serve_file_mode(mode_t mode)
{
	return mode & 01777;
}

mode_t serve_dir_mode(mode_t mode)
{
	return mode & 03777;
}

void serve_attr(const struct mount *m, struct stat *st)
{
	st->st_uid = m->uid;
	st->st_gid = m->uid;
	st->st_blksize = SHOWN_BLOCK;
}

int serve_find(struct mount *m, struct node *parent, const char *name, struct node **ret, struct stat *st)
{
	int dir = node_dir_get(&m->nodes, parent);
	if (dir < 0)
		return dir;
	int r = confine_stat(dir, name, st);
	node_dir_put(&m->nodes, parent);
	if (r == 0)
		r = node_intern(&m->nodes, parent, name, st, ret);
	serve_attr(m, st);
	return r;
}

void serve_entry(struct mount *m, fuse_req_t req, struct node *n, const struct stat *st)
{
	struct fuse_entry_param e = {
	    .ino = n->id,
	    .attr = *st,
	    .attr_timeout = m->broker->limits.entry_timeout,
	    .entry_timeout = m->broker->limits.entry_timeout,
	};
	node_looked_up(&m->nodes, n);
	if (fuse_reply_entry(req, &e) == -ENOENT)
		node_forget(&m->nodes, e.ino, 1);
}

int serve_path_fd(struct mount *m, struct node *n)
{
	struct node *parent;
	char name[NAME_MAX + 1];
	struct stat st;
	if (!node_place(&m->nodes, n, &parent, name)) {
		if (n->id == NODE_ROOT)
			return confine_dir(m->volume->disk.data, ".");
		return node_pin_dup(&m->nodes, n);
	}
	int dir = node_dir_get(&m->nodes, parent), fd = dir;
	if (dir >= 0) {
		fd = confine_open(dir, name, O_PATH, 0);
		node_dir_put(&m->nodes, parent);
	}
	node_unref(&m->nodes, parent);
	if (fd < 0)
		return fd == -ENOENT ? -ESTALE : fd;
	if (fstat(fd, &st) == 0 && st.st_ino == n->ino)
		return fd;
	close(fd);
	return -ESTALE;
}

int serve_content_fd(struct mount *m, struct node *n, int flags)
{
	struct node *parent;
	char name[NAME_MAX + 1];
	struct stat st;
	if (n->type != S_IFREG)
		return n->type == S_IFDIR ? -EISDIR : -EINVAL;
	if (!node_place(&m->nodes, n, &parent, name)) {
		int pin = node_pin_dup(&m->nodes, n);
		int fd = pin < 0 ? pin : confine_reopen(pin, flags & (O_ACCMODE | O_SYNC | O_DSYNC));
		if (pin >= 0)
			close(pin);
		return fd;
	}
	int dir = node_dir_get(&m->nodes, parent), fd = dir;
	if (dir >= 0) {
		fd = confine_file(dir, name, flags, &st);
		node_dir_put(&m->nodes, parent);
	}
	node_unref(&m->nodes, parent);
	if (fd < 0)
		return fd == -ENOENT ? -ESTALE : fd;
	if (st.st_ino == n->ino)
		return fd;
	close(fd);
	return -ESTALE;
}

int serve_stat(struct mount *m, struct node *n, struct stat *st)
{
	struct node *parent;
	char name[NAME_MAX + 1];
	int r;
	if (node_place(&m->nodes, n, &parent, name)) {
		int dir = node_dir_get(&m->nodes, parent);
		r = dir < 0 ? dir : confine_stat(dir, name, st);
		if (dir >= 0)
			node_dir_put(&m->nodes, parent);
		node_unref(&m->nodes, parent);
		if (r == -ENOENT || (r == 0 && (st->st_ino != n->ino || (st->st_mode & S_IFMT) != n->type)))
			r = -ESTALE;
	} else {
		int fd = serve_path_fd(m, n);
		r = fd < 0 ? fd : fstat(fd, st) < 0 ? -errno : 0;
		if (fd >= 0)
			close(fd);
	}
	serve_attr(m, st);
	return r;
}

static void init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	meter_mounts(1);
	conn->max_write = MOUNT_MAX_WRITE;
	conn->max_readahead = MOUNT_MAX_WRITE;
	conn->max_background = BACKGROUND;
	conn->time_gran = 1;
	fuse_want(conn, FUSE_CAP_PARALLEL_DIROPS);
	fuse_want(conn, FUSE_CAP_CACHE_SYMLINKS);
	/* A file's bytes change through this kernel only (the north face replaces files, it does not edit
	 * them), so what the kernel has cached stays true and is not to be dropped because an mtime moved. */
	fuse_want(conn, FUSE_CAP_EXPLICIT_INVAL_DATA);
	fuse_reject(conn, FUSE_CAP_AUTO_INVAL_DATA);
	/* Requests are read into, and answered from, the worker's own memory: splicing would cost a pipe for
	 * every pair of worker and mount. */
	fuse_reject(conn, FUSE_CAP_SPLICE_READ);
	fuse_reject(conn, FUSE_CAP_SPLICE_WRITE);
	fuse_reject(conn, FUSE_CAP_SPLICE_MOVE);
}

static void destroy(void *userdata)
{
	(void)userdata;
	meter_mounts(-1);
}

static void lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mount *m = fuse_req_userdata(req);
	struct node *dir = node_get(&m->nodes, parent), *n = NULL;
	struct stat st;
	int r = !dir ? -ESTALE : -path_name_error(name);
	if (r == 0) {
		pthread_rwlock_rdlock(&m->volume->tree);
		r = serve_find(m, dir, name, &n, &st);
		pthread_rwlock_unlock(&m->volume->tree);
	}
	if (r == 0) {
		serve_entry(m, req, n, &st);
	} else if (r == -ENOENT) {
		struct fuse_entry_param absent = {.entry_timeout = m->broker->limits.negative_timeout};
		fuse_reply_entry(req, &absent);
	} else {
		fuse_reply_err(req, -r);
	}
	node_unref(&m->nodes, n);
	node_unref(&m->nodes, dir);
	meter_request();
}

static void forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	struct mount *m = fuse_req_userdata(req);
	node_forget(&m->nodes, ino, count);
	fuse_reply_none(req);
}

static void forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct mount *m = fuse_req_userdata(req);
	for (size_t i = 0; i < count; i++)
		node_forget(&m->nodes, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi; /* the kernel never gives one; unlinked files are pinned */
	struct mount *m = fuse_req_userdata(req);
	struct node *n = node_get(&m->nodes, ino);
	struct stat st;
	int r = -ESTALE;
	if (n) {
		pthread_rwlock_rdlock(&m->volume->tree);
		r = serve_stat(m, n, &st);
		pthread_rwlock_unlock(&m->volume->tree);
	}
	if (r == 0)
		fuse_reply_attr(req, &st, m->broker->limits.entry_timeout);
	else
		fuse_reply_err(req, -r);
	node_unref(&m->nodes, n);
	meter_request();
}

static void serve_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct mount *m = fuse_req_userdata(req);
	struct node *n = node_get(&m->nodes, ino);
	char target[PATH_MAX];
	ssize_t len = -ESTALE;
	if (n) {
		pthread_rwlock_rdlock(&m->volume->tree);
		int fd = serve_path_fd(m, n);
		pthread_rwlock_unlock(&m->volume->tree);
		len = fd < 0 ? fd : readlinkat(fd, "", target, sizeof target - 1);
		if (fd >= 0 && len < 0)
			len = -errno;
		if (fd >= 0)
			close(fd);
	}
	if (len >= 0) {
		target[len] = 0;
		fuse_reply_readlink(req, target);
	} else {
		fuse_reply_err(req, (int)-len);
	}
	node_unref(&m->nodes, n);
	meter_request();
}

/* What df shows is the quota, or the disk when that is fuller. */
static void serve_statfs(fuse_req_t req, fuse_ino_t ino)
{
	(void)ino;
	struct mount *m = fuse_req_userdata(req);
	struct quota *q = &m->volume->quota;
	struct statvfs s;
	if (fstatvfs(m->volume->disk.data, &s) < 0) {
		fuse_reply_err(req, errno);
		return;
	}
	uint64_t disk_left = (uint64_t)s.f_bavail * s.f_frsize, left = quota_bytes_left(q),
	         files = atomic_load(&q->files);
	if (q->max_bytes)
		s.f_blocks = q->max_bytes / QUOTA_BLOCK;
	else
		s.f_blocks = (uint64_t)s.f_blocks * s.f_frsize / QUOTA_BLOCK;
	s.f_bsize = s.f_frsize = QUOTA_BLOCK;
	s.f_bfree = s.f_bavail = (left < disk_left ? left : disk_left) / QUOTA_BLOCK;
	if (q->max_files) {
		s.f_files = q->max_files;
		s.f_ffree = s.f_favail = files < q->max_files ? q->max_files - files : 0;
	}
	s.f_namemax = PATH_COMPONENT_MAX;
	fuse_reply_statfs(req, &s);
	meter_request();
}

const struct fuse_lowlevel_ops serve_ops = {
    .init = init,
    .destroy = destroy,
    .lookup = lookup,
    .forget = forget,
    .forget_multi = forget_multi,
    .getattr = getattr,
    .setattr = serve_setattr,
    .readlink = serve_readlink,
    .mknod = serve_mknod,
    .mkdir = serve_mkdir,
    .unlink = serve_unlink,
    .rmdir = serve_rmdir,
    .symlink = serve_symlink,
    .rename = serve_rename,
    .link = serve_link,
    .open = serve_open,
    .create = serve_create,
    .read = serve_read,
    .write = serve_write,
    .release = serve_release,
    .fsync = serve_fsync,
    .opendir = serve_opendir,
    .readdir = serve_readdir,
    .readdirplus = serve_readdirplus,
    .releasedir = serve_releasedir,
    .fsyncdir = serve_fsyncdir,
    .statfs = serve_statfs,
    .fallocate = serve_fallocate,
    .lseek = serve_lseek,
    .copy_file_range = serve_copy,
};
