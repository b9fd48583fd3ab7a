/*
 * trail_sources: the sequence of each source, by name. Bounded; a name is what a certificate proved:
 * "<component>" or "<component>/<instance>". Not thread-safe.
 */
#ifndef OCU_TRAIL_SOURCES_H
#define OCU_TRAIL_SOURCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OCU_TRAIL_SOURCE_MAX  80 /* bytes of a name, NUL included */
#define OCU_TRAIL_SOURCES_MAX 1024

struct ocu_trail_source {
	char name[OCU_TRAIL_SOURCE_MAX];
	uint64_t sequence; /* of its last record; 0 before the first */
};

struct ocu_trail_sources {
	uint32_t n;
	uint32_t room;
	struct ocu_trail_source *v;                /* in order of arrival */
	uint16_t slots[2 * OCU_TRAIL_SOURCES_MAX]; /* open addressing: index + 1, 0 free */
};

void ocu_trail_sources_init(struct ocu_trail_sources *s);
void ocu_trail_sources_done(struct ocu_trail_sources *s);
/* Letters, digits, '.', '-', '_' and at most one '/'; 1..79 bytes. */
bool ocu_trail_source_valid(const char *name, size_t len);
/* Index, or -1. */
int ocu_trail_sources_find(const struct ocu_trail_sources *s, const char *name, size_t len);
/* Index of the source, added when new; OCU_E_INVALID, OCU_E_QUOTA or OCU_E_NOMEM. */
int ocu_trail_sources_add(struct ocu_trail_sources *s, const char *name, size_t len);

#endif
