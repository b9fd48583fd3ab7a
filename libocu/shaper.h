/*
 * shaper: how many reports of refusals a second leave in full. Whoever can be refused at will must not be
 * able to fill the trail, nor to hide behind it what others were refused: each key has a small share, and the
 * rest is counted. Not thread-safe; refusals tells what was counted.
 */
#ifndef OCU_SHAPER_H
#define OCU_SHAPER_H

#include <stdbool.h>
#include <stdint.h>

#define OCU_SHAPER_SLOTS   64  /* keys share one when their hashes do */
#define OCU_SHAPER_KEY_MAX 192 /* bytes of a key that are told, NUL included */
#define OCU_SHAPER_EACH_S  10  /* a key, where nothing else is said */
#define OCU_SHAPER_ALL_S   50  /* all of them */

/* Reports that did not leave. */
struct ocu_shaper_hidden {
	unsigned n;
	uint64_t since_ms; /* when the first of them was taken away */
	bool several;      /* of other keys, too */
	char key[OCU_SHAPER_KEY_MAX];
};

struct ocu_shaper {
	uint64_t second;
	unsigned taken;
	struct ocu_shaper_slot {
		uint64_t second;
		unsigned taken;
		struct ocu_shaper_hidden hidden;
	} slots[OCU_SHAPER_SLOTS];
};

/* True when this one is to be reported, at most each_s a second of its key; *hidden is how many of its key
 * before it were not. Zeroed is new. */
bool ocu_shaper_take(struct ocu_shaper *s, const char *key, unsigned each_s, uint64_t now_ms,
                     unsigned *hidden);
/* Takes what a slot has hidden since before_ms or longer; false when there is nothing. */
bool ocu_shaper_left(struct ocu_shaper *s, unsigned slot, uint64_t before_ms, struct ocu_shaper_hidden *ret);
/* Puts back what could not be told. */
void ocu_shaper_give_back(struct ocu_shaper *s, unsigned slot, const struct ocu_shaper_hidden *h);

#endif
