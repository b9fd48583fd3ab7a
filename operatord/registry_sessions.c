/* registry_sessions: the session rows; see registry.h. */
#include <stdlib.h>
#include <string.h>

#include "libocu/clock.h"
#include "libocu/err.h"
#include "operatord/registry_db.h"

const char *session_state_name(enum session_state s)
{
	static const char *const names[] = {[SESSION_STARTING] = "starting",
	                                    [SESSION_ACTIVE] = "active",
	                                    [SESSION_ENDING] = "ending",
	                                    [SESSION_ENDED] = "ended"};

	return s >= SESSION_STARTING && s <= SESSION_ENDED ? names[s] : "unknown";
}

static void session_read(sqlite3_stmt *st, struct session *s)
{
	*s = (struct session){0};
	registry_column_text(st, 0, s->session_id, sizeof s->session_id);
	registry_column_text(st, 1, s->container_name, sizeof s->container_name);
	registry_column_text(st, 2, s->filesystem_id, sizeof s->filesystem_id);
	registry_column_text(st, 3, s->caller, sizeof s->caller);
	registry_column_text(st, 4, s->token_id, sizeof s->token_id);
	registry_column_text(st, 5, s->hint, sizeof s->hint);
	registry_column_text(st, 6, s->label, sizeof s->label);
	registry_column_text(st, 7, s->reason, sizeof s->reason);
	registry_column_text(st, 8, s->runtime, sizeof s->runtime);
	registry_column_text(st, 9, s->tier, sizeof s->tier);
	s->state = (enum session_state)sqlite3_column_int(st, 10);
	s->created_ms = sqlite3_column_int64(st, 11);
	s->ended_ms = sqlite3_column_int64(st, 12);
	s->created_mono = sqlite3_column_int64(st, 13);
	s->active_mono = sqlite3_column_int64(st, 14);
	s->token_mono = sqlite3_column_int64(st, 15);
	registry_column_text(st, 16, s->node, sizeof s->node);
}

/* 0 when no row comes, the error otherwise: `found` when there is one. */
static int absent(struct registry *r, sqlite3_stmt *st, int found, const char *text, struct ocu_error *err)
{
	int row = registry_row(r, st, err);

	sqlite3_reset(st);
	return row == 1 ? ocu_error_set(err, found, "%s", text) : row;
}

static int pair_not_denied(struct registry *r, const char *caller, const char *hint, struct ocu_error *err)
{
	return absent(r, registry_bind(r, ST_SESSION_PAIR_DENIED, "ss", caller, hint), OCU_E_SESSION_DENIED,
	              "the last session of this pair was stopped by an operator", err);
}

int registry_session_find(struct registry *r, const char *caller, const char *hint, struct session *ret,
                          struct ocu_error *err)
{
	int row;

	registry_enter(r);
	sqlite3_stmt *st = registry_bind(r, ST_SESSION_FIND, "ss", caller, hint);
	row = registry_row(r, st, err);
	if (row == 1)
		session_read(st, ret);
	sqlite3_reset(st);
	if (row == 0) {
		row = pair_not_denied(r, caller, hint, err);
		if (row == 0)
			row = ocu_error_set(err, OCU_E_NOT_FOUND, "no session of this pair");
	}
	registry_leave(r);
	return row < 0 ? row : 0;
}

struct addition {
	const struct session *s;
	const struct registry_limits *limits;
};

static int below(struct registry *r, sqlite3_stmt *st, unsigned limit, const char *what,
                 struct ocu_error *err)
{
	int row = registry_row(r, st, err);
	int64_t count = row == 1 ? sqlite3_column_int64(st, 0) : 0;

	sqlite3_reset(st);
	if (row < 0)
		return row;
	if (count >= limit)
		return ocu_error_set(err, OCU_E_QUOTA, "%s: %u sessions at most", what, limit);
	return 0;
}

