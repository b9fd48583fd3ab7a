/*
 * registry: operatord's durable state in one SQLite database: sessions, denylist with its epoch, token
 * records. It trusts nobody's strings beyond their bounds and holds no payload of any tool call. What always
 * holds: a function that returned 0 has made its change durable (WAL, synchronous=FULL); a failed one changed
 * nothing; one process owns the file (exclusive lock) and one transaction runs at a time; epochs only go up.
 *
 * Times named _ms are wall clock, for records. Times named _mono are ocu_mono_ms(), for decisions; the
 * kernel's boot id is stored with them, and after a reboot they are rebased so that no limit is extended
 * (NFR-SEC-48).
 */
#ifndef OPERATORD_REGISTRY_H
#define OPERATORD_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libocu/denylist.h"
#include "libocu/id.h"

#define CALLER_MAX 256
#define TEXT_MAX   128 /* hint, label, reason, token id */
#define NODE_MAX   32

struct ocu_error;
struct registry;

enum session_state { SESSION_STARTING = 1, SESSION_ACTIVE, SESSION_ENDING, SESSION_ENDED };

struct session {
	char session_id[OCU_ID_MAX];
	char container_name[OCU_ID_MAX];
	char filesystem_id[OCU_ID_MAX];
	char caller[CALLER_MAX + 1];
	char token_id[TEXT_MAX + 1];
	char hint[TEXT_MAX + 1];
	char label[TEXT_MAX + 1];
	char reason[TEXT_MAX + 1]; /* why it ended; "" while it lives */
	char runtime[17];
	char tier[17];
	char node[NODE_MAX + 1]; /* where it runs; "" in a deployment of one node */
	enum session_state state;
	int64_t created_ms, ended_ms;
	int64_t created_mono, active_mono;
	int64_t token_mono; /* when the session JWT was minted last */
};

const char *session_state_name(enum session_state s);

/* dir exists and is ours. A schema of an earlier version is brought up to date, in one transaction.
 * OCU_E_STATE when another process holds the database or its schema is newer than this program;
 * OCU_E_NO_SPACE; OCU_E_IO. */
int registry_open(struct registry **ret, const char *dir, struct ocu_error *err);
void registry_close(struct registry *r);
const char *registry_history(const struct registry *r); /* id of this database, made at its first start */

/* Small facts kept across restarts, e.g. the profile of the last start. "" when never set. */
int registry_fact_get(struct registry *r, const char *key, char *value, size_t size, struct ocu_error *err);
int registry_fact_set(struct registry *r, const char *key, const char *value, struct ocu_error *err);

/* Sessions ------------------------------------------------------------------------------------------------
 */

struct registry_limits {
	unsigned per_caller;
	unsigned total;
};

/* The pair's session that is starting or active. OCU_E_NOT_FOUND; OCU_E_SESSION_DENIED when the pair's last
 * session was stopped by an operator and is still on the denylist. */
int registry_session_find(struct registry *r, const char *caller, const char *hint, struct session *ret,
                          struct ocu_error *err);
/* Only the checks of registry_session_add(). */
int registry_session_admit(struct registry *r, const struct session *s, const struct registry_limits *limits,
                           struct ocu_error *err);
/* Adds s in state STARTING, in one transaction with its checks: caller and token not denied, the pair free,
 * limits kept. OCU_E_CALLER_DENIED, _TOKEN_REVOKED, _SESSION_DENIED, _EXISTS, _QUOTA, _NO_SPACE. */
int registry_session_add(struct registry *r, const struct session *s, const struct registry_limits *limits,
                         struct ocu_error *err);
int registry_session_get(struct registry *r, const char *session_id, struct session *ret,
                         struct ocu_error *err);
/* STARTING to ACTIVE; OCU_E_STATE when it is no longer STARTING (killed meanwhile). */
int registry_session_activate(struct registry *r, const char *session_id, const char *runtime,
                              const char *tier, int64_t now_mono, struct ocu_error *err);
/* STARTING or ACTIVE to ENDING; OCU_E_STATE when it is ending or ended already. */
int registry_session_ending(struct registry *r, const char *session_id, const char *reason,
                            struct ocu_error *err);
