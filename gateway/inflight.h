/*
 * inflight: the calls under way, so that a client's cancellation finds them, callers have a ceiling, and long
 * calls report progress. Holds nothing that outlives a call.
 */
#ifndef GATEWAY_INFLIGHT_H
#define GATEWAY_INFLIGHT_H

#include <jansson.h>

#include "gateway/gateway.h"

struct call;
struct exchange;
struct route;

/* Answers that a client has yet to take: memory, and so its caller's calls until it has, or has gone. */
struct untaken {
	struct inflight *in; /* NULL: none */
	char caller[CALLER_MAX];
	unsigned calls;
	struct untaken *prev, *next;
};

int inflight_new(struct inflight **ret, struct ocu_error *err);
void inflight_free(struct inflight *f); /* stops the progress thread; call when no call is under way */
/* *u stays where it is until inflight_taken(), which may come after inflight_free(), and does nothing when
 * there was no hold. */
void inflight_hold(struct inflight *f, struct untaken *u, const char *caller, unsigned calls);
void inflight_taken(struct untaken *u);
void inflight_add(struct inflight *f, struct call *c);
void inflight_remove(struct inflight *f, struct call *c);
/* How many calls this caller has under way, or answered and not taken. */
unsigned inflight_count(struct inflight *f, const char *caller);
/* Runs found() for each call of this caller and MCP session or chat with this JSON-RPC id, under the lock, so
 * that the call cannot be freed meanwhile; found() must not answer it, nor wait for anything. */
void inflight_find(struct inflight *f, const struct exchange *who, const json_t *id,
                   void (*found)(struct call *c, void *arg), void *arg);
/* The call goes to this session; that and where it is are readable by found(). False, and the call is not to
 * be sent, when it was cancelled on the way. */
bool inflight_routed(struct inflight *f, struct call *c, const struct route *route);

#endif
