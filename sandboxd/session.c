/* session: see session.h. */
#include "sandboxd/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/err.h"
#include "libocu/metrics.h"
#include "sandboxd/bundle.h"
#include "sandboxd/node.h"

#define BUCKETS 1024

struct sessions {
	pthread_mutex_t lock;
	struct node *node;
	struct session *bucket[BUCKETS];
	unsigned nslots, alive, records;
	uid_t uid_base;
	struct ocu_gauge *gauge;
	unsigned next_slot;
	bool taken[];
};

static unsigned bucket_of(const char *id)
{
	uint32_t h = 2166136261u;

	for (; *id; id++)
		h = (h ^ (unsigned char)*id) * 16777619u;
	return h % BUCKETS;
}

int sessions_new(struct sessions **ret, struct node *node, unsigned slots, uid_t uid_base,
                 struct ocu_error *err)
{
	struct sessions *t = calloc(1, sizeof *t + slots * sizeof *t->taken);

	if (!t)
		return ocu_error_set(err, OCU_E_NOMEM, "session table");
	pthread_mutex_init(&t->lock, NULL);
	t->node = node;
	t->nslots = slots;
	t->uid_base = uid_base;
	t->gauge = ocu_gauge("ocu_sandboxd_sandboxes", NULL, "Sandboxes alive on this node");
	*ret = t;
	return 0;
}

void sessions_free(struct sessions *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		while (t->bucket[i]) {
			struct session *s = t->bucket[i];

			t->bucket[i] = s->next;
			session_unref(s);
		}
	}
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* Round robin: a range of uids rests before it is given to another sandbox. */
static int take_slot(struct sessions *t)
{
	for (unsigned i = 0; i < t->nslots; i++) {
		unsigned slot = (t->next_slot + i) % t->nslots;

		if (!t->taken[slot]) {
			t->taken[slot] = true;
			t->next_slot = slot + 1;
			t->alive++;
			ocu_gauge_set(t->gauge, t->alive);
			return (int)slot;
		}
	}
	return -1;
}

static struct session *lookup(struct sessions *t, const char *id)
{
	struct session *s = t->bucket[bucket_of(id)];

	while (s && strcmp(s->id, id) != 0)
		s = s->next;
	return s;
}

static struct session *make(struct sessions *t, const char *id, int slot)
{
	struct session *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->refs = 2;
	s->node = t->node;
	snprintf(s->id, sizeof s->id, "%s", id);
	s->slot = slot;
	s->guest_uid = t->uid_base + (uid_t)slot * BUNDLE_IDS;
	s->net = NETNS_PAIR_INIT;
	s->pidfd = -1;
	s->queue_last = &s->queue;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	return s;
}

/* Records of sandboxes that ended by themselves wait for operatord; nobody can pile them up without end. */
static void drop_an_old_record(struct sessions *t)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct session **at = &t->bucket[i]; *at; at = &(*at)->next) {
			struct session *s = *at;

			if (session_state(s) == SESSION_ENDED) {
				*at = s->next;
				t->records--;
				session_unref(s);
				return;
			}
		}
	}
}

static int add_locked(struct sessions *t, struct session **ret, const char *id, struct ocu_error *err)
{
	unsigned b = bucket_of(id);
	struct session *s;
	int slot;

	if (lookup(t, id))
		return ocu_error_set(err, OCU_E_EXISTS, "this session has a sandbox already");
	slot = take_slot(t);
	if (slot < 0)
		return ocu_error_set(err, OCU_E_QUOTA, "this node runs as many sandboxes as it may");
	s = make(t, id, slot);
	if (!s) {
		t->taken[slot] = false;
		t->alive--;
		return ocu_error_set(err, OCU_E_NOMEM, "session");
	}
	if (t->records >= t->nslots + SESSION_ENDED_MAX)
		drop_an_old_record(t);
	t->records++;
	s->next = t->bucket[b];
	t->bucket[b] = s;
	*ret = s;
	return 0;
}