/* ENDING to ENDED; OCU_E_STATE when it was not ENDING. */
int registry_session_ended(struct registry *r, const char *session_id, struct ocu_error *err);
/* Remembers activity in memory; written with the next registry_activity_flush(). */
int registry_session_touch(struct registry *r, const char *session_id, int64_t now_mono,
                           struct ocu_error *err);
int registry_activity_flush(struct registry *r, struct ocu_error *err);
int registry_session_token_minted(struct registry *r, const char *session_id, int64_t now_mono,
                                  struct ocu_error *err);

struct session_filter {
	bool live;          /* only STARTING, ACTIVE and ENDING */
	const char *caller; /* NULL: any */
	const char *node;   /* NULL: any */
	const char *after;  /* session ids above this one; NULL: from the first */
	size_t limit;       /* at most this many */
};
/* *ret is freed by the caller; ordered by session id, which is by age. */
int registry_session_list(struct registry *r, const struct session_filter *f, struct session **ret, size_t *n,
                          struct ocu_error *err);
int registry_session_count(struct registry *r, unsigned *live, struct ocu_error *err);
int registry_session_count_node(struct registry *r, const char *node, unsigned *live, struct ocu_error *err);

/* Denylist ------------------------------------------------------------------------------------------------
 */

struct deny_entry {
	enum ocu_deny_kind kind;
	char value[CALLER_MAX + 1];
	char reason[TEXT_MAX + 1];
	char added_by[TEXT_MAX + 1];
	uint64_t epoch;
	int64_t added_ms;
};

/* Adds n entries and moves the sessions among them to ENDING, in one urgent transaction with one new epoch.
 * When all are there already nothing changes and *epoch is the current one; *changed says which. Uses the
 * reserved disk space when the disk is full. OCU_E_QUOTA when the list is full, OCU_E_NO_SPACE. */
int registry_deny_add(struct registry *r, const struct deny_entry *entries, size_t n, uint64_t *epoch,
                      bool *changed, struct ocu_error *err);
/* Removes one; OCU_E_NOT_FOUND. */
int registry_deny_lift(struct registry *r, enum ocu_deny_kind kind, const char *value, uint64_t *epoch,
                       struct ocu_error *err);
/* 0, or OCU_E_SESSION_DENIED, OCU_E_CALLER_DENIED, OCU_E_TOKEN_REVOKED. */
int registry_deny_check(struct registry *r, enum ocu_deny_kind kind, const char *value,
                        struct ocu_error *err);
/* *ret is freed by the caller; epoch is the list's. */
int registry_deny_list(struct registry *r, struct deny_entry **ret, size_t *n, uint64_t *epoch,
                       struct ocu_error *err);
uint64_t registry_epoch(struct registry *r);
/* Entries that no longer deny anything: of sessions that ended before ended_before_ms, and of tokens known to
 * have expired. *ret is freed by the caller. */
int registry_deny_spent(struct registry *r, int64_t ended_before_ms, int64_t now_ms, struct deny_entry **ret,
                        size_t *n, struct ocu_error *err);

/* Token records -------------------------------------------------------------------------------------------
 */

struct token_record {
	char jti[TEXT_MAX + 1];
	char caller[CALLER_MAX + 1];
	char label[TEXT_MAX + 1];
	int64_t created_ms, expires_ms;
	bool revoked; /* on the denylist */
};

#define TOKENS_MAX 20000

int registry_token_add(struct registry *r, const struct token_record *t,
                       struct ocu_error *err); /* OCU_E_EXISTS */
int registry_token_get(struct registry *r, const char *jti, struct token_record *ret, struct ocu_error *err);
int registry_token_list(struct registry *r, const char *after, size_t limit, struct token_record **ret,
                        size_t *n, struct ocu_error *err);

/* 1 when registry_prune() would drop something. */
int registry_prunable(struct registry *r, int64_t ended_before_ms, int64_t expired_before_ms,
                      struct ocu_error *err);
/* Housekeeping: drops ended sessions and expired token records older than these wall times, and makes the
 * reserved disk space again when it was used. */
int registry_prune(struct registry *r, int64_t ended_before_ms, int64_t expired_before_ms,
                   struct ocu_error *err);

#endif
