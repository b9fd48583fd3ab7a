/*
 * dial: from a name that is allowed to a connected upstream. The addresses that were checked are the ones on
 * record and the ones dialled: the name is not resolved again, so what it means to a resolver a moment later
 * changes nothing. No name server is asked before the name is on record, and nothing is dialled before the
 * allow event is durable.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "egressd/conn.h"
#include "egressd/egress.h"
#include "egressd/names.h"
#include "egressd/registry.h"
#include "egressd/stats.h"
#include "libocu/clock.h"

static void on_resolved(struct lookup_wait *w, int rc, const union addr *addrs, size_t n);

/* After a commit. False: the connection is over, or must not go on: the event could not be written, or the
 * session was stopped while it was on its way. */
static bool goes_on(struct conn *c, int code)
{
	c->committing = false;
	if (c->ended) {
		worker_bury(conn_worker(c), &c->grave);
		return false;
	}
	int rc = code ? code : edge_admitted(c->edge);
	if (rc == OCU_E_AUDIT) {
		c->allowed = false;
		stats_add(STAT_UNAUDITED, 1);
	}
	if (rc)
		refuse(c, rc, "%s", ocu_err_text(rc));
	return rc == 0;
}

static void commit(struct conn *c, const struct record *r, void (*done)(struct verdict *v))
{
	timers_cancel(&conn_worker(c)->timers, &c->timer);
	c->committing = true;
	c->verdict.done = done;
	events_commit(conn_worker(c), c->edge->session, r, &c->verdict);
}

static void resolve(struct conn *c)
{
	c->state = CONN_RESOLVE;
	conn_timer(c, conn_limits(c)->resolve_ms);
	if (c->ended)
		return;
	c->lookup.done = on_resolved;
	lookup_start(conn_worker(c)->lookups, c->host, &c->lookup);
}

static void on_recorded(struct verdict *v)
{
	struct conn *c = (struct conn *)((char *)v - offsetof(struct conn, verdict));

	if (goes_on(c, v->code))
		resolve(c);
}

void dial_begin(struct conn *c)
{
	struct worker *w = conn_worker(c);

	worker_watch(w, &c->guest, 0);
	timers_cancel(&w->timers, &c->head_timer);
	/* The labels below a wildcard are the guest's, and name servers see them. */
	if (lookup_known(w->lookups, c->host)) {
		resolve(c);
		return;
	}
	c->state = CONN_RECORD;
	commit(c,
	       &(struct record){
	           .class_uid = OCU_OCSF_DNS_ACTIVITY,
	           .activity = DNS_QUERY,
	           .action = "dns.resolve",
	           .resource = c->host,
	           .trace = c->trace,
	           .outcome = OCU_OUTCOME_SUCCESS,
	           .detail = json_pack("{s:s, s:i}", "via", conn_via_name(c), "port", (int)c->port),
	       },
	       on_recorded);
}

/* One forbidden address condemns the answer: a name that points inside is not a name to talk to. */
static bool addresses_pass(struct conn *c, const union addr *addrs, size_t n)
{
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < n; i++) {
		const char *range = addr_forbidden(&addrs[i]);
		if (!range && conn_limits(c)->refuse_own && addr_is_local(&addrs[i]))
			range = "this-host";
		if (!range)
			continue;
		addr_format(&addrs[i], text);
		refuse(c, OCU_E_EGRESS_ADDRESS, "%s is %s", text, range);
		return false;
	}
	return true;
}

static const char *protocol_name(const struct conn *c)
{
	static const char *const names[] = {
	    [GATE_UNKNOWN] = "unknown", [GATE_TLS] = "tls", [GATE_HTTP] = "http", [GATE_OPAQUE] = "other"};

	return names[c->gate.proto];
}

static json_t *allow_detail(const struct conn *c)
{
	char text[ADDR_TEXT_MAX];
	json_t *addrs = json_array();

	for (unsigned i = 0; i < c->naddrs; i++) {
		addr_format(&c->addrs[i], text);
		json_array_append_new(addrs, json_string(text));
	}
	addr_format(&c->asked, text);
	return json_pack("{s:s, s:s, s:s, s:b, s:o}", "via", conn_via_name(c), "protocol", protocol_name(c),
	                 "guest_dst", text, "ech", c->gate.ech, "addresses", addrs);
}

static void dial_next(struct conn *c);

