/* serve_change: operations that change names and attributes, each recorded before it is done (op.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "brokerd/broker.h"
#include "brokerd/confine.h"
#include "brokerd/meter.h"
#include "brokerd/mount.h"
#include "brokerd/op.h"
#include "brokerd/path.h"
#include "brokerd/serve.h"
#include "brokerd/volume.h"

/* Makes something new in the folder dir; 0 or -errno. */
typedef int make_fn(struct op *op, int dir);

static int make_dir(struct op *op, int dir)
{
	return CONFINE_LENT(dir, mkdirat(dir, op->name, serve_dir_mode(op->mode)));
}

static int make_node(struct op *op, int dir)
{
	mode_t mode = (op->mode & S_IFMT) | serve_file_mode(op->mode);
	return CONFINE_LENT(dir, mknodat(dir, op->name, mode, 0));
}

static int make_symlink(struct op *op, int dir)
{
	return CONFINE_LENT(dir, symlinkat(op->target, dir, op->name));
}

static int new_name(struct op *op, make_fn *make)
{
	struct mount *m = op->mount;
	struct node *n = NULL;
	struct stat st;
	int r = quota_add_file(&m->volume->quota);
	if (r < 0) {
		meter_quota();
		return r;
	}
	pthread_rwlock_rdlock(&m->volume->tree);
	int dir = node_dir_get(&m->nodes, op->node);
	r = dir < 0 ? dir : make(op, dir);
	if (dir >= 0)
		node_dir_put(&m->nodes, op->node);
	bool made = r == 0;
	if (made)
		r = serve_find(m, op->node, op->name, &n, &st);
	pthread_rwlock_unlock(&m->volume->tree);
	if (!made)
		quota_drop_file(&m->volume->quota);
	if (r == 0)
		serve_entry(m, op->req, n, &st);
	node_unref(&m->nodes, n);
	return r;
}

static int run_mkdir(struct op *op)
{
	if (node_depth(&op->mount->nodes, op->node) + 1 >= PATH_DEPTH_MAX)
		return -ENAMETOOLONG;
	return new_name(op, make_dir);
}

static int run_mknod(struct op *op)
{
	return new_name(op, make_node);
}

static int run_symlink(struct op *op)
{
	return new_name(op, make_symlink);
}

int serve_victim(struct nodes *t, struct node *parent, int dir, const char *name, struct serve_victim *ret)
{
	*ret = (struct serve_victim){.pin = -1};
	int r = confine_stat(dir, name, &ret->st);
	if (r < 0)
		return r;
	ret->node = parent ? node_child(t, parent, name) : NULL;
	if (ret->node && ret->node->ino != ret->st.st_ino) {
		node_unref(
		    t, ret->node); /* the kernel knows another file by this name; that one is gone already */
		ret->node = NULL;
	}
	if (ret->node) {
		int pin = confine_open(dir, name, O_PATH, 0);
		ret->pin = pin < 0 ? -1 : pin;
	}
	return 0;
}

void serve_victim_gone(struct mount *m, struct serve_victim *v)
{
	struct quota *q = &m->volume->quota;
	if (S_ISREG(v->st.st_mode)) {
		if (v->node)
			content_unlinked(&m->content, v->node, (uint64_t)v->st.st_size);
		else
			readers_gone(&m->volume->readers, v->st.st_ino, (uint64_t)v->st.st_size);
	}
	quota_drop_file(q);
	if (v->node)
		node_unlink(&m->nodes, v->node, v->pin);
	v->pin = -1;
	serve_victim_kept(m, v);
}

void serve_victim_kept(struct mount *m, struct serve_victim *v)
{
	node_unref(&m->nodes, v->node);
	v->node = NULL;
	if (v->pin >= 0)
		close(v->pin);
	v->pin = -1;
}

static int remove_name(struct op *op, int flags)
{
	struct mount *m = op->mount;
	struct serve_victim victim;
	pthread_rwlock_wrlock(&m->volume->tree);
	int dir = node_dir_get(&m->nodes, op->node), r = dir;
	if (dir >= 0) {
		r = serve_victim(&m->nodes, op->node, dir, op->name, &victim);
		if (r == 0) {
			r = CONFINE_LENT(dir, unlinkat(dir, op->name, flags));
			if (r == 0)
				serve_victim_gone(m, &victim);
			else
				serve_victim_kept(m, &victim);
		}
		node_dir_put(&m->nodes, op->node);
	}
	pthread_rwlock_unlock(&m->volume->tree);
	if (r == 0)
		fuse_reply_err(op->req, 0);
	return r;
}

