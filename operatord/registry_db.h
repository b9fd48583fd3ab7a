/*
 * registry_db: what the registry's own files share: the connection, the statements prepared once,
 * transactions, and the mapping of SQLite's results to ours. Nothing outside registry*.c includes this.
 */
#ifndef OPERATORD_REGISTRY_DB_H
#define OPERATORD_REGISTRY_DB_H

#include <sqlite3.h>

#include "operatord/gate.h"
#include "operatord/registry.h"

#define SESSION_COLUMNS                                                                                      \
	"s.session_id, s.container_name, s.filesystem_id, s.caller, s.token_id, s.hint, s.label, s.reason, " \
	"s.runtime, s.tier, s.state, s.created_ms, s.ended_ms, s.created_mono, "                             \
	"max(s.active_mono, coalesce((SELECT a.mono FROM temp.activity a WHERE a.session_id = "              \
	"s.session_id), 0)), "                                                                               \
	"s.token_mono, s.node"

/* Every statement of the program. LIVE states are 1 starting, 2 active, 3 ending; 4 is ended. */
#define REGISTRY_STATEMENTS(X)                                                                               \
	X(FACT_GET, "SELECT value FROM fact WHERE key = ?")                                                  \
	X(FACT_SET,                                                                                          \
	  "INSERT INTO fact(key, value) VALUES(?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value") \
	X(SESSION_FIND,                                                                                      \
	  "SELECT " SESSION_COLUMNS " FROM sessions s WHERE caller = ? AND hint = ? AND state < 3")          \
	X(SESSION_PAIR_DENIED,                                                                               \
	  "SELECT 1 FROM sessions s JOIN denylist d ON d.kind = 1 AND d.value = s.session_id "               \
	  "WHERE s.caller = ? AND s.hint = ? LIMIT 1")                                                       \
	X(SESSION_COUNT_CALLER, "SELECT count(*) FROM sessions WHERE caller = ? AND state < 4")              \
	X(SESSION_COUNT, "SELECT count(*) FROM sessions WHERE state < 4")                                    \
	X(SESSION_COUNT_NODE, "SELECT count(*) FROM sessions WHERE state < 4 AND node = ?")                  \
	X(SESSION_ADD,                                                                                       \
	  "INSERT INTO sessions(session_id, container_name, filesystem_id, caller, token_id, hint, label, "  \
	  "state, "                                                                                          \
	  "created_ms, created_mono, active_mono, token_mono, node) VALUES(?, ?, ?, ?, ?, ?, ?, 1, ?, ?, "   \
	  "?, ?, ?)")                                                                                        \
	X(SESSION_GET, "SELECT " SESSION_COLUMNS " FROM sessions s WHERE session_id = ?")                    \
	X(SESSION_ACTIVATE, "UPDATE sessions SET state = 2, runtime = ?, tier = ?, active_mono = ? WHERE "   \
	                    "session_id = ? AND state = 1")                                                  \
	X(SESSION_ENDING, "UPDATE sessions SET state = 3, reason = ? WHERE session_id = ? AND state < 3")    \
	X(SESSION_ENDED, "UPDATE sessions SET state = 4, ended_ms = ? WHERE session_id = ? AND state = 3")   \
	X(SESSION_TOKEN, "UPDATE sessions SET token_mono = ? WHERE session_id = ?")                          \
	X(SESSION_LIST,                                                                                      \
	  "SELECT " SESSION_COLUMNS " FROM sessions s WHERE session_id > ?1 "                                \
	  "AND (?2 IS NULL OR caller = ?2) AND (?4 IS NULL OR node = ?4) ORDER BY session_id LIMIT ?3")      \
	/* Asked every second, and what has ended is kept for a day: by the index of what has not. */        \
	X(SESSION_LIST_LIVE,                                                                                 \
	  "SELECT " SESSION_COLUMNS " FROM sessions s INDEXED BY sessions_state WHERE state < 4 "            \
	  "AND session_id > ?1 AND (?2 IS NULL OR caller = ?2) AND (?4 IS NULL OR node = ?4) ORDER BY "      \
	  "session_id LIMIT ?3")                                                                             \
	X(SESSION_PRUNE, "DELETE FROM sessions WHERE state = 4 AND ended_ms < ? AND NOT EXISTS "             \
	                 "(SELECT 1 FROM denylist d WHERE d.kind = 1 AND d.value = session_id)")             \
	X(PRUNABLE,                                                                                          \
	  "SELECT EXISTS(SELECT 1 FROM sessions s WHERE s.state = 4 AND s.ended_ms < ? AND NOT EXISTS "      \
	  "(SELECT 1 FROM denylist d WHERE d.kind = 1 AND d.value = s.session_id)) "                         \
	  "OR EXISTS(SELECT 1 FROM tokens WHERE expires_ms < ?)")                                            \
	X(ACTIVITY_TOUCH, "INSERT INTO temp.activity(session_id, mono) VALUES(?, ?) "                        \
	                  "ON CONFLICT(session_id) DO UPDATE SET mono = max(mono, excluded.mono)")           \
	X(ACTIVITY_ANY, "SELECT 1 FROM temp.activity LIMIT 1")                                               \
	X(ACTIVITY_FLUSH, "UPDATE sessions SET active_mono = max(active_mono, a.mono) FROM temp.activity a " \
	                  "WHERE a.session_id = sessions.session_id")                                        \
	X(ACTIVITY_CLEAR, "DELETE FROM temp.activity")                                                       \
	X(DENY_GET, "SELECT 1 FROM denylist WHERE kind = ? AND value = ?")                                   \
	X(DENY_COUNT, "SELECT count(*) FROM denylist")                                                       \
	X(DENY_ADD,                                                                                          \
	  "INSERT INTO denylist(kind, value, epoch, reason, added_by, added_ms) VALUES(?, ?, ?, ?, ?, ?) "   \
	  "ON CONFLICT(kind, value) DO NOTHING")                                                             \
	X(DENY_LIFT, "DELETE FROM denylist WHERE kind = ? AND value = ?")                                    \
	X(DENY_LIST,                                                                                         \
	  "SELECT kind, value, epoch, reason, added_by, added_ms FROM denylist ORDER BY epoch, kind, value") \
	X(DENY_SPENT, "SELECT d.kind, d.value, d.epoch, d.reason, d.added_by, d.added_ms FROM denylist d "   \
	              "LEFT JOIN sessions s ON d.kind = 1 AND s.session_id = d.value "                       \
	              "LEFT JOIN tokens t ON d.kind = 3 AND t.jti = d.value "                                \
	              "WHERE (d.kind = 1 AND d.added_ms < ?1 AND (s.session_id IS NULL OR (s.state = 4 AND " \
	              "s.ended_ms < ?1))) "                                                                  \
	              "OR (d.kind = 3 AND t.expires_ms < ?2) LIMIT 1000")                                    \
	X(TOKEN_COUNT, "SELECT count(*) FROM tokens")                                                        \
	X(TOKEN_ADD, "INSERT INTO tokens(jti, caller, label, created_ms, expires_ms) VALUES(?, ?, ?, ?, ?)") \
	X(TOKEN_GET, "SELECT jti, caller, label, created_ms, expires_ms, EXISTS(SELECT 1 FROM denylist d "   \
	             "WHERE d.kind = 3 AND d.value = jti) FROM tokens WHERE jti = ?")                        \
	X(TOKEN_LIST, "SELECT jti, caller, label, created_ms, expires_ms, EXISTS(SELECT 1 FROM denylist d "  \
	              "WHERE d.kind = 3 AND d.value = jti) FROM tokens WHERE jti > ? ORDER BY jti LIMIT ?")  \
	X(TOKEN_PRUNE, "DELETE FROM tokens WHERE expires_ms < ?")

