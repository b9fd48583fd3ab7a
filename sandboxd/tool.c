/* tool: the steps of a call; see tool.h. The queue is in tool_queue.c. */
#include "sandboxd/tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/audit.h"
#include "libocu/clock.h"
#include "libocu/denylist.h"
#include "libocu/log.h"
#include "libocu/metrics.h"
#include "sandboxd/agent.h"
#include "sandboxd/evidence.h"
#include "sandboxd/node.h"
#include "sandboxd/session.h"
#include "sandboxd/tool_queue.h"

#define TOOL_NAME_MAX   64
#define DESCRIPTION_MAX 1024

static struct ocu_histogram *duration;
static struct ocu_counter *done_ok, *done_failed, *refused;

void tool_init(void)
{
	duration = ocu_histogram("ocu_sandboxd_call_seconds", NULL, "Tool calls from acceptance to reply");
	done_ok = ocu_counter("ocu_sandboxd_calls_total", "outcome=\"ok\"", "Tool calls by outcome");
	done_failed = ocu_counter("ocu_sandboxd_calls_total", "outcome=\"failed\"", "Tool calls by outcome");
	refused = ocu_counter("ocu_sandboxd_calls_total", "outcome=\"refused\"", "Tool calls by outcome");
}

static void tool_free(struct tool *t)
{
	if (t->reply)
		protobuf_c_message_free_unpacked(&t->reply->base, NULL);
	session_unref(t->s);
	free(t);
}

/* --- the last step: the reply --- */

static void reply(struct tool *t)
{
	ocu_histogram_us(duration, (ocu_mono_ns() - t->accepted_ns) / 1000);
	ocu_counter_add(t->err.code ? done_failed : done_ok, 1);
	if (t->err.code)
		ocu_rpc_fail(t->call, &t->err);
	else
		t->kind->answer(t, t->reply);
	tool_free(t);
}

/* --- the record --- */

static enum ocu_outcome outcome_of(int code)
{
	switch (code) {
	case 0:
		return OCU_OUTCOME_SUCCESS;
	case OCU_E_SESSION_DENIED:
	case OCU_E_CALLER_DENIED:
	case OCU_E_TOKEN_REVOKED:
	case OCU_E_STALE_DENYLIST:
		return OCU_OUTCOME_DENIED;
	default:
		return OCU_OUTCOME_FAILURE;
	}
}

static const char *name_of(const struct tool *t)
{
	return t->head.name && t->head.name[0] ? t->head.name : t->kind->name;
}

static json_t *text_of(const char *s, size_t max)
{
	return evidence_text(s, strnlen(s, 4 * max), max, NULL);
}

static json_t *record_detail(const struct tool *t)
{
	json_t *d = json_object();

	json_object_set_new(d, "tool", text_of(name_of(t), TOOL_NAME_MAX));
	if (t->head.description && t->head.description[0])
		json_object_set_new(d, "description", text_of(t->head.description, DESCRIPTION_MAX));
	if (t->head.call_id)
		json_object_set_new(d, "call_id", json_string(t->head.call_id));
	if (t->asked_ns) {
		json_object_set_new(d, "queued_us",
		                    json_integer((json_int_t)((t->asked_ns - t->accepted_ns) / 1000)));
		json_object_set_new(d, "duration_us",
		                    json_integer((json_int_t)((ocu_mono_ns() - t->asked_ns) / 1000)));
	} else {
		json_object_set_new(d, "ran", json_false());
	}
	if (t->kind->record)
		t->kind->record(t, t->err.code ? NULL : t->reply, d);
	return d;
}

/* What is not in the trail is not acknowledged, whatever the guest did, and does not go on. */
static void unrecorded(struct tool *t, const struct ocu_error *err)
{
	if (!t->err.code && t->kind->undo)
		t->kind->undo(t, t->reply);
	t->err = *err;
}

static void recorded(void *arg, const struct ocu_error *err)
{
	struct tool *t = arg;

	if (err)
		unrecorded(t, err);
	reply(t);
}

static void record(struct tool *t)
{
	json_t *detail;
	struct ocu_event ev;
	struct ocu_error err = {0};

	if (!t->kind->action) {
		reply(t);
		return;
	}
	detail = record_detail(t);
	ev = (struct ocu_event){.class_uid = (enum ocu_ocsf_class)t->kind->class_uid,
	                        .activity_id = t->kind->activity_id,
	                        .action = t->kind->action,
	                        .resource = name_of(t),
	                        .actor_id = t->grant.caller,
	                        .session_id = t->grant.session,
	                        .trace_id = t->trace,
	                        .outcome = outcome_of(t->err.code),
	                        .reason = t->err.code,
	                        .detail = detail};
	if (ocu_audit_commit_async(t->node->audit, &ev, recorded, t, &err))
		recorded(t, &err);
	json_decref(detail);
}

