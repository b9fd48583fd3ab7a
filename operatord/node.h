/*
 * node: one place where sandboxes run: a sandboxd, the brokerd and egressd beside it, the connections to
 * them, and what was last heard of them. A session stays on the node it was started on; the three daemons of
 * one node never hold anything of a session of another.
 */
#ifndef OPERATORD_NODE_H
#define OPERATORD_NODE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "operatord/peers.h"
#include "operatord/registry.h"

#define NODE_TEXT_MAX 64

struct ocu_error;
struct ocu_identity;

/* As configured; strings are borrowed from the configuration. */
struct node_conf {
	const char *name; /* "" for a deployment's only node, and for at most one of several */
	const char *sandboxd_control_url, *sandboxd_exec_url, *brokerd_url, *egressd_url;
	const char *files_url; /* "" when callers are not told */
	bool cordoned;         /* gets no new sessions */
};

enum node_daemon { NODE_SANDBOXD, NODE_BROKERD, NODE_EGRESSD, NODE_DAEMONS };

struct node {
	struct node_conf conf;
	struct peers peers;
	pthread_mutex_t lock;
	/* Guarded by lock. */
	char tier[17];
	char instance[NODE_TEXT_MAX + 1];
	char boot_id[NODE_DAEMONS][NODE_TEXT_MAX + 1]; /* "" until heard of */
	bool reconciled;      /* the registry has been compared with its sandboxes once */
	uint64_t failed_mono; /* a session could not be started here; 0: never */
};

/* Starts dialling. On failure nothing is to be closed. */
int node_open(struct node *n, const struct node_conf *conf, const struct ocu_identity *id,
              struct ocu_error *err);
void node_close(struct node *n);

void node_boot(struct node *n, enum node_daemon d, const char *boot_id);
void node_sandboxd(struct node *n, const char *tier, const char *instance);
void node_set_reconciled(struct node *n);
void node_set_failed(struct node *n);
/* Whether a start failed here less than ms ago. */
bool node_failed_lately(struct node *n, uint64_t ms);
bool node_reconciled(struct node *n);
/* All three daemons are connected. */
bool node_connected(const struct node *n);
/* Its sandboxd's instance is its name; of a deployment's only node any is. */
bool node_named_right(struct node *n, size_t nodes);
void node_tier(struct node *n, char out[17]);
void node_instance(struct node *n, char out[NODE_TEXT_MAX + 1]);
void node_boot_id(struct node *n, enum node_daemon d, char out[NODE_TEXT_MAX + 1]);

#endif
