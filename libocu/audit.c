/*
 * audit: commits share batches. What waits goes out in one Append as soon as fewer than BATCHES are under
 * way, so a lone commit leaves at once and a crowd shares round trips. An event is told "durable" only by the
 * answer to the Append it was in; an Append that failed or was cut off fails all its events: the action is
 * refused, though the trail may show it.
 */
#include "libocu/audit.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/metrics.h"
#include "libocu/peer.h"
#include "libocu/pki.h"
#include "libocu/refusals.h"
#include "libocu/rpc.h"
#include "libocu/waiting.h"
#include "proto/audit.pb-c.h"
#include "proto/methods.h"

enum {
	BATCHES = 4,
	BATCHES_SMALL = 2, /* under way, and a small batch still leaves; beyond that it waits to grow */
	BATCH_WORTH = 32,  /* events: no longer small */
	BATCH_EVENTS = 256,
	BATCH_BYTES = 1 << 20,
	PENDING_MAX = 16384,
	UNREACHABLE_MS = 2000, /* an event waits this long for a connection */
	COMMIT_MS = 5000,      /* and this long for a connected auditd */
	PROBE_MS = 1000,       /* between attempts while auditd takes nothing */
};

struct entry {
	struct entry *next;
	uint64_t since_ms;
	ocu_audit_done_fn *done;
	void *arg;
	size_t len;
	char json[];
};

struct batch {
	struct ocu_audit *audit;
	struct batch *next_free;
	unsigned count;
	struct entry *entries[BATCH_EVENTS];
	ProtobufCBinaryData events[BATCH_EVENTS];
};

struct ocu_audit {
	struct ocu_rpc_client *client;
	char system[40]; /* "system:<component>" */
	pthread_mutex_t lock;
	pthread_cond_t settled; /* pending or inside went down to 0 */
	struct entry *head, *tail;
	unsigned queued;    /* events in the list */
	unsigned under_way; /* batches */
	unsigned pending;   /* events not yet answered, batched ones included */
	unsigned inside;    /* threads in ocu_audit_commit_async() that may still touch us */
	bool stopping;
	struct batch *idle; /* of batches[] */
	struct batch batches[BATCHES];
	struct ocu_refusals *refusals;
	bool refusing;     /* auditd did not take what it was sent last */
	uint64_t probe_at; /* while it does not */
	struct ocu_counter *committed, *failed, *lost;
};

/* --- ends of events --- */

/* Tells every event of the list; NULL means durable. */
static void settle(struct ocu_audit *a, struct entry **entries, unsigned count, const struct ocu_error *err)
{
	for (unsigned i = 0; i < count; i++) {
		entries[i]->done(entries[i]->arg, err);
		free(entries[i]);
	}
	ocu_counter_add(err ? a->failed : a->committed, count);
	pthread_mutex_lock(&a->lock);
	a->pending -= count;
	if (a->pending == 0)
		pthread_cond_broadcast(&a->settled);
	pthread_mutex_unlock(&a->lock);
}

static struct entry *pop(struct ocu_audit *a)
{
	struct entry *e = a->head;

	a->head = e->next;
	a->queued--;
	return e;
}

static uint64_t patience(bool connected)
{
	return connected ? COMMIT_MS : UNREACHABLE_MS;
}

/* Fails what has waited too long. The queue is in order of arrival. */
static void expire(struct ocu_audit *a, bool connected)
{
	struct ocu_error err = {0};
	uint64_t now = ocu_mono_ms();

	ocu_error_set(&err, OCU_E_AUDIT, connected ? "auditd does not answer" : "auditd is not connected");
	for (;;) {
		struct entry *late[BATCH_EVENTS];
		unsigned n = 0;

		pthread_mutex_lock(&a->lock);
		while (n < BATCH_EVENTS && a->head &&
		       (a->stopping || now >= a->head->since_ms + patience(connected)))
			late[n++] = pop(a);
		pthread_mutex_unlock(&a->lock);
		if (n == 0)
			return;
		settle(a, late, n, &err);
	}
}

/* --- batches --- */

