/* api_denylist: reading and editing the denylist, the operator's only. */
#include <stdlib.h>
#include <string.h>

#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/httpd.h"
#include "operatord/api_call.h"
#include "operatord/control.h"
#include "operatord/evidence.h"
#include "operatord/feed.h"

static const char *const kinds[] = {
    [OCU_DENY_SESSION] = "session", [OCU_DENY_CALLER] = "caller", [OCU_DENY_TOKEN] = "token"};

/* 0 when it is none. */
static int kind_of(const char *name)
{
	for (int i = OCU_DENY_SESSION; i <= OCU_DENY_TOKEN; i++)
		if (strcmp(kinds[i], name) == 0)
			return i;
	return 0;
}

static json_t *entry_json(const struct deny_entry *e)
{
	return json_pack("{ss ss ss ss so sI}", "kind", kinds[e->kind], "value", e->value, "reason",
	                 e->reason, "added_by", e->added_by, "added", api_time(e->added_ms), "epoch",
	                 (json_int_t)e->epoch);
}

void api_deny_list(struct api_call *a)
{
	OCU_FREE struct deny_entry *list = NULL;
	struct ocu_error err = {0};
	long limit, offset;
	uint64_t epoch;
	size_t n;
	json_t *out;

	if (api_number(a, "limit", 1, 1000, 1000, &limit) ||
	    api_number(a, "offset", 0, OCU_DENYLIST_MAX, 0, &offset))
		return;
	if (registry_deny_list(a->control->registry, &list, &n, &epoch, &err)) {
		api_fail(a, &err);
		return;
	}
	out = json_array();
	for (size_t i = (size_t)offset; i < n && i < (size_t)(offset + limit); i++)
		json_array_append_new(out, entry_json(&list[i]));
	api_reply(a, 200,
	          json_pack("{ss sI sI so}", "history", registry_history(a->control->registry), "epoch",
	                    (json_int_t)epoch, "total", (json_int_t)n, "entries", out));
}

void api_deny_add(struct api_call *a)
{
	const struct kill_want want = api_kill_want(a, ACTION_DENYLIST_ADD);
	int kind = kind_of(api_text(a, "kind"));
	struct ocu_error err = {0};
	struct kill_result k;

	if (kill_denied(a->control, (enum ocu_deny_kind)kind, api_text(a, "value"), &want, &k, &err)) {
		api_fail(a, &err);
		return;
	}
	api_reply(a, 201,
	          json_pack("{ss ss sI sI sI}", "kind", kinds[kind], "value", api_text(a, "value"), "epoch",
	                    (json_int_t)k.epoch, "sessions", (json_int_t)k.sessions, "stopped",
	                    (json_int_t)k.stopped));
}

void api_deny_lift(struct api_call *a)
{
	const char *value = ocu_http_param(a->http, "value");
	int kind = kind_of(ocu_http_param(a->http, "kind"));
	struct ocu_error err = {0};
	uint64_t epoch;
	int rc;

	if (kind == 0) {
		api_fail_code(a, OCU_E_PARAMS, "kind is session, caller or token");
		return;
	}
	/* What is not there is not lifted, and needs no event. */
	rc = registry_deny_check(a->control->registry, (enum ocu_deny_kind)kind, value, &err);
	if (rc == 0) {
		api_fail_code(a, OCU_E_NOT_FOUND, "no such denylist entry");
		return;
	}
	const struct fact f = {.actor = a->actor,
	                       .resource = value,
	                       .session_id = kind == OCU_DENY_SESSION ? value : NULL,
	                       .trace_id = a->trace,
	                       .detail = json_pack("{ss}", "kind", kinds[kind])};
	rc = evidence_commit(a->control->audit, ACTION_DENYLIST_LIFT, &f, &err);
	if (rc == 0)
		rc = feed_lift(a->control->feed, (enum ocu_deny_kind)kind, value, &epoch, &err);
	if (rc)
		api_fail(a, &err);
	else
		api_reply(
		    a, 200,
		    json_pack("{ss ss sI}", "kind", kinds[kind], "value", value, "epoch", (json_int_t)epoch));
}
