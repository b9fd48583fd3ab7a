/*
 * rpc: requests between daemons. nng REQ/REP over our TLS engine; one Envelope (proto/envelope.proto) a
 * message: request id, method, deadline, trace id, internal token, body. A server accepts what its table
 * lists from the peers the table names; everything else is refused, reported to `refused`, and answered with
 * a bounded error. Unknown protobuf fields, at any depth, are refused. REQ resending is off.
 *
 * Method descriptors are generated from proto/methods.h: `ocu_m_exec_run` and so on.
 */
#ifndef OCU_RPC_H
#define OCU_RPC_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "libocu/peer.h"

struct ocu_error;
struct ocu_identity;
struct ocu_rpc_server;
struct ocu_rpc_client;
struct ocu_rpc_call;

#define OCU_RPC_MESSAGE_MAX (12u << 20) /* bytes, envelope included */

struct ocu_rpc_method {
	uint32_t id;
	const char *name; /* "exec.Run" */
	uint32_t peers;   /* OCU_PEER() mask of who may send it */
	const ProtobufCMessageDescriptor *request;
	const ProtobufCMessageDescriptor *reply;
};

/* One row of a daemon's table. The handler runs on a worker thread and may block, or keep `call` and answer
 * later from any thread; it must answer exactly once with ocu_rpc_reply() or ocu_rpc_fail(). `req` belongs to
 * the call and is valid until the answer. */
struct ocu_rpc_entry {
	const struct ocu_rpc_method *method;
	void (*handler)(struct ocu_rpc_call *call, const ProtobufCMessage *req, void *arg);
};

struct ocu_rpc_server_opts {
	const char *url; /* tls+tcp://host:port; port 0 picks one */
	const struct ocu_identity *identity;
	const struct ocu_rpc_entry *table; /* ends with {NULL, NULL} */
	void *arg;
	unsigned workers;  /* threads running handlers; 0: 8 */
	unsigned inflight; /* requests accepted and not yet answered; more wait in the peer; 0: 256 */
	/* Bytes of one request, envelope included; more costs the connection. What has begun to arrive is
	 * held in memory, on every connection: no more than the methods need. 0: 64 KiB. */
	size_t request_max;
	/* A refused request, or (method 0) a connection refused in its handshake: peer is NULL when unknown.
	 * Runs on a worker. May be NULL. */
	void (*refused)(const struct ocu_peer *peer, uint32_t method, const struct ocu_error *why, void *arg);
};

int ocu_rpc_server_start(struct ocu_rpc_server **ret, const struct ocu_rpc_server_opts *o,
                         struct ocu_error *err);
/* Stops accepting, waits at most drain_ms for calls in flight, frees. Calls kept by handlers must be answered
 * before this returns; answering later is safe and does nothing. */
void ocu_rpc_server_stop(struct ocu_rpc_server *s, unsigned drain_ms);
int ocu_rpc_server_port(const struct ocu_rpc_server *s);

const struct ocu_peer *ocu_rpc_call_peer(const struct ocu_rpc_call *c);
const char *ocu_rpc_call_trace(const struct ocu_rpc_call *c);
uint32_t
ocu_rpc_call_remaining_ms(const struct ocu_rpc_call *c); /* until the caller's deadline; 0 when past */
void ocu_rpc_reply(struct ocu_rpc_call *c, const ProtobufCMessage *reply);
void ocu_rpc_fail(struct ocu_rpc_call *c, const struct ocu_error *err); /* text cut at 1 KiB */

struct ocu_rpc_client_opts {
	const char *url;
	const struct ocu_identity *identity;
	enum ocu_component peer; /* who must be there */
	const char *instance;    /* NULL: any instance */
	unsigned inflight;       /* requests under way at once; more fail with OCU_E_BUSY; 0: 256 */
};

/* Starts dialling in the background and keeps redialling (100 ms to 2 s). */
int ocu_rpc_client_new(struct ocu_rpc_client **ret, const struct ocu_rpc_client_opts *o,
                       struct ocu_error *err);
/* Ends the calls under way with OCU_E_CANCELLED, returns after the last callback; new calls are refused. */
void ocu_rpc_client_end(struct ocu_rpc_client *c);
void ocu_rpc_client_free(struct ocu_rpc_client *c); /* ends it first */
int ocu_rpc_client_connected(const struct ocu_rpc_client *c);
/* Blocks until connected or timeout_ms passed: 0 or OCU_E_UNAVAILABLE. */
int ocu_rpc_client_wait(struct ocu_rpc_client *c, unsigned timeout_ms, struct ocu_error *err);

/* Blocking call. *ret (may be NULL when the reply is not wanted) is freed with
 * protobuf_c_message_free_unpacked(m, NULL). A failure carries the callee's code and text; a peer that is not
 * connected within min(deadline, 2 s) is OCU_E_UNAVAILABLE; a lost connection OCU_E_UNAVAILABLE; no answer
 * OCU_E_TIMEOUT. The call may then have been executed or not: callers make requests idempotent. */
int ocu_rpc_call(struct ocu_rpc_client *c, const struct ocu_rpc_method *m, const ProtobufCMessage *req,
                 ProtobufCMessage **ret, uint32_t deadline_ms, const char *trace_id, struct ocu_error *err);

/* The same without blocking. done runs exactly once, on an internal thread, and must not block for long;
 * `reply` (NULL on failure) and `err` are borrowed. Returns 0 when done will run. */
typedef void ocu_rpc_done_fn(void *arg, const ProtobufCMessage *reply, const struct ocu_error *err);
int ocu_rpc_call_async(struct ocu_rpc_client *c, const struct ocu_rpc_method *m, const ProtobufCMessage *req,
                       uint32_t deadline_ms, const char *trace_id, ocu_rpc_done_fn *done, void *arg,
                       struct ocu_error *err);

struct ocu_rpc_limits {
	uint32_t connect_ms;  /* without a connection the call ends after this, or at its deadline */
	uint32_t deadline_ms; /* of all of it */
};
/* The same, with a limit of its own on the wait for a connection. */
int ocu_rpc_call_async_limited(struct ocu_rpc_client *c, const struct ocu_rpc_method *m,
                               const ProtobufCMessage *req, const struct ocu_rpc_limits *limits,
                               const char *trace_id, ocu_rpc_done_fn *done, void *arg, struct ocu_error *err);

#endif
