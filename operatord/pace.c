/* pace: see pace.h. */
#include "operatord/pace.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/err.h"
#include "operatord/rate.h"
#include "operatord/registry.h"

#define CALLERS 1024
#define COST    60 /* tokens of a start: a bucket gets `per_minute` of them a second */

struct bucket {
	char caller[CALLER_MAX + 1];
	struct rate rate;
};

struct pace {
	pthread_mutex_t lock;
	unsigned per_minute;
	size_t n;
	struct bucket of[CALLERS];
};

struct pace *pace_new(unsigned per_minute)
{
	struct pace *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	pthread_mutex_init(&p->lock, NULL);
	p->per_minute = per_minute;
	return p;
}

void pace_free(struct pace *p)
{
	if (!p)
		return;
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* The caller's, or a new one: in a full table that of whoever started a session longest ago. It takes as many
 * callers within a minute for one of them to gain by that, and callers are not a client's to make. */
static struct bucket *bucket_of(struct pace *p, const char *caller)
{
	struct bucket *oldest = &p->of[0];

	for (size_t i = 0; i < p->n; i++) {
		if (strcmp(p->of[i].caller, caller) == 0)
			return &p->of[i];
		if (p->of[i].rate.at_ms < oldest->rate.at_ms)
			oldest = &p->of[i];
	}
	struct bucket *b = p->n < CALLERS ? &p->of[p->n++] : oldest;
	snprintf(b->caller, sizeof b->caller, "%s", caller);
	rate_init(&b->rate, p->per_minute, (uint64_t)p->per_minute * COST);
	return b;
}

int pace_take(struct pace *p, const char *caller, uint64_t now_mono, struct ocu_error *err)
{
	pthread_mutex_lock(&p->lock);
	bool taken = rate_take_n(&bucket_of(p, caller)->rate, now_mono, COST);
	pthread_mutex_unlock(&p->lock);
	return taken ? 0
	             : ocu_error_set(err, OCU_E_RATE, "caller: %u session starts a minute at most",
	                             p->per_minute);
}
