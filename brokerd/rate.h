/*
 * rate: how much one caller may ask of the north face (NFR-SEC-78, NFR-SEC-53): requests a second, bytes a
 * second in both directions, and requests under way. A bounded table keyed on the validated caller; monotonic
 * clock; refused, never queued.
 */
#ifndef BROKERD_RATE_H
#define BROKERD_RATE_H

#include <stdint.h>

struct ocu_error;
struct rate;

struct rate_opts {
	uint64_t ops;      /* a second; as many again may come at once */
	uint64_t bytes;    /* a second; a transfer may overdraw it, then nothing goes until it is paid back */
	unsigned inflight; /* requests under way */
};

int rate_new(struct rate **ret, const struct rate_opts *o, struct ocu_error *err);
void rate_free(struct rate *r);
/* A request begins: 0, or OCU_E_RATE; when 0, rate_leave() must follow. now_ms is ocu_mono_ms(). */
int rate_enter(struct rate *r, const char *caller, uint64_t now_ms, struct ocu_error *err);
void rate_leave(struct rate *r, const char *caller);
/* Takes bytes: 0, or OCU_E_RATE while earlier ones are not paid back. */
int rate_bytes(struct rate *r, const char *caller, uint64_t bytes, uint64_t now_ms, struct ocu_error *err);
/* Takes them in any case, of a request that was let in: no more are overdrawn than those under way come to.
 */
void rate_spend(struct rate *r, const char *caller, uint64_t bytes);

#endif
