/*
 * relay: bytes both ways. What is read goes out at once from the worker's scratch buffer; only what the other
 * side does not take is kept, and then nothing more is read from that side: an idle connection holds no
 * buffer, and a slow one holds at most one read. A half-close is passed on as a half-close.
 */
#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "egressd/conn.h"
#include "egressd/egress.h"
#include "egressd/stats.h"

/* Once one side has ended, the other is not waited for as long. */
#define HALF_CLOSED_MS 60000u

static bool flow_empty(const struct flow *f)
{
	return f->sent == f->pending.len;
}

static uint32_t interest(const struct flow *reads, bool may_read, const struct flow *writes)
{
	return (!reads->eof && flow_empty(reads) && may_read ? EPOLLIN : 0u) |
	       (flow_empty(writes) ? 0u : EPOLLOUT);
}

bool relay_head_wait(const struct conn *c)
{
	return gate_partial(&c->gate) || (gate_undecided(&c->gate) && gate_web_port(c->port));
}

/* The bytes that name a destination are timed from the first of them, not from the last. */
static void time_head(struct conn *c)
{
	struct worker *w = conn_worker(c);

	if (!relay_head_wait(c))
		timers_cancel(&w->timers, &c->head_timer);
	else if (c->head_timer.slot == 0 || c->head_steps != c->gate.steps)
		timers_set(&w->timers, &c->head_timer, w->now_ms + conn_limits(c)->head_ms);
	c->head_steps = c->gate.steps;
}

static void count(struct conn *c, struct flow *f, size_t now)
{
	c->edge->held += now - f->counted;
	f->counted = now;
}

void relay_uncount(struct conn *c)
{
	count(c, &c->out, 0);
	count(c, &c->in, 0);
}

static size_t read_size(const struct conn *c)
{
	return c->edge->held < CONN_HELD_MAX ? WORKER_SCRATCH : CONN_READ_SMALL;
}

/* Passes an end on, sets what is waited for, and ends the connection when both directions are through. */
static void update(struct conn *c)
{
	struct worker *w = conn_worker(c);
	const struct limits *l = conn_limits(c);

	count(c, &c->out, c->out.pending.len);
	count(c, &c->in, c->in.pending.len);
	if (c->out.eof && flow_empty(&c->out) && !c->out.shut) {
		c->out.shut = true;
		shutdown(c->up.fd, SHUT_WR);
	}
	if (c->in.eof && flow_empty(&c->in) && !c->in.shut) {
		c->in.shut = true;
		shutdown(c->guest.fd, SHUT_WR);
	}
	if (c->out.shut && c->in.shut) {
		conn_end(c, "closed");
		return;
	}
	if (worker_watch(w, &c->guest, interest(&c->out, gate_room(&c->gate) > 0, &c->in)) ||
	    worker_watch(w, &c->up, interest(&c->in, true, &c->out))) {
		conn_reset(c, "out of memory");
		return;
	}
	time_head(c);
	bool half = c->out.eof || c->in.eof;
	conn_timer(c, half && HALF_CLOSED_MS < l->idle_ms ? HALF_CLOSED_MS : l->idle_ms);
}

static bool broken(ssize_t n)
{
	return n < 0 && errno != EAGAIN && errno != EINTR;
}

static int flush(struct flow *f, int fd, enum egress_stat counter)
{
	while (!flow_empty(f)) {
		ssize_t n = send(fd, f->pending.data + f->sent, f->pending.len - f->sent, MSG_NOSIGNAL);
		if (n < 0)
			return broken(n) ? -1 : 0;
		f->sent += (size_t)n;
		f->bytes += (size_t)n;
		stats_add(counter, (size_t)n);
	}
	if (f->pending.cap) {
		size_t max = f->pending.max;
		ocu_buf_done(&f->pending);
		ocu_buf_init(&f->pending, max);
		f->sent = 0;
	}
	return 0;
}

