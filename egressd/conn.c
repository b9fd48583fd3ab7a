/* conn: life and end of a connection, and which state an event goes to. */
#include "egressd/conn.h"

#include <linux/netfilter_ipv4.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "egressd/egress.h"
#include "egressd/names.h"
#include "egressd/registry.h"
#include "egressd/stats.h"
#include "libocu/clock.h"

#define FROM(ptr, member) ((struct conn *)((char *)(ptr)-offsetof(struct conn, member)))

struct worker *conn_worker(const struct conn *c)
{
	return c->edge->worker;
}

const struct limits *conn_limits(const struct conn *c)
{
	return &c->edge->worker->egress->limits;
}

void conn_timer(struct conn *c, unsigned ms)
{
	struct worker *w = conn_worker(c);

	if (timers_extend(&w->timers, &c->timer, w->now_ms + ms))
		conn_end(c, "out of memory");
}

void conn_destination(const struct conn *c, char out[CONN_TEXT_MAX])
{
	char text[ADDR_TEXT_MAX];

	if (c->host[0]) {
		snprintf(out, CONN_TEXT_MAX, "%s:%u", c->host, c->port);
		return;
	}
	addr_format(&c->asked, text);
	snprintf(out, CONN_TEXT_MAX, "%s", text);
}

const char *conn_via_name(const struct conn *c)
{
	static const char *const names[] = {"redirect", "proxy", "connect"};

	return names[c->via];
}

static void on_guest(struct watch *w, uint32_t events)
{
	struct conn *c = FROM(w, guest);

	if (c->state == CONN_FIRST)
		inspect_guest(c);
	else if (c->state == CONN_RELAY)
		relay_guest(c, events);
	else if (c->state == CONN_LINGER)
		refuse_linger(c);
}

static void on_up(struct watch *w, uint32_t events)
{
	struct conn *c = FROM(w, up);

	if (c->state == CONN_DIAL)
		dial_event(c);
	else if (c->state == CONN_RELAY)
		relay_up(c, events);
}

static void on_timer(struct timer *t)
{
	struct conn *c = FROM(t, timer);

	switch (c->state) {
	case CONN_FIRST:
		inspect_timeout(c);
		break;
	case CONN_RESOLVE:
	case CONN_DIAL:
		dial_timeout(c);
		break;
	case CONN_RELAY:
		relay_timeout(c);
		break;
	case CONN_RECORD:
	case CONN_COMMIT:
	case CONN_DENIED: /* the emitter answers in bounded time by itself */
		break;
	case CONN_LINGER:
		conn_end(c, "closed");
		break;
	}
}

static void on_head_timer(struct timer *t)
{
	struct conn *c = FROM(t, head_timer);

	if (c->state == CONN_RELAY && !relay_head_wait(c))
		return;
	refuse(c, OCU_E_EGRESS_PROTOCOL, "the beginning of a request took longer than %u ms",
	       conn_limits(c)->head_ms);
}

static void free_conn(struct grave *g)
{
	struct conn *c = FROM(g, grave);

	gate_done(&c->gate);
	ocu_buf_done(&c->first);
	ocu_buf_done(&c->out.pending);
	ocu_buf_done(&c->in.pending);
	edge_unref(c->edge);
	free(c);
}

/* SO_ORIGINAL_DST is what the guest asked for before the redirect. Without one (a listener the guest reaches
 * directly) the local address is. */
static int read_destination(struct conn *c, union addr *local)
{
	socklen_t len = sizeof *local;

	if (getsockname(c->guest.fd, &local->sa, &len) < 0)
		return -1;
	len = sizeof c->asked;
	if (getsockopt(c->guest.fd, SOL_IP, SO_ORIGINAL_DST, &c->asked, &len) < 0)
		c->asked = *local;
	return 0;
}