/* Every Append costs both sides several thread switches, so with two under way a few events more wait for the
 * first of them to return; measured, that nearly doubles the rate of 64 committers and costs a few of them
 * nothing. */
static bool batch_due(const struct ocu_audit *a)
{
	return a->head && a->idle && (a->under_way < BATCHES_SMALL || a->queued >= BATCH_WORTH);
}

static struct batch *batch_take(struct ocu_audit *a)
{
	struct batch *b = NULL;
	size_t bytes = 0;

	pthread_mutex_lock(&a->lock);
	if (batch_due(a)) {
		b = a->idle;
		a->idle = b->next_free;
		a->under_way++;
		b->count = 0;
		while (a->head && b->count < BATCH_EVENTS && bytes + a->head->len <= BATCH_BYTES) {
			struct entry *e = pop(a);

			bytes += e->len;
			b->events[b->count].data = (uint8_t *)e->json;
			b->events[b->count].len = e->len;
			b->entries[b->count++] = e;
		}
	}
	pthread_mutex_unlock(&a->lock);
	return b;
}

/* The batch may be used again before its events are told: they are copied out. */
static void batch_over(struct batch *b, const struct ocu_error *err)
{
	struct ocu_audit *a = b->audit;
	struct entry *entries[BATCH_EVENTS];
	struct ocu_error failure = {0};
	unsigned count = b->count;

	memcpy(entries, b->entries, count * sizeof(struct entry *));
	pthread_mutex_lock(&a->lock);
	b->next_free = a->idle;
	a->idle = b;
	a->under_way--;
	/* An auditd that cannot write stays connected and says so. */
	a->refusing = err && (err->code == OCU_E_NO_SPACE || err->code == OCU_E_AUDIT);
	pthread_mutex_unlock(&a->lock);
	if (err) {
		ocu_error_set(&failure, OCU_E_AUDIT, "%s", err->text);
		settle(a, entries, count, &failure);
	} else {
		settle(a, entries, count, NULL);
	}
}

static void pump(struct ocu_audit *a);

static void appended(void *arg, const ProtobufCMessage *reply, const struct ocu_error *err)
{
	struct batch *b = arg;
	struct ocu_audit *a = b->audit;

	(void)reply;
	batch_over(b, err);
	pump(a);
}

static uint32_t left(uint64_t limit, uint64_t age)
{
	return age < limit ? (uint32_t)(limit - age) : 1;
}

/* A batch that leaves before the connection stands has the time of both. */
static void batch_send(struct batch *b, bool connected)
{
	Ocu__Audit__AppendRequest req = OCU__AUDIT__APPEND_REQUEST__INIT;
	struct ocu_error err = {0};
	uint64_t age = ocu_mono_ms() - b->entries[0]->since_ms;
	const struct ocu_rpc_limits limits = {
	    .connect_ms = left(UNREACHABLE_MS, age),
	    .deadline_ms = left(connected ? COMMIT_MS : UNREACHABLE_MS + COMMIT_MS, age)};

	req.n_events = b->count;
	req.events = b->events;
	if (ocu_rpc_call_async_limited(b->audit->client, &ocu_m_audit_append, &req.base, &limits, NULL,
	                               appended, b, &err) != 0)
		batch_over(b, &err);
}

/* Sends while there is something to send and a batch to send it in. Without any lock: an Append may end
 * before the call returns. */
static void pump(struct ocu_audit *a)
{
	bool connected = ocu_rpc_client_connected(a->client);
	struct batch *b;

	expire(a, connected);
	while ((b = batch_take(a)) != NULL)
		batch_send(b, connected);
}

/* --- the public face --- */

static struct entry *entry_new(const struct ocu_event *ev, ocu_audit_done_fn *done, void *arg,
                               struct ocu_error *err)
{
	OCU_BUF struct ocu_buf text = OCU_BUF_INIT(OCU_EVENT_MAX);
	struct entry *e;

