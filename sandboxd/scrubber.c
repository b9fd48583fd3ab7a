/* scrubber: see scrubber.h. */
#include "sandboxd/scrubber.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "libocu/err.h"
#include "libocu/waiting.h"
#include "sandboxd/stage.h"

/* Belongs to the thread and to who waits for it. */
struct job {
	atomic_int refs;
	const struct stage *stage;
	char container[128];
	unsigned budget_ms;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool over;
	long files;
	struct ocu_error err;
};

static void unref(struct job *j)
{
	if (atomic_fetch_sub(&j->refs, 1) != 1)
		return;
	pthread_cond_destroy(&j->changed);
	pthread_mutex_destroy(&j->lock);
	free(j);
}

static void *run(void *arg)
{
	struct job *j = arg;
	struct ocu_error err = {0};
	long files = stage_scrub(j->stage, j->container, j->budget_ms, &err);

	pthread_mutex_lock(&j->lock);
	j->files = files;
	j->err = err;
	j->over = true;
	pthread_cond_signal(&j->changed);
	pthread_mutex_unlock(&j->lock);
	unref(j);
	return NULL;
}

static struct job *start(const struct stage *st, const char *container, unsigned budget_ms)
{
	struct job *j = calloc(1, sizeof *j);
	pthread_t thread;

	if (!j)
		return NULL;
	j->refs = 2;
	j->stage = st;
	j->budget_ms = budget_ms;
	snprintf(j->container, sizeof j->container, "%s", container);
	pthread_mutex_init(&j->lock, NULL);
	ocu_cond_init(&j->changed);
	if (pthread_create(&thread, NULL, run, j)) {
		j->refs = 1;
		unref(j);
		return NULL;
	}
	pthread_detach(thread);
	return j;
}

long scrubber_run(const struct stage *st, const char *container, unsigned budget_ms, struct ocu_error *err)
{
	struct timespec end = ocu_after_ms(budget_ms);
	struct job *j = start(st, container, budget_ms);
	long files;

	if (!j)
		return ocu_error_set(err, OCU_E_NOMEM, "starting to scrub");
	pthread_mutex_lock(&j->lock);
	while (!j->over && ocu_cond_wait_until(&j->changed, &j->lock, &end)) {
	}
	if (j->over) {
		files = j->files;
		if (files < 0 && err)
			*err = j->err;
	} else {
		files = ocu_error_set(err, OCU_E_TIMEOUT, "the scratch is not empty yet");
	}
	pthread_mutex_unlock(&j->lock);
	unref(j);
	return files;
}
