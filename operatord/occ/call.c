/*
 * call: `occ call`: one tool call through the gateway, as any MCP client makes it, to see that a deployment
 * works from end to end. The caller's token is what counts here; the operator's key is not used.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/httpc.h"
#include "libocu/id.h"
#include "libocu/json.h"
#include "libocu/keyfile.h"
#include "operatord/occ/command.h"
#include "operatord/occ/show.h"

#define TOKEN_MAX  8192
#define REPLY_MAX  (4 << 20)
#define TIMEOUT_MS 130000 /* a sandbox is started and the longest default call ends */

static int read_token(const struct args *a, char **ret, struct ocu_error *err)
{
	char path[PATH_MAX];
	size_t len = 0;
	int rc;

	if (snprintf(path, sizeof path, "%s%s", a->token ? a->token : a->deployment,
	             a->token ? "" : "/caller.token") >= (int)sizeof path)
		return ocu_error_set(err, OCU_E_PARAMS, "a path is too long");
	rc = ocu_keyfile_read(path, TOKEN_MAX, true, ret, &len, err);
	if (rc == 0)
		(*ret)[strcspn(*ret, "\r\n")] = '\0';
	return rc;
}

static int request_body(const char *command, struct ocu_buf *out, struct ocu_error *err)
{
	OCU_JSON json_t *j = json_pack("{ss si ss s{ss s{ss ss}}}", "jsonrpc", "2.0", "id", 1, "method",
	                               "tools/call", "params", "name", "bash_tool", "arguments", "command",
	                               command, "description", "occ call");

	return j && ocu_json_dump(j, out) == 0
	           ? 0
	           : ocu_error_set(err, OCU_E_PARAMS, "COMMAND is not UTF-8 text");
}

/* One chat of its own: its sandbox is nobody else's, and ends when it has been idle. */
static int post(const char *url, const char *token, const struct ocu_buf *body, struct ocu_httpc_resp *resp,
                struct ocu_error *err)
{
	char chat[OCU_ID_MAX + 32], id[OCU_ID_MAX], whole[1024];
	const char *headers[] = {"Accept: application/json, text/event-stream", chat, NULL};

	ocu_id_new("occ_", id);
	snprintf(chat, sizeof chat, "X-Chat-Id: %s", id);
	if (snprintf(whole, sizeof whole, "%s/mcp", url) >= (int)sizeof whole)
		return ocu_error_set(err, OCU_E_PARAMS, "--url is too long");
	return ocu_httpc(&(struct ocu_httpc_req){.method = "POST",
	                                         .url = whole,
	                                         .bearer = token,
	                                         .content_type = "application/json",
	                                         .body = body->data,
	                                         .body_len = body->len,
	                                         .headers = headers,
	                                         .timeout_ms = TIMEOUT_MS,
	                                         .max_body = REPLY_MAX,
	                                         .no_proxy = true},
	                 resp, err);
}

/* Line ends stay; every other control character of the sandbox is made visible. */
static int show_lines(const char *text)
{
	size_t n;

	for (const char *p = text; *p; p += n + (p[n] == '\n')) {
		n = strcspn(p, "\n");
		OCU_BUF struct ocu_buf line = OCU_BUF_INIT(REPLY_MAX);
		if (ocu_buf_put(&line, p, n))
			return OCU_E_NOMEM;
		show_text(n > 0 ? line.data : "");
		putchar('\n');
	}
	return 0;
}

static int judge(const struct args *a, const struct ocu_httpc_resp *resp, struct ocu_error *err)
{
	OCU_JSON json_t *reply = NULL;
	const json_t *result, *error, *block;
	size_t i;

	if (resp->len == 0 || ocu_json_parse(resp->body, resp->len, REPLY_MAX, &reply, err))
		return ocu_error_set(err, OCU_E_UNAVAILABLE,
		                     "the gateway answered with status %d and no JSON", resp->status);
	error = json_object_get(reply, "error");
	if (error || resp->status >= 400)
		return ocu_error_set(err, OCU_E_DENIED, "the gateway refused (status %d): %s", resp->status,
		                     ocu_json_str(error, "message", ""));
	result = json_object_get(reply, "result");
	if (a->json) {
		show_json(result);
	} else {
		json_array_foreach(json_object_get(result, "content"), i, block)
		{
			if (show_lines(ocu_json_str(block, "text", "")))
				return ocu_error_set(err, OCU_E_NOMEM, "the result");
		}
	}
	return json_is_object(result) && !json_is_true(json_object_get(result, "isError"))
	           ? 0
	           : ocu_error_set(err, OCU_E_INTERNAL, "the tool reports a failure");
}

int run_call(const struct args *a)
{
	OCU_BUF struct ocu_buf body = OCU_BUF_INIT(262144);
	struct ocu_httpc_resp resp = {0};
	struct ocu_error err = {0};
	char *token = NULL;
	int rc = read_token(a, &token, &err);

	if (rc == 0)
		rc = request_body(a->word[0], &body, &err);
	if (rc == 0)
		rc = post(a->url ? a->url : "http://127.0.0.1:8080", token, &body, &resp, &err);
	if (rc == 0)
		rc = judge(a, &resp, &err);
	ocu_httpc_resp_done(&resp);
	ocu_keyfile_free(token, token ? strlen(token) : 0);
	return rc ? show_error(a, "call", &err) : OCC_OK;
}
