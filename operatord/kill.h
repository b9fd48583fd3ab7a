/*
 * kill: the kill switch. Revoke first (audit event, denylist entry, epoch published), then egress and sandbox
 * are cut in parallel over connections nothing else uses, then the files are released in the background.
 * Nothing here waits behind ordinary work, and a registry that cannot be written does not stop the sandbox
 * from being stopped.
 */
#ifndef OPERATORD_KILL_H
#define OPERATORD_KILL_H

#include <stddef.h>
#include <stdint.h>

#include "libocu/denylist.h"
#include "operatord/actions.h"

struct control;
struct ocu_error;
struct session;

struct kill_want {
	enum action_id action; /* the order, as the trail names it */
	const char *actor;     /* "operator:<sub>" */
	const char *reason;    /* bounded text of the operator's, or "" */
	const char *trace;
};

struct kill_result {
	uint64_t epoch;
	uint64_t duration_us;
	size_t sessions; /* how many there were */
	size_t stopped;  /* sandboxd confirmed */
	size_t dropped;  /* egressd confirmed */
};

/* 0 when every one is revoked and confirmed stopped and dropped; else the first failure, with ret filled:
 * what could be done was done, and the reconciler goes on. OCU_E_AUDIT: nothing was done. */
int kill_session(struct control *c, const char *session_id, const struct kill_want *want,
                 struct kill_result *ret, struct ocu_error *err);
int kill_all(struct control *c, const struct kill_want *want, struct kill_result *ret, struct ocu_error *err);
/* A denylist entry, and the kill of what it names: the session, or the caller's sessions. */
int kill_denied(struct control *c, enum ocu_deny_kind kind, const char *value, const struct kill_want *want,
                struct kill_result *ret, struct ocu_error *err);

#endif
