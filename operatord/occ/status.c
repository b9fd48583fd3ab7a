/* status: `occ status`. */
#include <stdio.h>

#include "libocu/err.h"
#include "libocu/json.h"
#include "operatord/occ/api.h"
#include "operatord/occ/command.h"
#include "operatord/occ/show.h"

static const struct column deployment[] = {{"operatord", "version"},   {"trust domain", "trust_domain"},
                                           {"profile", "profile"},     {"sandbox tier", "tier"},
                                           {"compared", "reconciled"}, {0}};
static const struct column components[] = {{"COMPONENT", "name"},
                                           {"VERSION", "version"},
                                           {"CONNECTED", "connected"},
                                           {"DENYLIST EPOCH", "denylist_epoch"},
                                           {"HEARD ms AGO", "heard_ms_ago"},
                                           {0}};

static const struct column nodes[] = {
    {"NODE", "name"},           {"TIER", "tier"},         {"SESSIONS", "sessions"},
    {"COMPARED", "reconciled"}, {"CORDONED", "cordoned"}, {"SANDBOXD", "sandboxd"},
    {"BROKERD", "brokerd"},     {"EGRESSD", "egressd"},   {0}};

static void show_components(const json_t *reply)
{
	OCU_JSON json_t *rows = json_array();
	const char *name;
	json_t *j;

	json_object_foreach(json_object_get(reply, "components"), name, j)
	{
		json_object_set_new(j, "name", json_string(name));
		json_array_append(rows, j);
	}
	show_table(components, rows);
}

int run_status(const struct args *a)
{
	OCU_JSON json_t *reply = NULL;
	struct ocu_error err = {0};

	if (api_call(a, &(struct request){.method = "GET", .path = "/v1/status"}, &reply, &err))
		return show_error(a, "status", &err);
	if (a->json) {
		show_json(reply);
		return OCC_OK;
	}
	const json_t *sessions = json_object_get(reply, "sessions"),
	             *deny = json_object_get(reply, "denylist");
	show_object(deployment, reply);
	printf("sessions      %lld live, %lld at most\ndenylist      epoch %lld\n\n",
	       (long long)ocu_json_int(sessions, "live", 0), (long long)ocu_json_int(sessions, "total", 0),
	       (long long)ocu_json_int(deny, "epoch", 0));
	show_components(reply);
	const json_t *list = json_object_get(reply, "nodes");
	if (json_array_size(list) > 1) {
		printf("\n");
		show_table(nodes, list);
	}
	return OCC_OK;
}
