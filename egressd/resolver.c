/* resolver: datagrams and streams. Both decide through answer.c; both answer through deliver(). */
#include "egressd/resolver.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "egressd/answer.h"
#include "egressd/egress.h"
#include "egressd/stats.h"
#include "libocu/buf.h"

#define DATAGRAM_BATCH    32
#define STREAM_IDLE_MS    10000u
#define STREAM_QUERY_MAX  1024u
#define STREAM_UNREAD_MAX 16384u

struct stream {
	struct grave grave;
	struct edge *edge;
	struct stream *next, **prev;
	struct watch watch;
	struct timer timer;
	struct ocu_buf in, out;
	unsigned refs; /* itself and pending answers */
	bool closed;
};

/* Where an answer goes. */
struct target {
	struct stream *stream; /* NULL: a datagram */
	struct sockaddr_in peer;
};

/* An answer that waits for its record. */
struct pending {
	struct verdict verdict;
	struct edge *edge;
	struct target to;
	struct answer answer;
};

#define STREAM_OF(ptr, member) ((struct stream *)((char *)(ptr)-offsetof(struct stream, member)))

static void free_stream(struct grave *g)
{
	struct stream *s = STREAM_OF(g, grave);

	ocu_buf_done(&s->in);
	ocu_buf_done(&s->out);
	edge_unref(s->edge);
	free(s);
}

static void stream_unref(struct stream *s)
{
	if (--s->refs == 0) {
		s->grave.free = free_stream;
		worker_bury(s->edge->worker, &s->grave);
	}
}

static void stream_close(struct stream *s)
{
	if (s->closed)
		return;
	s->closed = true;
	worker_unwatch(s->edge->worker, &s->watch);
	timers_cancel(&s->edge->worker->timers, &s->timer);
	*s->prev = s->next;
	if (s->next)
		s->next->prev = s->prev;
	s->edge->nstreams--;
	stream_unref(s);
}

static void stream_flush(struct stream *s)
{
	ssize_t n = s->out.len ? send(s->watch.fd, s->out.data, s->out.len, MSG_NOSIGNAL) : 0;

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		stream_close(s);
		return;
	}
	if (n > 0)
		ocu_buf_consume(&s->out, (size_t)n);
	if (worker_watch(s->edge->worker, &s->watch, EPOLLIN | (s->out.len ? EPOLLOUT : 0u)))
		stream_close(s);
}

static void deliver(struct edge *e, const struct target *to, const struct lookup_answer *a)
{
	const uint8_t size[2] = {(uint8_t)(a->len >> 8), (uint8_t)a->len};

	if (!to->stream) {
		if (e->udp.fd >= 0)
			(void)!sendto(e->udp.fd, a->text, a->len, 0, (const struct sockaddr *)&to->peer,
			              sizeof to->peer);
		return;
	}
	if (to->stream->closed)
		return;
	ocu_buf_put(&to->stream->out, size, 2);
	/* A guest that asks and does not read is not asked to go on. */
	if (ocu_buf_put(&to->stream->out, a->text, a->len))
		stream_close(to->stream);
	else
		stream_flush(to->stream);
}

static void on_recorded(struct verdict *v)
{
	struct pending *p = (struct pending *)v;

	if (v->code == 0 && p->answer.allowed)
		answer_recorded(p->edge, p->answer.host);
	if (v->code)
		stats_add(STAT_UNAUDITED, 1);
	if (!p->edge->closed)
		deliver(p->edge, &p->to, v->code ? &p->answer.failure : &p->answer.reply);
	if (p->to.stream)
		stream_unref(p->to.stream);
	edge_unref(p->edge);
	free(p);
}

static void record(struct edge *e, const struct target *to, const struct answer *a)
{
	struct pending *p = calloc(1, sizeof *p);

	if (!p) {
		json_decref(a->record.detail);
		deliver(e, to, &a->failure);
		return;
	}
	p->edge = e;
	p->to = *to;
	p->answer = *a;
	p->answer.record.resource = p->answer.host;
	p->answer.record.trace = p->answer.trace;
	p->verdict.done = on_recorded;
	edge_ref(e);
	if (to->stream)
		to->stream->refs++;
	events_commit(e->worker, e->session, &p->answer.record, &p->verdict);
}

