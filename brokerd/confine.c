/* confine: openat2 with every restriction, and loans of owner bits. */
#include "brokerd/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libocu/cleanup.h"

#define RESOLVE_ALL  (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV)
#define OWNER_BITS   0700
#define RETRY_EAGAIN 64 /* a rename elsewhere on the host can make the kernel give up a walk; it says so */

/* One loan at a time: a second borrower must not take the lent mode for the real one. */
static pthread_mutex_t loan_lock = PTHREAD_MUTEX_INITIALIZER;

static int openat2_beneath(int root, const char *rel, int flags, mode_t mode)
{
	struct open_how how = {
	    .flags = (uint64_t)(flags | O_NOFOLLOW | O_CLOEXEC),
	    .mode = (flags & O_CREAT) ? mode : 0,
	    .resolve = RESOLVE_ALL,
	};
	for (int i = 0;; i++) {
		int fd = (int)syscall(SYS_openat2, root, rel, &how, sizeof how);
		if (fd >= 0)
			return fd;
		if (errno != EINTR && (errno != EAGAIN || i >= RETRY_EAGAIN))
			return -errno;
	}
}

/* One name in dir, with the owner bits lent where dir's own mode keeps the broker out. */
static int open_in(int dir, const char *name, int flags, mode_t mode)
{
	struct confine_loan loan;
	int fd = openat2_beneath(dir, name, flags, mode);
	if (fd != -EACCES || confine_loan_begin(&loan, dir) < 0)
		return fd;
	fd = openat2_beneath(dir, name, flags, mode);
	confine_loan_end(&loan);
	return fd;
}

/* The slow walk: name by name, lending on the way. */
static int walk(int root, const char *rel)
{
	int at = open_in(root, ".", O_PATH | O_DIRECTORY, 0);
	for (const char *p = rel; *p && at >= 0;) {
		char name[256];
		size_t n = strcspn(p, "/");
		int next = -ENAMETOOLONG;
		if (n > 0 && n < sizeof name) {
			memcpy(name, p, n);
			name[n] = 0;
			next = open_in(at, name, O_PATH | O_DIRECTORY, 0);
		}
		close(at);
		at = next;
		p += n + (p[n] == '/');
	}
	return at;
}

int confine_dir(int root, const char *rel)
{
	int fd = openat2_beneath(root, *rel ? rel : ".", O_PATH | O_DIRECTORY, 0);
	return fd == -EACCES ? walk(root, rel) : fd;
}

int confine_parent(int root, const char *path)
{
	char parent[4096];
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;
	if (n >= sizeof parent)
		return -ENAMETOOLONG;
	memcpy(parent, path, n);
	parent[n] = 0;
	return confine_dir(root, parent);
}

int confine_open(int root, const char *rel, int flags, mode_t mode)
{
	int extra = (flags & O_PATH) ? 0 : O_NOCTTY | O_NONBLOCK;
	int fd = openat2_beneath(root, rel, flags | extra, mode);
	if (fd != -EACCES)
		return fd;
	OCU_CLOSE int dir = confine_parent(root, rel);
	const char *slash = strrchr(rel, '/');
	return dir < 0 ? dir : open_in(dir, slash ? slash + 1 : rel, flags | extra, mode);
}

static int type_error(mode_t mode)
{
	if (S_ISLNK(mode))
		return -ELOOP;
	return S_ISDIR(mode) ? -EISDIR : -EINVAL;
}

/* Something whose own mode keeps the broker out: lend it the owner bits through an O_PATH descriptor. */
static int open_lent(int dir, const char *name, int flags, mode_t type, mode_t bits)
{
	OCU_CLOSE int path = confine_open(dir, name, O_PATH, 0);
	struct stat st;
	if (path < 0)
		return path;
	pthread_mutex_lock(&loan_lock);
	int r = fstat(path, &st) < 0 ? -errno : (st.st_mode & S_IFMT) == type ? 0 : type_error(st.st_mode);
	if (r == 0)
		r = confine_chmod(path, (st.st_mode & 07777) | bits);
	if (r == 0) {
		r = confine_reopen(path, flags);
		confine_chmod(path, st.st_mode & 07777);
	}
	pthread_mutex_unlock(&loan_lock);
	return r;
}

int confine_file(int dir, const char *name, int flags, struct stat *ret)
{
	flags &= O_ACCMODE | O_SYNC | O_DSYNC;
	OCU_CLOSE int fd = confine_open(dir, name, flags, 0);
	if (fd == -EACCES)
		fd = open_lent(dir, name, flags, S_IFREG, 0600);
	if (fd < 0) {
		/* A FIFO without a reader, or a socket, cannot be opened at all: to the caller it is no
		 * regular file. */
		return fd == -ENXIO ? -EINVAL : fd;
	}
	if (fstat(fd, ret) < 0)
		return -errno;
	return S_ISREG(ret->st_mode) ? ocu_steal_fd(&fd) : type_error(ret->st_mode);
}

int confine_list(int dir, const char *name)
{
	int fd = confine_open(dir, name, O_RDONLY | O_DIRECTORY, 0);
	return fd == -EACCES ? open_lent(dir, name, O_RDONLY | O_DIRECTORY, S_IFDIR, OWNER_BITS) : fd;
}

int confine_stat(int dir, const char *name, struct stat *ret)
{
	return CONFINE_LENT(dir, fstatat(dir, name, ret, AT_SYMLINK_NOFOLLOW));
}

/* /proc/self/fd is the portable way back from an O_PATH descriptor; the name is ours, not a peer's. */
static void self_path(int fd, char out[32])
{
	snprintf(out, 32, "/proc/self/fd/%d", fd);
}

int confine_reopen(int fd, int flags)
{
	char path[32];
	self_path(fd, path);
	int r = open(path, (flags & ~O_NOFOLLOW) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return r < 0 ? -errno : r;
}

int confine_chmod(int fd, mode_t mode)
{
	char path[32];
	if (fchmod(fd, mode) == 0)
		return 0;
	if (errno != EBADF)
		return -errno;
	self_path(fd, path);
	return chmod(path, mode) < 0 ? -errno : 0;
}

int confine_loan_begin(struct confine_loan *l, int dir)
{
	struct stat st;
	int r = -EACCES;
	pthread_mutex_lock(&loan_lock);
	if (fstat(dir, &st) < 0)
		r = -errno;
	else if (S_ISDIR(st.st_mode) && (st.st_mode & OWNER_BITS) != OWNER_BITS)
		r = confine_chmod(dir, (st.st_mode & 07777) | OWNER_BITS);
	if (r < 0) {
		pthread_mutex_unlock(&loan_lock);
		return r;
	}
	*l = (struct confine_loan){.fd = dir, .mode = st.st_mode & 07777};
	return 0;
}

void confine_loan_end(struct confine_loan *l)
{
	confine_chmod(l->fd, l->mode);
	pthread_mutex_unlock(&loan_lock);
}
