/* gate: see gate.h. */
#include "operatord/gate.h"

void gate_init(struct gate *g)
{
	*g = (struct gate){0};
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->turn, NULL);
}

void gate_done(struct gate *g)
{
	pthread_cond_destroy(&g->turn);
	pthread_mutex_destroy(&g->lock);
}

void gate_enter(struct gate *g, enum gate_class class)
{
	pthread_mutex_lock(&g->lock);
	if (class != GATE_ORDINARY) {
		g->urgent_waiting++;
		while (g->held)
			pthread_cond_wait(&g->turn, &g->lock);
		g->urgent_waiting--;
	} else {
		while (g->held || g->urgent_waiting > 0)
			pthread_cond_wait(&g->turn, &g->lock);
	}
	g->held = true;
	pthread_mutex_unlock(&g->lock);
}

void gate_leave(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->held = false;
	/* Both classes wait on one condition, and only the waiters know which of them may go. */
	pthread_cond_broadcast(&g->turn);
	pthread_mutex_unlock(&g->lock);
}