static int run_unlink(struct op *op)
{
	return remove_name(op, 0);
}

static int run_rmdir(struct op *op)
{
	return remove_name(op, AT_REMOVEDIR);
}

/* The table after a rename; the file system has done it. */
static void follow_rename(struct op *op, struct node *moved, struct node *other)
{
	struct mount *m = op->mount;
	if (!(op->flags & RENAME_EXCHANGE)) {
		if (moved)
			node_move(&m->nodes, moved, op->node2, op->name2);
	} else if (moved && other) {
		node_exchange(&m->nodes, moved, other);
	} else if (moved) {
		node_move(&m->nodes, moved, op->node2, op->name2);
	} else if (other) {
		node_move(&m->nodes, other, op->node, op->name);
	}
}

static int rename_locked(struct op *op, int from, int to)
{
	struct mount *m = op->mount;
	struct serve_victim victim = {.pin = -1};
	bool replaces = !(op->flags & (RENAME_EXCHANGE | RENAME_NOREPLACE));
	bool existed = replaces && serve_victim(&m->nodes, op->node2, to, op->name2, &victim) == 0;
	struct node *moved = node_child(&m->nodes, op->node, op->name);
	struct node *other =
	    (op->flags & RENAME_EXCHANGE) ? node_child(&m->nodes, op->node2, op->name2) : NULL;
	/* The same file under both names cannot be (there are no hard links) save as the very same name. */
	bool same = op->node == op->node2 && strcmp(op->name, op->name2) == 0;
	int r = renameat2(from, op->name, to, op->name2, (unsigned)op->flags) < 0 ? -errno : 0;
	if (r == 0 && !same) {
		if (existed)
			serve_victim_gone(m, &victim);
		follow_rename(op, moved, other);
	}
	serve_victim_kept(m, &victim);
	node_unref(&m->nodes, moved);
	node_unref(&m->nodes, other);
	return r;
}

static int run_rename(struct op *op)
{
	struct mount *m = op->mount;
	if (node_depth(&m->nodes, op->node2) + 1 >= PATH_DEPTH_MAX)
		return -ENAMETOOLONG;
	pthread_rwlock_wrlock(&m->volume->tree);
	int from = node_dir_get(&m->nodes, op->node), r = from;
	if (from >= 0) {
		int to = node_dir_get(&m->nodes, op->node2);
		r = to < 0 ? to : rename_locked(op, from, to);
		if (to >= 0)
			node_dir_put(&m->nodes, op->node2);
		node_dir_put(&m->nodes, op->node);
	}
	pthread_rwlock_unlock(&m->volume->tree);
	if (r == 0)
		fuse_reply_err(op->req, 0);
	return r;
}

static int run_refused(struct op *op)
{
	(void)op;
	return -EPERM;
}

/* Size first: it is what can fail. */
static int apply_size(struct op *op)
{
	struct mount *m = op->mount;
	struct handle *h = op->has_handle ? handle_get(&m->handles, HANDLE_FILE, op->handle) : NULL;
	int fd = h && h->writable && h->node == op->node ? h->fd : -1;
	int own = fd >= 0 ? -1 : serve_content_fd(m, op->node, O_WRONLY);
	int r = own < 0 && fd < 0
	            ? own
	            : content_truncate(&m->content, op->node, fd >= 0 ? fd : own, (uint64_t)op->attr.st_size);
	if (own >= 0)
		close(own);
	handle_put(&m->handles, h);
	if (r == -EDQUOT)
		meter_quota();
	return r;
}

static int apply_mode(struct op *op, int fd)
{
	mode_t mode = op->attr.st_mode;
	if (op->node->type == S_IFLNK)
		return -EOPNOTSUPP;
	return confine_chmod(fd, op->node->type == S_IFDIR ? serve_dir_mode(mode) : serve_file_mode(mode));
}

static struct timespec time_to_set(int to_set, int value, int now, struct timespec at)
{
	if (to_set & now)
		at.tv_nsec = UTIME_NOW;
	else if (!(to_set & value))
		at.tv_nsec = UTIME_OMIT;
	return at;
}

