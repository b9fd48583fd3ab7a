/* north_sending: the list and its thread. */
#include "brokerd/north_sending.h"

#include <pthread.h>
#include <stdlib.h>

#include "brokerd/north_gate.h"
#include "brokerd/north_job.h"
#include "libocu/err.h"
#include "libocu/waiting.h"

#define LOOK_MS 1000

struct sending {
	pthread_mutex_t lock; /* held while a job of the list is used */
	pthread_cond_t changed;
	LIST_HEAD(sent_jobs, job) jobs;
	bool stop;
	pthread_t thread;
};

static void look(struct sending *s)
{
	for (struct job *j = LIST_FIRST(&s->jobs); j; j = LIST_NEXT(j, sent)) {
		struct ocu_error err = {0};
		if (!j->denied && job_allowed(j, &err) < 0)
			job_cut(j, &err);
	}
}

static void *run(void *arg)
{
	struct sending *s = arg;
	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		if (LIST_EMPTY(&s->jobs)) {
			pthread_cond_wait(&s->changed, &s->lock);
			continue;
		}
		struct timespec until = ocu_after_ms(LOOK_MS);
		while (!s->stop && ocu_cond_wait_until(&s->changed, &s->lock, &until))
			;
		look(s);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

int sending_start(struct sending **ret, struct ocu_error *err)
{
	struct sending *s = calloc(1, sizeof *s);
	if (!s)
		return ocu_error_set(err, OCU_E_NOMEM, "watch over answers");
	LIST_INIT(&s->jobs);
	pthread_mutex_init(&s->lock, NULL);
	ocu_cond_init(&s->changed);
	int e = pthread_create(&s->thread, NULL, run, s);
	if (e) {
		free(s);
		return ocu_error_errno(err, OCU_E_NOMEM, e, "thread watching over answers");
	}
	*ret = s;
	return 0;
}

void sending_stop(struct sending *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->changed);
	free(s);
}

void sending_add(struct sending *s, struct job *j)
{
	pthread_mutex_lock(&s->lock);
	if (LIST_EMPTY(&s->jobs))
		pthread_cond_signal(&s->changed);
	LIST_INSERT_HEAD(&s->jobs, j, sent);
	j->sending = true;
	pthread_mutex_unlock(&s->lock);
}

void sending_remove(struct sending *s, struct job *j)
{
	pthread_mutex_lock(&s->lock);
	if (j->sending)
		LIST_REMOVE(j, sent);
	j->sending = false;
	pthread_mutex_unlock(&s->lock);
}
