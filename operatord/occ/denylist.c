/* denylist: `occ deny`. */
#include <stdio.h>
#include <stdlib.h>

#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "operatord/occ/api.h"
#include "operatord/occ/command.h"
#include "operatord/occ/show.h"

static const struct column columns[] = {{"KIND", "kind"},
                                        {"VALUE", "value"},
                                        {"ADDED", "added"},
                                        {"BY", "added_by"},
                                        {"REASON", "reason"},
                                        {"EPOCH", "epoch"},
                                        {0}};

/* The list has no key to go on from: pages by offset, until as many came as there are. */
static int pull(const struct args *a, json_t *entries, json_t **last, struct ocu_error *err)
{
	json_int_t total;

	do {
		char path[64];
		int rc;

		snprintf(path, sizeof path, "/v1/denylist?offset=%zu", json_array_size(entries));
		json_decref(*last);
		*last = NULL;
		rc = api_call(a, &(struct request){.method = "GET", .path = path}, last, err);
		if (rc)
			return rc;
		const json_t *page = json_object_get(*last, "entries");
		total = ocu_json_int(*last, "total", 0);
		if (json_array_size(page) == 0)
			break;
		json_array_extend(entries, (json_t *)page);
	} while ((json_int_t)json_array_size(entries) < total);
	return 0;
}

int run_deny_list(const struct args *a)
{
	OCU_JSON json_t *entries = json_array();
	OCU_JSON json_t *last = NULL;
	struct ocu_error err = {0};

	if (pull(a, entries, &last, &err))
		return show_error(a, "deny list", &err);
	if (a->json) {
		json_object_set(last, "entries", entries);
		show_json(last);
	} else {
		show_table(columns, entries);
	}
	return OCC_OK;
}

int run_deny_add(const struct args *a)
{
	OCU_JSON json_t *reply = NULL;
	OCU_JSON json_t *body =
	    json_pack("{ss ss ss*}", "kind", a->word[0], "value", a->word[1], "reason", a->reason);
	struct ocu_error err = {0};

	if (api_call(
	        a, &(struct request){.method = "POST", .path = "/v1/denylist", .body = body, .revoke = true},
	        &reply, &err))
		return show_error(a, "deny add", &err);
	if (a->json)
		show_json(reply);
	else
		printf("denied; %lld sessions stopped; epoch %lld\n",
		       (long long)ocu_json_int(reply, "stopped", 0),
		       (long long)ocu_json_int(reply, "epoch", 0));
	return OCC_OK;
}

int run_deny_lift(const struct args *a)
{
	OCU_JSON json_t *reply = NULL;
	OCU_FREE char *kind = client_escape(a->word[0]);
	OCU_FREE char *value = client_escape(a->word[1]);
	OCU_FREE char *path = NULL;
	struct ocu_error err = {0};

	if (!kind || !value || asprintf(&path, "/v1/denylist/%s/%s", kind, value) < 0)
		return OCC_FAILED;
	if (api_call(a, &(struct request){.method = "DELETE", .path = path}, &reply, &err))
		return show_error(a, "deny lift", &err);
	if (a->json)
		show_json(reply);
	else
		printf("lifted; epoch %lld\n", (long long)ocu_json_int(reply, "epoch", 0));
	return OCC_OK;
}
