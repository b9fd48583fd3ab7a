/* channel: frames in, frames out; see channel.h. */
#include "sandboxd/guest/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "sandboxd/guest/fail.h"
#include "sandboxd/guest/frame.h"
#include "sandboxd/guest/loop.h"

struct out {
	struct out *next;
	unsigned char *data;
	size_t len, off;
};

static struct {
	struct watch in, out;
	struct frame_reader frames;
	struct out *first, **last;
	size_t queued;
	bool reads, writes; /* what is waited for */
	void (*handle)(const Ocu__Agent__Request *r);
} ch;

/* Without its host a sandbox has no purpose: the end of PID 1 ends everything in it. */
static _Noreturn void end(int status)
{
	_exit(status);
}

static void want(bool reads, bool writes)
{
	if (reads != ch.reads)
		loop_mod(&ch.in, reads ? EPOLLIN : 0);
	if (writes != ch.writes)
		loop_mod(&ch.out, writes ? EPOLLOUT : 0);
	ch.reads = reads;
	ch.writes = writes;
}

static void flush(void)
{
	while (ch.first) {
		struct out *o = ch.first;
		ssize_t n = write(ch.out.fd, o->data + o->off, o->len - o->off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			end(0);
		if (n < 0)
			break;
		o->off += (size_t)n;
		ch.queued -= (size_t)n;
		if (o->off < o->len)
			continue;
		ch.first = o->next;
		if (!ch.first)
			ch.last = &ch.first;
		free(o->data);
		free(o);
	}
	want(ch.queued < CHANNEL_QUEUE_MAX, ch.first != NULL);
}

static void enqueue(struct out *o, unsigned char *data, size_t len)
{
	*o = (struct out){.data = data, .len = len};
	*ch.last = o;
	ch.last = &o->next;
	ch.queued += len;
	flush();
}

void channel_reply(const Ocu__Agent__Reply *r)
{
	size_t len = 0;
	unsigned char *data = frame_pack(&r->base, FRAME_REPLY_MAX, &len);
	struct out *o = data ? malloc(sizeof *o) : NULL;

	if (o)
		enqueue(o, data, len);
	else
		end(71); /* a request that is never answered ends the sandbox after a while; so do it now */
}

void channel_fail(uint64_t request, const struct fail *f)
{
	Ocu__Agent__Reply r = OCU__AGENT__REPLY__INIT;

	r.id = request;
	r.code = (Ocu__Agent__Code)-f->code;
	r.text = (char *)f->text;
	channel_reply(&r);
}

static void take_frames(void)
{
	const unsigned char *data;
	size_t len;
	int rc;

	while ((rc = frame_reader_next(&ch.frames, &data, &len)) == 1) {
		Ocu__Agent__Request *r =
		    (Ocu__Agent__Request *)frame_unpack(&ocu__agent__request__descriptor, data, len);

		if (!r || r->id == 0)
			end(72);
		ch.handle(r);
		ocu__agent__request__free_unpacked(r, NULL);
	}
	if (rc < 0)
		end(72);
}

static void out_ready(struct watch *w, uint32_t events)
{
	(void)w;
	if (events & (EPOLLHUP | EPOLLERR))
		end(0);
	flush();
}

static void in_ready(struct watch *w, uint32_t events)
{
	long n = frame_reader_fill(&ch.frames, w->fd);

	(void)events;
	if (n == -EAGAIN)
		return;
	if (n <= 0)
		end(0);
	take_frames();
}

/* Close-on-exec: no program of the sandbox ever holds the way to the host. */
static int prepare(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	return 0;
}

int channel_init(int in, int out, void (*handle)(const Ocu__Agent__Request *r))
{
	int rc;

	if ((rc = prepare(in)) < 0 || (rc = prepare(out)) < 0)
		return rc;
	ch.in = (struct watch){.fd = in, .ready = in_ready};
	ch.out = (struct watch){.fd = out, .ready = out_ready};
	ch.handle = handle;
	ch.last = &ch.first;
	ch.reads = true;
	frame_reader_init(&ch.frames, FRAME_REQUEST_MAX);
	if ((rc = loop_add(&ch.in, EPOLLIN)) < 0)
		return rc;
	return loop_add(&ch.out, 0);
}
