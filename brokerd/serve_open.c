/* serve_open: opening, creating and closing files. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "brokerd/broker.h"
#include "brokerd/confine.h"
#include "brokerd/meter.h"
#include "brokerd/mount.h"
#include "brokerd/op.h"
#include "brokerd/path.h"
#include "brokerd/serve.h"
#include "brokerd/volume.h"

static bool writes(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

/* fd becomes a handle of n; both are taken care of on failure. */
static int make_handle(struct op *op, int fd, struct node *n, struct fuse_file_info *fi)
{
	struct mount *m = op->mount;
	struct handle *h = NULL;
	int r = content_opened(&m->content, n, fd);
	if (r < 0) {
		close(fd);
		return r;
	}
	if (op->flags & O_TRUNC)
		r = content_truncate(&m->content, n, fd, 0);
	if (r == 0)
		r = handle_open(&m->handles, HANDLE_FILE, fd, n, &fi->fh, &h);
	if (r < 0 || !h) {
		content_closed(&m->content, n);
		close(fd);
		return r;
	}
	node_ref(&m->nodes, n);
	h->writable = (op->flags & O_ACCMODE) != O_RDONLY;
	fi->keep_cache = 1;
	fi->noflush = !h->writable;
	handle_put(&m->handles, h);
	return 0;
}

void serve_close(struct mount *m, struct handle *h)
{
	struct node *n = h->node;
	uint64_t got = atomic_load(&h->bytes_read), put = atomic_load(&h->bytes_written);
	if (h->kind == HANDLE_FILE && (got || put)) {
		char raw[PATH_HANDLE_MAX * 4], text[PATH_HANDLE_MAX];
		path_handle(raw, node_path(&m->nodes, n, NULL, raw, sizeof raw), text);
		evidence_report(m->broker->audit, &(struct file_event){
		                                      .op = FILE_OP_CLOSE,
		                                      .face = FACE_MOUNT,
		                                      .volume = m->volume,
		                                      .handle = text,
		                                      .intent = put ? "write" : "read",
		                                      .bytes = BYTES_UNKNOWN,
		                                      .bytes_read = (int64_t)got,
		                                      .bytes_written = (int64_t)put,
		                                      .downloadable = m->broker->downloadable,
		                                  });
	}
	enum handle_kind kind = h->kind;
	handle_put(&m->handles, h);
	if (kind == HANDLE_FILE)
		content_closed(&m->content, n);
	node_unref(&m->nodes, n);
}

static void undo(struct mount *m, uint64_t number)
{
	struct handle *h = handle_close(&m->handles, HANDLE_FILE, number);
	if (h)
		serve_close(m, h);
}

static int run_open(struct op *op)
{
	struct mount *m = op->mount;
	struct fuse_file_info fi = {.flags = op->flags};
	int flags = op->flags;
	/* Truncation needs a descriptor that may write even when the guest asked for reading
	 * (O_RDONLY|O_TRUNC). */
	if ((flags & O_TRUNC) && (flags & O_ACCMODE) == O_RDONLY)
		flags = (flags & ~O_ACCMODE) | O_RDWR;
	pthread_rwlock_rdlock(&m->volume->tree);
	int fd = serve_content_fd(m, op->node, flags);
	int r = fd < 0 ? fd : make_handle(op, fd, op->node, &fi);
	pthread_rwlock_unlock(&m->volume->tree);
	if (r == 0 && fuse_reply_open(op->req, &fi) == -ENOENT)
		undo(m, fi.fh);
	return r;
}

/* The file: made, or, where the guest did not insist, the one that is there by now. */
static int create_in(struct op *op, int dir, bool *ret_made)
{
	struct quota *q = &op->mount->volume->quota;
	struct stat st;
	int flags = op->flags & (O_ACCMODE | O_SYNC | O_DSYNC);
	int r = quota_add_file(q);
	if (r < 0) {
		meter_quota();
		return r;
	}
	int fd = confine_open(dir, op->name, flags | O_CREAT | O_EXCL, serve_file_mode(op->mode));
	*ret_made = fd >= 0;
	if (fd < 0)
		quota_drop_file(q);
	return fd == -EEXIST && !(op->flags & O_EXCL) ? confine_file(dir, op->name, flags, &st) : fd;
}

static int create_locked(struct op *op, int dir, struct node **ret, struct stat *st,
                         struct fuse_file_info *fi)
{
	struct mount *m = op->mount;
	bool made = false;
	int fd = create_in(op, dir, &made);
	if (fd < 0)
		return fd;
	int r = fstat(fd, st) < 0 ? -errno : node_intern(&m->nodes, op->node, op->name, st, ret);
	if (r == 0)
		r = make_handle(op, fd, *ret, fi);
	else
		close(fd);
	if (r < 0 && made && CONFINE_LENT(dir, unlinkat(dir, op->name, 0)) == 0) {
		if (*ret)
			node_unlink(&m->nodes, *ret, -1);
		quota_drop_file(&m->volume->quota);
	}
	serve_attr(m, st);
	return r;
}

static void answer_create(struct op *op, struct node *n, const struct stat *st, struct fuse_file_info *fi)
{
	struct mount *m = op->mount;
	struct fuse_entry_param e = {
	    .ino = n->id,
	    .attr = *st,
	    .attr_timeout = m->broker->limits.entry_timeout,
	    .entry_timeout = m->broker->limits.entry_timeout,
	};
	node_looked_up(&m->nodes, n);
	if (fuse_reply_create(op->req, &e, fi) != -ENOENT)
		return;
	undo(m, fi->fh);
	node_forget(&m->nodes, e.ino, 1);
}

static int run_create(struct op *op)
{
	struct mount *m = op->mount;
	struct fuse_file_info fi = {.flags = op->flags};
	struct node *n = NULL;
	struct stat st;
	pthread_rwlock_rdlock(&m->volume->tree);
	int dir = node_dir_get(&m->nodes, op->node), r = dir;
	if (dir >= 0) {
		r = create_locked(op, dir, &n, &st, &fi);
		node_dir_put(&m->nodes, op->node);
	}
	pthread_rwlock_unlock(&m->volume->tree);
	if (r == 0 && n)
		answer_create(op, n, &st, &fi);
	node_unref(&m->nodes, n);
	return r;
}

void serve_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct op *op = op_new(req, FILE_OP_OPEN, run_open, ino, NULL);
	if (!op)
		return;
	op->flags = fi->flags;
	op->intent = writes(fi->flags) ? "write" : "read";
	op_submit(op);
}

void serve_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct op *op = op_new(req, FILE_OP_CREATE, run_create, parent, name);
	if (!op)
		return;
	op->flags = fi->flags;
	op->mode = mode;
	op_submit(op);
}

void serve_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	struct mount *m = fuse_req_userdata(req);
	struct handle *h = handle_close(&m->handles, HANDLE_FILE, fi->fh);
	if (h)
		serve_close(m, h);
	fuse_reply_err(req, h ? 0 : EBADF);
	meter_request();
}
