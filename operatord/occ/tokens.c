/* tokens: `occ token`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/keyfile.h"
#include "operatord/occ/api.h"
#include "operatord/occ/command.h"
#include "operatord/occ/duration.h"
#include "operatord/occ/show.h"

#define TTL_DEFAULT "90d"

static const struct column columns[] = {{"TOKEN", "jti"},
                                        {"CALLER", "caller"},
                                        {"LABEL", "label"},
                                        {"CREATED", "created"},
                                        {"EXPIRES", "expires"},
                                        {"REVOKED", "revoked"},
                                        {0}};

static json_t *mint_body(const struct args *a, long ttl_s)
{
	json_t *body =
	    json_pack("{ss sI ss*}", "caller", a->caller, "ttl_s", (json_int_t)ttl_s, "label", a->label);

	if (body && a->audience.n > 0) {
		json_t *list = json_array();
		for (size_t i = 0; i < a->audience.n; i++)
			json_array_append_new(list, json_string(a->audience.item[i]));
		json_object_set_new(body, "audiences", list);
	}
	return body;
}

/* The token goes to the file alone when one is named. */
static int hand_out(const struct args *a, json_t *reply, struct ocu_error *err)
{
	const char *token = ocu_json_str(reply, "token", "");
	OCU_FREE char *line = NULL;
	int rc;

	if (!a->out)
		return 0;
	if (asprintf(&line, "%s\n", token) < 0)
		return ocu_error_set(err, OCU_E_NOMEM, "token");
	rc = ocu_keyfile_create(a->out, line, strlen(line), 0600, err);
	json_object_del(reply, "token");
	return rc;
}

int run_token_mint(const struct args *a)
{
	OCU_JSON json_t *reply = NULL;
	OCU_JSON json_t *body = NULL;
	struct ocu_error err = {0};
	long ttl_s;

	if (!a->caller || duration_parse(a->ttl ? a->ttl : TTL_DEFAULT, &ttl_s)) {
		fputs(a->caller ? "occ: token mint: --ttl is a time like 30s, 12h or 90d\n"
		                : "occ: token mint: --caller is required\n",
		      stderr);
		return OCC_USAGE;
	}
	body = mint_body(a, ttl_s);
	if (api_call(a, &(struct request){.method = "POST", .path = "/v1/tokens", .body = body}, &reply,
	             &err) ||
	    hand_out(a, reply, &err))
		return show_error(a, "token mint", &err);
	if (a->json) {
		show_json(reply);
	} else if (!a->out) {
		show_text(ocu_json_str(reply, "token", ""));
		fputs("\n", stdout);
	}
	return OCC_OK;
}

int run_token_list(const struct args *a)
{
	OCU_JSON json_t *all = NULL;
	struct ocu_error err = {0};

	if (api_pages(a, "/v1/tokens?limit=1000", "tokens", "jti", &all, &err))
		return show_error(a, "token list", &err);
	if (a->json) {
		json_t *out = json_pack("{sO}", "tokens", all);
		show_json(out);
		json_decref(out);
	} else {
		show_table(columns, all);
	}
	return OCC_OK;
}

int run_token_revoke(const struct args *a)
{
	OCU_JSON json_t *reply = NULL;
	OCU_FREE char *jti = client_escape(a->word[0]);
	OCU_FREE char *path = NULL;
	struct ocu_error err = {0};

	if (!jti || asprintf(&path, "/v1/tokens/%s", jti) < 0)
		return OCC_FAILED;
	if (api_call(a, &(struct request){.method = "DELETE", .path = path, .revoke = true}, &reply, &err))
		return show_error(a, "token revoke", &err);
	if (a->json)
		show_json(reply);
	else
		printf("revoked; epoch %lld\n", (long long)ocu_json_int(reply, "epoch", 0));
	return OCC_OK;
}
