/*
 * tls_half_open: bounds the connections of one listener that have not finished their handshake and sent SP's
 * greeting. nng reaps them after 10 s of silence; until then at most OCU_TLS_HALF_OPEN_MAX are kept, and a
 * newcomer ends the oldest. So whoever does both faster than that many others arrive gets in, however many
 * never speak.
 * Private to the TLS engine.
 */
#ifndef OCU_TLS_HALF_OPEN_H
#define OCU_TLS_HALF_OPEN_H

#include <nng/nng.h>
#include <pthread.h>
#include <stdbool.h>

#define OCU_TLS_HALF_OPEN_MAX 128

/* One connection's place. Zeroed memory is a valid entry that never entered. */
struct ocu_tls_half_open {
	struct ocu_tls_half_open *prev, *next;
	nng_stream *stream;
	enum { OCU_TLS_OUTSIDE, OCU_TLS_WAITING, OCU_TLS_EVICTED, OCU_TLS_SETTLED } state;
	bool pinned; /* an evictor uses `stream`: its memory must stay */
};

struct ocu_tls_doorway {
	pthread_mutex_t lock;
	pthread_cond_t unpinned;
	struct ocu_tls_half_open *oldest, *newest;
	unsigned count;
};

void ocu_tls_doorway_init(struct ocu_tls_doorway *d);
void ocu_tls_doorway_done(struct ocu_tls_doorway *d);
/* Adds the entry; over the bound the oldest is evicted: its stream is made to call the engine, which must
 * answer with an error whenever ocu_tls_doorway_evicted(). Call without any lock of nng held. */
void ocu_tls_doorway_enter(struct ocu_tls_doorway *d, struct ocu_tls_half_open *e, nng_stream *stream);
bool ocu_tls_doorway_evicted(struct ocu_tls_doorway *d, const struct ocu_tls_half_open *e);
/* Handshake and greeting are done. False when the entry was evicted: the connection must fail. Idempotent. */
bool ocu_tls_doorway_settle(struct ocu_tls_doorway *d, struct ocu_tls_half_open *e);
/* The connection ends, whatever its state; waits for an evictor that still uses it. */
void ocu_tls_doorway_leave(struct ocu_tls_doorway *d, struct ocu_tls_half_open *e);

#endif
