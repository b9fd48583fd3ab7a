/* stream: bounded collectors and rings of program output; see stream.h. */
#include "sandboxd/guest/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CHUNK       (64u << 10)
#define PER_WAKEUP  ((size_t)256 << 10)
#define UNOWNED_MAX 64

static struct stream *unowned; /* newest first */

static void close_stream(struct stream *s)
{
	if (s->watch.fd < 0)
		return;
	loop_drop(&s->watch);
	close(s->watch.fd);
	s->watch.fd = -1;
	s->eof = true;
}

void stream_free(struct stream *s)
{
	if (!s)
		return;
	close_stream(s);
	free(s->data);
	free(s);
}

static void unowned_remove(struct stream *s)
{
	for (struct stream **p = &unowned; *p; p = &(*p)->next) {
		if (*p == s) {
			*p = s->next;
			return;
		}
	}
}

/* Storage for `need` bytes, doubling; false leaves what there is. */
static bool grow(struct stream *s, size_t need)
{
	size_t cap = s->cap ? s->cap : 4096;
	unsigned char *p;

	while (cap < need)
		cap *= 2;
	if (cap > s->max)
		cap = s->max;
	if (cap <= s->cap)
		return true;
	p = realloc(s->data, cap);
	if (!p)
		return false;
	s->data = p;
	s->cap = cap;
	return true;
}

static void keep_first(struct stream *s, const unsigned char *p, size_t n)
{
	size_t room = s->max - s->len;
	size_t take = n < room ? n : room;

	if (take == 0 || !grow(s, s->len + take))
		return;
	memcpy(s->data + s->len, p, take);
	s->len += take;
}

/* Byte number t of the program lives at t % cap: as long as the ring has not wrapped, cap only grows. */
static void keep_last(struct stream *s, const unsigned char *p, size_t n)
{
	if (s->total < s->max && !grow(s, s->total + n < s->max ? s->total + n : s->max))
		s->max = s->cap; /* the ring has wrapped early and must not grow any more */
	if (s->cap == 0)
		return;
	for (size_t done = 0; done < n;) {
		size_t at = (s->total + done) % s->cap;
		size_t run = s->cap - at < n - done ? s->cap - at : n - done;

		memcpy(s->data + at, p + done, run);
		done += run;
	}
	s->len = s->total + n < s->cap ? s->total + n : s->cap;
}

static void keep(struct stream *s, const unsigned char *p, size_t n)
{
	if (s->owner && s->ring)
		keep_last(s, p, n);
	else if (s->owner)
		keep_first(s, p, n);
	s->total += n;
}

void stream_drain(struct stream *s, size_t most)
{
	static unsigned char chunk[CHUNK];

	while (s->watch.fd >= 0 && most > 0) {
		ssize_t n = read(s->watch.fd, chunk, most < sizeof chunk ? most : sizeof chunk);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		/* A terminal without a program left answers EIO: that is its end. */
		if (n <= 0) {
			close_stream(s);
			return;
		}
		keep(s, chunk, (size_t)n);
		most -= (size_t)n;
	}
}

static void stream_ready(struct watch *w, uint32_t events)
{
	struct stream *s = (struct stream *)(void *)w;

	(void)events;
	stream_drain(s, PER_WAKEUP);
	if (s->owner) {
		s->changed(s->owner);
	} else if (s->eof) {
		unowned_remove(s);
		stream_free(s);
	}
}

struct stream *stream_new(int fd, bool ring, size_t max, void (*changed)(void *owner), void *owner)
{
	struct stream *s = calloc(1, sizeof *s);

	if (s) {
		*s = (struct stream){.watch = {.fd = fd, .ready = stream_ready},
		                     .changed = changed,
		                     .owner = owner,
		                     .ring = ring,
		                     .max = max};
		if (loop_add(&s->watch, EPOLLIN) == 0)
			return s;
	}
	close(fd);
	free(s);
	return NULL;
}

void stream_release(struct stream *s)
{
	struct stream **p;
	int n = 0;

	if (!s || s->eof) {
		stream_free(s);
		return;
	}
	free(s->data);
	s->data = NULL;
	s->len = s->cap = 0;
	s->owner = NULL;
	s->next = unowned;
	unowned = s;
	for (p = &unowned; *p; p = &(*p)->next) {
		if (++n > UNOWNED_MAX) {
			struct stream *oldest = *p;

			*p = NULL;
			stream_free(oldest);
			return;
		}
	}
}

uint64_t stream_dropped(const struct stream *s)
{
	return s ? s->total - s->len : 0;
}

size_t stream_read(const struct stream *s, uint64_t *offset, unsigned char *out, size_t max)
{
	uint64_t first = s->total - s->len;
	size_t n, done = 0;

	if (*offset < first)
		*offset = first;
	if (*offset >= s->total)
		return 0;
	n = s->total - *offset < max ? (size_t)(s->total - *offset) : max;
	while (done < n) {
		size_t at = (*offset + done) % s->cap;
		size_t run = s->cap - at < n - done ? s->cap - at : n - done;

		memcpy(out + done, s->data + at, run);
		done += run;
	}
	return n;
}
