/*
 * heard: what operatord has last heard of each component that dials it or is asked: when, which version it
 * is, which epoch of the denylist it has. Observation only; decisions that must survive a restart are in the
 * registry. Daemons of several nodes share the row of their component.
 */
#ifndef OPERATORD_HEARD_H
#define OPERATORD_HEARD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "libocu/peer.h"

struct heard_peer {
	char version[33];    /* of its program; "" until heard of */
	uint64_t heard_mono; /* 0: never */
	uint64_t epoch;      /* of subscribers: what they said they have */
	bool subscribed;
};

struct heard {
	pthread_mutex_t lock;
	struct heard_peer peer[OCU_COMP_COUNT];
};

void heard_init(struct heard *h);
void heard_done(struct heard *h);
void heard_of(struct heard *h, enum ocu_component c);
void heard_pulled(struct heard *h, enum ocu_component c, uint64_t epoch, const char *version);
void heard_version(struct heard *h, enum ocu_component c, const char *version);
struct heard_peer heard_peer(struct heard *h, enum ocu_component c);

#endif
