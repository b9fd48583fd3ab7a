/*
 * node: what operatord has last heard of the others: sandboxd's tier and instance, each custodian's boot id,
 * which epoch each subscriber of the denylist has. Observation only; decisions that must survive a restart
 * are in the registry.
 */
#ifndef OPERATORD_NODE_H
#define OPERATORD_NODE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "libocu/peer.h"

#define NODE_TEXT_MAX 64

struct node_peer {
	char boot_id[NODE_TEXT_MAX + 1]; /* of custodians; "" until heard of */
	char version[33];                /* of its program; "" until heard of */
	uint64_t heard_mono;             /* 0: never */
	uint64_t epoch;                  /* of subscribers: what they said they have */
	bool subscribed;
};

struct node {
	pthread_mutex_t lock;
	char tier[17];
	char instance[NODE_TEXT_MAX + 1];
	bool reconciled; /* the registry has been compared with sandboxd's sandboxes once */
	struct node_peer peer[OCU_COMP_COUNT];
};

void node_init(struct node *n);
void node_done(struct node *n);
void node_heard(struct node *n, enum ocu_component c, const char *boot_id); /* boot_id NULL: as before */
void node_pulled(struct node *n, enum ocu_component c, uint64_t epoch);
void node_version(struct node *n, enum ocu_component c, const char *version);
void node_sandboxd(struct node *n, const char *tier, const char *instance);
void node_set_reconciled(struct node *n);
bool node_reconciled(struct node *n);
void node_tier(struct node *n, char out[17]);
void node_instance(struct node *n, char out[NODE_TEXT_MAX + 1]);
struct node_peer node_peer(struct node *n, enum ocu_component c);

#endif
