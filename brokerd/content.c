/* content: length bookkeeping around writes, truncation, open and close. */
#include "brokerd/content.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "brokerd/node.h"
#include "brokerd/quota.h"

void content_init(struct content *c, struct quota *q)
{
	c->quota = q;
	for (int i = 0; i < CONTENT_STRIPES; i++)
		pthread_mutex_init(&c->stripe[i], NULL);
}

void content_done(struct content *c)
{
	for (int i = 0; i < CONTENT_STRIPES; i++)
		pthread_mutex_destroy(&c->stripe[i]);
}

static pthread_mutex_t *enter(struct content *c, const struct node *n)
{
	pthread_mutex_t *m = &c->stripe[n->id % CONTENT_STRIPES];
	pthread_mutex_lock(m);
	return m;
}

int content_opened(struct content *c, struct node *n, int fd)
{
	struct stat st;
	int r = 0;
	pthread_mutex_t *m = enter(c, n);
	if (n->opens == 0) {
		r = fstat(fd, &st) < 0 ? -errno : 0;
		n->size = r == 0 ? (uint64_t)st.st_size : 0;
	}
	if (r == 0)
		n->opens++;
	pthread_mutex_unlock(m);
	return r;
}

void content_closed(struct content *c, struct node *n)
{
	pthread_mutex_t *m = enter(c, n);
	n->opens--;
	pthread_mutex_unlock(m);
}

void content_unlinked(struct content *c, struct node *n, uint64_t size)
{
	pthread_mutex_t *m = enter(c, n);
	n->orphan = true;
	if (n->opens == 0)
		n->size = size;
	pthread_mutex_unlock(m);
}

void content_freed(struct content *c, const struct node *n)
{
	if (n->orphan)
		quota_drop_bytes(c->quota, n->size);
}

/* After a call that may have stopped short of what was charged. When somebody else has grown the file
 * meanwhile the charge is theirs and stays. */
static void settle(struct content *c, struct node *n, int fd, uint64_t promised)
{
	struct stat st;
	pthread_mutex_t *m = enter(c, n);
	if (n->size == promised && fstat(fd, &st) == 0 && (uint64_t)st.st_size < promised) {
		quota_resize(c->quota, promised, (uint64_t)st.st_size);
		n->size = (uint64_t)st.st_size;
	}
	pthread_mutex_unlock(m);
}

/* Charges growth to end; *ret_grew tells whether there was any. */
static int charge(struct content *c, struct node *n, uint64_t end, bool *ret_grew)
{
	int r = 0;
	pthread_mutex_t *m = enter(c, n);
	*ret_grew = end > n->size;
	if (*ret_grew) {
		r = quota_resize(c->quota, n->size, end);
		if (r == 0)
			n->size = end;
	}
	pthread_mutex_unlock(m);
	return r;
}

struct write_call {
	int fd;
	const char *data;
	size_t len;
	uint64_t offset;
};

static ssize_t write_all(void *arg)
{
	const struct write_call *w = arg;
	size_t done = 0;
	while (done < w->len) {
		ssize_t n = pwrite(w->fd, w->data + done, w->len - done, (off_t)(w->offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return done > 0 ? (ssize_t)done : -(n < 0 ? errno : EIO);
		done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t content_grow(struct content *c, struct node *n, int fd, uint64_t end, ssize_t (*act)(void *),
                     void *arg)
{
	bool grew;
	int r = charge(c, n, end, &grew);
	if (r < 0)
		return r;
	ssize_t done = act(arg);
	if (grew)
		settle(c, n, fd, end);
	return done;
}

ssize_t content_write(struct content *c, struct node *n, int fd, const void *data, size_t len,
                      uint64_t offset)
{
	struct write_call w = {.fd = fd, .data = data, .len = len, .offset = offset};
	if (len == 0)
		return 0;
	if (offset > INT64_MAX - len)
		return -EFBIG;
	return content_grow(c, n, fd, offset + len, write_all, &w);
}

int content_truncate(struct content *c, struct node *n, int fd, uint64_t size)
{
	struct stat st;
	int r = 0;
	pthread_mutex_t *m = enter(c, n);
	uint64_t was = n->size;
	if (n->opens == 0)
		was = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	if (size > was)
		r = quota_resize(c->quota, was, size);
	if (r == 0 && ftruncate(fd, (off_t)size) < 0) {
		r = -errno;
		if (size > was)
			quota_resize(c->quota, size, was);
	}
	if (r == 0) {
		if (size < was)
			quota_resize(c->quota, was, size);
		n->size = size;
	}
	pthread_mutex_unlock(m);
	return r;
}
