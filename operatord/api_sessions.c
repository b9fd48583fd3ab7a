/* api_sessions: sessions as an operator sees them: list, show, create, destroy, kill. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/httpd.h"
#include "operatord/api_call.h"
#include "operatord/control.h"
#include "operatord/creates.h"
#include "operatord/ends.h"

static json_t *session_json(const struct session *s)
{
	int64_t now = (int64_t)ocu_mono_ms();

	return json_pack("{ss ss ss ss ss ss ss ss ss ss ss so so sI sI}", "session_id", s->session_id,
	                 "state", session_state_name(s->state), "caller", s->caller, "label", s->label,
	                 "filesystem_id", s->filesystem_id, "container_name", s->container_name, "token_id",
	                 s->token_id, "reason", s->reason, "runtime", s->runtime, "tier", s->tier, "node",
	                 s->node, "created", api_time(s->created_ms), "ended", api_time(s->ended_ms), "age_s",
	                 (json_int_t)(now - s->created_mono) / 1000, "idle_s",
	                 (json_int_t)(now - s->active_mono) / 1000);
}

void api_session_list(struct api_call *a)
{
	struct session_filter f = {.caller = ocu_http_query(a->http, "caller"),
	                           .node = ocu_http_query(a->http, "node"),
	                           .after = ocu_http_query(a->http, "after")};
	OCU_FREE struct session *list = NULL;
	struct ocu_error err = {0};
	long limit, all;
	size_t n;
	json_t *out;

	if (api_number(a, "limit", 1, 1000, 1000, &limit) || api_number(a, "all", 0, 1, 0, &all))
		return;
	f.limit = (size_t)limit;
	f.live = !all;
	if (registry_session_list(a->control->registry, &f, &list, &n, &err)) {
		api_fail(a, &err);
		return;
	}
	out = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(out, session_json(&list[i]));
	/* A full page may have a next one. */
	api_reply(a, 200,
	          json_pack("{so ss?}", "sessions", out, "next",
	                    n == (size_t)limit ? list[n - 1].session_id : NULL));
}

static int get(struct api_call *a, struct session *s)
{
	struct ocu_error err = {0};
	int rc = registry_session_get(a->control->registry, ocu_http_param(a->http, "id"), s, &err);

	if (rc)
		api_fail(a, &err);
	return rc;
}

void api_session_show(struct api_call *a)
{
	struct session s;

	if (get(a, &s) == 0)
		api_reply(a, 200, session_json(&s));
}

static void created(void *arg, const struct session *s, bool made, const struct ocu_error *err)
{
	struct api_call *a = arg;

	if (err)
		api_fail(a, err);
	else
		api_reply(a, made ? 201 : 200, session_json(s));
}

void api_session_create(struct api_call *a)
{
	char hint[TEXT_MAX + 1], id[OCU_ID_MAX];

	/* Never one that the gateway could name: its hints do not start like this. */
	ocu_id_new("", id);
	snprintf(hint, sizeof hint, "operator:%s", api_text(a, "hint")[0] ? api_text(a, "hint") : id);
	const struct create_want want = {.caller = api_text(a, "caller"),
	                                 .token_id = "",
	                                 .hint = hint,
	                                 .label = api_text(a, "label"),
	                                 .actor = a->actor,
	                                 .trace = a->trace,
	                                 .action = ACTION_OPERATOR_CREATE};
	create_session(a->control, &want, created, a);
}

void api_session_destroy(struct api_call *a)
{
	const struct end_want want = {
	    .action = ACTION_OPERATOR_DESTROY, .actor = a->actor, .reason = "destroyed", .trace = a->trace};
	struct ocu_error err = {0};
	struct session s;

	if (get(a, &s))
		return;
	if (end_session(a->control, &s, &want, &err)) {
		api_fail(a, &err);
		return;
	}
	api_reply(a, 200, json_pack("{ss ss}", "session_id", s.session_id, "state", "ended"));
}

/* What was confirmed is told also when something was not. */
static void kill_reply(struct api_call *a, int rc, const struct kill_result *k, const struct ocu_error *err)
{
	json_t *out;

	if (rc && k->sessions == 0) {
		api_fail(a, err);
		return;
	}
	out = json_pack("{sI sI sI sI sI}", "sessions", (json_int_t)k->sessions, "stopped",
	                (json_int_t)k->stopped, "egress_dropped", (json_int_t)k->dropped, "epoch",
	                (json_int_t)k->epoch, "duration_us", (json_int_t)k->duration_us);
	if (out && rc)
		json_object_set_new(out, "error",
		                    json_pack("{ss ss ss}", "code", ocu_err_reason(rc), "message",
		                              ocu_err_text(rc), "correlation_id", a->trace));
	api_reply(a, rc ? ocu_err_http(rc) : 200, out);
}

void api_session_kill(struct api_call *a)
{
	const struct kill_want want = api_kill_want(a, ACTION_SESSION_KILL);
	struct ocu_error err = {0};
	struct kill_result k;
	int rc = kill_session(a->control, ocu_http_param(a->http, "id"), &want, &k, &err);

	kill_reply(a, rc, &k, &err);
}

void api_kill_all(struct api_call *a)
{
	const struct kill_want want = api_kill_want(a, ACTION_SESSION_KILL_ALL);
	struct ocu_error err = {0};
	struct kill_result k;
	int rc = kill_all(a->control, &want, &k, &err);

	kill_reply(a, rc, &k, &err);
}
