#include "gateway/routes.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/mcp_session.h"
#include "libocu/clock.h"
#include "proto/methods.h"
#include "proto/session.pb-c.h"

#define ROUTES_MAX 4096 /* remembered at once; the one that ends first goes */
#define BUCKETS    1024
#define CREATE_MS  30000 /* a cold sandbox, with everything before it */
#define DESTROY_MS 15000

struct waiter {
	route_done_fn *done;
	void *arg;
	struct waiter *next;
};

struct entry {
	char caller[CALLER_MAX];
	char hint[HINT_MAX];
	struct routes *owner;
	struct route route;
	bool asking;
	bool forgotten; /* while asking: the answer under way is not to be remembered */
	struct waiter *waiters;
	struct entry *next;
};

struct routes {
	struct gateway *g;
	pthread_mutex_t lock;
	struct entry *bucket[BUCKETS];
	unsigned n;
};

int routes_new(struct routes **ret, struct gateway *g, struct ocu_error *err)
{
	struct routes *r = calloc(1, sizeof *r);
	if (!r)
		return ocu_error_set(err, OCU_E_NOMEM, "routes");
	r->g = g;
	pthread_mutex_init(&r->lock, NULL);
	*ret = r;
	return 0;
}

void routes_free(struct routes *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct entry *e = r->bucket[i], *next; e; e = next) {
			next = e->next;
			free(e);
		}
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static struct entry **chain_of(struct routes *r, const char *caller, const char *hint)
{
	uint32_t h = 2166136261u;
	for (const char *p = caller; *p; p++)
		h = (h ^ (unsigned char)*p) * 16777619u;
	for (const char *p = hint; *p; p++)
		h = (h ^ (unsigned char)*p) * 16777619u;
	return &r->bucket[h % BUCKETS];
}

static struct entry **find(struct routes *r, const char *caller, const char *hint)
{
	struct entry **p = chain_of(r, caller, hint);
	while (*p && (strcmp((*p)->caller, caller) != 0 || strcmp((*p)->hint, hint) != 0))
		p = &(*p)->next;
	return p;
}

static void drop(struct routes *r, struct entry **p)
{
	struct entry *e = *p;
	*p = e->next;
	r->n--;
	free(e);
}

static bool evictable(const struct entry *e, uint64_t now)
{
	return !e->asking && e->route.until_ms <= now;
}

/* Frees the ended entries; when none has ended, the table is full and the newcomer is refused. */
static bool make_room(struct routes *r, uint64_t now)
{
	if (r->n < ROUTES_MAX)
		return true;
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct entry **p = &r->bucket[i]; *p;)
			if (evictable(*p, now))
				drop(r, p);
			else
				p = &(*p)->next;
	return r->n < ROUTES_MAX;
}

static int route_from(struct route *ret, const Ocu__Session__CreateReply *reply, struct ocu_error *err)
{
	const Ocu__Session__Route *w = reply->route;
	if (!w || strlen(w->sandboxd_url) >= sizeof ret->url || strlen(w->grant) >= sizeof ret->grant ||
	    strlen(w->files_url) >= sizeof ret->files_url ||
	    strlen(reply->session_id) >= sizeof ret->session_id ||
	    strlen(reply->filesystem_id) >= sizeof ret->filesystem_id)
		return ocu_error_set(err, OCU_E_UNAVAILABLE, "operatord's route is not usable");
	snprintf(ret->session_id, sizeof ret->session_id, "%s", reply->session_id);
	snprintf(ret->filesystem_id, sizeof ret->filesystem_id, "%s", reply->filesystem_id);
	snprintf(ret->url, sizeof ret->url, "%s", w->sandboxd_url);
	snprintf(ret->files_url, sizeof ret->files_url, "%s", w->files_url);
	snprintf(ret->grant, sizeof ret->grant, "%s", w->grant);
	/* Renewed a little early, so that a grant does not end between here and sandboxd. */
	ret->until_ms = ocu_mono_ms() + w->grant_ttl_ms * 9ull / 10;
	return 0;
}

