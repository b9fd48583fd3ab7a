/* committer: group commit. */
#include "auditd/committer.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "auditd/lane.h"
#include "auditd/request.h"
#include "auditd/store.h"
#include "libocu/err.h"
#include "libocu/log.h"

struct committer {
	struct store *store;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work;  /* for the thread: something is ready, or stop */
	pthread_cond_t space; /* for putters */
	struct request *head, **tail;
	size_t ready_bytes;
	unsigned own;
	bool waiting; /* the thread sleeps on work */
	bool stop;
	bool healthy;
};

/* What a record's frame adds to its event, at most. */
#define FRAME_MAX 400

static size_t written_size(const struct request *r)
{
	return r->bytes + r->n * FRAME_MAX;
}

static struct request *take_all(struct committer *c)
{
	pthread_mutex_lock(&c->lock);
	while (!c->head && !c->stop) {
		c->waiting = true;
		pthread_cond_wait(&c->work, &c->lock);
		c->waiting = false;
	}
	struct request *all = c->head;
	c->head = NULL;
	c->tail = &c->head;
	c->ready_bytes = 0;
	c->own = 0;
	pthread_cond_broadcast(&c->space);
	pthread_mutex_unlock(&c->lock);
	return all;
}

static void set_healthy(struct committer *c, const struct ocu_error *err)
{
	pthread_mutex_lock(&c->lock);
	bool before = c->healthy;
	c->healthy = err == NULL;
	pthread_mutex_unlock(&c->lock);
	if (err && before)
		ocu_log_error(OCU_LOG_ERROR, "trail.write_failed", NULL, err);
	else if (!err && !before)
		ocu_log(OCU_LOG_INFO, "trail.write_resumed", NULL, NULL);
}

static int add_request(struct committer *c, struct request *r, struct ocu_error *err)
{
	for (size_t i = 0; i < r->n; i++) {
		uint64_t number = 0;
		int rc = store_add(c->store, r->lane->name, r->wall_ms, r->events[i].data, r->events[i].len,
		                   &number, err);
		if (rc)
			return rc;
		if (i == 0)
			r->first = number;
	}
	return 0;
}

static void finish_all(struct request *r, const struct request *end, const struct ocu_error *err)
{
	while (r != end) {
		struct request *next = r->next;
		request_finish(r, err);
		r = next;
	}
}

/* Makes one batch of the front of the list, commits and answers it; returns what did not fit. */
static struct request *commit_some(struct committer *c, struct request *list)
{
	struct ocu_error err = {0};
	struct request *r = list;
	uint64_t events = 0;
	int rc = store_begin(c->store, &err);
	while (r && (r == list || store_batch_bytes(c->store) + written_size(r) <= STORE_BATCH_MAX)) {
		if (!rc)
			rc = add_request(c, r, &err);
		events += r->n;
		r = r->next;
	}
	if (!rc)
		rc = store_commit(c->store, &err);
	else
		store_abort(c->store);
	if (rc) {
		store_note_refused(c->store, events, &err);
		set_healthy(c, &err);
		/* Callers learn what it means for them, not what the disk said. */
		ocu_error_set(&err, rc == OCU_E_NO_SPACE ? rc : OCU_E_AUDIT, "%s",
		              ocu_err_text(rc == OCU_E_NO_SPACE ? rc : OCU_E_AUDIT));
	} else {
		set_healthy(c, NULL);
	}
	finish_all(list, r, rc ? &err : NULL);
	return r;
}

static void *run(void *arg)
{
	struct committer *c = arg;
	for (;;) {
		struct request *list = take_all(c);
		if (!list)
			return NULL;
		while (list)
			list = commit_some(c, list);
	}
}

int committer_start(struct committer **ret, struct store *store, struct ocu_error *err)
{
	struct committer *c = calloc(1, sizeof *c);
	if (!c)
		return ocu_error_set(err, OCU_E_NOMEM, "committer");
	c->store = store;
	c->tail = &c->head;
	c->healthy = true;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->work, NULL);
	pthread_cond_init(&c->space, NULL);
	int rc = pthread_create(&c->thread, NULL, run, c);
	if (rc) {
		free(c);
		return ocu_error_errno(err, OCU_E_INTERNAL, rc, "committer thread");
	}
	*ret = c;
	return 0;
}

void committer_stop(struct committer *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_signal(&c->work);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	pthread_cond_destroy(&c->work);
	pthread_cond_destroy(&c->space);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static void push(struct committer *c, struct request *r)
{
	r->next = NULL;
	*c->tail = r;
	c->tail = &r->next;
	c->ready_bytes += r->bytes;
	if (c->waiting)
		pthread_cond_signal(&c->work);
}

void committer_put(struct committer *c, struct request *r)
{
	pthread_mutex_lock(&c->lock);
	while (c->ready_bytes > COMMITTER_READY_MAX)
		pthread_cond_wait(&c->space, &c->lock);
	push(c, r);
	pthread_mutex_unlock(&c->lock);
}

int committer_put_own(struct committer *c, struct request *r, struct ocu_error *err)
{
	int rc = 0;
	pthread_mutex_lock(&c->lock);
	if (c->own >= COMMITTER_OWN_MAX) {
		rc = ocu_error_set(err, OCU_E_BUSY, "too many own events");
	} else {
		c->own++;
		push(c, r);
	}
	pthread_mutex_unlock(&c->lock);
	return rc;
}

int committer_healthy(struct committer *c)
{
	pthread_mutex_lock(&c->lock);
	int healthy = c->healthy;
	pthread_mutex_unlock(&c->lock);
	return healthy;
}