	if (ocu_event_render(ev, &text, err) != 0)
		return NULL;
	e = malloc(sizeof *e + text.len);
	if (!e) {
		ocu_error_set(err, OCU_E_NOMEM, "audit event");
		return NULL;
	}
	e->next = NULL;
	e->since_ms = ocu_mono_ms();
	e->done = done;
	e->arg = arg;
	e->len = text.len;
	memcpy(e->json, text.data, text.len);
	return e;
}

static int add(struct ocu_audit *a, const struct ocu_event *ev, unsigned room, ocu_audit_done_fn *done,
               void *arg, struct ocu_error *err)
{
	struct ocu_error why = {0};
	struct entry *e = entry_new(ev, done, arg, &why);
	bool queued;

	if (!e)
		return ocu_error_set(err, OCU_E_AUDIT, "%s", why.text);
	pthread_mutex_lock(&a->lock);
	queued = a->pending < room && !a->stopping;
	if (queued) {
		*(a->head ? &a->tail->next : &a->head) = e;
		a->tail = e;
		a->queued++;
		a->pending++;
		a->inside++;
	}
	pthread_mutex_unlock(&a->lock);
	if (!queued) {
		free(e);
		return ocu_error_set(err, OCU_E_AUDIT, "%u events are pending, or the emitter stops", room);
	}
	pump(a);
	pthread_mutex_lock(&a->lock);
	if (--a->inside == 0 && a->stopping)
		pthread_cond_broadcast(&a->settled);
	pthread_mutex_unlock(&a->lock);
	return 0;
}

int ocu_audit_commit_async(struct ocu_audit *a, const struct ocu_event *ev, ocu_audit_done_fn *done,
                           void *arg, struct ocu_error *err)
{
	return add(a, ev, PENDING_MAX, done, arg, err);
}

struct waiter {
	sem_t told;
	struct ocu_error *err;
	int code;
};

static void wake(void *arg, const struct ocu_error *err)
{
	struct waiter *w = arg;

	if (err) {
		w->code = err->code;
		if (w->err)
			*w->err = *err;
	}
	sem_post(&w->told);
}

int ocu_audit_commit(struct ocu_audit *a, const struct ocu_event *ev, struct ocu_error *err)
{
	struct waiter w = {.err = err};
	int rv;

	sem_init(&w.told, 0, 0);
	rv = ocu_audit_commit_async(a, ev, wake, &w, err);
	if (rv == 0) {
		while (sem_wait(&w.told) != 0)
			;
		rv = w.code;
	}
	sem_destroy(&w.told);
	return rv;
}

static void reported(void *arg, const struct ocu_error *err)
{
	struct ocu_audit *a = arg;

	if (err)
		ocu_counter_add(a->lost, 1);
}

void ocu_audit_report(struct ocu_audit *a, const struct ocu_event *ev)
{
	/* They never take the place of an event that somebody waits for. */
	if (add(a, ev, PENDING_MAX / 2, reported, a, NULL) != 0)
		ocu_counter_add(a->lost, 1);
}

void ocu_audit_refused(struct ocu_audit *a, const struct ocu_event *ev)
{
	struct ocu_event shown = *ev;
	unsigned hidden;

	if (!ocu_refusals_take(a->refusals, ev->action, ev->actor_id, OCU_SHAPER_EACH_S, &hidden))
		return;
	OCU_JSON json_t *detail = ev->detail ? json_copy((json_t *)ev->detail) : json_object();
	if (hidden)
		json_object_set_new(detail, "unreported_before", json_integer(hidden));
	shown.detail = json_object_size(detail) ? detail : NULL;
	ocu_audit_report(a, &shown);
}

/* While auditd takes nothing they are counted on: told then, they would be lost. */
static bool tell_refusals(void *arg, const struct ocu_event *ev)
{
	struct ocu_audit *a = arg;

	pthread_mutex_lock(&a->lock);
	bool taken = !a->refusing;
	pthread_mutex_unlock(&a->lock);
	taken &= ocu_rpc_client_connected(a->client);
	if (taken)
		ocu_audit_report(a, ev);
	return taken;
}

