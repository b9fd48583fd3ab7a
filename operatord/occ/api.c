/* api: see api.h. */
#include "operatord/occ/api.h"

#include <stdio.h>
#include <stdlib.h>

#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "operatord/occ/command.h"
#include "operatord/occ/deployment.h"

int api_call(const struct args *a, const struct request *q, json_t **ret, struct ocu_error *err)
{
	DEPLOYMENT d = {0};
	int rc = deployment_load(&d, a->deployment, err);

	return rc ? rc : client_call(&d, q, ret, err);
}

int api_pages(const struct args *a, const char *query, const char *member, const char *key, json_t **ret,
              struct ocu_error *err)
{
	OCU_JSON json_t *all = json_array();
	OCU_FREE char *after = NULL;

	for (;;) {
		OCU_JSON json_t *page = NULL;
		OCU_FREE char *path = NULL;
		int rc;

		if (asprintf(&path, "%s%s%s", query, after ? "&after=" : "", after ? after : "") < 0)
			return ocu_error_set(err, OCU_E_NOMEM, "request");
		rc = api_call(a, &(struct request){.method = "GET", .path = path}, &page, err);
		if (rc)
			return rc;
		const json_t *rows = json_object_get(page, member);
		if (json_array_extend(all, (json_t *)rows) != 0)
			return ocu_error_set(err, OCU_E_INTERNAL, "operatord's reply has no %s", member);
		if (!ocu_json_str(page, "next", NULL))
			break;
		free(after);
		after = client_escape(ocu_json_str(json_array_get(rows, json_array_size(rows) - 1), key, ""));
	}
	*ret = ocu_steal(&all);
	return 0;
}
