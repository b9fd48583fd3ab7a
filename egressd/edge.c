/* edge: opening, accepting, closing. */
#include "egressd/edge.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "egressd/conn.h"
#include "egressd/egress.h"
#include "egressd/events.h"
#include "egressd/names.h"
#include "egressd/policy.h"
#include "egressd/registry.h"
#include "egressd/resolver.h"
#include "egressd/stats.h"
#include "libocu/denylist.h"
#include "libocu/err.h"

#define ACCEPT_BATCH    32
#define ACCEPT_PAUSE_MS 50

static struct edge *of_tcp(struct watch *w)
{
	return (struct edge *)((char *)w - offsetof(struct edge, tcp));
}

int edge_admitted(const struct edge *e)
{
	struct ocu_denylist *d = e->worker->egress->denylist;
	int rc = ocu_denylist_check(d, OCU_DENY_SESSION, e->session->id, NULL);

	if (e->session->dropped)
		return OCU_E_SESSION_GONE;
	return rc ? rc : ocu_denylist_check(d, OCU_DENY_CALLER, e->session->caller, NULL);
}

/* Seconds' worth of connections that may come at once. */
#define CONNECT_BURST 10u

/* Refused connections get a reset: nothing of them is kept, not even a lingering close. */
static void refuse_excess(struct edge *e, int fd)
{
	const struct linger now = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	close(fd);
	stats_denied(OCU_E_EGRESS_LIMIT);
	if (shape_denial(&e->shape, e->worker->now_ms, SHAPE_NET, OCU_E_EGRESS_LIMIT)) {
		struct record r = {
		    .class_uid = OCU_OCSF_NETWORK_ACTIVITY,
		    .activity = NET_REFUSE,
		    .action = "net.deny",
		    .resource = "connection",
		    .outcome = OCU_OUTCOME_DENIED,
		    .reason = OCU_E_EGRESS_LIMIT,
		    .detail = json_pack("{s:I}", "open", (json_int_t)e->nconns),
		};
		events_report(e->worker->egress, e->session, &r);
	}
}

static bool within_limits(struct edge *e)
{
	struct egress *g = e->worker->egress;

	return e->nconns < g->limits.session_connections && atomic_load(&g->open) < g->limits.connections;
}

/* What comes beyond a session's rate waits in the listener's backlog. */
static bool within_rate(struct edge *e, bool (*bucket)(struct bucket *, uint64_t, uint32_t, uint32_t))
{
	uint32_t rate = e->worker->egress->limits.connect_rate;

	return bucket(&e->connects, e->worker->now_ms, rate, CONNECT_BURST * rate);
}

static void pause_accepting(struct edge *e, struct watch *listener)
{
	worker_watch(e->worker, listener, 0);
	timers_set(&e->worker->timers, &e->pause, e->worker->now_ms + ACCEPT_PAUSE_MS);
}

/* Out of descriptors or memory: the listener would report itself without end. */
void edge_accept_failed(struct edge *e, struct watch *listener)
{
	if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		pause_accepting(e, listener);
}

static void on_connection(struct watch *w, uint32_t events)
{
	struct edge *e = of_tcp(w);

	(void)events;
	for (int i = 0; i < ACCEPT_BATCH && !e->closed; i++) {
		if (!within_rate(e, bucket_ready)) {
			stats_add(STAT_PAUSED, 1);
			pause_accepting(e, w);
			return;
		}
		int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			edge_accept_failed(e, w);
			return;
		}
		stats_add(STAT_ACCEPTED, 1);
		if (!within_limits(e) || conn_accept(e, fd))
			refuse_excess(e, fd);
		else
			within_rate(e, bucket_take);
	}
}

static void on_pause_over(struct timer *t)
{
	struct edge *e = (struct edge *)((char *)t - offsetof(struct edge, pause));

	if (e->tcp.fd >= 0)
		worker_watch(e->worker, &e->tcp, EPOLLIN);
	if (e->dns.fd >= 0)
		worker_watch(e->worker, &e->dns, EPOLLIN);
}

static void on_summary(struct timer *t)
{
	struct edge *e = (struct edge *)((char *)t - offsetof(struct edge, summary));

	events_summary(e->worker->egress, e->session, &e->shape);
	timers_set(&e->worker->timers, t, e->worker->now_ms + SHAPE_SUMMARY_MS);
}

static void free_edge(struct grave *g)
{
	struct edge *e = (struct edge *)((char *)g - offsetof(struct edge, grave));

	names_free(e->names);
	policy_unref(e->policy);
	session_unref(e->session);
	free(e);
}

void edge_ref(struct edge *e)
{
	e->refs++;
}

void edge_unref(struct edge *e)
{
	if (--e->refs == 0) {
		e->grave.free = free_edge;
		worker_bury(e->worker, &e->grave);
	}
}

