/* shaper: see shaper.h. */
#include "libocu/shaper.h"

#include <stdio.h>
#include <string.h>

static struct ocu_shaper_slot *slot_of(struct ocu_shaper *s, const char *key)
{
	uint32_t h = 2166136261u;

	for (; *key; key++)
		h = (h ^ (unsigned char)*key) * 16777619u;
	return &s->slots[(h ^ h >> 16) % OCU_SHAPER_SLOTS];
}

static bool same_key(const struct ocu_shaper_hidden *h, const char *key)
{
	return strncmp(h->key, key, sizeof h->key - 1) == 0;
}

static void hide(struct ocu_shaper_hidden *h, const char *key, uint64_t now_ms)
{
	if (h->n == 0) {
		h->since_ms = now_ms;
		h->several = false;
		snprintf(h->key, sizeof h->key, "%s", key);
	} else if (!same_key(h, key)) {
		h->several = true;
	}
	h->n++;
}

bool ocu_shaper_take(struct ocu_shaper *s, const char *key, unsigned each_s, uint64_t now_ms,
                     unsigned *hidden)
{
	struct ocu_shaper_slot *slot = slot_of(s, key);
	uint64_t second = now_ms / 1000;

	if (s->second != second) {
		s->second = second;
		s->taken = 0;
	}
	if (slot->second != second) {
		slot->second = second;
		slot->taken = 0;
	}
	if (slot->taken >= each_s || s->taken >= OCU_SHAPER_ALL_S) {
		hide(&slot->hidden, key, now_ms);
		return false;
	}
	slot->taken++;
	s->taken++;
	*hidden = 0;
	if (!slot->hidden.several && same_key(&slot->hidden, key)) {
		*hidden = slot->hidden.n;
		slot->hidden.n = 0;
	}
	return true;
}

bool ocu_shaper_left(struct ocu_shaper *s, unsigned slot, uint64_t before_ms, struct ocu_shaper_hidden *ret)
{
	struct ocu_shaper_hidden *h = &s->slots[slot].hidden;

	if (h->n == 0 || h->since_ms > before_ms)
		return false;
	*ret = *h;
	h->n = 0;
	return true;
}

void ocu_shaper_give_back(struct ocu_shaper *s, unsigned slot, const struct ocu_shaper_hidden *h)
{
	struct ocu_shaper_hidden *now = &s->slots[slot].hidden;
	unsigned since = now->n;
	bool several = since && (now->several || !same_key(now, h->key));

	*now = *h;
	now->n += since;
	now->several |= several;
}
