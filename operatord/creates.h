/*
 * creates: a session for (caller, hint): found, or made. However many ask for one pair at once, one start
 * runs and all get its outcome. A start goes audit event, registry row, mount, edge, sandbox; whatever fails
 * is taken back in teardown order before anyone is answered.
 */
#ifndef OPERATORD_CREATES_H
#define OPERATORD_CREATES_H

#include <stdbool.h>

#include "operatord/actions.h"
#include "operatord/registry.h"

struct control;
struct creates;
struct ocu_error;

struct create_want {
	const char *caller; /* 1..CALLER_MAX bytes */
	const char *token_id;
	const char *hint;  /* at most TEXT_MAX bytes */
	const char *label; /* longer ones are cut */
	const char *actor; /* who asks, for the trail */
	const char *trace;
	enum action_id action; /* ACTION_SESSION_CREATE or ACTION_OPERATOR_CREATE */
};

/* Runs exactly once, on the asking thread or on one of the starts. s is NULL on failure. */
typedef void create_done_fn(void *arg, const struct session *s, bool created, const struct ocu_error *err);

struct creates *creates_new(void); /* NULL when out of memory */
void creates_free(struct creates *k);
void create_session(struct control *c, const struct create_want *want, create_done_fn *done, void *arg);

#endif
