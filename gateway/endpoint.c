#include "gateway/endpoint.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/auth.h"
#include "gateway/exchange.h"
#include "gateway/hosts.h"
#include "gateway/mcp.h"
#include "gateway/routes.h"
#include "libocu/json.h"
#include "libocu/log.h"
#include "libocu/metrics.h"

#define CHAT_ID_MAX 256

void endpoint_error(struct ocu_http_req *r, const struct ocu_error *err, void *arg)
{
	OCU_BUF struct ocu_buf b = OCU_BUF_INIT(16384);
	(void)arg;
	/* Host, Origin and size texts help whoever configures the client; nothing in them is ours to hide. */
	bool explain = err->code == OCU_E_PARSE || err->code == OCU_E_INVALID || err->code == OCU_E_ORIGIN ||
	               err->code == OCU_E_TOO_LARGE;
	jsonrpc_error(&b, NULL, err->code, explain ? err->text : NULL, ocu_http_trace(r));
	ocu_http_reply(r, ocu_err_http(err->code), "application/json", b.data, b.len);
}

static void challenge(struct gateway *g, struct ocu_http_req *r, int code)
{
	char value[1024];
	snprintf(value, sizeof value, "Bearer resource_metadata=\"%s\"%s", g->metadata_url,
	         code == OCU_E_UNAUTHENTICATED ? "" : ", error=\"invalid_token\"");
	ocu_http_set_header(r, "WWW-Authenticate", value);
}

static void report_refused(struct gateway *g, struct ocu_http_req *r, const struct ocu_error *err)
{
	ocu_counter_add(ocu_counter("ocu_gateway_refused_total", NULL, "Requests refused before dispatch"),
	                1);
	ocu_audit_refused(g->audit, &(struct ocu_event){
	                                .class_uid = OCU_OCSF_AUTHENTICATION,
	                                .activity_id = 1,
	                                .action = "mcp.authenticate",
	                                .resource = "mcp",
	                                .actor_id = "unknown",
	                                .session_id = "",
	                                .trace_id = ocu_http_trace(r),
	                                .outcome = OCU_OUTCOME_DENIED,
	                                .reason = err->code,
	                            });
}

static void leave(void *arg)
{
	struct visitor *v = arg;
	inflight_taken(&v->untaken);
	free(v);
}

/* Before the body: whose page this is, and who is calling. */
static int admit(struct ocu_http_req *r, void *arg, struct ocu_error *err)
{
	struct gateway *g = arg;
	struct visitor *visitor = calloc(1, sizeof *visitor);
	if (!visitor)
		return ocu_error_set(err, OCU_E_NOMEM, "caller");
	ocu_http_set_user(r, visitor, leave);
	int rc = hosts_check(g->hosts, ocu_http_header(r, "Host"), ocu_http_header(r, "Origin"), err);
	if (rc == 0)
		rc = auth_check(g->auth, ocu_http_bearer(r), &visitor->caller, err);
	if (rc) {
		if (ocu_err_http(rc) == 401)
			challenge(g, r, rc);
		report_refused(g, r, err);
	}
	return rc;
}

static int admit_public(struct ocu_http_req *r, void *arg, struct ocu_error *err)
{
	struct gateway *g = arg;
	return hosts_check(g->hosts, ocu_http_header(r, "Host"), NULL, err);
}

static bool has_type(const char *header, const char *type)
{
	return header && strcasestr(header, type) != NULL;
}

static int check_headers(struct ocu_http_req *r, struct ocu_error *err)
{
	const char *version = ocu_http_header(r, "MCP-Protocol-Version"),
	           *accept = ocu_http_header(r, "Accept");
	const char *type = ocu_http_header(r, "Content-Type");
	if (version && !mcp_version_known(version))
		return ocu_error_set(
		    err, OCU_E_INVALID,
		    "MCP-Protocol-Version not supported; use 2025-11-25, 2025-06-18 or 2025-03-26");
	if (!has_type(type, "application/json"))
		return ocu_error_set(err, OCU_E_INVALID, "Content-Type must be application/json");
	if (accept && !has_type(accept, "*/*") && !has_type(accept, "application/json") &&
	    !has_type(accept, "text/event-stream"))
		return ocu_error_set(err, OCU_E_INVALID,
		                     "Accept must name application/json and text/event-stream");
	return 0;
}

/* Which sandbox the request is about: the chat the caller names, else the MCP session. */
static int identify(struct exchange *ex, struct ocu_error *err)
{
	const char *session = ocu_http_header(ex->http, "Mcp-Session-Id"),
	           *chat = ocu_http_header(ex->http, "X-Chat-Id");
	if (chat && (!*chat || strlen(chat) > CHAT_ID_MAX))
		return ocu_error_set(err, OCU_E_INVALID, "X-Chat-Id must have 1 to %d characters",
		                     CHAT_ID_MAX);
	if (session && !mcp_session_id_valid(ex->g->sessions, ex->caller.sub, session))
		return ocu_error_set(err, OCU_E_SESSION_GONE, "unknown MCP session");
	ex->session_id = session;
	if (chat)
		mcp_session_hint('c', chat, ex->hint);
	else if (session)
		mcp_session_hint('s', session, ex->hint);
	return 0;
}

