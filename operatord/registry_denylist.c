/* registry_denylist: the kill-switch state and its epoch; see registry.h. */
#include <stdio.h>
#include <stdlib.h>

#include "libocu/err.h"
#include "operatord/registry_db.h"

int registry_deny_check_held(struct registry *r, enum ocu_deny_kind kind, const char *value,
                             struct ocu_error *err)
{
	sqlite3_stmt *st = registry_bind(r, ST_DENY_GET, "is", (int64_t)kind, value);
	int row = registry_row(r, st, err);

	sqlite3_reset(st);
	if (row <= 0)
		return row;
	switch (kind) {
	case OCU_DENY_CALLER:
		return ocu_error_set(err, OCU_E_CALLER_DENIED, "the caller is on the denylist");
	case OCU_DENY_TOKEN:
		return ocu_error_set(err, OCU_E_TOKEN_REVOKED, "the token is on the denylist");
	default:
		return ocu_error_set(err, OCU_E_SESSION_DENIED, "the session is on the denylist");
	}
}

int registry_deny_check(struct registry *r, enum ocu_deny_kind kind, const char *value, struct ocu_error *err)
{
	int rc;

	registry_enter(r);
	rc = registry_deny_check_held(r, kind, value, err);
	registry_leave(r);
	return rc;
}

static int epoch_advance(struct registry *r, struct ocu_error *err)
{
	char text[32];

	r->epoch++;
	snprintf(text, sizeof text, "%llu", (unsigned long long)r->epoch);
	return registry_fact_set_held(r, "epoch", text, err);
}

struct change {
	const struct deny_entry *entries;
	size_t n;
	uint64_t epoch;
	bool changed;
};

/* Callers and tokens leave room, so that a full list never stands in the way of a kill. */
#define KILLS_RESERVED 8192

static int room_for(struct registry *r, const struct deny_entry *entries, size_t n, struct ocu_error *err)
{
	size_t max =
	    n > 0 && entries->kind == OCU_DENY_SESSION ? OCU_DENYLIST_MAX : OCU_DENYLIST_MAX - KILLS_RESERVED;
	sqlite3_stmt *st = registry_bind(r, ST_DENY_COUNT, "");
	int row = registry_row(r, st, err);
	int64_t count = row == 1 ? sqlite3_column_int64(st, 0) : 0;

	sqlite3_reset(st);
	if (row < 0)
		return row;
	if ((uint64_t)count + n > max)
		return ocu_error_set(err, OCU_E_QUOTA, "the denylist is full (%zu entries)", max);
	return 0;
}

static int add_body(struct registry *r, void *arg, struct ocu_error *err)
{
	struct change *c = arg;
	size_t added = 0;
	int rc = room_for(r, c->entries, c->n, err);

	for (size_t i = 0; rc == 0 && i < c->n; i++) {
		const struct deny_entry *e = &c->entries[i];
		rc = registry_run(r,
		                  registry_bind(r, ST_DENY_ADD, "isissi", (int64_t)e->kind, e->value,
		                                (int64_t)(r->epoch + 1), e->reason, e->added_by, e->added_ms),
		                  err);
		if (rc == 0)
			added += (size_t)sqlite3_changes(r->db);
		if (rc == 0 && e->kind == OCU_DENY_SESSION)
			rc = registry_run(r, registry_bind(r, ST_SESSION_ENDING, "ss", e->reason, e->value),
			                  err);
	}
	if (rc == 0 && added > 0)
		rc = epoch_advance(r, err);
	c->changed = added > 0;
	c->epoch = r->epoch;
	return rc;
}

int registry_deny_add(struct registry *r, const struct deny_entry *entries, size_t n, uint64_t *epoch,
                      bool *changed, struct ocu_error *err)
{
	struct change c = {.entries = entries, .n = n};
	int rc = registry_write(r, GATE_URGENT, add_body, &c, err);

	if (rc == 0) {
		*epoch = c.epoch;
		*changed = c.changed;
	}
	return rc;
}

static int lift_body(struct registry *r, void *arg, struct ocu_error *err)
{
	struct change *c = arg;
	int rc = registry_run(
	    r, registry_bind(r, ST_DENY_LIFT, "is", (int64_t)c->entries->kind, c->entries->value), err);

	if (rc == 0 && sqlite3_changes(r->db) == 0)
		return ocu_error_set(err, OCU_E_NOT_FOUND, "no such denylist entry");
	if (rc == 0)
		rc = epoch_advance(r, err);
	c->epoch = r->epoch;
	return rc;
}

int registry_deny_lift(struct registry *r, enum ocu_deny_kind kind, const char *value, uint64_t *epoch,
                       struct ocu_error *err)
{
	struct deny_entry e = {.kind = kind};
	struct change c = {.entries = &e, .n = 1};
	int rc;

	if (snprintf(e.value, sizeof e.value, "%s", value) >= (int)sizeof e.value)
		return ocu_error_set(err, OCU_E_NOT_FOUND, "no such denylist entry");
	/* A denial waits for it in the order of the feed. */
	rc = registry_write(r, GATE_AHEAD, lift_body, &c, err);
	if (rc == 0)
		*epoch = c.epoch;
	return rc;
}

uint64_t registry_epoch(struct registry *r)
{
	uint64_t epoch;

	registry_enter(r);
	epoch = r->epoch;
	registry_leave(r);
	return epoch;
}

static void entry_read(sqlite3_stmt *st, struct deny_entry *e)
{
	*e = (struct deny_entry){.kind = (enum ocu_deny_kind)sqlite3_column_int(st, 0)};
	registry_column_text(st, 1, e->value, sizeof e->value);
	e->epoch = (uint64_t)sqlite3_column_int64(st, 2);
	registry_column_text(st, 3, e->reason, sizeof e->reason);
	registry_column_text(st, 4, e->added_by, sizeof e->added_by);
	e->added_ms = sqlite3_column_int64(st, 5);
}

/* Gate held. */
static int entries_read(struct registry *r, sqlite3_stmt *st, struct deny_entry **ret, size_t *n,
                        struct ocu_error *err)
{
	struct deny_entry *list = NULL;
	size_t count = 0, room = 0;
	int row;

	while ((row = registry_row(r, st, err)) == 1) {
		if (count == room) {
			room = room ? room * 2 : 16;
			struct deny_entry *more = reallocarray(list, room, sizeof *list);
			if (!more) {
				row = ocu_error_set(err, OCU_E_NOMEM, "denylist");
				break;
			}
			list = more;
		}
		entry_read(st, &list[count++]);
	}
	sqlite3_reset(st);
	if (row < 0) {
		free(list);
		return row;
	}
	*ret = list;
	*n = count;
	return 0;
}

int registry_deny_list(struct registry *r, struct deny_entry **ret, size_t *n, uint64_t *epoch,
                       struct ocu_error *err)
{
	int rc;

	registry_enter(r);
	rc = entries_read(r, registry_bind(r, ST_DENY_LIST, ""), ret, n, err);
	if (rc == 0)
		*epoch = r->epoch;
	registry_leave(r);
	return rc;
}

int registry_deny_spent(struct registry *r, int64_t ended_before_ms, int64_t now_ms, struct deny_entry **ret,
                        size_t *n, struct ocu_error *err)
{
	int rc;

	registry_enter(r);
	rc = entries_read(r, registry_bind(r, ST_DENY_SPENT, "ii", ended_before_ms, now_ms), ret, n, err);
	registry_leave(r);
	return rc;
}
