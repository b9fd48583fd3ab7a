/*
 * inflight: the calls under way, so that a client's cancellation finds them, callers have a ceiling, and long
 * calls report progress. Holds nothing that outlives a call.
 */
#ifndef GATEWAY_INFLIGHT_H
#define GATEWAY_INFLIGHT_H

#include "gateway/exchange.h"

int inflight_new(struct inflight **ret, struct ocu_error *err);
void inflight_free(struct inflight *f); /* stops the progress thread; call when no call is under way */
void inflight_add(struct inflight *f, struct call *c);
void inflight_remove(struct inflight *f, struct call *c);
/* How many calls this caller has under way. */
unsigned inflight_count(struct inflight *f, const char *caller);
/* Runs found() for each call of this caller and MCP session or chat with this JSON-RPC id, under the lock, so
 * that the call cannot be freed meanwhile; found() must not answer it. */
void inflight_find(struct inflight *f, const struct exchange *who, const json_t *id,
                   void (*found)(struct call *c));
/* The call goes to a sandboxd under this grant; readable by found(). False, and the call is not to be sent,
 * when it was cancelled on the way. */
bool inflight_routed(struct inflight *f, struct call *c, const char *url, const char *grant);

#endif
