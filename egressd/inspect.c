/*
 * inspect: where a connection wants to go, and whether its first bytes agree. A connection that is refused
 * already is asked for its first bytes, too, so that the answer can be in its own protocol.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "egressd/conn.h"
#include "egressd/egress.h"
#include "egressd/names.h"
#include "egressd/policy.h"

/* How long a guest that is refused has to show which protocol the answer must be in. */
#define DENIED_WAIT_MS 1000

static void find_name(struct conn *c)
{
	struct edge *e = c->edge;
	uint32_t ip = c->asked.sa.sa_family == AF_INET ? ntohl(c->asked.in.sin_addr.s_addr) : 0;
	struct name *n = names_find(e->names, ip);

	c->port = addr_port(&c->asked);
	if (!n) {
		c->deny = policy_rung_of(e->policy) == POLICY_DENY_ALL ? OCU_E_EGRESS_DENY_ALL
		                                                       : OCU_E_EGRESS_RAW_ADDRESS;
		return;
	}
	memcpy(c->host, n->host, sizeof c->host);
	c->name = n;
	names_hold(n);
	c->gate.port = c->port;
	c->deny = policy_check(e->policy, c->host, c->port);
}

static void watch_head(struct conn *c)
{
	struct worker *w = conn_worker(c);

	timers_set(&w->timers, &c->head_timer, w->now_ms + conn_limits(c)->head_ms);
}

void inspect_begin(struct conn *c)
{
	const struct limits *l = conn_limits(c);
	int refused = edge_admitted(c->edge);

	c->state = CONN_FIRST;
	if (c->via != VIA_PROXY)
		find_name(c);
	else if (policy_rung_of(c->edge->policy) == POLICY_DENY_ALL)
		c->deny = OCU_E_EGRESS_DENY_ALL;
	if (refused)
		c->deny = refused;
	/* A refused guest has a moment to show its protocol. A guest that waits for its server has it as long
	 * on ports other than the web's; everyone else must speak. */
	bool may_wait = !c->deny && c->via != VIA_PROXY && !gate_web_port(c->port);
	watch_head(c);
	conn_timer(c, c->deny ? DENIED_WAIT_MS : may_wait ? l->quiet_ms : l->head_ms);
}

enum conn_speaks inspect_speaks(const struct conn *c, const char *data, size_t len)
{
	if (len == 0)
		return SPEAKS_UNKNOWN;
	if ((uint8_t)data[0] == 0x16)
		return SPEAKS_TLS;
	return http_looks_like(data, len) == 1 || gate_web_port(c->port) ? SPEAKS_HTTP : SPEAKS_UNKNOWN;
}

static void refuse_decided(struct conn *c)
{
	refuse(c, c->deny, "%s", ocu_err_text(c->deny));
}

/* Bytes of a guest that is refused anyway. */
static void inspect_denied(struct conn *c, const char *data, size_t len)
{
	ocu_buf_put(&c->first, data, len);
	if ((uint8_t)c->first.data[0] != 0x16 && http_looks_like(c->first.data, c->first.len) < 0 &&
	    !c->first.failed)
		return; /* until the timer */
	c->speaks = inspect_speaks(c, c->first.data, c->first.len);
	refuse_decided(c);
}

static void inspect_redirected(struct conn *c, const char *data, size_t len)
{
	if (c->speaks == SPEAKS_UNKNOWN)
		c->speaks = inspect_speaks(c, data, len);
	int rc = gate_feed(&c->gate, data, len, &c->out.pending, &c->why);
	if (rc)
		refuse(c, rc, "%s", c->why.text);
	else if (!gate_undecided(&c->gate))
		dial_begin(c);
	else
		conn_timer(c, conn_limits(c)->head_ms); /* it has begun: no more waiting for the server */
}

/* Puts what was asked for in front of why it is refused: this text goes to the trail, so only ASCII is kept.
 */
static void note_target(struct conn *c, struct http_span target)
{
	char text[129];
	size_t n = target.len < sizeof text - 1 ? target.len : sizeof text - 1;

	for (size_t i = 0; i < n; i++)
		text[i] = target.p[i] > ' ' && target.p[i] < 0x7f ? target.p[i] : '?';
	text[n] = '\0';
	ocu_error_add(&c->why, "\"%s\"", text);
}

