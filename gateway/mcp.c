#include "gateway/mcp.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/inflight.h"
#include "gateway/tool.h"
#include "libocu/json.h"

static const char *const versions[] = {"2025-11-25", "2025-06-18", "2025-03-26"};

static const char instructions[] = "Tools run in an isolated sandbox that belongs to this session. Files "
                                   "under /workspace last as long as the session. "
                                   "The network reaches only what the operator allows; a refusal carries "
                                   "x-deny-reason. Every call is recorded.";

bool mcp_version_known(const char *version)
{
	for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
		if (strcmp(versions[i], version) == 0)
			return true;
	return false;
}

bool mcp_version_batches(const char *header)
{
	return !header || strcmp(header, "2025-03-26") == 0;
}

bool mcp_is_initialize(const json_t *message)
{
	return strcmp(ocu_json_str(message, "method", ""), "initialize") == 0 &&
	       json_object_get(message, "id");
}

static const json_t *progress_token(const json_t *params)
{
	const json_t *t = json_object_get(json_object_get(params, "_meta"), "progressToken");
	return json_is_string(t) || json_is_integer(t) ? t : NULL;
}

bool mcp_wants_progress(const json_t *message)
{
	return strcmp(ocu_json_str(message, "method", ""), "tools/call") == 0 &&
	       progress_token(json_object_get(message, "params"));
}

static bool only_members(const json_t *object, const char *const *allowed)
{
	const char *key;
	json_t *v;
	json_object_foreach((json_t *)object, key, v)
	{
		size_t i = 0;
		while (allowed[i] && strcmp(allowed[i], key) != 0)
			i++;
		if (!allowed[i])
			return false;
	}
	return true;
}

static void on_initialize(struct call *c, const json_t *params)
{
	static const char *const members[] = {"protocolVersion", "capabilities", "clientInfo", "_meta", NULL};
	const char *asked = ocu_json_str(params, "protocolVersion", NULL);
	OCU_BUF struct ocu_buf b = OCU_BUF_INIT(8192);
	if (!asked || !only_members(params, members) ||
	    !json_is_object(json_object_get(params, "capabilities")) ||
	    !json_is_object(json_object_get(params, "clientInfo"))) {
		call_error(c, OCU_E_PARAMS, "initialize needs protocolVersion, capabilities and clientInfo");
		return;
	}
	char id[MCP_SESSION_ID_MAX];
	mcp_session_id_new(c->ex->g->sessions, c->ex->caller.sub, id);
	ocu_http_set_header(c->ex->http, "Mcp-Session-Id", id);
	ocu_buf_printf(&b,
	               "{\"protocolVersion\":\"%s\",\"capabilities\":{\"tools\":{\"listChanged\":false}},"
	               "\"serverInfo\":{\"name\":\"ocu\",\"title\":\"Open Computer "
	               "Use\",\"version\":\"%s\"},\"instructions\":",
	               mcp_version_known(asked) ? asked : MCP_LATEST, OCU_VERSION);
	ocu_buf_json_string(&b, instructions, sizeof instructions - 1);
	ocu_buf_putc(&b, '}');
	call_result(c, &b);
}

static void on_ping(struct call *c, const json_t *params)
{
	(void)params;
	call_result_text(c, "{}");
}

static void on_tools_list(struct call *c, const json_t *params)
{
	static const char *const members[] = {"cursor", "_meta", NULL};
	if (params && !only_members(params, members))
		call_error(c, OCU_E_UNKNOWN_FIELD, "tools/list takes cursor only");
	else if (json_object_get(params, "cursor"))
		call_error(c, OCU_E_PARAMS, "the list has one page; no cursor was given out");
	else
		call_result_text(c, tools_list());
}

static void on_tools_call(struct call *c, const json_t *params)
{
	static const char *const members[] = {"name", "arguments", "_meta", NULL};
	const char *name = ocu_json_str(params, "name", NULL);
	const json_t *args = json_object_get(params, "arguments");
	if (!name || (args && !json_is_object(args))) {
		call_error(c, OCU_E_PARAMS, "tools/call needs a name, and arguments that are an object");
		return;
	}
	if (!only_members(params, members)) {
		call_error(c, OCU_E_UNKNOWN_FIELD, "tools/call takes name, arguments and _meta only");
		return;
	}
	const struct tool *t = tool_find(name);
	if (!t) {
		call_error(c, OCU_E_PARAMS, "Unknown tool");
		return;
	}
	if (!c->ex->hint[0]) {
		call_error(c, OCU_E_INVALID,
		           "a tool call needs an MCP session (initialize first) or X-Chat-Id");
		return;
	}
	tool_call(c, t, args);
}

struct method {
	const char *name;
	void (*run)(struct call *c, const json_t *params);
};

static const struct method methods[] = {
    {"initialize", on_initialize},
    {"ping", on_ping},
    {"tools/list", on_tools_list},
    {"tools/call", on_tools_call},
};

static void request(struct exchange *ex, const json_t *id, const char *method, const json_t *params)
{
	struct call *c = call_new(ex, id, progress_token(params));
	if (!c)
		return;
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
		if (strcmp(methods[i].name, method) == 0) {
			methods[i].run(c, params);
			return;
		}
	call_error(c, OCU_E_UNKNOWN_METHOD, NULL);
}

/* Notifications are never answered; the ones we do not know are dropped, as the specification says. */
static void notification(struct exchange *ex, const char *method, const json_t *params)
{
	const json_t *id = json_object_get(params, "requestId");
	if (strcmp(method, "notifications/cancelled") == 0 && (json_is_string(id) || json_is_integer(id)))
		tool_cancel(ex, id);
}

static void invalid(struct exchange *ex, const char *why)
{
	struct call *c = call_new(ex, NULL, NULL);
	if (c)
		call_error(c, OCU_E_INVALID, why);
}

static bool is_response(const json_t *m)
{
	static const char *const members[] = {"jsonrpc", "id", "result", "error", NULL};
	return !json_object_get(m, "method") &&
	       (json_object_get(m, "result") || json_object_get(m, "error")) && only_members(m, members);
}

void mcp_message(struct exchange *ex, const json_t *m)
{
	static const char *const members[] = {"jsonrpc", "id", "method", "params", NULL};
	const json_t *id = json_object_get(m, "id"), *params = json_object_get(m, "params");
	const char *method = ocu_json_str(m, "method", NULL);
	if (!json_is_object(m) || strcmp(ocu_json_str(m, "jsonrpc", ""), "2.0") != 0) {
		invalid(ex, "not a JSON-RPC 2.0 message");
		return;
	}
	if (is_response(m)) /* we ask clients nothing, so there is nothing it could answer */
		return;
	if (!method || !only_members(m, members) || (params && !json_is_object(params)))
		invalid(ex, "a JSON-RPC request has jsonrpc, id, method and params (an object) only");
	else if (!id)
		notification(ex, method, params);
	else if (!json_is_string(id) && !json_is_integer(id))
		invalid(ex, "id must be a string or an integer");
	else if (json_is_string(id) && json_string_length(id) > 256)
		invalid(ex, "id is too long");
	else
		request(ex, id, method, params);
}
