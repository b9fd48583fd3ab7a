/*
 * gate: the lock in front of the registry, with two classes. A revocation never queues behind ordinary work:
 * while one waits, ordinary entries hold back, so it waits for at most the one transaction under way
 * (NFR-SEC-55). Not recursive.
 */
#ifndef OPERATORD_GATE_H
#define OPERATORD_GATE_H

#include <pthread.h>
#include <stdbool.h>

/* AHEAD: what urgent work may wait for. It goes first, too, but the space kept back is not for it. */
enum gate_class { GATE_ORDINARY, GATE_AHEAD, GATE_URGENT };

struct gate {
	pthread_mutex_t lock;
	pthread_cond_t turn;
	bool held;
	unsigned urgent_waiting;
};

void gate_init(struct gate *g);
void gate_done(struct gate *g);
void gate_enter(struct gate *g, enum gate_class class); /* blocks */
void gate_leave(struct gate *g);

#endif
