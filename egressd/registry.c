/* registry: a hash table under one lock, which is held for a look-up and never while something is closed. */
#include "egressd/registry.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/policy.h"
#include "libocu/err.h"

#define BUCKETS 1024u

struct registry {
	pthread_mutex_t lock;
	struct session *buckets[BUCKETS];
	size_t count;
	unsigned turn;
};

static unsigned bucket_of(const char *id)
{
	unsigned h = 2166136261u;

	for (; *id; id++)
		h = (h ^ (unsigned char)*id) * 16777619u;
	return h % BUCKETS;
}

struct session *session_ref(struct session *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void session_unref(struct session *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	policy_unref(s->policy);
	free(s);
}

struct registry *registry_new(void)
{
	struct registry *r = calloc(1, sizeof *r);

	if (r)
		pthread_mutex_init(&r->lock, NULL);
	return r;
}

void registry_free(struct registry *r)
{
	if (!r)
		return;
	for (unsigned i = 0; i < BUCKETS; i++)
		while (r->buckets[i]) {
			struct session *s = r->buckets[i];
			r->buckets[i] = s->next;
			session_unref(s);
		}
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static struct session **find(struct registry *r, const char *id)
{
	struct session **p = &r->buckets[bucket_of(id)];

	while (*p && strcmp((*p)->id, id) != 0)
		p = &(*p)->next;
	return p;
}

static int add(struct registry *r, struct session **place, const char *id, const char *caller,
               struct ocu_error *err)
{
	if (r->count >= REGISTRY_MAX)
		return ocu_error_set(err, OCU_E_QUOTA, "more than %u sessions", REGISTRY_MAX);
	if (strlen(id) >= sizeof((struct session *)0)->id || strlen(caller) > REGISTRY_CALLER_MAX)
		return ocu_error_set(err, OCU_E_TOO_LARGE, "session id or caller");
	struct session *s = calloc(1, sizeof *s);
	if (!s)
		return ocu_error_set(err, OCU_E_NOMEM, "session");
	memcpy(s->id, id, strlen(id) + 1);
	memcpy(s->caller, caller, strlen(caller) + 1);
	s->refs = 1;
	*place = s;
	r->count++;
	return 0;
}

int registry_put(struct registry *r, const char *id, const char *caller, struct policy *policy,
                 struct worker *const *workers, unsigned nworkers, struct session **ret,
                 struct ocu_error *err)
{
	int rc = 0;

	pthread_mutex_lock(&r->lock);
	struct session **p = find(r, id);
	if (!*p) {
		rc = add(r, p, id, caller, err);
		if (rc == 0 && *p)
			(*p)->worker = nworkers ? workers[r->turn++ % nworkers] : NULL;
	} else if (strcmp((*p)->caller, caller) != 0) {
		rc = ocu_error_set(err, OCU_E_EXISTS, "the session belongs to another caller");
	}
	if (rc == 0 && *p) {
		policy_unref((*p)->policy);
		(*p)->policy = policy_ref(policy);
		*ret = session_ref(*p);
	}
	pthread_mutex_unlock(&r->lock);
	return rc;
}

struct session *registry_find(struct registry *r, const char *id, struct policy **policy)
{
	pthread_mutex_lock(&r->lock);
	struct session *s = *find(r, id);
	if (s) {
		session_ref(s);
		if (policy)
			*policy = policy_ref(s->policy);
	}
	pthread_mutex_unlock(&r->lock);
	return s;
}

/* The table's reference goes to the caller. */
static struct session *take(struct registry *r, struct session **p)
{
	struct session *s = *p;

	if (s) {
		*p = s->next;
		s->next = NULL;
		r->count--;
		atomic_store(&s->dropped, true);
	}
	return s;
}

struct session *registry_take(struct registry *r, const char *id)
{
	pthread_mutex_lock(&r->lock);
	struct session *s = take(r, find(r, id));
	pthread_mutex_unlock(&r->lock);
	return s;
}

struct session *registry_take_caller(struct registry *r, const char *caller)
{
	struct session *s = NULL;

	pthread_mutex_lock(&r->lock);
	for (unsigned i = 0; i < BUCKETS && !s; i++)
		for (struct session **p = &r->buckets[i]; *p && !s; p = s ? p : &(*p)->next)
			if (strcmp((*p)->caller, caller) == 0)
				s = take(r, p);
	pthread_mutex_unlock(&r->lock);
	return s;
}

size_t registry_list(struct registry *r, struct session **list, size_t max)
{
	size_t n = 0;

	pthread_mutex_lock(&r->lock);
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct session *s = r->buckets[i]; s; s = s->next, n++)
			if (n < max)
				list[n] = session_ref(s);
	pthread_mutex_unlock(&r->lock);
	return n;
}
