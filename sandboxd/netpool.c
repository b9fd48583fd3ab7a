/* netpool: see netpool.h. */
#include "sandboxd/netpool.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "libocu/err.h"
#include "libocu/log.h"

struct netpool {
	pthread_mutex_t lock;
	pthread_cond_t taken;
	pthread_t thread;
	bool stopping;
	unsigned size, n;
	struct netns_pair pairs[];
};

/* Waits until one is missing; false when the end was asked for. */
static bool wait_for_room(struct netpool *p)
{
	bool go_on;

	pthread_mutex_lock(&p->lock);
	while (p->n == p->size && !p->stopping)
		pthread_cond_wait(&p->taken, &p->lock);
	go_on = !p->stopping;
	pthread_mutex_unlock(&p->lock);
	return go_on;
}

static void wait_a_second(struct netpool *p)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec++;
	pthread_mutex_lock(&p->lock);
	while (!p->stopping && pthread_cond_timedwait(&p->taken, &p->lock, &t) != ETIMEDOUT) {
	}
	pthread_mutex_unlock(&p->lock);
}

static void *fill(void *arg)
{
	struct netpool *p = arg;

	while (wait_for_room(p)) {
		struct netns_pair pair;
		struct ocu_error err = {0};

		if (netns_make(&pair, &err)) {
			ocu_log_error(OCU_LOG_ERROR, "netpool.failed", NULL, &err);
			wait_a_second(p);
			continue;
		}
		pthread_mutex_lock(&p->lock);
		p->pairs[p->n++] = pair;
		pthread_mutex_unlock(&p->lock);
	}
	return NULL;
}

int netpool_start(struct netpool **ret, unsigned size, struct ocu_error *err)
{
	struct netpool *p = calloc(1, sizeof *p + size * sizeof *p->pairs);
	int rc;

	if (!p)
		return ocu_error_set(err, OCU_E_NOMEM, "network pool");
	p->size = size;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->taken, NULL);
	rc = pthread_create(&p->thread, NULL, fill, p);
	if (rc) {
		free(p);
		return ocu_error_errno(err, OCU_E_NOMEM, rc, "starting a thread");
	}
	*ret = p;
	return 0;
}

void netpool_stop(struct netpool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->taken);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	while (p->n > 0)
		netns_done(&p->pairs[--p->n]);
	pthread_cond_destroy(&p->taken);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

int netpool_take(struct netpool *p, struct netns_pair *ret, struct ocu_error *err)
{
	bool found = false;

	pthread_mutex_lock(&p->lock);
	if (p->n > 0) {
		*ret = p->pairs[--p->n];
		found = true;
		pthread_cond_signal(&p->taken);
	}
	pthread_mutex_unlock(&p->lock);
	return found ? 0 : netns_make(ret, err);
}
