/*
 * evidence: operatord's audit events. evidence_commit() first, then the action; its failure is the action's.
 */
#ifndef OPERATORD_EVIDENCE_H
#define OPERATORD_EVIDENCE_H

#include <jansson.h>

#include "operatord/actions.h"

struct ocu_audit;
struct ocu_error;

struct fact {
	const char *actor;      /* caller sub, "operator:<sub>"; NULL: operatord itself */
	const char *resource;   /* what it is done to */
	const char *session_id; /* NULL: none */
	const char *trace_id;   /* NULL: one is made */
	int reason;             /* OCU_E code when this reports a failure or denial, else 0 */
	json_t *detail;         /* stolen, also on failure; NULL: none */
};

/* Blocks until the event is durable (at most about 2 s): 0 or OCU_E_AUDIT. */
int evidence_commit(struct ocu_audit *a, enum action_id action, const struct fact *f, struct ocu_error *err);
/* Reports what was refused or went wrong; permits nothing, never blocks. */
void evidence_report(struct ocu_audit *a, enum action_id action, const struct fact *f);

struct evidence_item {
	enum action_id action;
	struct fact fact;
};
/* All of them, pipelined: 0 only when every one is durable. The trail may hold them in any order. */
int evidence_commit_all(struct ocu_audit *a, const struct evidence_item *items, size_t n,
                        struct ocu_error *err);

#endif
