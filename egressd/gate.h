/*
 * gate: what of the guest's bytes may go on. A connection whose protocol is known to name its destination
 * passes through here: nothing is let on before the part that names the destination was read whole and
 * matches. HTTP: every request's Host is checked, by following the framing of each request (lengths and
 * chunks). TLS: every ClientHello's name is, until the server has taken one. SNIFF: nothing has been read yet
 * (CONNECT tunnels, servers that speak first): the first bytes decide. OPEN: everything passes: TLS after its
 * ClientHello, and protocols that name nothing. Owns the bytes it holds back, at most HTTP_HEAD_MAX. Used by
 * one worker thread.
 */
#ifndef EGRESSD_GATE_H
#define EGRESSD_GATE_H

#include "egressd/httphead.h"
#include "libocu/buf.h"

struct ocu_error;

enum gate_state {
	GATE_SNIFF,
	GATE_HEAD,
	GATE_BODY,
	GATE_CHUNK_SIZE,
	GATE_CHUNK_DATA,
	GATE_CHUNK_END,
	GATE_TRAILER,
	GATE_UPGRADE, /* held until the server has answered the first request */
	GATE_HELLO,   /* held until the server has answered a ClientHello */
	GATE_RETRY, /* it wants another one (HelloRetryRequest, RFC 8446 4.1.4), to be checked like the first
	             */
	GATE_OPEN,
	GATE_SHUT, /* the one request of an explicit-proxy connection is through */
};

enum gate_proto { GATE_UNKNOWN, GATE_TLS, GATE_HTTP, GATE_OPAQUE };

struct gate {
	enum gate_state state;
	enum gate_proto proto;
	const char *host; /* the destination; borrowed from the connection */
	uint16_t port;
	bool proxied; /* absolute-form requests to the explicit proxy: one a connection */
	bool ech;
	unsigned requests;
	uint64_t steps; /* how often it got further: what is held then is the beginning of something new */
	uint64_t left;  /* bytes of body or chunk still to pass, or of a record to drop */
	unsigned trailers;
	size_t seen;           /* bytes of hold that had no new line when last looked at */
	struct ocu_buf hold;   /* from the guest, not let on */
	struct ocu_buf answer; /* head of the server's answer while GATE_UPGRADE, GATE_HELLO or GATE_RETRY */
};

void gate_init(struct gate *g, const char *host, uint16_t port);
void gate_done(struct gate *g);

/* Takes all of data (at most HTTP_HEAD_MAX at once while something is held: see gate_room) and appends to out
 * what may go on. 0, or why the connection must end: OCU_E_EGRESS_SNI, _HOST, _PROTOCOL; then out holds
 * nothing new that may be sent. */
int gate_feed(struct gate *g, const void *data, size_t len, struct ocu_buf *out, struct ocu_error *err);
/* How many bytes gate_feed() takes now; 0: stop reading until gate_answer() changed something. */
size_t gate_room(const struct gate *g);
/* Bytes from the server, before they are passed to the guest. May append held bytes to out. */
int gate_answer(struct gate *g, const void *data, size_t len, struct ocu_buf *out, struct ocu_error *err);
/* Whether the part that names the destination has not been read yet: nothing may be dialled for the guest's
 * bytes. */
bool gate_undecided(const struct gate *g);
/* Whether the beginning of something is held and its rest is awaited: a slow guest is timed. */
bool gate_partial(const struct gate *g);
/* 80 and 443: only what names its destination (TLS, HTTP) is let through. */
bool gate_web_port(uint16_t port);

#endif
