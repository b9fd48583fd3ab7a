/* content: length bookkeeping around writes, truncation, open and close. */
#include "brokerd/content.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "brokerd/node.h"
#include "brokerd/quota.h"
#include "brokerd/readers.h"

void content_init(struct content *c, struct quota *q, struct readers *readers)
{
	c->quota = q;
	c->readers = readers;
	for (int i = 0; i < CONTENT_STRIPES; i++) {
		pthread_mutex_init(&c->stripe[i].lock, NULL);
		pthread_cond_init(&c->stripe[i].still, NULL);
	}
}

void content_done(struct content *c)
{
	for (int i = 0; i < CONTENT_STRIPES; i++) {
		pthread_mutex_destroy(&c->stripe[i].lock);
		pthread_cond_destroy(&c->stripe[i].still);
	}
}

static struct content_stripe *enter(struct content *c, const struct node *n)
{
	struct content_stripe *s = &c->stripe[n->id % CONTENT_STRIPES];
	pthread_mutex_lock(&s->lock);
	return s;
}

static void leave(struct content_stripe *s)
{
	pthread_mutex_unlock(&s->lock);
}

int content_opened(struct content *c, struct node *n, int fd)
{
	struct stat st;
	int r = 0;
	struct content_stripe *s = enter(c, n);
	if (n->opens == 0) {
		r = fstat(fd, &st) < 0 ? -errno : 0;
		n->size = r == 0 ? (uint64_t)st.st_size : 0;
	}
	if (r == 0)
		n->opens++;
	leave(s);
	return r;
}

void content_closed(struct content *c, struct node *n)
{
	struct content_stripe *s = enter(c, n);
	n->opens--;
	leave(s);
}

void content_unlinked(struct content *c, struct node *n, uint64_t size)
{
	struct content_stripe *s = enter(c, n);
	n->orphan = true;
	if (n->opens == 0)
		n->size = size;
	leave(s);
}

void content_freed(struct content *c, const struct node *n)
{
	if (n->orphan)
		readers_gone(c->readers, n->ino, n->size);
}

/* Calls may stop short of what they were charged for. While one is under way the file may still become as
 * long as it was promised; the last one settles. */
static void settle(struct content *c, struct node *n, int fd)
{
	struct stat st;
	struct content_stripe *s = enter(c, n);
	if (--n->growing == 0) {
		if (n->unsettled && fstat(fd, &st) == 0 && (uint64_t)st.st_size < n->size) {
			quota_resize(c->quota, n->size, (uint64_t)st.st_size);
			n->size = (uint64_t)st.st_size;
		}
		n->unsettled = false;
		if (n->cutting > 0)
			pthread_cond_broadcast(&s->still);
	}
	leave(s);
}

/* Charges growth to end; when 0, settle() must follow, also when there was no growth: a truncation would make
 * it one. */
static int charge(struct content *c, struct node *n, uint64_t end)
{
	int r = 0;
	struct content_stripe *s = enter(c, n);
	while (n->cutting > 0)
		pthread_cond_wait(&s->still, &s->lock);
	if (end > n->size) {
		r = quota_resize(c->quota, n->size, end);
		if (r == 0) {
			n->size = end;
			n->unsettled = true;
		}
	}
	n->growing += r == 0;
	leave(s);
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
	int r = charge(c, n, end);
	if (r < 0)
		return r;
	ssize_t done = act(arg);
	settle(c, n, fd);
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

/* With the stripe, and nothing growing the file. */
static int truncate_still(struct content *c, struct node *n, int fd, uint64_t size)
{
	struct stat st;
	int r = 0;
	uint64_t was = n->size;
	if (n->opens == 0)
		was = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	if (size > was)
		r = quota_resize(c->quota, was, size);
	if (r < 0)
		return r;
	if (ftruncate(fd, (off_t)size) < 0) {
		r = -errno;
		if (size > was)
			quota_resize(c->quota, size, was);
		return r;
	}
	if (size < was)
		quota_resize(c->quota, was, size);
	n->size = size;
	return 0;
}

int content_truncate(struct content *c, struct node *n, int fd, uint64_t size)
{
	struct content_stripe *s = enter(c, n);
	n->cutting++;
	while (n->growing > 0)
		pthread_cond_wait(&s->still, &s->lock);
	int r = truncate_still(c, n, fd, size);
	if (--n->cutting == 0)
		pthread_cond_broadcast(&s->still);
	leave(s);
	return r;
}
