/*
 * shaper: how many reports of refusals a second leave in full. Whoever can be refused at will must not be
 * able to fill the trail, nor to hide behind it what others were refused: each key has a small share, and the
 * rest is counted. Not thread-safe.
 */
#ifndef OCU_SHAPER_H
#define OCU_SHAPER_H

#include <stdbool.h>
#include <stdint.h>

#define OCU_SHAPER_SLOTS  64 /* keys share one when their hashes do */
#define OCU_SHAPER_EACH_S 10 /* a key */
#define OCU_SHAPER_ALL_S  50 /* all of them */

struct ocu_shaper {
	uint64_t second;
	unsigned taken;
	struct ocu_shaper_slot {
		uint64_t second;
		unsigned taken;
		unsigned hidden; /* not let through since the last that was */
	} slots[OCU_SHAPER_SLOTS];
};

/* True when this one is to be reported; *hidden is how many of its key before it were not. Zeroed is new. */
bool ocu_shaper_take(struct ocu_shaper *s, const char *key, uint64_t now_ms, unsigned *hidden);

#endif