int conn_accept(struct edge *e, int fd)
{
	struct conn *c = calloc(1, sizeof *c);
	const int one = 1;
	union addr local = {0};

	if (!c)
		return -1;
	c->edge = e;
	c->guest = (struct watch){.fd = fd, .ready = on_guest};
	c->up = (struct watch){.fd = -1, .ready = on_up};
	c->timer.fire = on_timer;
	c->head_timer.fire = on_head_timer;
	if (read_destination(c, &local) || worker_watch(e->worker, &c->guest, EPOLLIN)) {
		free(c);
		return -1;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	ocu_buf_init(&c->first, HTTP_HEAD_MAX);
	ocu_buf_init(&c->out.pending, CONN_PENDING_MAX);
	ocu_buf_init(&c->in.pending, CONN_PENDING_MAX);
	gate_init(&c->gate, c->host, 0);
	ocu_id_new(OCU_ID_TRACE, c->trace);
	c->started_ns = ocu_mono_ns();
	c->started_ms = e->worker->now_ms;
	edge_ref(e);
	c->next = e->conns;
	c->prev = &e->conns;
	if (c->next)
		c->next->prev = &c->next;
	e->conns = c;
	e->nconns++;
	atomic_fetch_add(&e->session->connections, 1);
	atomic_fetch_add(&e->worker->egress->open, 1);
	stats_open(1);
	/* A connection to the redirected address itself speaks to the explicit proxy. */
	if (addr_equal(&local, &c->asked, false))
		c->via = VIA_PROXY;
	inspect_begin(c);
	return 0;
}

static void report_close(const struct conn *c, const char *why)
{
	char dest[CONN_TEXT_MAX], addr[ADDR_TEXT_MAX] = "";
	struct worker *w = conn_worker(c);

	conn_destination(c, dest);
	if (c->dialled)
		addr_format(&c->addrs[c->dialled - 1], addr);
	struct record r = {
	    .class_uid = OCU_OCSF_NETWORK_ACTIVITY,
	    .activity = NET_CLOSE,
	    .action = "net.close",
	    .resource = dest,
	    .trace = c->trace,
	    .outcome = OCU_OUTCOME_SUCCESS,
	    .detail = json_pack("{s:s, s:s, s:I, s:I, s:I}", "why", why, "address", addr, "bytes_out",
	                        (json_int_t)c->out.bytes, "bytes_in", (json_int_t)c->in.bytes, "duration_ms",
	                        (json_int_t)(w->now_ms - c->started_ms)),
	};
	events_report(w->egress, c->edge->session, &r);
}

void conn_end(struct conn *c, const char *why)
{
	struct worker *w = conn_worker(c);
	struct edge *e = c->edge;

	if (c->ended)
		return;
	c->ended = true;
	if (c->allowed)
		report_close(c, why);
	worker_unwatch(w, &c->guest);
	worker_unwatch(w, &c->up);
	timers_cancel(&w->timers, &c->timer);
	timers_cancel(&w->timers, &c->head_timer);
	lookup_cancel(&c->lookup);
	relay_uncount(c);
	if (c->name)
		names_release(c->name);
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	e->nconns--;
	atomic_fetch_sub(&e->session->connections, 1);
	atomic_fetch_sub(&w->egress->open, 1);
	stats_open(-1);
	stats_add(STAT_CLOSED, 1);
	c->grave.free = free_conn;
	/* A verdict under way still points here: it buries. */
	if (!c->committing)
		worker_bury(w, &c->grave);
}

static void reset_on_close(const struct watch *x)
{
	const struct linger now = {.l_onoff = 1};

	if (x->fd >= 0)
		setsockopt(x->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

void conn_sever(struct conn *c)
{
	reset_on_close(&c->guest);
	reset_on_close(&c->up);
	worker_unwatch(conn_worker(c), &c->guest);
	worker_unwatch(conn_worker(c), &c->up);
}

void conn_reset(struct conn *c, const char *why)
{
	conn_sever(c);
	conn_end(c, why);
}

void conn_cut(struct conn *c, int reason)
{
	conn_reset(c, ocu_err_reason(reason));
}