static int add_checks(struct registry *r, const struct addition *a, struct ocu_error *err)
{
	const struct session *s = a->s;
	int rc = registry_deny_check_held(r, OCU_DENY_CALLER, s->caller, err);

	if (rc == 0 && s->token_id[0])
		rc = registry_deny_check_held(r, OCU_DENY_TOKEN, s->token_id, err);
	if (rc == 0)
		rc = pair_not_denied(r, s->caller, s->hint, err);
	if (rc == 0)
		rc = absent(r, registry_bind(r, ST_SESSION_FIND, "ss", s->caller, s->hint), OCU_E_EXISTS,
		            "the pair has a session", err);
	if (rc == 0)
		rc = below(r, registry_bind(r, ST_SESSION_COUNT_CALLER, "s", s->caller),
		           a->limits->per_caller, "caller", err);
	if (rc == 0)
		rc = below(r, registry_bind(r, ST_SESSION_COUNT, ""), a->limits->total, "deployment", err);
	return rc;
}

int registry_session_admit(struct registry *r, const struct session *s, const struct registry_limits *limits,
                           struct ocu_error *err)
{
	const struct addition a = {.s = s, .limits = limits};
	int rc;

	registry_enter(r);
	rc = add_checks(r, &a, err);
	registry_leave(r);
	return rc;
}

static int add_body(struct registry *r, void *arg, struct ocu_error *err)
{
	const struct addition *a = arg;
	const struct session *s = a->s;
	int rc = add_checks(r, a, err);

	if (rc)
		return rc;
	return registry_run(r,
	                    registry_bind(r, ST_SESSION_ADD, "sssssssiiiis", s->session_id, s->container_name,
	                                  s->filesystem_id, s->caller, s->token_id, s->hint, s->label,
	                                  s->created_ms, s->created_mono, s->created_mono, s->created_mono,
	                                  s->node),
	                    err);
}

int registry_session_add(struct registry *r, const struct session *s, const struct registry_limits *limits,
                         struct ocu_error *err)
{
	struct addition a = {.s = s, .limits = limits};

	return registry_write(r, GATE_ORDINARY, add_body, &a, err);
}

int registry_session_get(struct registry *r, const char *session_id, struct session *ret,
                         struct ocu_error *err)
{
	int row;

	registry_enter(r);
	sqlite3_stmt *st = registry_bind(r, ST_SESSION_GET, "s", session_id);
	row = registry_row(r, st, err);
	if (row == 1)
		session_read(st, ret);
	sqlite3_reset(st);
	registry_leave(r);
	if (row == 0)
		return ocu_error_set(err, OCU_E_NOT_FOUND, "no such session");
	return row < 0 ? row : 0;
}

/* Runs an UPDATE that must change exactly one row. */
struct update {
	enum registry_statement which;
	const char *text1, *text2, *session_id;
	int64_t number;
};

static int update_body(struct registry *r, void *arg, struct ocu_error *err)
{
	const struct update *u = arg;
	sqlite3_stmt *st;
	int rc;

	switch (u->which) {
	case ST_SESSION_ACTIVATE:
		st = registry_bind(r, u->which, "ssis", u->text1, u->text2, u->number, u->session_id);
		break;
	case ST_SESSION_ENDING:
		st = registry_bind(r, u->which, "ss", u->text1, u->session_id);
		break;
	default:
		st = registry_bind(r, u->which, "is", u->number, u->session_id);
	}
	rc = registry_run(r, st, err);
	if (rc == 0 && sqlite3_changes(r->db) != 1)
		rc = ocu_error_set(err, OCU_E_STATE, "the session is not in the state for this");
	return rc;
}

int registry_session_activate(struct registry *r, const char *session_id, const char *runtime,
                              const char *tier, int64_t now_mono, struct ocu_error *err)
{
	struct update u = {ST_SESSION_ACTIVATE, runtime, tier, session_id, now_mono};

	return registry_write(r, GATE_ORDINARY, update_body, &u, err);
}

