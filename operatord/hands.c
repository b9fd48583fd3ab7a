/* hands: see hands.h. */
#include "operatord/hands.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/id.h"

struct hand {
	char session_id[OCU_ID_MAX];
	unsigned holders;
	struct hand *next;
};

#define BUCKETS 256

struct hands {
	pthread_mutex_t lock;
	struct hand *bucket[BUCKETS];
};

struct hands *hands_new(void)
{
	struct hands *h = calloc(1, sizeof *h);

	if (h)
		pthread_mutex_init(&h->lock, NULL);
	return h;
}

void hands_free(struct hands *h)
{
	if (!h)
		return;
	for (int i = 0; i < BUCKETS; i++)
		for (struct hand *e = h->bucket[i], *next; e; e = next) {
			next = e->next;
			free(e);
		}
	pthread_mutex_destroy(&h->lock);
	free(h);
}

/* Where the entry is linked, or where a new one would be. */
static struct hand **find(struct hands *h, const char *session_id)
{
	unsigned sum = 2166136261u;
	struct hand **p;

	for (const char *c = session_id; *c; c++)
		sum = (sum ^ (unsigned char)*c) * 16777619u;
	p = &h->bucket[sum % BUCKETS];
	while (*p && strcmp((*p)->session_id, session_id) != 0)
		p = &(*p)->next;
	return p;
}

bool hands_take(struct hands *h, const char *session_id)
{
	bool ok;

	pthread_mutex_lock(&h->lock);
	struct hand **p = find(h, session_id);
	if (!*p && (*p = calloc(1, sizeof **p)))
		snprintf((*p)->session_id, OCU_ID_MAX, "%s", session_id);
	ok = *p != NULL;
	if (ok)
		(*p)->holders++;
	pthread_mutex_unlock(&h->lock);
	return ok;
}

void hands_drop(struct hands *h, const char *session_id)
{
	pthread_mutex_lock(&h->lock);
	struct hand **p = find(h, session_id), *e = *p;
	if (e && --e->holders == 0) {
		*p = e->next;
		free(e);
	}
	pthread_mutex_unlock(&h->lock);
}

bool hands_taken(struct hands *h, const char *session_id)
{
	bool taken;

	pthread_mutex_lock(&h->lock);
	taken = *find(h, session_id) != NULL;
	pthread_mutex_unlock(&h->lock);
	return taken;
}
