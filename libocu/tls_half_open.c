/*
 * tls_half_open: a queue in order of arrival. Lock order: nng's connection lock, then the doorway's;
 * therefore the evictor lets the doorway go before it touches the other connection, and pins that one's
 * memory meanwhile.
 */
#include "libocu/tls_half_open.h"

void ocu_tls_doorway_init(struct ocu_tls_doorway *d)
{
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->unpinned, NULL);
	d->oldest = d->newest = NULL;
	d->count = 0;
}

void ocu_tls_doorway_done(struct ocu_tls_doorway *d)
{
	pthread_cond_destroy(&d->unpinned);
	pthread_mutex_destroy(&d->lock);
}

static void unlink_entry(struct ocu_tls_doorway *d, struct ocu_tls_half_open *e)
{
	*(e->prev ? &e->prev->next : &d->oldest) = e->next;
	*(e->next ? &e->next->prev : &d->newest) = e->prev;
	e->prev = e->next = NULL;
	d->count--;
}

static void append_entry(struct ocu_tls_doorway *d, struct ocu_tls_half_open *e)
{
	e->prev = d->newest;
	*(d->newest ? &d->newest->next : &d->oldest) = e;
	d->newest = e;
	d->count++;
}

/*
 * Closing the stream would report NNG_ECLOSED to the acceptor, which then stops for good. A receive of our
 * own makes nng call the engine instead, and the engine's error ends what waits on the stream, ours included.
 * With no callback on the aio nng completes it on whatever thread runs the engine, so the wait needs no
 * thread of nng's.
 */
static void make_stream_call_engine(nng_stream *stream)
{
	unsigned char byte;
	nng_iov iov = {.iov_buf = &byte, .iov_len = 1};
	nng_aio *aio;

	if (nng_aio_alloc(&aio, NULL, NULL) != 0)
		return;
	nng_aio_set_iov(aio, 1, &iov);
	nng_stream_recv(stream, aio);
	nng_aio_wait(aio);
	nng_aio_free(aio);
}

static void evict(struct ocu_tls_doorway *d, struct ocu_tls_half_open *victim)
{
	make_stream_call_engine(victim->stream);
	pthread_mutex_lock(&d->lock);
	victim->pinned = false;
	pthread_cond_broadcast(&d->unpinned);
	pthread_mutex_unlock(&d->lock);
}

void ocu_tls_doorway_enter(struct ocu_tls_doorway *d, struct ocu_tls_half_open *e, nng_stream *stream)
{
	struct ocu_tls_half_open *victim = NULL;

	pthread_mutex_lock(&d->lock);
	e->stream = stream;
	e->state = OCU_TLS_WAITING;
	append_entry(d, e);
	if (d->count > OCU_TLS_HALF_OPEN_MAX) {
		victim = d->oldest;
		unlink_entry(d, victim);
		victim->state = OCU_TLS_EVICTED;
		victim->pinned = true;
	}
	pthread_mutex_unlock(&d->lock);
	if (victim)
		evict(d, victim);
}

bool ocu_tls_doorway_evicted(struct ocu_tls_doorway *d, const struct ocu_tls_half_open *e)
{
	bool evicted;

	pthread_mutex_lock(&d->lock);
	evicted = e->state == OCU_TLS_EVICTED;
	pthread_mutex_unlock(&d->lock);
	return evicted;
}

bool ocu_tls_doorway_settle(struct ocu_tls_doorway *d, struct ocu_tls_half_open *e)
{
	bool settled;

	pthread_mutex_lock(&d->lock);
	if (e->state == OCU_TLS_WAITING) {
		unlink_entry(d, e);
		e->state = OCU_TLS_SETTLED;
	}
	settled = e->state == OCU_TLS_SETTLED;
	pthread_mutex_unlock(&d->lock);
	return settled;
}

void ocu_tls_doorway_leave(struct ocu_tls_doorway *d, struct ocu_tls_half_open *e)
{
	pthread_mutex_lock(&d->lock);
	while (e->pinned)
		pthread_cond_wait(&d->unpinned, &d->lock);
	if (e->state == OCU_TLS_WAITING)
		unlink_entry(d, e);
	e->state = OCU_TLS_OUTSIDE;
	pthread_mutex_unlock(&d->lock);
}
