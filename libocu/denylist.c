/*
 * denylist: the subscriber. One thread applies changes from the feed and whole lists from the pull; readers
 * share a read lock. Whatever is doubtful (a gap, another history, a list that cannot be applied) leads to a
 * pull, and without a good pull the list goes stale and every check fails. Denials of a change are applied
 * even before a gap is filled.
 */
#include "libocu/denylist.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/clock.h"
#include "libocu/denylist_feed.h"
#include "libocu/denylist_set.h"
#include "libocu/err.h"
#include "libocu/rpc.h"
#include "libocu/rpc_client.h"
#include "libocu/rpc_wire.h"
#include "libocu/waiting.h"
#include "proto/denylist.pb-c.h"
#include "proto/methods.h"

enum {
	STALE_DEFAULT_MS = 30000,
	PULL_EVERY_MS = 2000,
	PULL_DEADLINE_MS = 1500,
	PULL_ALL_MS = 10000,
	HISTORY_MAX = 64
};

struct ocu_denylist {
	struct ocu_denylist_opts o;
	struct ocu_rpc_client *client;
	struct ocu_deny_feed feed;
	pthread_t thread;
	pthread_rwlock_t lock; /* the set; only the thread writes */
	struct ocu_deny_set set;
	atomic_ullong epoch;
	atomic_ullong heard_ms;    /* when the list was last known to be whole; 0: never */
	char history[HISTORY_MAX]; /* "": nothing pulled yet. The thread's own */
	bool slow;                 /* the last pull had no time left; likewise */
	pthread_mutex_t wait_lock;
	pthread_cond_t heard_first;
};

/* --- applying --- */

/* at_ms: when what was heard was true for certain; of a list, when it was asked for. */
static void heard(struct ocu_denylist *d, uint64_t at_ms)
{
	if (atomic_exchange(&d->heard_ms, at_ms) != 0)
		return;
	pthread_mutex_lock(&d->wait_lock);
	pthread_cond_broadcast(&d->heard_first);
	pthread_mutex_unlock(&d->wait_lock);
}

/* Tells the owner what is new. Only this thread changes the set, so it reads without the lock, and `added`
 * may call ocu_denylist_check(). */
static void announce(struct ocu_denylist *d)
{
	for (size_t i = 0; i < d->set.count; i++) {
		struct ocu_deny_entry *e = d->set.sorted[i];

		if (e->fresh && d->o.added)
			d->o.added(e->kind, e->value, d->o.arg);
		e->fresh = false;
	}
}

static int build(struct ocu_deny_set *set, const struct ocu_deny_set *old, const Ocu__Denylist__PullReply *r)
{
	for (size_t i = 0; i < r->n_entries; i++) {
		int rv = ocu_deny_set_push(set, r->entries[i]->kind, r->entries[i]->value);

		if (rv != 0)
			return rv;
	}
	ocu_deny_set_sort(set);
	for (size_t i = 0; i < set->count; i++)
		set->sorted[i]->fresh = !ocu_deny_set_find(old, set->sorted[i]->kind, set->sorted[i]->value);
	return 0;
}

static int replace(struct ocu_denylist *d, const Ocu__Denylist__PullReply *r)
{
	struct ocu_deny_set next = {0}, old;
	int rv = build(&next, &d->set, r);

	if (rv != 0) {
		ocu_deny_set_done(&next);
		return rv;
	}
	pthread_rwlock_wrlock(&d->lock);
	old = d->set;
	d->set = next;
	pthread_rwlock_unlock(&d->lock);
	ocu_deny_set_done(&old);
	memcpy(d->history, r->history, strlen(r->history) + 1);
	atomic_store(&d->epoch, r->epoch);
	return 0;
}

/* 0 when the answer settles what the list is; 1 when it says "unchanged" of a history that is not ours. */
static int take_list(struct ocu_denylist *d, const Ocu__Denylist__PullReply *r, uint64_t asked,
                     uint64_t asked_ms)
{
	bool same = strcmp(r->history, d->history) == 0;
	uint64_t epoch = atomic_load(&d->epoch);
	int rv;

	if (!r->history[0] || strlen(r->history) >= sizeof d->history)
		return OCU_E_INVALID;
	if (same && (r->epoch < epoch || (r->unchanged && r->epoch != epoch)))
		return OCU_E_STATE;
	if (r->unchanged && !same && asked != 0)
		return 1;
	if (!(r->unchanged && same) && (rv = replace(d, r)) != 0)
		return rv;
	heard(d, asked_ms);
	announce(d);
	return 0;
}

