/*
 * committer: group commit. Answering is the work of a second thread: handing a reply to the network costs as
 * much as writing a record, and the disk must not wait for it.
 */
#include "auditd/committer.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "auditd/lane.h"
#include "auditd/metrics.h"
#include "auditd/request.h"
#include "auditd/store.h"
#include "libocu/err.h"
#include "libocu/log.h"
#include "libocu/waiting.h"

/* Requests of one batch and how it ended. */
struct outcome {
	struct outcome *next;
	struct request *requests;
	struct ocu_error err; /* code 0: durable */
};

struct committer {
	struct store *store;
	pthread_t writer, answerer;
	pthread_mutex_t lock;
	pthread_cond_t work;  /* for the writer: something is ready, or stop */
	pthread_cond_t space; /* for putters */
	struct request *head, **tail;
	size_t ready_bytes;
	unsigned own;
	bool waiting;                      /* the writer sleeps on work */
	struct outcome *over, **over_tail; /* for the answerer */
	pthread_cond_t answers;
	bool stop, written; /* written: no outcome will follow */
	bool healthy;
};

/* What a record's frame adds to its event, at most. */
#define FRAME_MAX 400

static size_t written_size(const struct request *r)
{
	return r->bytes + r->n * FRAME_MAX;
}

/* False when there was nothing for as long as the store may be left alone. */
static bool wait_for_work(struct committer *c)
{
	uint64_t every = store_tend_every_ms(c->store);
	struct timespec end = ocu_after_ms(every);
	bool in_time = true;
	c->waiting = true;
	if (every)
		in_time = ocu_cond_wait_until(&c->work, &c->lock, &end);
	else
		pthread_cond_wait(&c->work, &c->lock);
	c->waiting = false;
	return in_time;
}

/* True with what is ready, which may be nothing; false once nothing will be. */
static bool take_all(struct committer *c, struct request **ret)
{
	bool in_time = true;
	pthread_mutex_lock(&c->lock);
	while (!c->head && !c->stop && in_time)
		in_time = wait_for_work(c);
	struct request *all = c->head;
	bool more = all || !c->stop;
	c->head = NULL;
	c->tail = &c->head;
	c->ready_bytes = 0;
	c->own = 0;
	pthread_cond_broadcast(&c->space);
	pthread_mutex_unlock(&c->lock);
	*ret = all;
	return more;
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

/* A source that finds the table of sources full has nothing in the batch: that is its concern alone. */
static int add_or_refuse(struct committer *c, struct request *r, struct ocu_error *err)
{
	int rc = add_request(c, r, err);
	if (rc != OCU_E_QUOTA)
		return rc;
	r->refused = rc;
	err->code = 0;
	return 0;
}

static void finish_one(struct request *r, const struct ocu_error *err)
{
	struct ocu_error alone = {0};
	if (!err && r->refused) {
		ocu_error_set(&alone, r->refused, "%s", ocu_err_text(r->refused));
		metrics_refused(r->lane->component);
		err = &alone;
	}
	request_finish(r, err);
}

static void finish_all(struct request *r, const struct ocu_error *err)
{
	while (r) {
		struct request *next = r->next;
		finish_one(r, err);
		r = next;
	}
}

/* Hands a batch to the answerer; without memory for that, answers here. */
static void hand_over(struct committer *c, struct request *requests, const struct ocu_error *err)
{
	struct outcome *o = calloc(1, sizeof *o);
	if (!o) {
		finish_all(requests, err->code ? err : NULL);
		return;
	}
	o->requests = requests;
	o->err = *err;
	pthread_mutex_lock(&c->lock);
	*c->over_tail = o;
	c->over_tail = &o->next;
	pthread_cond_signal(&c->answers);
	pthread_mutex_unlock(&c->lock);
}

static struct outcome *next_outcomes(struct committer *c)
{
	pthread_mutex_lock(&c->lock);
	while (!c->over && !c->written)
		pthread_cond_wait(&c->answers, &c->lock);
	struct outcome *all = c->over;
	c->over = NULL;
	c->over_tail = &c->over;
	pthread_mutex_unlock(&c->lock);
	return all;
}

static void *answer(void *arg)
{
	struct outcome *o;
	while ((o = next_outcomes(arg))) {
		while (o) {
			struct outcome *next = o->next;
			finish_all(o->requests, o->err.code ? &o->err : NULL);
			free(o);
			o = next;
		}
	}
	return NULL;
}

/* Adds requests while they fit; cuts the list behind the last one and returns the rest. */
static struct request *fill_batch(struct committer *c, struct request *list, uint64_t *events, int *rc,
                                  struct ocu_error *err)
{
	struct request *r = list, *last = list;
	*rc = store_begin(c->store, err);
	while (r && (r == list || store_batch_bytes(c->store) + written_size(r) <= STORE_BATCH_MAX)) {
		if (!*rc)
			*rc = add_or_refuse(c, r, err);
		*events += r->n;
		last = r;
		r = r->next;
	}
	last->next = NULL;
	return r;
}

/* Makes one batch of the front of the list and commits it; returns what did not fit. */
static struct request *commit_some(struct committer *c, struct request *list)
{
	struct ocu_error err = {0};
	uint64_t events = 0;
	int rc;
	struct request *rest = fill_batch(c, list, &events, &rc, &err);
	if (!rc)
		rc = store_commit(c->store, &err);
	else
		store_abort(c->store);
	if (rc) {
		store_note_refused(c->store, events, &err);
		set_healthy(c, &err);
		/* Callers learn what it means for them, not what the disk said. */
		rc = rc == OCU_E_NO_SPACE ? rc : OCU_E_AUDIT;
		ocu_error_set(&err, rc, "%s", ocu_err_text(rc));
	} else {
		err.code = 0;
		set_healthy(c, NULL);
	}
	hand_over(c, list, &err);
	return rest;
}

/* What fails here will fail the next batch as well, or be well again by then. */
static void tend(struct committer *c)
{
	struct ocu_error err = {0};
	if (store_tend(c->store, &err))
		ocu_log_error(OCU_LOG_WARN, "trail.tend_failed", NULL, &err);
}

static void *write_batches(void *arg)
{
	struct committer *c = arg;
	struct request *list;
	while (take_all(c, &list)) {
		if (!list)
			tend(c);
		while (list)
			list = commit_some(c, list);
	}
	pthread_mutex_lock(&c->lock);
	c->written = true;
	pthread_cond_signal(&c->answers);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

static void release(struct committer *c)
{
	pthread_cond_destroy(&c->work);
	pthread_cond_destroy(&c->space);
	pthread_cond_destroy(&c->answers);
	pthread_mutex_destroy(&c->lock);
	free(c);
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
	c->over_tail = &c->over;
	ocu_cond_init(&c->work);
	pthread_cond_init(&c->space, NULL);
	pthread_cond_init(&c->answers, NULL);
	int rc = pthread_create(&c->answerer, NULL, answer, c);
	if (rc) {
		release(c);
		return ocu_error_errno(err, OCU_E_INTERNAL, rc, "committer thread");
	}
	rc = pthread_create(&c->writer, NULL, write_batches, c);
	if (rc) {
		c->written = true;
		pthread_cond_signal(&c->answers);
		pthread_join(c->answerer, NULL);
		release(c);
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
	pthread_join(c->writer, NULL);
	pthread_join(c->answerer, NULL);
	release(c);
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
