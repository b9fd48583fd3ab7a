/*
 * edge: one session's side of the network on its worker: the three sockets of its edge namespace, the made-up
 * addresses, and its connections. What is accepted here belongs to this session; that is the whole of the
 * identity.
 */
#ifndef EGRESSD_EDGE_H
#define EGRESSD_EDGE_H

#include <stdbool.h>

#include "egressd/shape.h"
#include "egressd/worker.h"

struct conn;
struct names;
struct policy;
struct session;
struct stream;

struct edge {
	struct grave grave;
	struct worker *worker;
	struct session *session;
	struct policy *policy;
	struct names *names;
	struct shape shape;
	struct bucket lookups, connects;
	struct watch tcp, udp, dns; /* connections, lookups, lookups over TCP */
	struct timer summary;
	struct timer pause; /* accepting goes on when it fires */
	struct conn *conns;
	struct stream *streams;
	unsigned nconns, nstreams;
	size_t held;   /* bytes its connections keep for slow readers */
	unsigned refs; /* of this edge itself, its connections and pending answers */
	bool closed;
	struct edge *next, **prev;
};

/* fds: TCP listener, UDP resolver, TCP resolver listener; taken on success, the caller's on failure. A
 * session that has its sockets gets the new ones in their place and keeps its connections and made-up
 * addresses. OCU_E_SESSION_GONE when w is not the session's worker. */
int edge_open(struct worker *w, struct session *s, struct policy *policy, const int fds[3],
              struct ocu_error *err);
struct edge *edge_find(struct worker *w, const struct session *s);
/* Cuts everything at once. Returns how many connections there were. */
unsigned edge_close(struct edge *e, int reason);
/* Puts a new policy in force: connections it does not allow are cut. Takes the reference. */
void edge_set_policy(struct edge *e, struct policy *policy);

void edge_ref(struct edge *e);
void edge_unref(struct edge *e);
/* After accept() failed with errno: when it would fail again at once, the listener rests for a moment. */
void edge_accept_failed(struct edge *e, struct watch *listener);
/* Whether the session may start something new: 0, or the denylist's refusal. */
int edge_admitted(const struct edge *e);

/* Of a worker. */
unsigned edges_connections(const struct worker *w);
void edges_stop_listening(struct worker *w);
void edges_close(struct worker *w);

#endif