static void take_change(struct ocu_denylist *d, const Ocu__Denylist__Change *c, bool *pull)
{
	bool next = strcmp(c->history, d->history) == 0 && c->epoch == atomic_load(&d->epoch) + 1;
	int rv = 0;

	if (strcmp(c->history, d->history) == 0 && c->epoch <= atomic_load(&d->epoch))
		return;
	pthread_rwlock_wrlock(&d->lock);
	for (size_t i = 0; next && i < c->n_removed; i++)
		ocu_deny_set_remove(&d->set, c->removed[i]->kind, c->removed[i]->value);
	for (size_t i = 0; i < c->n_added && rv == 0; i++)
		rv = ocu_deny_set_add(&d->set, c->added[i]->kind, c->added[i]->value);
	pthread_rwlock_unlock(&d->lock);
	announce(d);
	/* Whether it is news is not for it to say: it may have been held back on the way. Pulls tell. */
	if (next && rv == 0)
		atomic_store(&d->epoch, c->epoch);
	else
		*pull = true;
}

/* --- the thread --- */

/* Changes wait behind a pull, so one has little time, unless the last did not get through in it: then the
 * list is long, or the way slow. */
static void pull_list(struct ocu_denylist *d)
{
	uint64_t ask = d->history[0] ? atomic_load(&d->epoch) : 0;

	for (int tries = 0; tries < 2; tries++) {
		Ocu__Denylist__PullRequest req = OCU__DENYLIST__PULL_REQUEST__INIT;
		ProtobufCMessage *reply = NULL;
		uint64_t asked_ms = ocu_mono_ms();
		int rv;

		req.epoch = ask;
		req.version = (char *)OCU_VERSION;
		rv = ocu_rpc_call(d->client, &ocu_m_denylist_pull, &req.base, &reply,
		                  ask && !d->slow ? PULL_DEADLINE_MS : PULL_ALL_MS, NULL, NULL);
		d->slow = rv == OCU_E_TIMEOUT;
		if (rv != 0)
			return;
		rv = take_list(d, (Ocu__Denylist__PullReply *)reply, ask, asked_ms);
		protobuf_c_message_free_unpacked(reply, NULL);
		if (rv != 1)
			return;
		ask = 0;
	}
}

static void take_message(struct ocu_denylist *d, nng_msg *msg, bool *pull)
{
	ProtobufCMessage *m;

	if (ocu_wire_unpack(&ocu__denylist__change__descriptor, nng_msg_body(msg), nng_msg_len(msg), &m,
	                    NULL) == 0) {
		take_change(d, (Ocu__Denylist__Change *)m, pull);
		protobuf_c_message_free_unpacked(m, NULL);
	} else {
		*pull = true;
	}
	nng_msg_free(msg);
}

static void *subscriber(void *arg)
{
	struct ocu_denylist *d = arg;
	bool pull = true;
	struct timespec next = ocu_after_ms(0);
	uint64_t due = 0;

	while (!ocu_deny_feed_stopped(&d->feed)) {
		nng_msg *msg;

		if (pull) {
			pull_list(d);
			next = ocu_after_ms(PULL_EVERY_MS);
			due = ocu_mono_ms() + PULL_EVERY_MS;
			pull = false;
		}
		msg = ocu_deny_feed_wait(&d->feed, &next);
		if (msg)
			take_message(d, msg, &pull);
		/* Also when changes keep coming. */
		if (!msg || ocu_mono_ms() >= due)
			pull = true;
	}
	return NULL;
}

/* --- the public face --- */

int ocu_denylist_fresh(struct ocu_denylist *d)
{
	uint64_t at = atomic_load(&d->heard_ms);

	return at != 0 && ocu_mono_ms() - at < d->o.stale_ms;
}

