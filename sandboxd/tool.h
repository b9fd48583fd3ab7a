/*
 * tool: one tool call, from its acceptance to its reply. Accepted means: the grant is good and not revoked,
 * the session runs, the parameters are in bounds, and the audit trail can be written. A call then waits for
 * its turn in its session (or goes beside the others, where its kind says so), is done by the guest agent, is
 * written to the trail, and only then answered. Nothing here blocks: steps run on whatever thread has the
 * previous one's result.
 *
 * One record a call, durable before the reply, and no call begins while auditd is not connected. A second
 * record before the run was measured and left out: it waits for another round trip and another fdatasync,
 * which made a Run of `true` 1.6 times and a View more than twice as long on a busy host. What it would add
 * is the call that was under way when this process was killed; such a call was never acknowledged, and the
 * sandbox it ran in is in the trail as swept.
 */
#ifndef OCU_SANDBOXD_TOOL_H
#define OCU_SANDBOXD_TOOL_H

#include <jansson.h>
#include <stdbool.h>

#include "libocu/err.h"
#include "libocu/id.h"
#include "libocu/rpc.h"
#include "proto/agent.pb-c.h"
#include "sandboxd/grant.h"

struct node;
struct session;
struct tool;

#define TOOL_CALL_ID_MAX 64

/* A request of exec.proto as far as every one of them is alike. Members that a kind has not got are NULL. */
struct tool_head {
	const char *grant;
	const char *call_id;
	const char *name;        /* the tool, for the record */
	const char *description; /* the caller's words */
};

struct tool_kind {
	const struct ocu_rpc_method *method;
	const char *name;   /* in records, when the request names no tool */
	const char *action; /* in records; NULL: this kind is not recorded */
	int class_uid, activity_id;
	bool takes_turns; /* waits until the session's earlier calls are done */
	Ocu__Agent__Reply__ResultCase expect;
	struct tool_head (*head)(const ProtobufCMessage *req);
	/* Bounds of the parameters: 0, or OCU_E_PARAMS or OCU_E_TOO_LARGE with a text for the caller. */
	int (*check)(const ProtobufCMessage *req, struct ocu_error *err);
	/* Sends the agent its request with tool_ask(). */
	int (*ask)(struct tool *t, struct ocu_error *err);
	/* Answers the RPC from the agent's reply. */
	void (*answer)(struct tool *t, const Ocu__Agent__Reply *r);
	/* Adds to the record's detail; r is NULL when the call failed. May be NULL. */
	void (*record)(const struct tool *t, const Ocu__Agent__Reply *r, json_t *detail);
	/* Takes back what would go on, when it was done and cannot be recorded. May be NULL. */
	void (*undo)(struct tool *t, const Ocu__Agent__Reply *r);
};

struct tool {
	struct tool *next;
	const struct tool_kind *kind;
	struct ocu_rpc_call *call;
	const ProtobufCMessage *req; /* until the answer */
	struct node *node;
	struct session *s;
	struct grant grant;
	struct tool_head head;
	char trace[OCU_ID_MAX];
	uint64_t accepted_ns, asked_ns;
	uint64_t asked; /* the agent's id of the request, 0: not asked yet */
	bool cancelled;
	Ocu__Agent__Reply *reply;
	struct ocu_error err; /* code 0: reply holds the answer */
};

/* The whole life of a call; always answers it in the end. */
void tool_accept(struct node *n, const struct tool_kind *kind, struct ocu_rpc_call *call,
                 const ProtobufCMessage *req);
/* Grant, denylist and session, as for every exec request: a reference to a running session, or NULL with err
 * set. */
struct session *tool_authorise(struct node *n, const char *token, struct grant *grant, struct ocu_error *err);
/* For kinds: the request goes to the agent; its reply may have reply_max bytes and take deadline_ms. */
int tool_ask(struct tool *t, Ocu__Agent__Request *r, uint32_t reply_max, uint32_t deadline_ms,
             struct ocu_error *err);
/* Ends the call with that id, waiting or running; unknown ids are fine. */
void tool_cancel(struct session *s, const char *call_id);
/* Ends everything waiting and under way, with that code. The session takes no new calls any more. */
void tool_end_all(struct session *s, int code, const char *text);
/* Starts the metrics of all kinds. */
void tool_init(void);

#endif
