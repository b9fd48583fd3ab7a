/* start: one cold start of a session, and taking it back when a step fails. */
#ifndef OPERATORD_START_H
#define OPERATORD_START_H

#include "operatord/actions.h"
#include "operatord/registry.h"

struct control;
struct ocu_error;

struct start_want {
	const char *caller, *token_id, *hint, *label;
	const char *actor; /* who asks, for the trail */
	const char *trace;
	enum action_id action;
};

/* Blocks through the whole start. On failure everything was taken back, or the session is left ENDING for the
 * reconciler, and *ret is undefined. */
int start_session(struct control *c, const struct start_want *want, struct session *ret,
                  struct ocu_error *err);

#endif
