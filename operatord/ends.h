/*
 * ends: how a session ends. Always driven from here, never with the guest's help, in this order (NFR-SEC-65):
 * revoke (audit event, registry), drop egress, stop the sandbox (which scrubs its scratch, unmounts, kills
 * and destroys), release and scrub the files. A step that fails leaves the session ENDING; the reconciler
 * tries again until all is done. Only the removal of many files may go on in brokerd after the end; the event
 * of the end says so, and brokerd's own when it is over.
 */
#ifndef OPERATORD_ENDS_H
#define OPERATORD_ENDS_H

#include <stdbool.h>

#include "operatord/actions.h"

struct control;
struct ocu_error;
struct session;

struct end_want {
	enum action_id action;
	const char *actor;  /* NULL: operatord itself */
	const char *reason; /* word for registry, peers and trail: "destroyed", "idle", "sandbox_gone" */
	const char *trace;  /* NULL: one is made */
	int code;           /* OCU_E code when it ends because something failed */
	bool scrubbed;      /* of ACTION_SESSION_ENDED: brokerd has removed the last of its files */
	bool always;        /* take the steps even when the registry says it ended: a start may have gone on
	                       meanwhile */
};

/* Blocks. An ended session is 0. */
int end_session(struct control *c, const struct session *s, const struct end_want *want,
                struct ocu_error *err);
/* The steps after revoking, for a session that is ENDING. stopped: egress and sandbox are done already. */
int end_finish(struct control *c, const struct session *s, bool stopped, const char *trace,
               struct ocu_error *err);

/* On the ends pool, once at a time per session; what fails is logged and tried again later. */
void end_later(struct control *c, const struct session *s, const struct end_want *want);
void end_finish_later(struct control *c, const struct session *s, bool stopped);

#endif
