/*
 * lane: one bounded queue a source, drained in turns, so that a source that floods waits for itself and
 * nobody else (NFR-SEC-56). A turn is worth a fixed number of bytes: large requests wait for several. A
 * source that has more than its share waiting is shaped: what it sends on top waits behind its own, or is
 * answered OCU_E_RATE when its queue is full. That is counted, and reported as an event.
 */
#ifndef AUDITD_LANE_H
#define AUDITD_LANE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libocu/peer.h"
#include "libocu/trail_sources.h"

struct ocu_error;
struct request;

#define LANE_SHARE        32 /* requests waiting in one lane beyond which its source is shaped */
#define LANE_REQUESTS_MAX 96 /* and beyond which it is refused */

struct lane {
	char name[OCU_TRAIL_SOURCE_MAX]; /* "<component>" or "<component>/<instance>" */
	enum ocu_component component;
	struct request *head, **tail;
	size_t requests, bytes; /* waiting */
	size_t credit;          /* bytes it may still send in this turn */
};

struct lanes {
	pthread_mutex_t lock;
	size_t bytes_max; /* waiting in one lane; a single request is always taken into an empty one */
	struct lane *lane[OCU_TRAIL_SOURCES_MAX];
	unsigned n;
	unsigned turn; /* index of the lane whose turn it is */
	size_t waiting;
};

void lanes_init(struct lanes *l, size_t bytes_max);
/* Frees the lanes; they must be empty. */
void lanes_done(struct lanes *l);
/* The lane of a peer, made when new. Lanes live as long as the table. OCU_E_QUOTA, OCU_E_NOMEM. */
int lanes_get(struct lanes *l, const struct ocu_peer *peer, struct lane **ret, struct ocu_error *err);
/* Takes r, or OCU_E_RATE. *ret_shaped: the source had its share waiting already. */
int lanes_put(struct lanes *l, struct request *r, bool *ret_shaped, struct ocu_error *err);
/* The next request in turn, or NULL when all lanes are empty. */
struct request *lanes_take(struct lanes *l);

#endif