static int prepare(struct exchange *ex, const json_t *body, struct ocu_error *err)
{
	const char *accept = ocu_http_header(ex->http, "Accept");
	const json_t *first = json_is_array(body) ? json_array_get(body, 0) : body;
	int rc = identify(ex, err);
	if (rc)
		return rc;
	if (!ex->hint[0] && !mcp_is_initialize(first))
		return ocu_error_set(err, OCU_E_INVALID, "Mcp-Session-Id or X-Chat-Id is required");
	if (json_is_array(body)) {
		ex->batch = true;
		if (!mcp_version_batches(ocu_http_header(ex->http, "MCP-Protocol-Version")))
			return ocu_error_set(err, OCU_E_INVALID,
			                     "batches exist in protocol version 2025-03-26 only");
		if (json_array_size(body) == 0 || json_array_size(body) > BATCH_MAX)
			return ocu_error_set(err, OCU_E_INVALID, "a batch has 1 to %d messages", BATCH_MAX);
		return 0;
	}
	ex->stream = mcp_wants_progress(body) && has_type(accept, "text/event-stream");
	return ex->stream ? ocu_http_stream_start(ex->http, 200, "text/event-stream") : 0;
}

static void post(struct ocu_http_req *r, void *arg)
{
	OCU_JSON json_t *body = NULL;
	struct gateway *g = arg;
	struct exchange *ex = NULL;
	struct ocu_error err = {0};
	const char *data;
	size_t len;
	ocu_http_body(r, &data, &len);
	if (check_headers(r, &err) || ocu_json_parse(data, len, MCP_BODY_MAX, &body, &err) ||
	    exchange_new(&ex, g, r, &err)) {
		ocu_http_reply_error(r, &err);
		return;
	}
	if (prepare(ex, body, &err)) {
		exchange_abandon(ex);
		ocu_http_reply_error(r, &err);
		return;
	}
	if (ex->batch) {
		size_t i;
		json_t *m;
		json_array_foreach(body, i, m)
		{
			mcp_message(ex, m);
		}
	} else {
		mcp_message(ex, body);
	}
	exchange_dispatched(ex);
}

/* We never speak first, so there is no stream to open: the specification's 405. */
static void get(struct ocu_http_req *r, void *arg)
{
	(void)arg;
	ocu_http_set_header(r, "Allow", "POST, DELETE");
	ocu_http_reply(r, 405, "application/json", "{}", 2);
}

static void deleted(void *arg, const struct route *route, const struct ocu_error *err)
{
	struct ocu_http_req *r = arg;
	(void)route;
	if (err && err->code != OCU_E_NOT_FOUND && err->code != OCU_E_SESSION_GONE)
		ocu_http_reply_error(r, err);
	else
		ocu_http_reply(r, 204, NULL, "", 0);
}

static void delete (struct ocu_http_req *r, void *arg)
{
	struct gateway *g = arg;
	const struct caller *caller = &((const struct visitor *)ocu_http_user(r))->caller;
	const char *session = ocu_http_header(r, "Mcp-Session-Id");
	struct ocu_error err = {0};
	char hint[HINT_MAX];
	if (!session || !mcp_session_id_valid(g->sessions, caller->sub, session)) {
		ocu_error_set(&err, session ? OCU_E_SESSION_GONE : OCU_E_INVALID, "unknown MCP session");
		ocu_http_reply_error(r, &err);
		return;
	}
	mcp_session_hint('s', session, hint);
	routes_destroy(g->routes, caller, hint, ocu_http_trace(r), deleted, r);
}

static void metadata(struct ocu_http_req *r, void *arg)
{
	struct gateway *g = arg;
	json_t *doc = json_pack("{s:s, s:s, s:[s]}", "resource", g->resource_url, "resource_name",
	                        "Open Computer Use", "bearer_methods_supported", "header");
	const json_t *servers = ocu_conf_json(g->d.conf, "authorization_servers");
	if (json_array_size(servers))
		json_object_set(doc, "authorization_servers", (json_t *)servers);
	ocu_http_reply_json(r, 200, doc);
}

const struct ocu_http_route gateway_routes[] = {
    {"POST", "/mcp", MCP_BODY_MAX, 0, post, admit},
    {"GET", "/mcp", 0, 0, get, admit},
    {"DELETE", "/mcp", 0, 0, delete, admit},
    {"GET", "/.well-known/oauth-protected-resource", 0, 0, metadata, admit_public},
    {"GET", "/.well-known/oauth-protected-resource/mcp", 0, 0, metadata, admit_public},
    {0},
};