static int apply_times(struct op *op, int fd)
{
	struct timespec ts[2] = {
	    time_to_set(op->to_set, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW, op->attr.st_atim),
	    time_to_set(op->to_set, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW, op->attr.st_mtim),
	};
	if (ts[0].tv_nsec == UTIME_OMIT && ts[1].tv_nsec == UTIME_OMIT)
		return 0;
	return utimensat(fd, "", ts, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int apply_attributes(struct op *op, struct stat *st)
{
	int r = op->to_set & FUSE_SET_ATTR_SIZE ? apply_size(op) : 0;
	if (r < 0)
		return r;
	int fd = serve_path_fd(op->mount, op->node);
	if (fd < 0)
		return fd;
	if (op->to_set & FUSE_SET_ATTR_MODE)
		r = apply_mode(op, fd);
	if (r == 0)
		r = apply_times(op, fd);
	if (r == 0)
		r = fstat(fd, st) < 0 ? -errno : 0;
	close(fd);
	serve_attr(op->mount, st);
	return r;
}

static int run_setattr(struct op *op)
{
	struct mount *m = op->mount;
	struct stat st;
	pthread_rwlock_rdlock(&m->volume->tree);
	int r = apply_attributes(op, &st);
	pthread_rwlock_unlock(&m->volume->tree);
	if (r == 0)
		fuse_reply_attr(op->req, &st, m->broker->limits.entry_timeout);
	return r;
}

void serve_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	(void)rdev;
	struct op *op = op_new(req, FILE_OP_MKNOD, run_mknod, parent, name);
	if (!op)
		return;
	op->mode = mode;
	/* FIFOs and sockets are names between the guest's own processes; devices would be the host's. */
	if (!S_ISREG(mode) && !S_ISFIFO(mode) && !S_ISSOCK(mode))
		op->refuse = EPERM;
	op_submit(op);
}

void serve_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct op *op = op_new(req, FILE_OP_MKDIR, run_mkdir, parent, name);
	if (!op)
		return;
	op->mode = mode;
	op_submit(op);
}

void serve_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct op *op = op_new(req, FILE_OP_UNLINK, run_unlink, parent, name);
	if (op)
		op_submit(op);
}

void serve_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct op *op = op_new(req, FILE_OP_RMDIR, run_rmdir, parent, name);
	if (op)
		op_submit(op);
}

void serve_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct op *op = op_new(req, FILE_OP_SYMLINK, run_symlink, parent, name);
	if (!op)
		return;
	op->target = strdup(target);
	if (!op->target)
		op->refuse = ENOMEM;
	op_submit(op);
}

void serve_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                  const char *newname, unsigned int flags)
{
	struct op *op = op_new(req, FILE_OP_RENAME, run_rename, parent, name);
	if (!op || !op_second(op, newparent, newname))
		return;
	op->flags = (int)flags;
	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		op->refuse = EINVAL;
	op_submit(op);
}

/* One name a file: with a second name the broker could no longer say what a path reaches, nor what it is
 * charged. */
void serve_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	struct op *op = op_new(req, FILE_OP_LINK, run_refused, ino, NULL);
	if (!op || !op_second(op, newparent, newname))
		return;
	op->refuse = EPERM;
	op_submit(op);
}

void serve_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	bool foreign = ((to_set & FUSE_SET_ATTR_UID) && attr->st_uid != m->uid) ||
	               ((to_set & FUSE_SET_ATTR_GID) && attr->st_gid != m->uid);
	enum file_op kind = foreign                       ? FILE_OP_CHOWN
	                    : to_set & FUSE_SET_ATTR_SIZE ? FILE_OP_TRUNCATE
	                                                  : FILE_OP_CHMOD;
	struct op *op = op_new(req, kind, run_setattr, ino, NULL);
	if (!op)
		return;
	op->attr = *attr;
	op->to_set = to_set;
	op->has_handle = fi != NULL;
	op->handle = fi ? fi->fh : 0;
	if (foreign)
		op->refuse = EPERM;
	if (foreign || (to_set & (FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_MODE)))
		op_submit(op);
	else
		op_run_now(op); /* times, or ownership as it is: nothing to record */
}
