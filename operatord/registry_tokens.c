/* registry_tokens: who was given which caller token; see registry.h. Never the token itself. */
#include <stdlib.h>

#include "libocu/err.h"
#include "operatord/registry_db.h"

static int add_body(struct registry *r, void *arg, struct ocu_error *err)
{
	const struct token_record *t = arg;
	sqlite3_stmt *st = registry_bind(r, ST_TOKEN_COUNT, "");
	int row = registry_row(r, st, err);
	int64_t count = row == 1 ? sqlite3_column_int64(st, 0) : 0;

	sqlite3_reset(st);
	if (row < 0)
		return row;
	if (count >= TOKENS_MAX)
		return ocu_error_set(err, OCU_E_QUOTA, "token records: %d at most", TOKENS_MAX);
	return registry_run(r,
	                    registry_bind(r, ST_TOKEN_ADD, "sssii", t->jti, t->caller, t->label,
	                                  t->created_ms, t->expires_ms),
	                    err);
}

int registry_token_add(struct registry *r, const struct token_record *t, struct ocu_error *err)
{
	return registry_write(r, GATE_ORDINARY, add_body, (void *)t, err);
}

static void token_read(sqlite3_stmt *st, struct token_record *t)
{
	*t = (struct token_record){0};
	registry_column_text(st, 0, t->jti, sizeof t->jti);
	registry_column_text(st, 1, t->caller, sizeof t->caller);
	registry_column_text(st, 2, t->label, sizeof t->label);
	t->created_ms = sqlite3_column_int64(st, 3);
	t->expires_ms = sqlite3_column_int64(st, 4);
	t->revoked = sqlite3_column_int(st, 5) != 0;
}

int registry_token_get(struct registry *r, const char *jti, struct token_record *ret, struct ocu_error *err)
{
	int row;

	registry_enter(r);
	sqlite3_stmt *st = registry_bind(r, ST_TOKEN_GET, "s", jti);
	row = registry_row(r, st, err);
	if (row == 1)
		token_read(st, ret);
	sqlite3_reset(st);
	registry_leave(r);
	if (row == 0)
		return ocu_error_set(err, OCU_E_NOT_FOUND, "no such token");
	return row < 0 ? row : 0;
}

int registry_token_list(struct registry *r, const char *after, size_t limit, struct token_record **ret,
                        size_t *n, struct ocu_error *err)
{
	struct token_record *list = calloc(limit ? limit : 1, sizeof *list);
	size_t count = 0;
	int row = 0;

	if (!list)
		return ocu_error_set(err, OCU_E_NOMEM, "token list");
	registry_enter(r);
	sqlite3_stmt *st = registry_bind(r, ST_TOKEN_LIST, "si", after ? after : "", (int64_t)limit);
	while (count < limit && (row = registry_row(r, st, err)) == 1)
		token_read(st, &list[count++]);
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
