/*
 * api_call: one authenticated operator request on its way through a handler, and the list of all endpoints.
 * Handlers run on a worker, may block, and answer exactly once.
 */
#ifndef OPERATORD_API_CALL_H
#define OPERATORD_API_CALL_H

#include <jansson.h>
#include <stddef.h>

#include "operatord/assertion.h"
#include "operatord/kill.h"

struct control;
struct ocu_error;
struct ocu_http_req;

struct api_call {
	struct control *control;
	struct ocu_http_req *http;
	char actor[OPERATOR_MAX + 16]; /* "operator:<name>" */
	const char *trace;
	json_t *body; /* checked against the endpoint's schema; an empty one is {} */
};

#define BODY_MAX 8192

#define SCHEMA_NONE   ""
#define SCHEMA_REASON "{\"type\":\"object\",\"properties\":{\"reason\":" SCHEMA_TEXT "}}"
/* Printable, one line, bounded. */
#define SCHEMA_TEXT "{\"type\":\"string\",\"maxLength\":100,\"pattern\":\"^[^[:cntrl:]]*$\"}"
#define SCHEMA_CALLER                                                                                        \
	"{\"type\":\"string\",\"minLength\":1,\"maxLength\":200,\"pattern\":\"^[^[:cntrl:]]+$\"}"

#define SCHEMA_CREATE                                                                                        \
	"{\"type\":\"object\",\"required\":[\"caller\"],\"properties\":{\"caller\":" SCHEMA_CALLER           \
	",\"hint\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":100,\"pattern\":\"^[^[:cntrl:]]+$\"}"  \
	",\"label\":" SCHEMA_TEXT "}}"
#define SCHEMA_DENY                                                                                          \
	"{\"type\":\"object\",\"required\":[\"kind\",\"value\"],\"properties\":{"                            \
	"\"kind\":{\"enum\":[\"session\",\"caller\",\"token\"]},\"value\":" SCHEMA_CALLER                    \
	",\"reason\":" SCHEMA_TEXT "}}"
#define SCHEMA_MINT                                                                                          \
	"{\"type\":\"object\",\"required\":[\"caller\",\"ttl_s\"],\"properties\":{\"caller\":" SCHEMA_CALLER \
	",\"ttl_s\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":34560000},\"label\":" SCHEMA_TEXT        \
	",\"audiences\":{\"type\":\"array\",\"minItems\":1,\"maxItems\":16,\"items\":{\"type\":\"string\","  \
	"\"minLength\":1,\"maxLength\":200,\"pattern\":\"^[^[:cntrl:]]+$\"}}}}"

/* X(handler, "METHOD", "route", pool, schema). revoke: served on the revoke listener, too, and by its own
 * workers. */
/* clang-format off */
#define API_ENDPOINTS(X)                                                                                       \
	X(status,          "GET",    "/v1/status",                      api,    SCHEMA_NONE)                   \
	X(session_list,    "GET",    "/v1/sessions",                    api,    SCHEMA_NONE)                   \
	X(session_create,  "POST",   "/v1/sessions",                    api,    SCHEMA_CREATE)                 \
	X(session_show,    "GET",    "/v1/sessions/{id}",               api,    SCHEMA_NONE)                   \
	X(session_destroy, "DELETE", "/v1/sessions/{id}",               api,    SCHEMA_NONE)                   \
	X(session_kill,    "POST",   "/v1/sessions/{id}/kill",          revoke, SCHEMA_REASON)                 \
	X(kill_all,        "POST",   "/v1/kill-all",                    revoke, SCHEMA_REASON)                 \
	X(deny_list,       "GET",    "/v1/denylist",                    api,    SCHEMA_NONE)                   \
	X(deny_add,        "POST",   "/v1/denylist",                    revoke, SCHEMA_DENY)                   \
	X(deny_lift,       "DELETE", "/v1/denylist/{kind}/{value...}",  api,    SCHEMA_NONE)                   \
	X(token_list,      "GET",    "/v1/tokens",                      api,    SCHEMA_NONE)                   \
	X(token_mint,      "POST",   "/v1/tokens",                      api,    SCHEMA_MINT)                   \
	X(token_revoke,    "DELETE", "/v1/tokens/{jti}",                revoke, SCHEMA_NONE)                   \
	X(audit_head,      "GET",    "/v1/audit/head",                  api,    SCHEMA_NONE)
/* clang-format on */

#define X(handler, method, route, pool, schema) void api_##handler(struct api_call *a);
API_ENDPOINTS(X)
#undef X

/* Answering. */
void api_reply(struct api_call *a, int status, json_t *steal);
void api_fail(struct api_call *a, const struct ocu_error *err);
void api_fail_code(struct api_call *a, int code, const char *text);

/* Reading. */
const char *api_text(const struct api_call *a, const char *key); /* "" when absent */
struct kill_want api_kill_want(const struct api_call *a, enum action_id action);
/* A query parameter as a number within min..max; dflt when absent. false: refused and answered. */
int api_number(struct api_call *a, const char *name, long min, long max, long dflt, long *ret);
json_t *api_time(int64_t wall_ms); /* RFC 3339, or null for 0 */

#endif
