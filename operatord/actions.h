/*
 * actions: everything operatord does that changes something, as one versioned list (NFR-SEC-45, NFR-SEC-72).
 * Each row's audit event is durable before the thing is done; when it cannot be written, the thing is not
 * done. A test walks this list. Adding a row raises the minor version, changing or removing one the major.
 *
 * X(symbol, "action", OCSF class, OCSF activity, who, "METHOD", "route")
 * who: OPERATOR asks through the REST API (method and route say where), CALLER through the gateway, SYSTEM is
 * operatord by itself.
 */
#ifndef OPERATORD_ACTIONS_H
#define OPERATORD_ACTIONS_H

#include "libocu/ocsf.h"

#define ACTIONS_VERSION "1.0"

/* clang-format off */
#define ACTION_TABLE(X)                                                                                          \
	X(SESSION_CREATE,    "session.create",     ENTITY_MANAGEMENT, 1, CALLER,   "",       "")                 \
	X(OPERATOR_CREATE,   "session.create",     ENTITY_MANAGEMENT, 1, OPERATOR, "POST",   "/v1/sessions")     \
	X(SESSION_DESTROY,   "session.destroy",    ENTITY_MANAGEMENT, 4, CALLER,   "",       "")                 \
	X(OPERATOR_DESTROY,  "session.destroy",    ENTITY_MANAGEMENT, 4, OPERATOR, "DELETE", "/v1/sessions/{id}") \
	X(SESSION_KILL,      "session.kill",       ENTITY_MANAGEMENT, 4, OPERATOR, "POST",   "/v1/sessions/{id}/kill") \
	X(SESSION_KILL_ALL,  "session.kill_all",   ENTITY_MANAGEMENT, 4, OPERATOR, "POST",   "/v1/kill-all")     \
	X(DENYLIST_ADD,      "denylist.add",       ENTITY_MANAGEMENT, 1, OPERATOR, "POST",   "/v1/denylist")     \
	X(DENYLIST_LIFT,     "denylist.lift",      ENTITY_MANAGEMENT, 4, OPERATOR, "DELETE", "/v1/denylist/{kind}/{value...}") \
	X(TOKEN_MINT,        "token.mint",         ACCOUNT_CHANGE,    1, OPERATOR, "POST",   "/v1/tokens")       \
	X(TOKEN_REVOKE,      "token.revoke",       ACCOUNT_CHANGE,    6, OPERATOR, "DELETE", "/v1/tokens/{jti}") \
	X(SESSION_ROLLBACK,  "session.rollback",   ENTITY_MANAGEMENT, 4, SYSTEM,   "",       "")                 \
	X(SESSION_EXPIRE,    "session.expire",     ENTITY_MANAGEMENT, 4, SYSTEM,   "",       "")                 \
	X(SESSION_LOST,      "session.lost",       ENTITY_MANAGEMENT, 4, SYSTEM,   "",       "")                 \
	X(SESSION_ENDED,     "session.ended",      ENTITY_MANAGEMENT, 4, SYSTEM,   "",       "")                 \
	X(SESSION_TOKEN,     "session.token",      ACCOUNT_CHANGE,    1, SYSTEM,   "",       "")                 \
	X(SANDBOX_ORPHAN,    "sandbox.orphan",     ENTITY_MANAGEMENT, 4, SYSTEM,   "",       "")                 \
	X(MOUNT_ORPHAN,      "mount.orphan",       ENTITY_MANAGEMENT, 4, SYSTEM,   "",       "")                 \
	X(EDGE_ORPHAN,       "edge.orphan",        ENTITY_MANAGEMENT, 4, SYSTEM,   "",       "")                 \
	X(EDGE_REREGISTER,   "edge.reregister",    ENTITY_MANAGEMENT, 3, SYSTEM,   "",       "")                 \
	X(DENYLIST_EXPIRE,   "denylist.expire",    ENTITY_MANAGEMENT, 4, SYSTEM,   "",       "")                 \
	X(TOKEN_IMPORT,      "token.import",       ACCOUNT_CHANGE,    1, SYSTEM,   "",       "")                 \
	X(PROFILE_CHANGE,    "profile.change",     ENTITY_MANAGEMENT, 3, SYSTEM,   "",       "")                 \
	X(TIER_CHANGE,       "tier.change",        ENTITY_MANAGEMENT, 3, SYSTEM,   "",       "")                 \
	X(REGISTRY_PRUNE,    "registry.prune",     ENTITY_MANAGEMENT, 4, SYSTEM,   "",       "")
/* clang-format on */

enum actor_kind { ACTOR_CALLER, ACTOR_OPERATOR, ACTOR_SYSTEM };

enum action_id {
#define X(symbol, name, class, activity, who, method, route) ACTION_##symbol,
	ACTION_TABLE(X)
#undef X
	    ACTION_COUNT
};

struct action {
	const char *name;
	enum ocu_ocsf_class class_uid;
	int activity_id;
	enum actor_kind who;
	const char *method, *route;
};

extern const struct action actions[ACTION_COUNT];

#endif
