/*
 * confine: the only place where a name becomes a descriptor. Every open goes through openat2(2) with BENEATH,
 * NO_SYMLINKS, NO_MAGICLINKS and NO_XDEV, so neither "..", an absolute name, a symbolic link, a mount point
 * nor a rename in the middle of the walk leads out of the volume (NFR-SEC-31). Functions return 0 or a
 * descriptor, or a negative errno; nothing here blocks on a FIFO or a device.
 *
 * The guest's kernel has already decided who may do what (default_permissions); the broker is storage. Where
 * the mode bits a guest set would keep the broker itself out, it grants itself the owner bits for the one
 * call.
 */
#ifndef BROKERD_CONFINE_H
#define BROKERD_CONFINE_H

#include <errno.h>
#include <stdint.h>
#include <sys/stat.h>

/* Opens rel, a relative path, below root. flags are open(2)'s; O_NOFOLLOW, O_CLOEXEC, O_NOCTTY and O_NONBLOCK
 * are added. */
int confine_open(int root, const char *rel, int flags, mode_t mode);
/* A directory as an O_PATH descriptor. "" or "." is root itself. */
int confine_dir(int root, const char *rel);
/* The parent of path's last name, as an O_PATH descriptor. */
int confine_parent(int root, const char *path);
/* A regular file for reading or writing (O_ACCMODE, O_SYNC and O_DSYNC of flags are used). -ELOOP for a
 * symbolic link, -EISDIR, or -EINVAL for anything else that is no regular file. *ret is its fstat. */
int confine_file(int dir, const char *name, int flags, struct stat *ret);
/* A directory for reading its entries. */
int confine_list(int dir, const char *name);
/* Attributes of one name; a symbolic link is described, not followed. */
int confine_stat(int dir, const char *name, struct stat *ret);
/* Another open file description of what an O_PATH descriptor names. */
int confine_reopen(int fd, int flags);
/* chmod of what a descriptor, O_PATH or not, names. */
int confine_chmod(int fd, mode_t mode);

/* Owner bits lent to a directory whose mode keeps the broker out. begin returns 0 when the call is worth
 * repeating, and then holds a lock until end, which puts the mode back: between them stands one system call.
 */
struct confine_loan {
	int fd;
	mode_t mode;
};
int confine_loan_begin(struct confine_loan *l, int dir);
void confine_loan_end(struct confine_loan *l);
/* Repeats a call once under a loan: ret = CONFINE_LENT(dir, unlinkat(dir, name, 0)), 0 or more, or -errno. */
#define CONFINE_LENT(dir, call)                                                                              \
	({                                                                                                   \
		struct confine_loan loan_ = {.fd = -1};                                                      \
		long lent_ = (call);                                                                         \
		lent_ = lent_ < 0 ? -errno : lent_;                                                          \
		if (lent_ == -EACCES && confine_loan_begin(&loan_, (dir)) == 0) {                            \
			lent_ = (call);                                                                      \
			lent_ = lent_ < 0 ? -errno : lent_;                                                  \
			confine_loan_end(&loan_);                                                            \
		}                                                                                            \
		(int)lent_;                                                                                  \
	})

#endif