static void proxy_connect(struct conn *c, const struct http_head *h)
{
	uint16_t port = 0;
	int rc = host_parse_authority(h->target.p, h->target.len, c->host, &port, &c->why);

	c->via = VIA_CONNECT;
	if (rc == 0 && port == 0)
		rc = ocu_error_set(&c->why, OCU_E_EGRESS_PROTOCOL, "CONNECT without a port");
	c->port = port;
	if (rc == 0 && (rc = policy_check(c->edge->policy, c->host, c->port)))
		ocu_error_set(&c->why, rc, "%s", ocu_err_text(rc));
	if (rc) {
		note_target(c, h->target);
		refuse(c, rc, "%s", c->why.text);
		return;
	}
	c->gate.port = port;
	ocu_buf_consume(&c->first, h->size); /* what is left belongs to the tunnel */
	dial_begin(c);
}

static void proxy_request(struct conn *c, const struct http_head *h)
{
	struct http_span authority = {0}, path = {0};
	uint16_t port = 0;
	int rc = h->target.p[0] == '/' ? ocu_error_set(&c->why, OCU_E_EGRESS_RAW_ADDRESS,
	                                               "the edge's own address is no destination")
	                               : http_absolute(h->target, &authority, &path, &c->why);

	if (rc == 0)
		rc = host_parse_authority(authority.p, authority.len, c->host, &port, &c->why);
	c->port = port ? port : 80;
	if (rc == 0 && (rc = policy_check(c->edge->policy, c->host, c->port)))
		ocu_error_set(&c->why, rc, "%s", ocu_err_text(rc));
	c->gate.port = c->port;
	c->gate.proxied = true;
	c->gate.proto = GATE_HTTP;
	c->gate.state = GATE_HEAD;
	if (rc == 0)
		rc = gate_feed(&c->gate, c->first.data, c->first.len, &c->out.pending, &c->why);
	if (rc) {
		note_target(c, h->target);
		refuse(c, rc, "%s", c->why.text);
		return;
	}
	dial_begin(c);
}

static void inspect_proxy(struct conn *c, const char *data, size_t len)
{
	struct http_head h;

	if (ocu_buf_put(&c->first, data, len)) {
		refuse(c, OCU_E_EGRESS_PROTOCOL, "request head too large");
		return;
	}
	if ((uint8_t)c->first.data[0] == 0x16) {
		c->speaks = SPEAKS_TLS;
		refuse(c, OCU_E_EGRESS_RAW_ADDRESS, "the edge's own address is no destination");
		return;
	}
	c->speaks = SPEAKS_HTTP;
	/* See gate.c: no new line end, nothing new to read. */
	size_t seen = c->first_seen;
	c->first_seen = c->first.len;
	if (c->first.len < HTTP_HEAD_MAX && !memchr(c->first.data + seen, '\n', c->first.len - seen))
		return;
	int rc = http_head_parse(c->first.data, c->first.len, &h, &c->why);
	if (rc == 1)
		return;
	if (rc)
		refuse(c, rc, "%s", c->why.text);
	else if (http_span_is(h.method, "CONNECT"))
		proxy_connect(c, &h);
	else
		proxy_request(c, &h);
}

static void inspect_eof(struct conn *c)
{
	if (c->deny)
		refuse_decided(c);
	else if (c->gate.hold.len || c->first.len)
		refuse(c, OCU_E_EGRESS_PROTOCOL, "ended in the middle of its first bytes");
	else
		conn_end(c, "closed");
}

void inspect_guest(struct conn *c)
{
	struct worker *w = conn_worker(c);
	size_t room = c->via == VIA_PROXY || c->deny ? HTTP_HEAD_MAX - c->first.len : gate_room(&c->gate);
	ssize_t n = recv(c->guest.fd, w->scratch, room < WORKER_SCRATCH ? room : WORKER_SCRATCH, 0);

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			conn_end(c, "reset");
		return;
	}
	if (n == 0)
		inspect_eof(c);
	else if (c->deny)
		inspect_denied(c, (const char *)w->scratch, (size_t)n);
	else if (c->via == VIA_PROXY)
		inspect_proxy(c, (const char *)w->scratch, (size_t)n);
	else
		inspect_redirected(c, (const char *)w->scratch, (size_t)n);
}

void inspect_timeout(struct conn *c)
{
	bool silent = c->gate.hold.len == 0 && c->first.len == 0;

	if (c->deny)
		refuse_decided(c);
	else if (silent && c->via == VIA_REDIRECT && !gate_web_port(c->port))
		dial_begin(c); /* the server speaks first; the gate still waits for the guest's first bytes */
	else
		refuse(c, OCU_E_EGRESS_PROTOCOL, "no request within %u ms", conn_limits(c)->head_ms);
}
