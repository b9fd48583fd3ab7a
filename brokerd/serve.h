/*
 * serve: what the mount answers. One table of operations for libfuse; what is not in it (extended attributes,
 * locks, ioctl, poll) the kernel handles alone or refuses with ENOTSUP. Files keep the mode bits the guest
 * gave them, save set-user-id and, on files, set-group-id, which mean nothing on a nosuid mount; they all
 * belong to the guest's root.
 */
#ifndef BROKERD_SERVE_H
#define BROKERD_SERVE_H

#include <sys/stat.h>

#include "brokerd/fuse_version.h"
#include "brokerd/node.h"

struct handle;
struct mount;

extern const struct fuse_lowlevel_ops serve_ops;

/* Shared by the serve_* files. Unless said otherwise the tree lock of the volume must be held. */

/* What the guest is shown. */
void serve_attr(const struct mount *m, struct stat *st);
/* Finds name in parent: its node, referenced, and its attributes as the guest sees them. */
int serve_find(struct mount *m, struct node *parent, const char *name, struct node **ret, struct stat *st);
/* Answers with an entry; the lookup it makes is undone when the guest no longer waits. No lock needed. */
void serve_entry(struct mount *m, fuse_req_t req, struct node *n, const struct stat *st);
/* An O_PATH descriptor of what the node stands for, linked or pinned, to be closed; -ESTALE when it is gone.
 */
int serve_path_fd(struct mount *m, struct node *n);
/* A regular file's content: a descriptor to be closed. */
int serve_content_fd(struct mount *m, struct node *n, int flags);
int serve_stat(struct mount *m, struct node *n, struct stat *st);
/* A name is about to go: what stands there and a pin for its node. With the tree lock exclusive. */
struct serve_victim {
	struct stat st;
	struct node *node; /* referenced, or NULL when the kernel does not know it */
	int pin;
};
int serve_victim(struct nodes *t, struct node *parent, int dir, const char *name, struct serve_victim *ret);
/* It is gone: table and quota follow. kept: it is not, only references are given back. */
void serve_victim_gone(struct mount *m, struct serve_victim *v);
void serve_victim_kept(struct mount *m, struct serve_victim *v);
/* Closes what a handle held; the caller's reference is taken. No lock needed. */
void serve_close(struct mount *m, struct handle *h);

mode_t serve_file_mode(mode_t mode);
mode_t serve_dir_mode(mode_t mode);

/* Implemented in serve_change.c, serve_open.c, serve_io.c, serve_dir.c. */
void serve_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void serve_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void serve_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void serve_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void serve_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void serve_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                  const char *newname, unsigned int flags);
void serve_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname);
void serve_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi);
void serve_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void serve_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                  struct fuse_file_info *fi);
void serve_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void serve_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void serve_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
                 struct fuse_file_info *fi);
void serve_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void serve_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
                     struct fuse_file_info *fi);
void serve_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);
void serve_copy(fuse_req_t req, fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in,
                fuse_ino_t ino_out, off_t off_out, struct fuse_file_info *fi_out, size_t len, int flags);
void serve_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void serve_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void serve_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void serve_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void serve_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

#endif
