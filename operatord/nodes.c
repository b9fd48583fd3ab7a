/* nodes: see nodes.h. */
#include "operatord/nodes.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/err.h"
#include "operatord/control.h"

#define AVOID_MS 15000

int nodes_open(struct nodes *ns, const struct node_conf *conf, size_t n, const struct ocu_identity *id,
               struct ocu_error *err)
{
	*ns = (struct nodes){.list = calloc(n, sizeof *ns->list)};
	if (!ns->list)
		return ocu_error_set(err, OCU_E_NOMEM, "nodes");
	while (ns->n < n) {
		int rc = node_open(&ns->list[ns->n], &conf[ns->n], id, err);
		if (rc)
			return rc;
		ns->n++;
	}
	return 0;
}

void nodes_close(struct nodes *ns)
{
	while (ns->n > 0)
		node_close(&ns->list[--ns->n]);
	free(ns->list);
	ns->list = NULL;
}

void nodes_end(struct nodes *ns)
{
	for (size_t i = 0; i < ns->n; i++)
		peers_end(&ns->list[i].peers);
}

struct node *nodes_find(const struct nodes *ns, const char *name)
{
	for (size_t i = 0; i < ns->n; i++)
		if (strcmp(ns->list[i].conf.name, name) == 0)
			return &ns->list[i];
	return NULL;
}

int nodes_of(const struct nodes *ns, const struct session *s, struct node **ret, struct ocu_error *err)
{
	struct node *n = nodes_find(ns, s->node);

	if (!n)
		return ocu_error_set(err, OCU_E_SESSION_GONE,
		                     "the session's node is not configured any more");
	*ret = n;
	return 0;
}

bool nodes_some_reconciled(const struct nodes *ns)
{
	for (size_t i = 0; i < ns->n; i++)
		if (node_reconciled(&ns->list[i]))
			return true;
	return false;
}

bool nodes_all_reconciled(const struct nodes *ns)
{
	for (size_t i = 0; i < ns->n; i++)
		if (!node_reconciled(&ns->list[i]))
			return false;
	return true;
}

/* Lower is better: those that are away behind all others, then those that failed lately, then by sessions.
 * One that is away may be just connecting: a start waits for that, and says better what is wrong. */
static uint64_t rank(struct node *n, unsigned sessions)
{
	return (node_connected(n) ? 0 : UINT64_C(1) << 33) +
	       (node_failed_lately(n, AVOID_MS) ? UINT64_C(1) << 32 : 0) + sessions;
}

/* 0 when it can be given a session. */
static int usable(struct control *c, struct node *n, struct ocu_error *err)
{
	char tier[17];

	if (n->conf.cordoned || !node_reconciled(n))
		return ocu_error_set(err, OCU_E_UNAVAILABLE, "no node can take a session now");
	/* Else a grant for it would be good elsewhere, or the address is another node's. */
	if (!node_named_right(n, c->nodes.n))
		return ocu_error_set(err, OCU_E_UNAVAILABLE,
		                     "node \"%s\": its sandboxd has another instance name", n->conf.name);
	node_tier(n, tier);
	return admission_check(c->cfg.profile, tier, err);
}

struct choice {
	struct node *best;
	uint64_t lowest;
	struct ocu_error why; /* why none: what is only away outweighs a tier that is not permitted */
};

static int consider(struct control *c, struct node *n, struct choice *so_far, struct ocu_error *err)
{
	struct ocu_error no = {0};
	unsigned sessions = 0;
	int rc = usable(c, n, &no);

	if (rc) {
		if (so_far->why.code == 0 || rc != OCU_E_TIER)
			so_far->why = no;
		return 0;
	}
	rc = c->nodes.n > 1 ? registry_session_count_node(c->registry, n->conf.name, &sessions, err) : 0;
	if (rc == 0 && rank(n, sessions) < so_far->lowest) {
		so_far->lowest = rank(n, sessions);
		so_far->best = n;
	}
	return rc;
}

int nodes_place(struct control *c, struct node **ret, struct ocu_error *err)
{
	struct choice choice = {.lowest = UINT64_MAX};

	for (size_t i = 0; i < c->nodes.n; i++) {
		int rc = consider(c, &c->nodes.list[i], &choice, err);
		if (rc)
			return rc;
	}
	if (!choice.best) {
		if (err)
			*err = choice.why;
		return choice.why.code;
	}
	*ret = choice.best;
	return 0;
}
