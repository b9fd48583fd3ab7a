/* jobs: see jobs.h. */
#include "sandboxd/jobs.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "libocu/err.h"

struct job {
	struct job *next;
	void (*run)(void *arg);
	void *arg;
};

struct jobs {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct job *first, *last;
	unsigned queued, queue_max, nthreads;
	bool stopping;
	pthread_t threads[];
};

static struct job *next_job(struct jobs *j)
{
	struct job *job;

	pthread_mutex_lock(&j->lock);
	while (!j->first && !j->stopping)
		pthread_cond_wait(&j->more, &j->lock);
	job = j->first;
	if (job) {
		j->first = job->next;
		j->queued--;
		if (!j->first)
			j->last = NULL;
	}
	pthread_mutex_unlock(&j->lock);
	return job;
}

static void *work(void *arg)
{
	struct jobs *j = arg;
	struct job *job;

	while ((job = next_job(j))) {
		job->run(job->arg);
		free(job);
	}
	return NULL;
}

int jobs_start(struct jobs **ret, unsigned threads, unsigned queue_max, struct ocu_error *err)
{
	struct jobs *j = calloc(1, sizeof *j + threads * sizeof *j->threads);

	if (!j)
		return ocu_error_set(err, OCU_E_NOMEM, "jobs");
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->more, NULL);
	j->queue_max = queue_max;
	for (; j->nthreads < threads; j->nthreads++) {
		int rc = pthread_create(&j->threads[j->nthreads], NULL, work, j);

		if (rc) {
			jobs_stop(j);
			return ocu_error_errno(err, OCU_E_NOMEM, rc, "starting a thread");
		}
	}
	*ret = j;
	return 0;
}

/* With the lock. */
static void append(struct jobs *j, struct job *job)
{
	if (j->last)
		j->last->next = job;
	else
		j->first = job;
	j->last = job;
	j->queued++;
	pthread_cond_signal(&j->more);
}

int jobs_add(struct jobs *j, void (*run)(void *arg), void *arg, struct ocu_error *err)
{
	struct job *job = malloc(sizeof *job);
	bool room;

	if (!job)
		return ocu_error_set(err, OCU_E_NOMEM, "jobs");
	*job = (struct job){.run = run, .arg = arg};
	pthread_mutex_lock(&j->lock);
	room = !j->stopping && j->queued < j->queue_max;
	if (room)
		append(j, job);
	pthread_mutex_unlock(&j->lock);
	if (room)
		return 0;
	free(job);
	return ocu_error_set(err, OCU_E_BUSY, "too much to do");
}

void jobs_stop(struct jobs *j)
{
	if (!j)
		return;
	pthread_mutex_lock(&j->lock);
	j->stopping = true;
	pthread_cond_broadcast(&j->more);
	pthread_mutex_unlock(&j->lock);
	for (unsigned i = 0; i < j->nthreads; i++)
		pthread_join(j->threads[i], NULL);
	pthread_cond_destroy(&j->more);
	pthread_mutex_destroy(&j->lock);
	free(j);
}
