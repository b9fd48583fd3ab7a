/* pool: see pool.h. */
#include "operatord/pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "libocu/err.h"

struct job {
	pool_job *run;
	void *arg;
};

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t work;
	bool stopping;
	unsigned head, count, max; /* ring of jobs */
	struct job *jobs;
	unsigned threads;
	pthread_t *thread;
};

static void *worker(void *arg)
{
	struct pool *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (p->count == 0 && !p->stopping)
			pthread_cond_wait(&p->work, &p->lock);
		if (p->count == 0)
			break;
		struct job j = p->jobs[p->head];
		p->head = (p->head + 1) % p->max;
		p->count--;
		pthread_mutex_unlock(&p->lock);
		j.run(j.arg);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

int pool_new(struct pool **ret, const char *name, unsigned threads, unsigned queue_max, struct ocu_error *err)
{
	struct pool *p = calloc(1, sizeof *p);
	char title[16];

	if (!p || !(p->jobs = calloc(queue_max, sizeof *p->jobs)) ||
	    !(p->thread = calloc(threads, sizeof *p->thread))) {
		pool_stop(p);
		return ocu_error_set(err, OCU_E_NOMEM, "pool %s", name);
	}
	p->max = queue_max;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	snprintf(title, sizeof title, "%.15s", name);
	for (; p->threads < threads; p->threads++) {
		int rc = pthread_create(&p->thread[p->threads], NULL, worker, p);
		if (rc) {
			pool_stop(p);
			return ocu_error_errno(err, OCU_E_NOMEM, rc, "starting a thread of pool %s", name);
		}
		pthread_setname_np(p->thread[p->threads], title);
	}
	*ret = p;
	return 0;
}

int pool_submit(struct pool *p, pool_job *job, void *arg, struct ocu_error *err)
{
	int rc = 0;

	pthread_mutex_lock(&p->lock);
	if (p->stopping)
		rc = ocu_error_set(err, OCU_E_CANCELLED, "stopping");
	else if (p->count == p->max)
		rc = ocu_error_set(err, OCU_E_BUSY, "queue is full");
	if (rc == 0) {
		p->jobs[(p->head + p->count++) % p->max] = (struct job){job, arg};
		pthread_cond_signal(&p->work);
	}
	pthread_mutex_unlock(&p->lock);
	return rc;
}

void pool_stop(struct pool *p)
{
	if (!p)
		return;
	if (p->threads > 0) {
		pthread_mutex_lock(&p->lock);
		p->stopping = true;
		pthread_cond_broadcast(&p->work);
		pthread_mutex_unlock(&p->lock);
	}
	for (unsigned i = 0; i < p->threads; i++)
		pthread_join(p->thread[i], NULL);
	free(p->thread);
	free(p->jobs);
	free(p);
}
