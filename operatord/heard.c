/* heard: see heard.h. */
#include "operatord/heard.h"

#include "libocu/clock.h"
#include "operatord/text.h"

void heard_init(struct heard *h)
{
	*h = (struct heard){0};
	pthread_mutex_init(&h->lock, NULL);
}

void heard_done(struct heard *h)
{
	pthread_mutex_destroy(&h->lock);
}

void heard_of(struct heard *h, enum ocu_component c)
{
	pthread_mutex_lock(&h->lock);
	h->peer[c].heard_mono = ocu_mono_ms();
	pthread_mutex_unlock(&h->lock);
}

void heard_pulled(struct heard *h, enum ocu_component c, uint64_t epoch, const char *version)
{
	pthread_mutex_lock(&h->lock);
	h->peer[c].heard_mono = ocu_mono_ms();
	h->peer[c].subscribed = true;
	h->peer[c].epoch = epoch;
	text_copy(h->peer[c].version, sizeof h->peer[c].version, version);
	pthread_mutex_unlock(&h->lock);
}

void heard_version(struct heard *h, enum ocu_component c, const char *version)
{
	pthread_mutex_lock(&h->lock);
	h->peer[c].heard_mono = ocu_mono_ms();
	text_copy(h->peer[c].version, sizeof h->peer[c].version, version);
	pthread_mutex_unlock(&h->lock);
}

struct heard_peer heard_peer(struct heard *h, enum ocu_component c)
{
	pthread_mutex_lock(&h->lock);
	struct heard_peer p = h->peer[c];
	pthread_mutex_unlock(&h->lock);
	return p;
}