/* Writes data now, keeps the rest. Only called while nothing is pending. */
static int pass(struct flow *f, int fd, const uint8_t *data, size_t len, enum egress_stat counter)
{
	ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

	if (broken(n))
		return -1;
	size_t sent = n > 0 ? (size_t)n : 0;
	f->bytes += sent;
	stats_add(counter, sent);
	return sent == len ? 0 : ocu_buf_put(&f->pending, data + sent, len - sent);
}

static void from_guest(struct conn *c)
{
	struct worker *w = conn_worker(c);
	size_t room = gate_room(&c->gate), size = read_size(c);
	ssize_t n = recv(c->guest.fd, w->scratch, room < size ? room : size, 0);

	if (broken(n)) {
		conn_reset(c, "reset by the guest");
		return;
	}
	if (n < 0)
		return;
	if (n == 0) {
		c->out.eof = true;
		update(c);
		return;
	}
	int rc;
	if (c->gate.state == GATE_OPEN && c->gate.hold.len == 0) {
		rc = pass(&c->out, c->up.fd, w->scratch, (size_t)n, STAT_BYTES_OUT);
	} else {
		if (gate_undecided(&c->gate) && c->speaks == SPEAKS_UNKNOWN)
			c->speaks = inspect_speaks(c, (const char *)w->scratch, (size_t)n);
		rc = gate_feed(&c->gate, w->scratch, (size_t)n, &c->out.pending, &c->why);
		if (rc) {
			refuse(c, rc, "%s", c->why.text);
			return;
		}
		rc = flush(&c->out, c->up.fd, STAT_BYTES_OUT);
	}
	if (rc)
		conn_reset(c, "reset by the destination");
	else
		update(c);
}

static void from_up(struct conn *c)
{
	struct worker *w = conn_worker(c);
	ssize_t n = recv(c->up.fd, w->scratch, read_size(c), 0);

	if (broken(n)) {
		conn_reset(c, "reset by the destination");
		return;
	}
	if (n < 0)
		return;
	if (n == 0)
		c->in.eof = true;
	int rc = n > 0 ? gate_answer(&c->gate, w->scratch, (size_t)n, &c->out.pending, &c->why) : 0;
	if (rc) {
		refuse(c, rc, "%s", c->why.text);
		return;
	}
	if ((n > 0 && pass(&c->in, c->guest.fd, w->scratch, (size_t)n, STAT_BYTES_IN)) ||
	    flush(&c->out, c->up.fd, STAT_BYTES_OUT))
		conn_reset(c, "reset");
	else
		update(c);
}

void relay_guest(struct conn *c, uint32_t events)
{
	if (flush(&c->in, c->guest.fd, STAT_BYTES_IN)) {
		conn_reset(c, "reset by the guest");
		return;
	}
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && (c->guest.events & EPOLLIN))
		from_guest(c);
	else if (events & EPOLLERR)
		conn_reset(c, "reset by the guest");
	else
		update(c);
}

void relay_up(struct conn *c, uint32_t events)
{
	if (flush(&c->out, c->up.fd, STAT_BYTES_OUT)) {
		conn_reset(c, "reset by the destination");
		return;
	}
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && (c->up.events & EPOLLIN))
		from_up(c);
	else if (events & EPOLLERR)
		conn_reset(c, "reset by the destination");
	else
		update(c);
}

void relay_begin(struct conn *c)
{
	static const char established[] = "HTTP/1.1 200 Connection established\r\n\r\n";

	c->state = CONN_RELAY;
	if (c->via == VIA_CONNECT) {
		/* Not counted: these bytes are ours, and the tunnel may still be refused in the protocol
		 * inside it. */
		(void)!send(c->guest.fd, established, sizeof established - 1, MSG_NOSIGNAL);
		c->speaks = inspect_speaks(c, c->first.data, c->first.len);
		int rc = gate_feed(&c->gate, c->first.data, c->first.len, &c->out.pending, &c->why);
		if (rc) {
			refuse(c, rc, "%s", c->why.text);
			return;
		}
	}
	ocu_buf_done(&c->first);
	if (flush(&c->out, c->up.fd, STAT_BYTES_OUT))
		conn_reset(c, "reset by the destination");
	else
		update(c);
}

void relay_timeout(struct conn *c)
{
	conn_reset(c, "idle");
}
