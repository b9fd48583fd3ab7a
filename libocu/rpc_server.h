/*
 * rpc_server: what rpc_server.c (start and stop), rpc_links.c (connections), rpc_serve.c (queue, workers) and
 * rpc_call.c (one request) share. Private to rpc.
 */
#ifndef OCU_RPC_SERVER_H
#define OCU_RPC_SERVER_H

#include <nng/nng.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "libocu/rpc.h"
#include "libocu/rpc_envelope.h"
#include "libocu/rpc_token.h"

/* One connection: who is on the other side, and the token it last proved that with. Lives as long as the
 * connection or a call that came over it. */
struct ocu_rpc_link {
	struct ocu_rpc_link *next;
	uint32_t pipe;
	atomic_uint refs;
	atomic_ulong replies;     /* handed to nng for this connection */
	atomic_ullong replied_ms; /* when the last of them was */
	uint64_t asked_ms;        /* when it was made, or its last request came; under the server's lock */
	bool asked;               /* a request came; likewise */
	bool cut;                 /* told to close: counts no more; likewise */
	struct ocu_peer peer;
	struct ocu_rpc_verifier verifier;
};

/* One request at a time: an nng context and its aio. */
struct ocu_rpc_slot {
	struct ocu_rpc_server *server;
	nng_ctx ctx;
	nng_aio *aio;
	bool sending;  /* what the aio is doing, while it is doing something */
	uint32_t pipe; /* where an answer goes */
};

/* A connection that the TLS engine refused, to be told to the owner by a worker. */
struct ocu_rpc_refusal {
	char why[96];
	char uri[OCU_SPIFFE_MAX];
};
#define OCU_RPC_REFUSALS_MAX 64 /* waiting; more are dropped */

/* A request from arrival to answer. */
struct ocu_rpc_call {
	struct ocu_rpc_call *next; /* in the queue */
	struct ocu_rpc_server *server;
	struct ocu_rpc_slot *slot;
	struct ocu_rpc_link *link;
	nng_msg *msg; /* NULL once unpacked */
	uint64_t arrived_ms;
	struct ocu_rpc_request request;
	const struct ocu_rpc_method *method;
	ProtobufCMessage *body;
};

struct ocu_rpc_server {
	struct ocu_rpc_server_opts o;
	nng_socket socket;
	nng_listener listener;
	nng_aio *sweeper;         /* looks at the connections once a second */
	_Atomic uint64_t told_ms; /* when the log last heard of one that was cut off */
	struct ocu_rpc_slot *slots;
	unsigned nslots;
	pthread_t *workers;
	unsigned nworkers;
	atomic_uint refs; /* the owner, every call, and the TLS configuration */

	pthread_mutex_t lock;
	pthread_cond_t work; /* queue not empty, or stopping */
	pthread_cond_t idle; /* active or sending went down */
	struct ocu_rpc_call *head, *tail;
	struct ocu_rpc_link *links;
	struct ocu_rpc_refusal refusals[OCU_RPC_REFUSALS_MAX];
	unsigned refusals_head, refusals_count;
	unsigned active;          /* calls that exist */
	unsigned sending;         /* answers on their way into nng */
	unsigned inside;          /* threads inside a call of nng on a context */
	atomic_ullong replied_ms; /* when the last answer was handed to nng; 0: none was */
	bool draining;            /* no new calls */
	bool closed;              /* answers go nowhere, workers end */
};

/* Takes msg and one reference of link. NULL when out of memory, with both given up. */
struct ocu_rpc_call *ocu_rpc_call_new(struct ocu_rpc_slot *slot, struct ocu_rpc_link *link, nng_msg *msg);
void ocu_rpc_call_free(struct ocu_rpc_call *c);
/* Decides whether the request is accepted and runs its handler, or answers with the refusal. On a worker. */
void ocu_rpc_call_run(struct ocu_rpc_call *c);
/* Gives the answer to nng, or throws it away when the server is closed; the call's slot is then free again.
 */
void ocu_rpc_server_answer(struct ocu_rpc_call *c, nng_msg *msg);
void *ocu_rpc_worker(void *server);
/* The engine's watch: takes note for a worker. */
void ocu_rpc_server_note(void *server, const char *why, const char *uri);
void ocu_rpc_slot_receive(struct ocu_rpc_slot *slot);
void ocu_rpc_slot_callback(void *slot);
void ocu_rpc_server_unref(struct ocu_rpc_server *s);

/* rpc_links.c */
void ocu_rpc_pipe_added(nng_pipe pipe, nng_pipe_ev event, void *server);
void ocu_rpc_pipe_removed(nng_pipe pipe, nng_pipe_ev event, void *server);
/* A whole request came over the pipe: its link, with a reference; NULL when the connection is gone. */
struct ocu_rpc_link *ocu_rpc_link_asked(struct ocu_rpc_server *s, nng_pipe pipe);
void ocu_rpc_link_answers(struct ocu_rpc_link *l); /* an answer is about to be handed to nng */
void ocu_rpc_link_unref(struct ocu_rpc_link *l);
/* Under the lock: every answer has left through its connection. */
bool ocu_rpc_server_flushed(struct ocu_rpc_server *s);
/* The callback of s->sweeper, and what starts it. */
void ocu_rpc_links_sweep(void *server);

#endif
