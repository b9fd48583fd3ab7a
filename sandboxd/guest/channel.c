/* channel: frames in, frames out; see channel.h. */
#include "sandboxd/guest/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
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
	struct watch watch;
	struct frame_reader in;
	struct out *first, **last;
	size_t queued;
	uint32_t events;
	void (*handle)(const Ocu__Agent__Request *r);
} ch;

/* Without its host a sandbox has no purpose: the end of PID 1 ends everything in it. */
static _Noreturn void end(int status)
{
	_exit(status);
}

static void want(uint32_t events)
{
	if (events != ch.events)
		loop_mod(&ch.watch, events);
	ch.events = events;
}

static void flush(void)
{
	while (ch.first) {
		struct out *o = ch.first;
		ssize_t n = send(ch.watch.fd, o->data + o->off, o->len - o->off, MSG_DONTWAIT | MSG_NOSIGNAL);

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
	want((ch.first ? EPOLLOUT : 0) | (ch.queued < CHANNEL_QUEUE_MAX ? EPOLLIN : 0));
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

	while ((rc = frame_reader_next(&ch.in, &data, &len)) == 1) {
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

static void channel_ready(struct watch *w, uint32_t events)
{
	if (events & EPOLLOUT)
		flush();
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		long n = frame_reader_fill(&ch.in, w->fd);

		if (n == -EAGAIN)
			return;
		if (n <= 0)
			end(0);
		take_frames();
	}
}

int channel_init(int fd, void (*handle)(const Ocu__Agent__Request *r))
{
	/* Close-on-exec: no program of the sandbox ever holds the way to the host. */
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	ch.watch = (struct watch){.fd = fd, .ready = channel_ready};
	ch.handle = handle;
	ch.last = &ch.first;
	ch.events = EPOLLIN;
	frame_reader_init(&ch.in, FRAME_REQUEST_MAX);
	return loop_add(&ch.watch, EPOLLIN);
}