/* False: over the rate; the caller drops it. */
static bool lookup(struct edge *e, const struct target *to, const uint8_t *msg, size_t len)
{
	unsigned rate = e->worker->egress->limits.dns_rate;
	struct answer a;

	if (!bucket_take(&e->lookups, e->worker->now_ms, rate, 2 * rate)) {
		stats_add(STAT_LOOKUPS_DROPPED, 1);
		return false;
	}
	answer_decide(e, msg, len, &a);
	if (a.kind == ANSWER_NOW)
		deliver(e, to, &a.reply);
	else if (a.kind == ANSWER_RECORD)
		record(e, to, &a);
	return true;
}

void resolver_on_datagram(struct watch *w, uint32_t events)
{
	struct edge *e = (struct edge *)((char *)w - offsetof(struct edge, udp));
	uint8_t msg[DNS_QUERY_MAX + 1];

	(void)events;
	for (int i = 0; i < DATAGRAM_BATCH; i++) {
		struct target to = {0};
		socklen_t len = sizeof to.peer;
		ssize_t n = recvfrom(w->fd, msg, sizeof msg, 0, (struct sockaddr *)&to.peer, &len);
		if (n < 0)
			return;
		if (len == sizeof to.peer && to.peer.sin_family == AF_INET)
			lookup(e, &to, msg, (size_t)n);
	}
}

/* ---- lookups over TCP (RFC 7766) ---- */

static void on_stream_timer(struct timer *t)
{
	stream_close(STREAM_OF(t, timer));
}

static void stream_messages(struct stream *s)
{
	struct target to = {.stream = s};

	while (!s->closed && s->in.len >= 2) {
		const uint8_t *p = (const uint8_t *)s->in.data;
		size_t len = (size_t)(p[0] << 8 | p[1]);
		if (len > STREAM_QUERY_MAX) {
			stream_close(s);
			return;
		}
		if (s->in.len < 2 + len)
			return;
		if (!lookup(s->edge, &to, p + 2, len)) {
			stream_close(s);
			return;
		}
		ocu_buf_consume(&s->in, 2 + len);
	}
}

static void on_stream(struct watch *w, uint32_t events)
{
	struct stream *s = STREAM_OF(w, watch);
	struct worker *worker = s->edge->worker;
	uint8_t data[2048];

	if (events & EPOLLOUT)
		stream_flush(s);
	if (s->closed || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	ssize_t n = recv(w->fd, data, sizeof data, 0);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) ||
	    (n > 0 && ocu_buf_put(&s->in, data, (size_t)n))) {
		stream_close(s);
		return;
	}
	if (n > 0) {
		timers_extend(&worker->timers, &s->timer, worker->now_ms + STREAM_IDLE_MS);
		stream_messages(s);
	}
}

static int stream_open(struct edge *e, int fd)
{
	struct stream *s = calloc(1, sizeof *s);

	if (!s)
		return -1;
	s->edge = e;
	s->refs = 1;
	s->watch = (struct watch){.fd = fd, .ready = on_stream};
	s->timer.fire = on_stream_timer;
	ocu_buf_init(&s->in, STREAM_QUERY_MAX + 2 + 2048);
	ocu_buf_init(&s->out, STREAM_UNREAD_MAX);
	if (timers_set(&e->worker->timers, &s->timer, e->worker->now_ms + STREAM_IDLE_MS) ||
	    worker_watch(e->worker, &s->watch, EPOLLIN)) {
		timers_cancel(&e->worker->timers, &s->timer);
		free(s);
		return -1;
	}
	edge_ref(e);
	s->next = e->streams;
	s->prev = &e->streams;
	if (s->next)
		s->next->prev = &s->next;
	e->streams = s;
	e->nstreams++;
	return 0;
}

void resolver_on_stream(struct watch *w, uint32_t events)
{
	struct edge *e = (struct edge *)((char *)w - offsetof(struct edge, dns));

	(void)events;
	for (int i = 0; i < DATAGRAM_BATCH; i++) {
		int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			edge_accept_failed(e, w);
			return;
		}
		if (e->nstreams >= RESOLVER_STREAMS || stream_open(e, fd))
			close(fd);
	}
}

void resolver_close_streams(struct edge *e)
{
	while (e->streams)
		stream_close(e->streams);
}
