/* trail_sources: a small open-addressing table; sources are never removed, so probing ends at the first free
 * slot. */
#include "libocu/trail_sources.h"

#include <stdlib.h>
#include <string.h>

#include "libocu/err.h"

#define SLOTS (2 * OCU_TRAIL_SOURCES_MAX)

void ocu_trail_sources_init(struct ocu_trail_sources *s)
{
	memset(s, 0, sizeof *s);
}

void ocu_trail_sources_done(struct ocu_trail_sources *s)
{
	free(s->v);
	memset(s, 0, sizeof *s);
}

static bool name_byte(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
	       c == '-' || c == '_';
}

bool ocu_trail_source_valid(const char *name, size_t len)
{
	unsigned slashes = 0;
	if (len == 0 || len >= OCU_TRAIL_SOURCE_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (name[i] == '/' && i > 0 && i + 1 < len)
			slashes++;
		else if (!name_byte((unsigned char)name[i]))
			return false;
	}
	return slashes <= 1;
}

/* FNV-1a. */
static uint32_t hash(const char *name, size_t len)
{
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)name[i]) * 16777619u;
	return h;
}

/* The slot that holds the name, or the free one where it belongs: there are twice as many slots as sources.
 */
static uint32_t probe(const struct ocu_trail_sources *s, const char *name, size_t len)
{
	uint32_t at = hash(name, len) % SLOTS;
	for (; s->slots[at]; at = (at + 1) % SLOTS) {
		const char *have = s->v[s->slots[at] - 1].name;
		if (memcmp(have, name, len) == 0 && have[len] == '\0')
			break;
	}
	return at;
}

int ocu_trail_sources_find(const struct ocu_trail_sources *s, const char *name, size_t len)
{
	if (len == 0 || len >= OCU_TRAIL_SOURCE_MAX)
		return -1;
	return (int)s->slots[probe(s, name, len)] - 1;
}

static int grow(struct ocu_trail_sources *s)
{
	if (s->n < s->room)
		return 0;
	uint32_t room = s->room ? s->room * 2 : 8;
	void *v = realloc(s->v, room * sizeof *s->v);
	if (!v)
		return OCU_E_NOMEM;
	s->v = v;
	s->room = room;
	return 0;
}

int ocu_trail_sources_add(struct ocu_trail_sources *s, const char *name, size_t len)
{
	if (!ocu_trail_source_valid(name, len))
		return OCU_E_INVALID;
	uint32_t at = probe(s, name, len);
	if (s->slots[at])
		return (int)s->slots[at] - 1;
	if (s->n == OCU_TRAIL_SOURCES_MAX)
		return OCU_E_QUOTA;
	int rc = grow(s);
	if (rc)
		return rc;
	struct ocu_trail_source *src = &s->v[s->n];
	memset(src, 0, sizeof *src);
	memcpy(src->name, name, len);
	s->slots[at] = (uint16_t)++s->n;
	return (int)s->n - 1;
}