static void asked(void *arg, const ProtobufCMessage *reply, const struct ocu_error *failure)
{
	struct entry *e = arg;
	struct routes *r = e->owner;
	struct ocu_error err = {0};
	struct route route = {0};
	if (failure)
		err = *failure;
	else
		route_from(&route, (const Ocu__Session__CreateReply *)reply, &err);
	pthread_mutex_lock(&r->lock);
	struct waiter *w = e->waiters;
	e->waiters = NULL;
	e->asking = false;
	e->route = route;
	if (err.code || e->forgotten)
		drop(r, find(r, e->caller, e->hint));
	pthread_mutex_unlock(&r->lock);
	while (w) {
		struct waiter *next = w->next;
		w->done(w->arg, err.code ? NULL : &route, err.code ? &err : NULL);
		free(w);
		w = next;
	}
}

static void ask(struct routes *r, struct entry *e, const struct caller *caller, const char *trace)
{
	Ocu__Session__CreateRequest q = OCU__SESSION__CREATE_REQUEST__INIT;
	struct ocu_error err = {0};
	q.caller = (char *)caller->sub;
	q.token_id = (char *)caller->token_id;
	q.hint = e->hint;
	if (ocu_rpc_call_async(r->g->operatord, &ocu_m_session_create, &q.base, CREATE_MS, trace, asked, e,
	                       &err))
		asked(e, NULL, &err);
}

void routes_get(struct routes *r, const struct caller *caller, const char *hint, const char *trace,
                route_done_fn *done, void *arg)
{
	struct ocu_error err = {0};
	struct waiter *w = calloc(1, sizeof *w);
	bool must_ask = false;
	uint64_t now = ocu_mono_ms();
	if (!w) {
		ocu_error_set(&err, OCU_E_NOMEM, "route");
		done(arg, NULL, &err);
		return;
	}
	w->done = done;
	w->arg = arg;
	pthread_mutex_lock(&r->lock);
	struct entry *e = *find(r, caller->sub, hint);
	if (e && !e->asking && e->route.until_ms > now) {
		struct route route = e->route;
		pthread_mutex_unlock(&r->lock);
		free(w);
		done(arg, &route, NULL);
		return;
	}
	if (!e && make_room(r, now) && (e = calloc(1, sizeof *e))) {
		snprintf(e->caller, sizeof e->caller, "%s", caller->sub);
		snprintf(e->hint, sizeof e->hint, "%s", hint);
		e->owner = r;
		struct entry **head = chain_of(r, e->caller, e->hint);
		e->next = *head;
		*head = e;
		r->n++;
	}
	if (e) {
		must_ask = !e->asking;
		e->asking = true;
		if (must_ask)
			e->forgotten = false;
		w->next = e->waiters;
		e->waiters = w;
	}
	pthread_mutex_unlock(&r->lock);
	if (!e) {
		free(w);
		ocu_error_set(&err, OCU_E_BUSY, "too many live routes");
		done(arg, NULL, &err);
	} else if (must_ask) {
		ask(r, e, caller, trace);
	}
}

void routes_forget(struct routes *r, const char *session_id)
{
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct entry *e = r->bucket[i]; e; e = e->next)
			if (strcmp(e->route.session_id, session_id) == 0) {
				e->route.until_ms = 0;
				e->forgotten = true;
			}
	pthread_mutex_unlock(&r->lock);
}

static void routes_forget_hint(struct routes *r, const char *caller, const char *hint)
{
	pthread_mutex_lock(&r->lock);
	struct entry *e = *find(r, caller, hint);
	if (e) {
		e->route.until_ms = 0;
		e->forgotten = true;
	}
	pthread_mutex_unlock(&r->lock);
}

struct destroying {
	route_done_fn *done;
	void *arg;
};

static void destroyed(void *arg, const ProtobufCMessage *reply, const struct ocu_error *err)
{
	struct destroying *d = arg;
	(void)reply;
	d->done(d->arg, NULL, err);
	free(d);
}

void routes_destroy(struct routes *r, const struct caller *caller, const char *hint, const char *trace,
                    route_done_fn *done, void *arg)
{
	struct ocu_error err = {0};
	Ocu__Session__DestroyRequest q = OCU__SESSION__DESTROY_REQUEST__INIT;
	struct destroying *d = calloc(1, sizeof *d);
	if (!d) {
		ocu_error_set(&err, OCU_E_NOMEM, "destroy");
		done(arg, NULL, &err);
		return;
	}
	d->done = done;
	d->arg = arg;
	q.caller = (char *)caller->sub;
	q.hint = (char *)hint;
	routes_forget_hint(r, caller->sub, hint);
	if (ocu_rpc_call_async(r->g->operatord, &ocu_m_session_destroy, &q.base, DESTROY_MS, trace, destroyed,
	                       d, &err))
		destroyed(d, NULL, &err);
}
