/* serve_io: bytes of open files. Not recorded one by one: open says what for, close says how many. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "brokerd/broker.h"
#include "brokerd/meter.h"
#include "brokerd/mount.h"
#include "brokerd/serve.h"
#include "brokerd/volume.h"

#define COPY_STEP                                                                                            \
	(16u << 20) /* a copy gives its worker back after this many bytes; short copies are legal            \
	             */

void serve_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)ino;
	struct mount *m = fuse_req_userdata(req);
	struct pool_buffer *b = mount_buffer();
	struct handle *h = handle_get(&m->handles, HANDLE_FILE, fi->fh);
	ssize_t n = -EBADF;
	if (size > b->out_size)
		size = b->out_size;
	if (h) {
		do
			n = pread(h->fd, b->out, size, off);
		while (n < 0 && errno == EINTR);
		n = n < 0 ? -errno : n;
	}
	if (n >= 0) {
		atomic_fetch_add_explicit(&h->bytes_read, (uint64_t)n, memory_order_relaxed);
		meter_bytes((uint64_t)n, 0);
		fuse_reply_buf(req, b->out, (size_t)n);
	} else {
		fuse_reply_err(req, (int)-n);
	}
	handle_put(&m->handles, h);
	meter_request();
}

void serve_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
                 struct fuse_file_info *fi)
{
	(void)ino;
	struct mount *m = fuse_req_userdata(req);
	struct handle *h = handle_get(&m->handles, HANDLE_FILE, fi->fh);
	ssize_t n = -EBADF;
	if (h && h->writable)
		n = content_write(&m->content, h->node, h->fd, data, size, (uint64_t)off);
	if (n >= 0) {
		atomic_fetch_add_explicit(&h->bytes_written, (uint64_t)n, memory_order_relaxed);
		meter_bytes(0, (uint64_t)n);
		fuse_reply_write(req, (size_t)n);
	} else {
		if (n == -EDQUOT)
			meter_quota();
		fuse_reply_err(req, (int)-n);
	}
	handle_put(&m->handles, h);
	meter_request();
}

static int sync_fd(int fd, int datasync)
{
	return (datasync ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
}

static void sync_handle(fuse_req_t req, enum handle_kind kind, int datasync, uint64_t number)
{
	struct mount *m = fuse_req_userdata(req);
	struct handle *h = handle_get(&m->handles, kind, number);
	int r = h ? sync_fd(h->fd, datasync) : -EBADF;
	handle_put(&m->handles, h);
	fuse_reply_err(req, -r);
	meter_request();
}

void serve_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	sync_handle(req, HANDLE_FILE, datasync, fi->fh);
}

void serve_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	sync_handle(req, HANDLE_DIR, datasync, fi->fh);
}

struct allocation {
	int fd, mode;
	off_t off, len;
};

static ssize_t allocate(void *arg)
{
	const struct allocation *a = arg;
	return fallocate(a->fd, a->mode, a->off, a->len) < 0 ? -errno : 0;
}

/* Modes whose result in bytes is known beforehand. Blocks beyond the end of a file (KEEP_SIZE alone) would be
 * space that no quota sees, so that one is advice not taken. */
static int fallocate_handle(struct mount *m, struct handle *h, struct allocation *a)
{
	if (!h->writable)
		return -EBADF;
	if (a->off < 0 || a->len <= 0)
		return -EINVAL;
	if (a->off > LLONG_MAX - a->len)
		return -EFBIG;
	a->fd = h->fd;
	if (a->mode == 0 || a->mode == FALLOC_FL_ZERO_RANGE)
		return (int)content_grow(&m->content, h->node, h->fd, (uint64_t)(a->off + a->len), allocate,
		                         a);
	if (a->mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE))
		return (int)allocate(a);
	return -EOPNOTSUPP;
}

void serve_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
                     struct fuse_file_info *fi)
{
	(void)ino;
	struct mount *m = fuse_req_userdata(req);
	struct handle *h = handle_get(&m->handles, HANDLE_FILE, fi->fh);
	struct allocation a = {.mode = mode, .off = off, .len = len};
	int r = h ? fallocate_handle(m, h, &a) : -EBADF;
	if (r == -EDQUOT)
		meter_quota();
	handle_put(&m->handles, h);
	fuse_reply_err(req, -r);
	meter_request();
}

void serve_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	(void)ino;
	struct mount *m = fuse_req_userdata(req);
	struct handle *h = handle_get(&m->handles, HANDLE_FILE, fi->fh);
	off_t at = h ? lseek(h->fd, off, whence) : -1;
	int e = h ? errno : EBADF;
	handle_put(&m->handles, h);
	if (at >= 0)
		fuse_reply_lseek(req, at);
	else
		fuse_reply_err(req, e);
	meter_request();
}

struct copy_call {
	int in, out;
	off_t off_in, off_out;
	size_t len;
};

static ssize_t copy_bytes(void *arg)
{
	struct copy_call *c = arg;
	off_t in = c->off_in, out = c->off_out;
	ssize_t n = copy_file_range(c->in, &in, c->out, &out, c->len, 0);
	return n < 0 ? -errno : n;
}

static ssize_t copy_handles(struct mount *m, struct handle *in, struct handle *out, struct copy_call *c)
{
	if (!in || !out || !out->writable)
		return -EBADF;
	if (c->off_in < 0 || c->off_out < 0 || c->off_out > LLONG_MAX - (off_t)c->len)
		return -EINVAL;
	c->in = in->fd;
	c->out = out->fd;
	/* Programs ask for more than there is; only what there is may be charged. */
	struct stat st;
	if (fstat(in->fd, &st) < 0)
		return -errno;
	if (c->off_in >= st.st_size)
		return 0;
	if ((off_t)c->len > st.st_size - c->off_in)
		c->len = (size_t)(st.st_size - c->off_in);
	return content_grow(&m->content, out->node, out->fd, (uint64_t)c->off_out + c->len, copy_bytes, c);
}

void serve_copy(fuse_req_t req, fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in,
                fuse_ino_t ino_out, off_t off_out, struct fuse_file_info *fi_out, size_t len, int flags)
{
	(void)ino_in;
	(void)ino_out;
	struct mount *m = fuse_req_userdata(req);
	struct handle *in = handle_get(&m->handles, HANDLE_FILE, fi_in->fh);
	struct handle *out = handle_get(&m->handles, HANDLE_FILE, fi_out->fh);
	struct copy_call c = {.off_in = off_in, .off_out = off_out, .len = len < COPY_STEP ? len : COPY_STEP};
	ssize_t n = flags ? -EINVAL : copy_handles(m, in, out, &c);
	if (n >= 0) {
		atomic_fetch_add(&in->bytes_read, (uint64_t)n);
		atomic_fetch_add(&out->bytes_written, (uint64_t)n);
		meter_bytes((uint64_t)n, (uint64_t)n);
		fuse_reply_write(req, (size_t)n);
	} else {
		fuse_reply_err(req, (int)-n);
	}
	handle_put(&m->handles, in);
	handle_put(&m->handles, out);
	meter_request();
}
