/* api_tokens: caller tokens of the minimal shelf: minted once, shown once, recorded without the token itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/httpd.h"
#include "libocu/json.h"
#include "operatord/api_call.h"
#include "operatord/control.h"
#include "operatord/evidence.h"
#include "operatord/mint.h"
#include "operatord/text.h"

static json_t *token_json(const struct token_record *t)
{
	return json_pack("{ss ss ss so so sb}", "jti", t->jti, "caller", t->caller, "label", t->label,
	                 "created", api_time(t->created_ms), "expires", api_time(t->expires_ms), "revoked",
	                 (int)t->revoked);
}

void api_token_list(struct api_call *a)
{
	OCU_FREE struct token_record *list = NULL;
	struct ocu_error err = {0};
	long limit;
	size_t n;
	json_t *out;

	if (api_number(a, "limit", 1, 1000, 1000, &limit))
		return;
	if (registry_token_list(a->control->registry, ocu_http_query(a->http, "after"), (size_t)limit, &list,
	                        &n, &err)) {
		api_fail(a, &err);
		return;
	}
	out = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(out, token_json(&list[i]));
	api_reply(a, 200,
	          json_pack("{so ss?}", "tokens", out, "next", n == (size_t)limit ? list[n - 1].jti : NULL));
}

/* Signed first, which changes nothing; handed out last, when event and record are durable. */
static int mint(struct api_call *a, struct token_record *t, char **token, struct ocu_error *err)
{
	struct control *c = a->control;
	const json_t *audiences = json_object_get(a->body, "audiences");
	int64_t ttl_ms = ocu_json_int(a->body, "ttl_s", 0) * 1000;
	int rc;

	if (ttl_ms > c->cfg.token_ttl_max_ms)
		return ocu_error_set(err, OCU_E_PARAMS,
		                     "ttl_s: longer than token_ttl_max of this deployment");
	if (!text_ok(api_text(a, "caller"), CALLER_MAX))
		return ocu_error_set(err, OCU_E_PARAMS, "caller: over %d bytes", CALLER_MAX);
	snprintf(t->caller, sizeof t->caller, "%s", api_text(a, "caller"));
	text_copy(t->label, sizeof t->label, api_text(a, "label"));
	t->created_ms = ocu_wall_ms();
	rc = mint_caller_token(c->mint, t->caller, audiences ? audiences : c->cfg.token_audiences, ttl_ms,
	                       t->jti, &t->expires_ms, token, err);
	if (rc)
		return rc;
	const struct fact f = {
	    .actor = a->actor,
	    .resource = t->jti,
	    .trace_id = a->trace,
	    .detail = json_pack("{ss sI}", "caller", t->caller, "ttl_s", (json_int_t)(ttl_ms / 1000))};
	rc = evidence_commit(c->audit, ACTION_TOKEN_MINT, &f, err);
	return rc ? rc : registry_token_add(c->registry, t, err);
}

void api_token_mint(struct api_call *a)
{
	OCU_FREE char *token = NULL;
	struct token_record t = {0};
	struct ocu_error err = {0};
	json_t *out;

	if (mint(a, &t, &token, &err)) {
		api_fail(a, &err);
		return;
	}
	out = token_json(&t);
	if (out)
		json_object_set_new(out, "token", json_string(token));
	api_reply(a, 201, out);
}

/* Any token of this deployment's issuers, ours or the identity provider's. */
void api_token_revoke(struct api_call *a)
{
	const struct kill_want want = api_kill_want(a, ACTION_TOKEN_REVOKE);
	const char *jti = ocu_http_param(a->http, "jti");
	struct ocu_error err = {0};
	struct kill_result k;

	if (!text_ok(jti, TEXT_MAX)) {
		api_fail_code(a, OCU_E_PARAMS, "not a token id");
		return;
	}
	if (kill_denied(a->control, OCU_DENY_TOKEN, jti, &want, &k, &err)) {
		api_fail(a, &err);
		return;
	}
	api_reply(a, 200, json_pack("{ss sI}", "jti", jti, "epoch", (json_int_t)k.epoch));
}
