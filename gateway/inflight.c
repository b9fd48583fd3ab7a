#include "gateway/inflight.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/exchange.h"
#include "gateway/routes.h"
#include "libocu/clock.h"
#include "libocu/metrics.h"
#include "libocu/waiting.h"

#define PROGRESS_EVERY_MS 5000
#define TICK_MS           1000

struct inflight {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t ticker;
	bool stop;
	unsigned refs; /* ours, and one of each that is untaken */
	struct call *first;
	struct untaken *untaken;
	struct ocu_gauge *gauge;
};

/* Progress is sent under the list's lock: a call is removed from the list before it is freed. */
static void tick(struct inflight *f, uint64_t now)
{
	for (struct call *c = f->first; c; c = c->next)
		if (c->progress_token && now - c->reported_ms >= PROGRESS_EVERY_MS) {
			c->reported_ms = now;
			call_progress(c, (double)(now - c->started_ms) / 1000.0, "running");
		}
}

static void *ticker_main(void *arg)
{
	struct inflight *f = arg;
	pthread_mutex_lock(&f->lock);
	while (!f->stop) {
		struct timespec at = ocu_after_ms(TICK_MS);
		ocu_cond_wait_until(&f->wake, &f->lock, &at);
		if (!f->stop)
			tick(f, ocu_mono_ms());
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

int inflight_new(struct inflight **ret, struct ocu_error *err)
{
	struct inflight *f = calloc(1, sizeof *f);
	if (!f)
		return ocu_error_set(err, OCU_E_NOMEM, "inflight");
	f->refs = 1;
	f->gauge = ocu_gauge("ocu_gateway_requests_inflight", NULL, "JSON-RPC requests not yet answered");
	ocu_cond_init(&f->wake);
	pthread_mutex_init(&f->lock, NULL);
	int rc = pthread_create(&f->ticker, NULL, ticker_main, f);
	if (rc) {
		free(f);
		return ocu_error_errno(err, OCU_E_INTERNAL, rc, "starting the progress thread");
	}
	*ret = f;
	return 0;
}

/* With the lock, which it gives back. */
static void unref(struct inflight *f)
{
	bool last = --f->refs == 0;
	pthread_mutex_unlock(&f->lock);
	if (!last)
		return;
	pthread_cond_destroy(&f->wake);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

void inflight_free(struct inflight *f)
{
	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_cond_signal(&f->wake);
	pthread_mutex_unlock(&f->lock);
	pthread_join(f->ticker, NULL);
	pthread_mutex_lock(&f->lock);
	unref(f);
}

void inflight_hold(struct inflight *f, struct untaken *u, const char *caller, unsigned calls)
{
	*u = (struct untaken){.in = f, .calls = calls};
	snprintf(u->caller, sizeof u->caller, "%s", caller);
	pthread_mutex_lock(&f->lock);
	f->refs++;
	u->next = f->untaken;
	if (u->next)
		u->next->prev = u;
	f->untaken = u;
	pthread_mutex_unlock(&f->lock);
}

void inflight_taken(struct untaken *u)
{
	struct inflight *f = u->in;
	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	if (u->prev)
		u->prev->next = u->next;
	else
		f->untaken = u->next;
	if (u->next)
		u->next->prev = u->prev;
	unref(f);
}

void inflight_add(struct inflight *f, struct call *c)
{
	pthread_mutex_lock(&f->lock);
	c->next = f->first;
	if (f->first)
		f->first->prev = c;
	f->first = c;
	ocu_gauge_add(f->gauge, 1);
	pthread_mutex_unlock(&f->lock);
}

void inflight_remove(struct inflight *f, struct call *c)
{
	pthread_mutex_lock(&f->lock);
	if (c->prev)
		c->prev->next = c->next;
	else
		f->first = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->prev = c->next = NULL;
	ocu_gauge_add(f->gauge, -1);
	pthread_mutex_unlock(&f->lock);
}

unsigned inflight_count(struct inflight *f, const char *caller)
{
	unsigned n = 0;
	pthread_mutex_lock(&f->lock);
	for (struct call *c = f->first; c; c = c->next)
		n += strcmp(c->ex->caller.sub, caller) == 0;
	for (const struct untaken *u = f->untaken; u; u = u->next)
		n += strcmp(u->caller, caller) == 0 ? u->calls : 0;
	pthread_mutex_unlock(&f->lock);
	return n;
}

void inflight_find(struct inflight *f, const struct exchange *who, const json_t *id,
                   void (*found)(struct call *c, void *arg), void *arg)
{
	pthread_mutex_lock(&f->lock);
	for (struct call *c = f->first; c; c = c->next)
		if (strcmp(c->ex->caller.sub, who->caller.sub) == 0 && strcmp(c->ex->hint, who->hint) == 0 &&
		    json_equal(c->id, id))
			found(c, arg);
	pthread_mutex_unlock(&f->lock);
}

bool inflight_routed(struct inflight *f, struct call *c, const struct route *route)
{
	pthread_mutex_lock(&f->lock);
	bool wanted = !c->cancelled;
	snprintf(c->session, sizeof c->session, "%s", route->session_id);
	snprintf(c->url, sizeof c->url, "%s", route->url);
	pthread_mutex_unlock(&f->lock);
	return wanted;
}