int session_add(struct sessions *t, struct session **ret, const char *id, struct ocu_error *err)
{
	int rc;

	pthread_mutex_lock(&t->lock);
	rc = add_locked(t, ret, id, err);
	pthread_mutex_unlock(&t->lock);
	return rc;
}

struct session *session_find(struct sessions *t, const char *id)
{
	struct session *s;

	pthread_mutex_lock(&t->lock);
	s = lookup(t, id);
	if (s)
		session_ref(s);
	pthread_mutex_unlock(&t->lock);
	return s;
}

bool sessions_know(struct sessions *t, const char *container)
{
	bool known = false;

	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < BUCKETS && !known; i++)
		for (const struct session *s = t->bucket[i]; s && !known; s = s->next)
			known = s->slot >= 0 && strcmp(s->container, container) == 0;
	pthread_mutex_unlock(&t->lock);
	return known;
}

void session_release_slot(struct session *s)
{
	struct sessions *t = s->node->sessions;

	pthread_mutex_lock(&t->lock);
	if (s->slot >= 0) {
		t->taken[s->slot] = false;
		t->alive--;
		ocu_gauge_set(t->gauge, t->alive);
	}
	s->slot = -1;
	pthread_mutex_unlock(&t->lock);
}

void session_forget(struct session *s)
{
	struct sessions *t = s->node->sessions;
	bool found = false;

	pthread_mutex_lock(&t->lock);
	for (struct session **at = &t->bucket[bucket_of(s->id)]; *at; at = &(*at)->next) {
		if (*at == s) {
			*at = s->next;
			t->records--;
			found = true;
			break;
		}
	}
	pthread_mutex_unlock(&t->lock);
	if (found)
		session_unref(s);
}

struct session *session_ref(struct session *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

void session_unref(struct session *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

int sessions_each(struct sessions *t, int (*each)(void *arg, struct session *s), void *arg)
{
	struct session **list;
	size_t n = 0, count = 0;
	int rc = 0;

	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct session *s = t->bucket[i]; s; s = s->next)
			count++;
	list = calloc(count + 1, sizeof(struct session *));
	for (size_t i = 0; list && i < BUCKETS; i++)
		for (struct session *s = t->bucket[i]; s; s = s->next)
			list[n++] = session_ref(s);
	pthread_mutex_unlock(&t->lock);
	for (size_t i = 0; i < n; i++) {
		if (rc == 0)
			rc = each(arg, list[i]);
		session_unref(list[i]);
	}
	free(list);
	return rc;
}

unsigned sessions_alive(struct sessions *t)
{
	unsigned n;

	pthread_mutex_lock(&t->lock);
	n = t->alive;
	pthread_mutex_unlock(&t->lock);
	return n;
}

void session_set_state(struct session *s, enum session_state state)
{
	pthread_mutex_lock(&s->lock);
	s->state = state;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

enum session_state session_state(struct session *s)
{
	enum session_state state;

	pthread_mutex_lock(&s->lock);
	state = s->state;
	pthread_mutex_unlock(&s->lock);
	return state;
}

enum session_state session_wait(struct session *s, unsigned mask)
{
	enum session_state state;

	pthread_mutex_lock(&s->lock);
	while (!(mask & 1u << s->state))
		pthread_cond_wait(&s->changed, &s->lock);
	state = s->state;
	pthread_mutex_unlock(&s->lock);
	return state;
}

bool session_claim_end(struct session *s, enum session_state from)
{
	bool mine;

	pthread_mutex_lock(&s->lock);
	mine = s->state == from;
	if (mine) {
		s->state = SESSION_ENDING;
		pthread_cond_broadcast(&s->changed);
	}
	pthread_mutex_unlock(&s->lock);
	return mine;
}

void session_ask_stop(struct session *s, bool killed)
{
	pthread_mutex_lock(&s->lock);
	s->stop_asked = true;
	s->killed |= killed;
	pthread_mutex_unlock(&s->lock);
}