static void on_allowed(struct verdict *v)
{
	struct conn *c = (struct conn *)((char *)v - offsetof(struct conn, verdict));

	if (!goes_on(c, v->code))
		return;
	stats_add(STAT_ALLOWED, 1);
	if (c->name && !c->name->dialled) {
		c->name->dialled = true;
		stats_add(STAT_DESTINATIONS, 1);
	}
	c->state = CONN_DIAL;
	dial_next(c);
}

static void on_resolved(struct lookup_wait *w, int rc, const union addr *addrs, size_t n)
{
	struct conn *c = (struct conn *)((char *)w - offsetof(struct conn, lookup));
	char dest[CONN_TEXT_MAX];

	if (rc) {
		refuse_failed(c, rc, "%s", ocu_err_text(rc));
		return;
	}
	if (!addresses_pass(c, addrs, n))
		return;
	c->naddrs = n < CONN_DIALS_MAX ? (unsigned)n : CONN_DIALS_MAX;
	memcpy(c->addrs, addrs, c->naddrs * sizeof *addrs);
	for (unsigned i = 0; i < c->naddrs; i++)
		addr_set_port(&c->addrs[i], c->port);
	c->state = CONN_COMMIT;
	c->allowed = true;
	conn_destination(c, dest);
	commit(c,
	       &(struct record){
	           .class_uid = OCU_OCSF_NETWORK_ACTIVITY,
	           .activity = NET_OPEN,
	           .action = "net.connect",
	           .resource = dest,
	           .trace = c->trace,
	           .outcome = OCU_OUTCOME_SUCCESS,
	           .detail = allow_detail(c),
	       },
	       on_allowed);
}

static int start_connect(struct conn *c, const union addr *to)
{
	const int one = 1;
	int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return errno;
	c->up.fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (connect(fd, &to->sa, addr_len(to)) < 0 && errno != EINPROGRESS)
		return errno;
	return worker_watch(conn_worker(c), &c->up, EPOLLOUT) ? errno : 0;
}

static void dial_next(struct conn *c)
{
	int failed = EHOSTUNREACH;

	while (c->dialled < c->naddrs) {
		worker_unwatch(conn_worker(c), &c->up);
		failed = start_connect(c, &c->addrs[c->dialled++]);
		if (!failed) {
			conn_timer(c, conn_limits(c)->connect_ms);
			return;
		}
	}
	refuse_failed(c, OCU_E_EGRESS_CONNECT, "%s", strerror(failed));
}

/* What the socket is connected to is what was checked, and is checked once more. */
static bool peer_is_checked(struct conn *c)
{
	union addr peer = {0}, self = {0};
	socklen_t peer_len = sizeof peer, self_len = sizeof self;

	return getpeername(c->up.fd, &peer.sa, &peer_len) == 0 &&
	       getsockname(c->up.fd, &self.sa, &self_len) == 0 &&
	       addr_equal(&peer, &c->addrs[c->dialled - 1], true) && !addr_forbidden(&peer) &&
	       !(conn_limits(c)->refuse_own && addr_equal(&peer, &self, false));
}

void dial_event(struct conn *c)
{
	int failed = 0;
	socklen_t len = sizeof failed;

	if (getsockopt(c->up.fd, SOL_SOCKET, SO_ERROR, &failed, &len) < 0)
		failed = errno;
	if (failed) {
		if (c->dialled < c->naddrs)
			dial_next(c);
		else
			refuse_failed(c, OCU_E_EGRESS_CONNECT, "%s", strerror(failed));
		return;
	}
	if (!peer_is_checked(c)) {
		refuse(c, OCU_E_EGRESS_ADDRESS, "connected to an address that was not checked");
		return;
	}
	stats_setup_us((ocu_mono_ns() - c->started_ns) / 1000);
	relay_begin(c);
}

void dial_timeout(struct conn *c)
{
	if (c->state == CONN_RESOLVE) {
		lookup_cancel(&c->lookup);
		refuse_failed(c, OCU_E_EGRESS_RESOLVE, "no answer within %u ms", conn_limits(c)->resolve_ms);
	} else if (c->dialled < c->naddrs) {
		dial_next(c);
	} else {
		refuse_failed(c, OCU_E_EGRESS_CONNECT, "no connection within %u ms",
		              conn_limits(c)->connect_ms);
	}
}