/* --- the guest's part --- */

void tool_finish(struct tool *t)
{
	tool_leave(t);
	record(t);
}

static void answered(void *arg, Ocu__Agent__Reply **r, const struct ocu_error *err)
{
	struct tool *t = arg;

	if (err) {
		t->err = *err;
	} else {
		t->reply = *r;
		*r = NULL;
	}
	if (t->cancelled && (err || t->reply->code))
		ocu_error_set(&t->err, OCU_E_CANCELLED, "%s", ocu_err_text(OCU_E_CANCELLED));
	tool_finish(t);
}

int tool_ask(struct tool *t, Ocu__Agent__Request *r, uint32_t reply_max, uint32_t deadline_ms,
             struct ocu_error *err)
{
	const struct agent_call c = {.request = r,
	                             .expect = t->kind->expect,
	                             .reply_max = reply_max,
	                             .deadline_ms = deadline_ms,
	                             .done = answered,
	                             .arg = t};

	if (!t->s->agent)
		return ocu_error_set(err, OCU_E_SESSION_GONE, "%s", ocu_err_text(OCU_E_SESSION_GONE));
	return agent_call(t->s->agent, &c, &t->asked, err);
}

/* --- acceptance --- */

static int not_denied(struct node *n, const struct grant *g, struct ocu_error *err)
{
	int rc;

	if ((rc = ocu_denylist_check(n->denylist, OCU_DENY_SESSION, g->session, err)) ||
	    (rc = ocu_denylist_check(n->denylist, OCU_DENY_CALLER, g->caller, err)))
		return rc;
	return ocu_denylist_check(n->denylist, OCU_DENY_TOKEN, g->id, err);
}

int tool_still_allowed(struct tool *t, struct ocu_error *err)
{
	return not_denied(t->node, &t->grant, err);
}

struct session *tool_authorise(struct node *n, const char *token, struct grant *grant, struct ocu_error *err)
{
	struct session *s;

	if (grants_check(n->grants, token, grant, err) || not_denied(n, grant, err))
		return NULL;
	s = session_find(n->sessions, grant->session);
	if (s && session_state(s) == SESSION_RUNNING)
		return s;
	session_unref(s);
	ocu_error_set(err, OCU_E_SESSION_GONE, "%s", ocu_err_text(OCU_E_SESSION_GONE));
	return NULL;
}

static bool call_id_ok(const char *id)
{
	size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:");

	return n > 0 && n < TOOL_CALL_ID_MAX && id[n] == 0;
}

static int admit(struct tool *t, struct ocu_error *err)
{
	int rc;

	t->s = tool_authorise(t->node, t->head.grant, &t->grant, err);
	if (!t->s)
		return err->code;
	if (t->head.call_id && !call_id_ok(t->head.call_id))
		return ocu_error_set(err, OCU_E_PARAMS, "bad call_id");
	if ((rc = t->kind->check(t->req, err)))
		return rc;
	if (!ocu_audit_healthy(t->node->audit))
		return ocu_error_set(err, OCU_E_AUDIT, "%s", ocu_err_text(OCU_E_AUDIT));
	return 0;
}

/* A call that never began: reported, so that attempts show, and answered at once. */
static void refuse(struct tool *t, const struct ocu_error *why)
{
	json_t *detail = json_pack("{s:o}", "tool", text_of(name_of(t), TOOL_NAME_MAX));
	struct ocu_event ev = {.class_uid = OCU_OCSF_API_ACTIVITY,
	                       .activity_id = 99,
	                       .action = t->kind->action ? t->kind->action : "tool.steer",
	                       .resource = name_of(t),
	                       .actor_id = t->grant.caller[0] ? t->grant.caller : "unknown",
	                       .session_id = t->grant.session,
	                       .trace_id = t->trace,
	                       .outcome = OCU_OUTCOME_DENIED,
	                       .reason = why->code,
	                       .detail = detail};

	ocu_audit_refused(t->node->audit, &ev);
	json_decref(detail);
	ocu_counter_add(refused, 1);
	ocu_rpc_fail(t->call, why);
	tool_free(t);
}

void tool_accept(struct node *n, const struct tool_kind *kind, struct ocu_rpc_call *call,
                 const ProtobufCMessage *req)
{
	struct tool *t = calloc(1, sizeof *t);
	struct ocu_error err = {0};

	if (!t) {
		ocu_error_set(&err, OCU_E_NOMEM, "tool call");
		ocu_rpc_fail(call, &err);
		return;
	}
	t->node = n;
	t->kind = kind;
	t->call = call;
	t->req = req;
	t->head = kind->head(req);
	t->accepted_ns = ocu_mono_ns();
	snprintf(t->trace, sizeof t->trace, "%s", ocu_rpc_call_trace(call));
	if (admit(t, &err) || tool_enter(t, &err))
		refuse(t, &err);
}
