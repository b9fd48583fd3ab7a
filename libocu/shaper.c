/* shaper: see shaper.h. */
#include "libocu/shaper.h"

static struct ocu_shaper_slot *slot_of(struct ocu_shaper *s, const char *key)
{
	uint32_t h = 2166136261u;

	for (; *key; key++)
		h = (h ^ (unsigned char)*key) * 16777619u;
	return &s->slots[(h ^ h >> 16) % OCU_SHAPER_SLOTS];
}

bool ocu_shaper_take(struct ocu_shaper *s, const char *key, uint64_t now_ms, unsigned *hidden)
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
	if (slot->taken >= OCU_SHAPER_EACH_S || s->taken >= OCU_SHAPER_ALL_S) {
		slot->hidden++;
		return false;
	}
	slot->taken++;
	s->taken++;
	*hidden = slot->hidden;
	slot->hidden = 0;
	return true;
}