static int watch_all(struct edge *e, const int fds[3])
{
	struct watch *const watches[] = {&e->tcp, &e->udp, &e->dns};

	for (int i = 0; i < 3; i++) {
		watches[i]->fd = fds[i];
		if (fcntl(fds[i], F_SETFL, O_NONBLOCK) < 0 || worker_watch(e->worker, watches[i], EPOLLIN)) {
			/* The descriptors stay the caller's. */
			for (int k = 0; k <= i; k++) {
				worker_watch(e->worker, watches[k], 0);
				watches[k]->fd = -1;
			}
			return -1;
		}
	}
	return 0;
}

static void stop_listening(struct edge *e)
{
	timers_cancel(&e->worker->timers, &e->pause);
	worker_unwatch(e->worker, &e->tcp);
	worker_unwatch(e->worker, &e->udp);
	worker_unwatch(e->worker, &e->dns);
	resolver_close_streams(e);
}

static struct edge *edge_new(struct worker *w, struct session *s, struct policy *policy)
{
	struct edge *e = calloc(1, sizeof *e);

	if (!e || !(e->names = names_new(w->egress->limits.names))) {
		free(e);
		return NULL;
	}
	e->worker = w;
	e->tcp = (struct watch){.fd = -1, .ready = on_connection};
	e->udp = (struct watch){.fd = -1, .ready = resolver_on_datagram};
	e->dns = (struct watch){.fd = -1, .ready = resolver_on_stream};
	e->pause.fire = on_pause_over;
	e->summary.fire = on_summary;
	e->session = session_ref(s);
	e->policy = policy_ref(policy);
	e->refs = 1;
	e->next = w->edges;
	e->prev = &w->edges;
	if (e->next)
		e->next->prev = &e->next;
	w->edges = e;
	timers_set(&w->timers, &e->summary, w->now_ms + SHAPE_SUMMARY_MS);
	atomic_store(&s->listening, true);
	stats_sessions(1);
	return e;
}

int edge_open(struct worker *w, struct session *s, struct policy *policy, const int fds[3],
              struct ocu_error *err)
{
	/* The id may have been dropped and registered again since w was chosen: a drop of the session of now
	 * looks for its edge on that one's worker. */
	if (s->worker != w)
		return ocu_error_set(err, OCU_E_SESSION_GONE, "the session was dropped");
	struct edge *e = edge_find(w, s);
	/* sandboxd hands over again when its connection was lost: the new sockets take the place of the old.
	 */
	if (e)
		stop_listening(e);
	else if (!(e = edge_new(w, s, policy)))
		return ocu_error_set(err, OCU_E_NOMEM, "edge");
	if (watch_all(e, fds)) {
		ocu_error_errno(err, OCU_E_IO, errno, "watching the listeners");
		edge_close(e, OCU_E_IO);
		return OCU_E_IO;
	}
	return 0;
}

struct edge *edge_find(struct worker *w, const struct session *s)
{
	struct edge *e = w->edges;

	while (e && e->session != s)
		e = e->next;
	return e;
}

unsigned edge_close(struct edge *e, int reason)
{
	unsigned n = e->nconns;

	e->closed = true;
	atomic_store(&e->session->listening, false);
	/* sandboxd has the sockets, too: a dropped session's must not go on completing handshakes until it
	 * closes them. */
	if (e->session->dropped) {
		shutdown(e->tcp.fd, SHUT_RDWR);
		shutdown(e->dns.fd, SHUT_RDWR);
	}
	stop_listening(e);
	for (struct conn *c = e->conns; c; c = c->next)
		conn_sever(c);
	while (e->conns)
		conn_cut(e->conns, reason);
	timers_cancel(&e->worker->timers, &e->summary);
	events_summary(e->worker->egress, e->session, &e->shape);
	*e->prev = e->next;
	if (e->next)
		e->next->prev = e->prev;
	stats_sessions(-1);
	edge_unref(e);
	return n;
}

void edge_set_policy(struct edge *e, struct policy *policy)
{
	policy_unref(e->policy);
	e->policy = policy;
	for (struct conn *c = e->conns, *next; c; c = next) {
		next = c->next;
		if (c->host[0] && policy_check(policy, c->host, c->port))
			conn_cut(c, OCU_E_POLICY);
	}
}

unsigned edges_connections(const struct worker *w)
{
	unsigned n = 0;

	for (const struct edge *e = w->edges; e; e = e->next)
		n += e->nconns;
	return n;
}

void edges_stop_listening(struct worker *w)
{
	for (struct edge *e = w->edges; e; e = e->next)
		stop_listening(e);
}

void edges_close(struct worker *w)
{
	while (w->edges)
		edge_close(w->edges, OCU_E_CANCELLED);
}
