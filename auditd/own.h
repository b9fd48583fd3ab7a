/*
 * own: events auditd writes about what others asked of it. Their source is "auditd", which no peer can have:
 * an Append from a peer that calls itself auditd is refused.
 */
#ifndef AUDITD_OWN_H
#define AUDITD_OWN_H

#include <stdbool.h>
#include <stdint.h>

#include "libocu/ocsf.h"

struct committer;
struct lane;
struct lanes;
struct ocu_error;
struct ocu_peer;
struct own;

int own_new(struct own **ret, struct lanes *lanes, struct committer *committer, struct ocu_error *err);
/* Tells what own_may_report() kept, so the committer must still be there. o may be NULL. */
void own_free(struct own *o);
/* Queued; counted as suppressed when too much is. */
void own_report(struct own *o, const struct ocu_event *ev);
/* Returns when the event is durable: before an auditor is given anything. */
int own_commit(struct own *o, const struct ocu_event *ev, struct ocu_error *err);

/* Whether what actor was denied becomes an event: at most a few a second do. The next one says how many did
 * not, or one of their own does (libocu/refusals). */
bool own_may_report(struct own *o, const char *action, const char *actor, unsigned *ret_suppressed);

/* A source's Append was refused for what it held (`event`: index of the bad one, -1: the request itself), or
 * because its queue was full. Limited likewise, by source. */
void own_append_refused(struct own *o, struct lane *lane, const char *trace, long event,
                        const struct ocu_error *why);
void own_source_shaped(struct own *o, struct lane *lane, bool refused);
/* The RPC layer refused a message; peer may be NULL. */
void own_rpc_refused(struct own *o, const struct ocu_peer *peer, uint32_t method,
                     const struct ocu_error *why);

#endif