int registry_session_ending(struct registry *r, const char *session_id, const char *reason,
                            struct ocu_error *err)
{
	struct update u = {ST_SESSION_ENDING, reason, NULL, session_id, 0};

	return registry_write(r, GATE_ORDINARY, update_body, &u, err);
}

int registry_session_ended(struct registry *r, const char *session_id, struct ocu_error *err)
{
	struct update u = {ST_SESSION_ENDED, NULL, NULL, session_id, ocu_wall_ms()};

	return registry_write(r, GATE_ORDINARY, update_body, &u, err);
}

int registry_session_token_minted(struct registry *r, const char *session_id, int64_t now_mono,
                                  struct ocu_error *err)
{
	struct update u = {ST_SESSION_TOKEN, NULL, NULL, session_id, now_mono};

	return registry_write(r, GATE_ORDINARY, update_body, &u, err);
}

int registry_session_touch(struct registry *r, const char *session_id, int64_t now_mono,
                           struct ocu_error *err)
{
	int rc;

	registry_enter(r);
	rc = registry_run(r, registry_bind(r, ST_ACTIVITY_TOUCH, "si", session_id, now_mono), err);
	registry_leave(r);
	return rc;
}

static int flush_body(struct registry *r, void *arg, struct ocu_error *err)
{
	int rc = registry_run(r, registry_bind(r, ST_ACTIVITY_FLUSH, ""), err);

	(void)arg;
	return rc ? rc : registry_run(r, registry_bind(r, ST_ACTIVITY_CLEAR, ""), err);
}

int registry_activity_flush(struct registry *r, struct ocu_error *err)
{
	int any;

	registry_enter(r);
	sqlite3_stmt *st = registry_bind(r, ST_ACTIVITY_ANY, "");
	any = registry_row(r, st, err);
	sqlite3_reset(st);
	registry_leave(r);
	return any == 1 ? registry_write(r, GATE_ORDINARY, flush_body, NULL, err) : any;
}

int registry_session_list(struct registry *r, const struct session_filter *f, struct session **ret, size_t *n,
                          struct ocu_error *err)
{
	struct session *list = NULL;
	size_t count = 0, room = 0;
	int row;

	registry_enter(r);
	sqlite3_stmt *st = registry_bind(r, f->live ? ST_SESSION_LIST_LIVE : ST_SESSION_LIST, "ssis",
	                                 f->after ? f->after : "", f->caller, (int64_t)f->limit, f->node);
	while ((row = registry_row(r, st, err)) == 1) {
		if (count == room) {
			room = room ? room * 2 : 16;
			struct session *more = reallocarray(list, room, sizeof *list);
			if (!more) {
				row = ocu_error_set(err, OCU_E_NOMEM, "session list");
				break;
			}
			list = more;
		}
		session_read(st, &list[count++]);
	}
	sqlite3_reset(st);
	registry_leave(r);
	if (row < 0) {
		free(list);
		return row;
	}
	*ret = list;
	*n = count;
	return 0;
}

/* The number the statement gives. */
static int count(struct registry *r, sqlite3_stmt *st, unsigned *ret, struct ocu_error *err)
{
	int row = registry_row(r, st, err);

	if (row == 1)
		*ret = (unsigned)sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	return row < 0 ? row : 0;
}

int registry_session_count(struct registry *r, unsigned *live, struct ocu_error *err)
{
	int rc;

	registry_enter(r);
	rc = count(r, registry_bind(r, ST_SESSION_COUNT, ""), live, err);
	registry_leave(r);
	return rc;
}

int registry_session_count_node(struct registry *r, const char *node, unsigned *live, struct ocu_error *err)
{
	int rc;

	registry_enter(r);
	rc = count(r, registry_bind(r, ST_SESSION_COUNT_NODE, "s", node), live, err);
	registry_leave(r);
	return rc;
}
