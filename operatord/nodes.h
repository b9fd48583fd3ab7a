/*
 * nodes: the set of them, and which one a new session goes to: the one with the fewest live sessions of those
 * that can take it. The set is what the configuration says and never changes while operatord runs.
 */
#ifndef OPERATORD_NODES_H
#define OPERATORD_NODES_H

#include <stddef.h>

#include "operatord/node.h"

#define NODES_MAX 64

struct control;
struct session;

struct nodes {
	struct node *list;
	size_t n;
};

/* Starts dialling all of them. nodes_close() takes whatever nodes_open() left, also after a failure. */
int nodes_open(struct nodes *ns, const struct node_conf *conf, size_t n, const struct ocu_identity *id,
               struct ocu_error *err);
void nodes_close(struct nodes *ns);
/* Ends the calls under way; new ones are refused from now on. */
void nodes_end(struct nodes *ns);

/* NULL when no node of this name is configured (any more). */
struct node *nodes_find(const struct nodes *ns, const char *name);
/* The session's node. OCU_E_SESSION_GONE when it is not configured any more. */
int nodes_of(const struct nodes *ns, const struct session *s, struct node **ret, struct ocu_error *err);
/* Whether some, or every, node has been compared with the registry. */
bool nodes_some_reconciled(const struct nodes *ns);
bool nodes_all_reconciled(const struct nodes *ns);
/* Where a new session goes. One where a start has just failed comes last, or it would get them all, and only
 * one that is away comes after it. OCU_E_UNAVAILABLE when no node can be used now, OCU_E_TIER when the
 * profile permits none of their tiers. */
int nodes_place(struct control *c, struct node **ret, struct ocu_error *err);

#endif
