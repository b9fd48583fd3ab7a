/* rate: token buckets in a small associative table. */
#include "brokerd/rate.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "brokerd/siphash.h"
#include "brokerd/volume.h"
#include "libocu/err.h"

#define SETS    512
#define HOUR_MS UINT64_C(3600000)
#define WAYS    8 /* callers whose names fall together; the longest idle of them makes room */

struct account {
	char caller[VOLUME_CALLER_MAX];
	uint64_t at_ms;
	int64_t milli_ops;   /* thousandths of a request */
	int64_t milli_bytes; /* thousandths of a byte; below zero: overdrawn */
	unsigned inflight;
};

struct rate {
	struct rate_opts o;
	uint64_t key[2];
	pthread_mutex_t lock;
	struct account account[SETS][WAYS];
};

int rate_new(struct rate **ret, const struct rate_opts *o, struct ocu_error *err)
{
	struct rate *r = calloc(1, sizeof *r);
	if (!r || getrandom(r->key, sizeof r->key, 0) != sizeof r->key) {
		free(r);
		return ocu_error_set(err, OCU_E_NOMEM, "rate table");
	}
	r->o = *o;
	pthread_mutex_init(&r->lock, NULL);
	*ret = r;
	return 0;
}

void rate_free(struct rate *r)
{
	if (!r)
		return;
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static struct account *find(struct rate *r, const char *caller)
{
	struct account *set = r->account[siphash(r->key, caller, strlen(caller)) % SETS];
	for (int i = 0; i < WAYS; i++)
		if (strcmp(set[i].caller, caller) == 0)
			return &set[i];
	return NULL;
}

/* The caller's account, made with full buckets; NULL when everyone it could displace has requests under way.
 */
static struct account *open_account(struct rate *r, const char *caller, uint64_t now_ms)
{
	struct account *a = find(r, caller);
	if (a || strlen(caller) >= sizeof a->caller)
		return a;
	struct account *set = r->account[siphash(r->key, caller, strlen(caller)) % SETS];
	for (int i = 0; i < WAYS; i++)
		if (set[i].inflight == 0 && (!a || set[i].at_ms < a->at_ms))
			a = &set[i];
	if (!a)
		return NULL;
	*a = (struct account){
	    .at_ms = now_ms,
	    .milli_ops = (int64_t)r->o.ops * 1000,
	    .milli_bytes = (int64_t)r->o.bytes * 1000,
	};
	memcpy(a->caller, caller, strlen(caller) + 1);
	return a;
}

static void refill(struct rate *r, struct account *a, uint64_t now_ms)
{
	int64_t full_ops = (int64_t)r->o.ops * 1000, full_bytes = (int64_t)r->o.bytes * 1000;
	uint64_t passed = now_ms > a->at_ms ? now_ms - a->at_ms : 0;
	/* An hour at a time keeps the product in range. */
	if (passed > HOUR_MS)
		passed = HOUR_MS;
	a->milli_ops += (int64_t)(passed * r->o.ops);
	a->milli_bytes += (int64_t)(passed * r->o.bytes);
	if (a->milli_ops > full_ops)
		a->milli_ops = full_ops;
	if (a->milli_bytes > full_bytes)
		a->milli_bytes = full_bytes;
	if (now_ms > a->at_ms)
		a->at_ms = now_ms;
}

int rate_enter(struct rate *r, const char *caller, uint64_t now_ms, struct ocu_error *err)
{
	int e = 0;
	pthread_mutex_lock(&r->lock);
	struct account *a = open_account(r, caller, now_ms);
	if (a)
		refill(r, a, now_ms);
	if (!a || a->inflight >= r->o.inflight || a->milli_ops < 1000) {
		e = ocu_error_set(err, OCU_E_RATE, "too many requests of one caller");
	} else {
		a->milli_ops -= 1000;
		a->inflight++;
	}
	pthread_mutex_unlock(&r->lock);
	return e;
}

void rate_leave(struct rate *r, const char *caller)
{
	pthread_mutex_lock(&r->lock);
	struct account *a = find(r, caller);
	if (a && a->inflight > 0)
		a->inflight--;
	pthread_mutex_unlock(&r->lock);
}

static void spend(struct account *a, uint64_t bytes)
{
	int64_t milli = (int64_t)(bytes < INT64_MAX / 4000 ? bytes * 1000 : INT64_MAX / 4);
	a->milli_bytes = a->milli_bytes > INT64_MIN / 2 ? a->milli_bytes - milli : a->milli_bytes;
}

int rate_bytes(struct rate *r, const char *caller, uint64_t bytes, uint64_t now_ms, struct ocu_error *err)
{
	int e = 0;
	pthread_mutex_lock(&r->lock);
	struct account *a = open_account(r, caller, now_ms);
	if (a)
		refill(r, a, now_ms);
	if (!a || a->milli_bytes < 0)
		e = ocu_error_set(err, OCU_E_RATE, "too many bytes of one caller");
	else
		spend(a, bytes);
	pthread_mutex_unlock(&r->lock);
	return e;
}

void rate_spend(struct rate *r, const char *caller, uint64_t bytes)
{
	pthread_mutex_lock(&r->lock);
	struct account *a = find(r, caller);
	if (a)
		spend(a, bytes);
	pthread_mutex_unlock(&r->lock);
}
