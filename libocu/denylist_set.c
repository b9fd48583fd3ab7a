/* denylist_set: a sorted array of pointers. Changes are rare and cost a memmove; lookups happen on every
 * request. */
#include "libocu/denylist_set.h"

#include <stdlib.h>
#include <string.h>

#include "libocu/err.h"

enum { ROOM_FIRST = 64 };

void ocu_deny_set_done(struct ocu_deny_set *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->sorted[i]);
	free(s->sorted);
	*s = (struct ocu_deny_set){0};
}

static int order(const struct ocu_deny_entry *e, enum ocu_deny_kind kind, const char *value)
{
	return e->kind != kind ? (e->kind < kind ? -1 : 1) : strcmp(e->value, value);
}

/* Where the entry is, or where it would go; *found says which. */
static size_t place(const struct ocu_deny_set *s, enum ocu_deny_kind kind, const char *value, bool *found)
{
	size_t low = 0, high = s->count;

	*found = false;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int o = order(s->sorted[mid], kind, value);

		if (o == 0) {
			*found = true;
			return mid;
		}
		if (o < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct ocu_deny_entry *ocu_deny_set_find(const struct ocu_deny_set *s, enum ocu_deny_kind kind,
                                         const char *value)
{
	bool found;
	size_t at = place(s, kind, value, &found);

	return found ? s->sorted[at] : NULL;
}

static int make_room(struct ocu_deny_set *s)
{
	size_t room = s->room ? s->room * 2 : ROOM_FIRST;
	struct ocu_deny_entry **more;

	if (s->count < s->room)
		return 0;
	if (s->count >= OCU_DENYLIST_MAX)
		return OCU_E_TOO_LARGE;
	more = realloc(s->sorted, room * sizeof *more);
	if (!more)
		return OCU_E_NOMEM;
	s->sorted = more;
	s->room = room;
	return 0;
}

static int insert(struct ocu_deny_set *s, size_t at, uint32_t kind, const char *value)
{
	size_t len = strlen(value);
	struct ocu_deny_entry *e;
	int rv;

	if (kind < OCU_DENY_SESSION || kind > OCU_DENY_TOKEN || len == 0 || len > OCU_DENYLIST_VALUE_MAX)
		return OCU_E_INVALID;
	if ((rv = make_room(s)) != 0)
		return rv;
	e = malloc(sizeof *e + len + 1);
	if (!e)
		return OCU_E_NOMEM;
	e->kind = (enum ocu_deny_kind)kind;
	e->fresh = true;
	memcpy(e->value, value, len + 1);
	memmove(s->sorted + at + 1, s->sorted + at, (s->count - at) * sizeof(*s->sorted));
	s->sorted[at] = e;
	s->count++;
	return 0;
}

int ocu_deny_set_add(struct ocu_deny_set *s, uint32_t kind, const char *value)
{
	bool found;
	size_t at = place(s, (enum ocu_deny_kind)kind, value, &found);

	return found ? 0 : insert(s, at, kind, value);
}

int ocu_deny_set_push(struct ocu_deny_set *s, uint32_t kind, const char *value)
{
	return insert(s, s->count, kind, value);
}

static int compare(const void *a, const void *b)
{
	const struct ocu_deny_entry *x = *(struct ocu_deny_entry *const *)a;
	const struct ocu_deny_entry *y = *(struct ocu_deny_entry *const *)b;

	return order(x, y->kind, y->value);
}

void ocu_deny_set_sort(struct ocu_deny_set *s)
{
	size_t kept = 0;

	if (s->count == 0)
		return;
	qsort(s->sorted, s->count, sizeof(*s->sorted), compare);
	for (size_t i = 1; i < s->count; i++) {
		if (compare(&s->sorted[kept], &s->sorted[i]) == 0)
			free(s->sorted[i]);
		else
			s->sorted[++kept] = s->sorted[i];
	}
	s->count = kept + 1;
}

void ocu_deny_set_remove(struct ocu_deny_set *s, uint32_t kind, const char *value)
{
	bool found;
	size_t at = place(s, (enum ocu_deny_kind)kind, value, &found);

	if (!found)
		return;
	free(s->sorted[at]);
	s->count--;
	memmove(s->sorted + at, s->sorted + at + 1, (s->count - at) * sizeof(*s->sorted));
}
