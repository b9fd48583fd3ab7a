/*
 * denylist_set: the entries, sorted, so that a lookup is a binary search that no choice of values can slow
 * down. Not thread-safe. Private to denylist.
 */
#ifndef OCU_DENYLIST_SET_H
#define OCU_DENYLIST_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libocu/denylist.h"

#define OCU_DENYLIST_VALUE_MAX 256 /* bytes */

struct ocu_deny_entry {
	enum ocu_deny_kind kind;
	bool fresh; /* not yet announced */
	char value[];
};

struct ocu_deny_set {
	struct ocu_deny_entry **sorted;
	size_t count, room;
};

void ocu_deny_set_done(struct ocu_deny_set *s);
struct ocu_deny_entry *ocu_deny_set_find(const struct ocu_deny_set *s, enum ocu_deny_kind kind,
                                         const char *value);
/* A new entry is fresh; one that was there stays as it is. OCU_E_TOO_LARGE at OCU_DENYLIST_MAX, OCU_E_INVALID
 * for an unknown kind or a value that is empty or too long, OCU_E_NOMEM. */
int ocu_deny_set_add(struct ocu_deny_set *s, uint32_t kind, const char *value);
/* A whole list: push each entry, then sort, which also drops duplicates. In between the set cannot be
 * searched. */
int ocu_deny_set_push(struct ocu_deny_set *s, uint32_t kind, const char *value);
void ocu_deny_set_sort(struct ocu_deny_set *s);
void ocu_deny_set_remove(struct ocu_deny_set *s, uint32_t kind, const char *value);

#endif
