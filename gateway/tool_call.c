/*
 * tool_call: the way of one tool call: schema, policy, route, RPC, rendering. What the model can mend (bad
 * arguments, a file that is not there) becomes a tool result with isError; what it cannot (no session, no
 * audit, stopped by an operator) becomes a JSON-RPC error.
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/inflight.h"
#include "gateway/policy.h"
#include "gateway/routes.h"
#include "gateway/sandboxes.h"
#include "gateway/tool.h"
#include "libocu/clock.h"
#include "libocu/json.h"
#include "libocu/log.h"
#include "libocu/metrics.h"
#include "proto/exec.pb-c.h"
#include "proto/methods.h"

#define DEADLINE_MS 30000
#define TEXT_MAX    (256u << 10)

/* Errors whose text describes the guest's own files and helps the model; every other text stays inside. */
static bool is_tool_error(int code)
{
	switch (code) {
	case OCU_E_NOT_FOUND:
	case OCU_E_INVALID:
	case OCU_E_PARAMS:
	case OCU_E_TOO_LARGE:
	case OCU_E_EXISTS:
	case OCU_E_STATE:
	case OCU_E_NO_SPACE:
	case OCU_E_UNKNOWN_FIELD:
		return true;
	default:
		return false;
	}
}

static void count(const struct call *c, const char *outcome)
{
	char labels[128];
	snprintf(labels, sizeof labels, "tool=\"%s\",outcome=\"%s\"", c->tool->name, outcome);
	ocu_counter_add(ocu_counter("ocu_gateway_tool_calls_total", labels, "Tool calls by outcome"), 1);
	ocu_histogram_us(ocu_histogram("ocu_gateway_tool_call_seconds", NULL, "Tool call duration"),
	                 (ocu_mono_ms() - c->started_ms) * 1000);
}

static void answer_tool_error(struct call *c, int code, const char *text)
{
	OCU_BUF struct ocu_buf b = OCU_BUF_INIT(16384);
	count(c, "tool_error");
	ocu_buf_puts(&b, "{\"content\":[{\"type\":\"text\",\"text\":");
	ocu_buf_json_string(&b, text, strnlen(text, 1024));
	ocu_buf_printf(&b,
	               "}],\"isError\":true,\"_meta\":{\"ocu/reason\":\"%s\",\"ocu/correlation_id\":\"%s\"}}",
	               ocu_err_reason(code), c->trace);
	call_result(c, &b);
}

static void answer_failure(struct call *c, const struct ocu_error *err)
{
	if (err->code == OCU_E_SESSION_GONE || err->code == OCU_E_SESSION_DENIED ||
	    err->code == OCU_E_TOKEN_EXPIRED || err->code == OCU_E_UNAVAILABLE)
		routes_forget(c->ex->g->routes, c->session);
	if (is_tool_error(err->code)) {
		answer_tool_error(c, err->code, err->text);
		return;
	}
	ocu_log_error(OCU_LOG_WARN, "tool.failed", c->trace, err);
	count(c, "failed");
	/* The grant is ours: the client's token has not expired. */
	call_error(c, err->code == OCU_E_TOKEN_EXPIRED ? OCU_E_UNAVAILABLE : err->code, NULL);
}

/* What a client needs to find the session's files and the trail of this call. */
static void render_meta(struct ocu_buf *b, const struct call *c)
{
	ocu_buf_puts(b, ",\"_meta\":{\"ocu/filesystem_id\":");
	ocu_buf_json_string(b, c->filesystem_id, strlen(c->filesystem_id));
	ocu_buf_printf(b, ",\"ocu/correlation_id\":\"%s\"", c->trace);
	if (c->files_url[0]) {
		ocu_buf_printf(b, ",\"ocu/files_url\":");
		ocu_buf_json_string(b, c->files_url, strlen(c->files_url));
	}
	ocu_buf_printf(b, "}}");
}

/* Escaping can make the text several times longer: halve the bound until the whole fits. */
static void answer_reply(struct call *c, const ProtobufCMessage *reply)
{
	OCU_BUF struct ocu_buf b = OCU_BUF_INIT(MCP_RESULT_MAX);
	for (size_t limit = TEXT_MAX; limit >= 1024; limit /= 2) {
		ocu_buf_reset(&b);
		ocu_buf_putc(&b, '{');
		c->tool->render(&b, reply, limit);
		render_meta(&b, c);
		if (!b.failed)
			break;
	}
	count(c, "ok");
	call_result(c, &b);
}