void ocu_audit_rpc_refused(struct ocu_audit *a, const struct ocu_peer *peer, uint32_t method,
                           const struct ocu_error *why)
{
	const struct ocu_rpc_method *m = ocu_method_find(method);
	struct ocu_event ev = {
	    .class_uid = OCU_OCSF_API_ACTIVITY,
	    .activity_id = 99,
	    .action = "rpc.refused",
	    .resource = m ? m->name : "unknown",
	    .actor_id = peer ? peer->spiffe : "unknown",
	    .session_id = "",
	    .trace_id = "",
	    .outcome = OCU_OUTCOME_DENIED,
	    .reason = why->code,
	};
	OCU_JSON json_t *detail =
	    json_pack("{s:s, s:I, s:s}", "by", a->system, "method", (json_int_t)method, "why", why->text);

	ev.detail = detail;
	ocu_audit_refused(a, &ev);
}

static void probe(struct ocu_audit *a)
{
	ocu_audit_report(a, &(struct ocu_event){
	                        .class_uid = OCU_OCSF_APP_LIFECYCLE,
	                        .activity_id = 99,
	                        .action = "audit.resumed",
	                        .resource = "trail",
	                        .actor_id = a->system,
	                        .session_id = "",
	                        .trace_id = "",
	                        .outcome = OCU_OUTCOME_SUCCESS,
	                    });
}

int ocu_audit_healthy(struct ocu_audit *a)
{
	uint64_t now = ocu_mono_ms();
	bool refusing, due;

	if (!ocu_rpc_client_connected(a->client))
		return 0;
	pthread_mutex_lock(&a->lock);
	refusing = a->refusing;
	due = refusing && now >= a->probe_at;
	if (due)
		a->probe_at = now + PROBE_MS;
	pthread_mutex_unlock(&a->lock);
	if (due)
		probe(a);
	return !refusing;
}

int ocu_audit_start(struct ocu_audit **ret, const char *url, const struct ocu_identity *id,
                    struct ocu_error *err)
{
	struct ocu_rpc_client_opts o = {
	    .url = url, .identity = id, .peer = OCU_COMP_AUDITD, .inflight = BATCHES};
	struct ocu_audit *a = calloc(1, sizeof *a);
	int rv;

	if (!a)
		return ocu_error_set(err, OCU_E_NOMEM, "audit emitter");
	if ((rv = ocu_rpc_client_new(&a->client, &o, err)) != 0) {
		free(a);
		return rv;
	}
	pthread_mutex_init(&a->lock, NULL);
	ocu_cond_init(&a->settled);
	for (unsigned i = 0; i < BATCHES; i++) {
		a->batches[i].audit = a;
		a->batches[i].next_free = a->idle;
		a->idle = &a->batches[i];
	}
	snprintf(a->system, sizeof a->system, "system:%s", ocu_component_name(id->self.component));
	a->committed =
	    ocu_counter("ocu_audit_events_total", "outcome=\"durable\"", "Audit events handed to auditd");
	a->failed =
	    ocu_counter("ocu_audit_events_total", "outcome=\"failed\"", "Audit events handed to auditd");
	a->lost = ocu_counter("ocu_audit_lost_total", NULL, "Reports that did not reach the audit trail");
	if ((rv = ocu_refusals_start(&a->refusals, OCU_REFUSALS_TELL_MS, tell_refusals, a, err)) != 0) {
		ocu_audit_stop(a);
		return rv;
	}
	*ret = a;
	return 0;
}

void ocu_audit_stop(struct ocu_audit *a)
{
	struct timespec end = ocu_after_ms(UNREACHABLE_MS);

	if (!a)
		return;
	ocu_refusals_stop(a->refusals);
	pthread_mutex_lock(&a->lock);
	while (a->pending > 0 && ocu_cond_wait_until(&a->settled, &a->lock, &end))
		;
	a->stopping = true;
	while (a->inside > 0)
		pthread_cond_wait(&a->settled, &a->lock);
	pthread_mutex_unlock(&a->lock);
	expire(a, false);
	ocu_rpc_client_free(a->client); /* ends what is under way; returns after the last callback */
	pthread_cond_destroy(&a->settled);
	pthread_mutex_destroy(&a->lock);
	free(a);
}
