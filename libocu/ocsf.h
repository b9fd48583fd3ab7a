/*
 * ocsf: the audit event, as OCSF v1.x JSON with the mandatory envelope (NFR-MAINT-AUDIT-SCHEMA): trace_id,
 * session_id, actor_id, resource, action, outcome. This is the Published Language between execution and
 * evidence; the two share nothing else.
 */
#ifndef OCU_OCSF_H
#define OCU_OCSF_H

#include <jansson.h>
#include <stdint.h>

struct ocu_buf;
struct ocu_error;

enum ocu_ocsf_class {
	OCU_OCSF_FILE_ACTIVITY = 1001,
	OCU_OCSF_PROCESS_ACTIVITY = 1007,
	OCU_OCSF_ACCOUNT_CHANGE = 3001,
	OCU_OCSF_AUTHENTICATION = 3002,
	OCU_OCSF_ENTITY_MANAGEMENT = 3004,
	OCU_OCSF_NETWORK_ACTIVITY = 4001,
	OCU_OCSF_DNS_ACTIVITY = 4003,
	OCU_OCSF_APP_LIFECYCLE = 6002,
	OCU_OCSF_API_ACTIVITY = 6003,
};

enum ocu_outcome { OCU_OUTCOME_SUCCESS, OCU_OUTCOME_FAILURE, OCU_OUTCOME_DENIED };

struct ocu_event {
	enum ocu_ocsf_class class_uid;
	int activity_id;        /* of the class; 99 Other, 0 Unknown */
	const char *action;     /* dotted, closed per daemon: "tool.call", "session.create", "file.open" */
	const char *resource;   /* what it was done to */
	const char *actor_id;   /* the principal: caller sub, "operator:<sub>", "system:<daemon>" */
	const char *session_id; /* "" when none */
	const char *trace_id;   /* "" : one is made */
	enum ocu_outcome outcome;
	int reason;           /* OCU_E code for failure and denied, else 0 */
	const json_t *detail; /* object, borrowed; goes to "unmapped"; at most 16 KiB dumped */
};

#define OCU_EVENT_MAX 32768 /* bytes of one event's JSON */

/* Appends the event; never fails on content (strings are cut to 1 KiB each and made valid UTF-8), only on the
 * size or depth of detail or a full buffer; what it appended is then to be thrown away. Strings may be NULL:
 * an actor or action that is empty reads "unknown". */
int ocu_event_render(const struct ocu_event *ev, struct ocu_buf *out, struct ocu_error *err);
/* Checks what auditd insists on before it accepts an event: object, class_uid, metadata.version, time, the
 * six mandatory members with the right types. */
int ocu_event_check(const json_t *event, struct ocu_error *err);

#endif