static void routed(void *arg, const struct route *route, const struct ocu_error *err);

/* A grant that ended on the way was refused before anything was done: a new one, and again. */
static void regrant(struct call *c)
{
	c->regranted = true;
	routes_forget(c->ex->g->routes, c->session);
	routes_get(c->ex->g->routes, &c->ex->caller, c->ex->hint, c->trace, routed, c);
}

static void replied(void *arg, const ProtobufCMessage *reply, const struct ocu_error *err)
{
	struct call *c = arg;
	if (!err)
		answer_reply(c, reply);
	else if (err->code == OCU_E_TOKEN_EXPIRED && !c->regranted)
		regrant(c);
	else
		answer_failure(c, err);
}

void tool_send(struct call *c, const ProtobufCMessage *request, uint32_t extra_ms)
{
	struct ocu_error err = {0};
	struct ocu_rpc_client *client = sandboxes_get(c->ex->g->sandboxes, c->url, &err);
	if (!client || ocu_rpc_call_async(client, c->tool->method, request, DEADLINE_MS + extra_ms, c->trace,
	                                  replied, c, &err))
		answer_failure(c, &err);
}

static void routed(void *arg, const struct route *route, const struct ocu_error *err)
{
	struct call *c = arg;
	if (err) {
		/* operatord's words about quota and admission are about our own state, not the guest's. */
		ocu_log_error(OCU_LOG_WARN, "tool.not_routed", c->trace, err);
		count(c, "failed");
		call_error(c, err->code == OCU_E_NOT_FOUND ? OCU_E_SESSION_GONE : err->code, NULL);
		return;
	}
	snprintf(c->filesystem_id, sizeof c->filesystem_id, "%s", route->filesystem_id);
	snprintf(c->files_url, sizeof c->files_url, "%s", route->files_url);
	snprintf(c->grant, sizeof c->grant, "%s", route->grant);
	if (inflight_routed(c->ex->g->inflight, c, route)) {
		c->tool->request(c, c->arguments);
	} else {
		count(c, "cancelled");
		call_error(c, OCU_E_CANCELLED, NULL);
	}
}

static void report_denied(struct call *c, const char *tool, const struct ocu_error *err)
{
	ocu_audit_refused(c->ex->g->audit, &(struct ocu_event){
	                                       .class_uid = OCU_OCSF_API_ACTIVITY,
	                                       .activity_id = 99,
	                                       .action = "tool.call",
	                                       .resource = tool,
	                                       .actor_id = c->ex->caller.sub,
	                                       .session_id = "",
	                                       .trace_id = c->trace,
	                                       .outcome = OCU_OUTCOME_DENIED,
	                                       .reason = err->code,
	                                   });
}

static int admit(struct call *c, const struct tool *t, const json_t *args, struct ocu_error *err)
{
	struct gateway *g = c->ex->g;
	if (inflight_count(g->inflight, c->ex->caller.sub) >
	    (unsigned)ocu_conf_int(g->d.conf, "inflight_per_caller"))
		return ocu_error_set(err, OCU_E_RATE, "too many calls under way");
	return policy_check(g->policy, c->ex->caller.sub, t->name, ocu_json_str(args, "path", NULL), err);
}

void tool_call(struct call *c, const struct tool *t, const json_t *args)
{
	struct ocu_error err = {0};
	c->tool = t;
	c->arguments = args ? json_incref((json_t *)args) : json_object();
	if (!c->arguments) {
		call_error(c, OCU_E_NOMEM, NULL);
		return;
	}
	if (tool_check(t, c->arguments, &err)) {
		answer_tool_error(c, err.code, err.text);
		return;
	}
	if (admit(c, t, c->arguments, &err)) {
		report_denied(c, t->name, &err);
		count(c, "denied");
		call_error(c, err.code, NULL);
		return;
	}
	routes_get(c->ex->g->routes, &c->ex->caller, c->ex->hint, c->trace, routed, c);
}