int ocu_denylist_wait(struct ocu_denylist *d, unsigned timeout_ms, struct ocu_error *err)
{
	struct timespec end = ocu_after_ms(timeout_ms);
	bool heard;

	pthread_mutex_lock(&d->wait_lock);
	while (!(heard = atomic_load(&d->heard_ms) != 0))
		if (!ocu_cond_wait_until(&d->heard_first, &d->wait_lock, &end))
			break;
	pthread_mutex_unlock(&d->wait_lock);
	return heard ? 0
	             : ocu_error_set(err, OCU_E_UNAVAILABLE, "operatord's denylist did not arrive in %u ms",
	                             timeout_ms);
}

uint64_t ocu_denylist_epoch(struct ocu_denylist *d)
{
	return atomic_load(&d->epoch);
}

int ocu_denylist_check(struct ocu_denylist *d, enum ocu_deny_kind kind, const char *value,
                       struct ocu_error *err)
{
	static const int codes[] = {
	    [OCU_DENY_SESSION] = OCU_E_SESSION_DENIED,
	    [OCU_DENY_CALLER] = OCU_E_CALLER_DENIED,
	    [OCU_DENY_TOKEN] = OCU_E_TOKEN_REVOKED,
	};
	bool denied;

	if (kind < OCU_DENY_SESSION || kind > OCU_DENY_TOKEN || !value)
		return ocu_error_set(err, OCU_E_INVALID, "no such kind of denylist entry");
	pthread_rwlock_rdlock(&d->lock);
	denied = ocu_deny_set_find(&d->set, kind, value) != NULL;
	pthread_rwlock_unlock(&d->lock);
	if (denied)
		return ocu_error_set(err, codes[kind], "%s", ocu_err_text(codes[kind]));
	if (!ocu_denylist_fresh(d))
		return ocu_error_set(err, OCU_E_STALE_DENYLIST, "nothing heard from operatord for %llu ms",
		                     (unsigned long long)d->o.stale_ms);
	return 0;
}

int ocu_denylist_start(struct ocu_denylist **ret, const struct ocu_denylist_opts *o, struct ocu_error *err)
{
	struct ocu_rpc_client_opts pull = {
	    .url = o->pull_url, .identity = o->identity, .peer = OCU_COMP_OPERATORD, .inflight = 2};
	struct ocu_denylist *d = calloc(1, sizeof *d);
	int rv;

	if (!d)
		return ocu_error_set(err, OCU_E_NOMEM, "denylist");
	d->o = *o;
	d->o.stale_ms = o->stale_ms ? o->stale_ms : STALE_DEFAULT_MS;
	pthread_rwlock_init(&d->lock, NULL);
	pthread_mutex_init(&d->wait_lock, NULL);
	ocu_cond_init(&d->heard_first);
	if ((rv = ocu_rpc_client_new(&d->client, &pull, err)) != 0)
		goto no_client;
	if ((rv = ocu_deny_feed_open(&d->feed, o->feed_url, o->identity, err)) != 0)
		goto no_feed;
	if ((rv = pthread_create(&d->thread, NULL, subscriber, d)) != 0) {
		rv = ocu_error_errno(err, OCU_E_NOMEM, rv, "denylist thread");
		goto no_thread;
	}
	*ret = d;
	return 0;
no_thread:
	ocu_deny_feed_close(&d->feed);
no_feed:
	ocu_rpc_client_free(d->client);
no_client:
	pthread_rwlock_destroy(&d->lock);
	pthread_cond_destroy(&d->heard_first);
	pthread_mutex_destroy(&d->wait_lock);
	free(d);
	return rv;
}

void ocu_denylist_stop(struct ocu_denylist *d)
{
	if (!d)
		return;
	ocu_deny_feed_stop(&d->feed);
	ocu_rpc_client_cancel(d->client);
	pthread_join(d->thread, NULL);
	ocu_deny_feed_close(&d->feed);
	ocu_rpc_client_free(d->client);
	ocu_deny_set_done(&d->set);
	pthread_rwlock_destroy(&d->lock);
	pthread_cond_destroy(&d->heard_first);
	pthread_mutex_destroy(&d->wait_lock);
	free(d);
}
