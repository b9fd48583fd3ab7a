/* rate: a token bucket on the monotonic clock. The caller holds whatever lock it needs. */
#ifndef OPERATORD_RATE_H
#define OPERATORD_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate {
	uint64_t per_second, burst;
	uint64_t milli; /* tokens left, in thousandths */
	uint64_t at_ms;
};

static inline void rate_init(struct rate *r, uint64_t per_second, uint64_t burst)
{
	*r = (struct rate){.per_second = per_second, .burst = burst, .milli = burst * 1000};
}

/* n tokens at once, or none. */
static inline bool rate_take_n(struct rate *r, uint64_t now_ms, uint64_t n)
{
	uint64_t passed = now_ms - r->at_ms, full = r->burst * 1000;

	/* per_second tokens a second are per_second thousandths a millisecond. */
	r->milli = passed > full / r->per_second ? full : r->milli + passed * r->per_second;
	if (r->milli > full)
		r->milli = full;
	r->at_ms = now_ms;
	if (r->milli < n * 1000)
		return false;
	r->milli -= n * 1000;
	return true;
}

static inline bool rate_take(struct rate *r, uint64_t now_ms)
{
	return rate_take_n(r, now_ms, 1);
}

#endif
