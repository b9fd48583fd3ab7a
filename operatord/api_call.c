/* api_call: what every handler uses; see api_call.h. */
#include "operatord/api_call.h"

#include <errno.h>
#include <stdlib.h>

#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/httpd.h"
#include "libocu/json.h"

void api_reply(struct api_call *a, int status, json_t *steal)
{
	struct ocu_error err = {0};

	ocu_http_set_header(a->http, "Cache-Control", "no-store");
	if (steal) {
		ocu_http_reply_json(a->http, status, steal);
		return;
	}
	ocu_error_set(&err, OCU_E_NOMEM, "reply");
	ocu_http_reply_error(a->http, &err);
}

void api_fail(struct api_call *a, const struct ocu_error *err)
{
	ocu_http_reply_error(a->http, err);
}

void api_fail_code(struct api_call *a, int code, const char *text)
{
	struct ocu_error err = {0};

	ocu_error_set(&err, code, "%s", text);
	ocu_http_reply_error(a->http, &err);
}

const char *api_text(const struct api_call *a, const char *key)
{
	return ocu_json_str(a->body, key, "");
}

struct kill_want api_kill_want(const struct api_call *a, enum action_id action)
{
	return (struct kill_want){
	    .action = action, .actor = a->actor, .reason = api_text(a, "reason"), .trace = a->trace};
}

int api_number(struct api_call *a, const char *name, long min, long max, long dflt, long *ret)
{
	const char *text = ocu_http_query(a->http, name);
	char *end;

	*ret = dflt;
	if (!text)
		return 0;
	errno = 0;
	*ret = strtol(text, &end, 10);
	if (errno == 0 && end != text && *end == '\0' && *ret >= min && *ret <= max)
		return 0;
	api_fail_code(a, OCU_E_PARAMS, "a query parameter is not a number in its range");
	return OCU_E_PARAMS;
}

json_t *api_time(int64_t wall_ms)
{
	char text[32];

	if (wall_ms == 0)
		return json_null();
	ocu_time_rfc3339(wall_ms, text);
	return json_string(text);
}