enum registry_statement {
#define X(id, sql) ST_##id,
	REGISTRY_STATEMENTS(X)
#undef X
	    ST_COUNT
};

struct registry {
	sqlite3 *db;
	sqlite3_stmt *st[ST_COUNT];
	struct gate gate;
	uint64_t epoch; /* guarded by gate */
	char history[OCU_ID_MAX];
	char *reserve_path;
};

/* Readers hold the gate only; writers also have a transaction. */
void registry_enter(struct registry *r);
void registry_leave(struct registry *r);
/* Runs body in a transaction: commits when it returns 0, else rolls back and returns its result. An urgent
 * one goes first and may use the reserved disk space. */
typedef int registry_body(struct registry *r, void *arg, struct ocu_error *err);
int registry_write(struct registry *r, enum gate_class class, registry_body *body, void *arg,
                   struct ocu_error *err);

/* The statement, reset and with its parameters bound: one letter each, 's' const char * (NULL binds NULL),
 * 'i' int64_t. Strings are borrowed until the next use of the statement. */
sqlite3_stmt *registry_bind(struct registry *r, enum registry_statement which, const char *kinds, ...);
/* Steps a statement that gives no rows. */
int registry_run(struct registry *r, sqlite3_stmt *st, struct ocu_error *err);
/* Steps for a row: 1 a row, 0 no (more) row, negative an error. */
int registry_row(struct registry *r, sqlite3_stmt *st, struct ocu_error *err);
int registry_fail(struct registry *r, struct ocu_error *err); /* of the last SQLite call */
void registry_column_text(sqlite3_stmt *st, int column, char *out, size_t size);

/* Inside a transaction or with the gate held. */
int registry_deny_check_held(struct registry *r, enum ocu_deny_kind kind, const char *value,
                             struct ocu_error *err);
int registry_fact_set_held(struct registry *r, const char *key, const char *value, struct ocu_error *err);

#endif
