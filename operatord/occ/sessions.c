/* sessions: `occ session` and `occ kill`. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "operatord/occ/api.h"
#include "operatord/occ/command.h"
#include "operatord/occ/show.h"

/* A little more than operatord gives the daemons it asks. */
enum { KILL_MS = 12000, KILL_ALL_MS = 30000 };

static const struct column in_list[] = {{"SESSION", "session_id"}, {"STATE", "state"},
                                        {"CALLER", "caller"},      {"TIER", "tier"},
                                        {"AGE s", "age_s"},        {"IDLE s", "idle_s"},
                                        {"NODE", "node"},          {"LABEL", "label"},
                                        {"REASON", "reason"},      {0}};
static const struct column in_full[] = {{"session", "session_id"},
                                        {"state", "state"},
                                        {"caller", "caller"},
                                        {"label", "label"},
                                        {"filesystem", "filesystem_id"},
                                        {"container", "container_name"},
                                        {"token", "token_id"},
                                        {"runtime", "runtime"},
                                        {"tier", "tier"},
                                        {"node", "node"},
                                        {"created", "created"},
                                        {"ended", "ended"},
                                        {"reason", "reason"},
                                        {"age s", "age_s"},
                                        {"idle s", "idle_s"},
                                        {0}};

int run_session_list(const struct args *a)
{
	OCU_JSON json_t *all = NULL;
	struct ocu_error err = {0};
	OCU_FREE char *caller = a->caller ? client_escape(a->caller) : NULL;
	OCU_FREE char *query = NULL;

	if (asprintf(&query, "/v1/sessions?all=%d%s%s", a->all, caller ? "&caller=" : "",
	             caller ? caller : "") < 0)
		return OCC_FAILED;
	if (api_pages(a, query, "sessions", "session_id", &all, &err))
		return show_error(a, "session list", &err);
	if (a->json) {
		json_t *out = json_pack("{sO}", "sessions", all);
		show_json(out);
		json_decref(out);
	} else {
		show_table(in_list, all);
	}
	return OCC_OK;
}

static void show_session(const struct args *a, const json_t *reply)
{
	if (a->json)
		show_json(reply);
	else
		show_object(in_full, reply);
}

/* METHOD /v1/sessions/ID[suffix] */
static int on_session(const struct args *a, const char *method, const char *suffix, const json_t *body,
                      bool revoke, json_t **reply, struct ocu_error *err)
{
	OCU_FREE char *id = client_escape(a->word[0]);
	OCU_FREE char *path = NULL;

	if (!id || asprintf(&path, "/v1/sessions/%s%s", id, suffix) < 0)
		return ocu_error_set(err, OCU_E_NOMEM, "request");
	return api_call(a,
	                &(struct request){.method = method,
	                                  .path = path,
	                                  .body = body,
	                                  .revoke = revoke,
	                                  .timeout_ms = revoke ? KILL_MS : 0},
	                reply, err);
}

int run_session_show(const struct args *a)
{
	OCU_JSON json_t *reply = NULL;
	struct ocu_error err = {0};

	if (on_session(a, "GET", "", NULL, false, &reply, &err))
		return show_error(a, "session show", &err);
	show_session(a, reply);
	return OCC_OK;
}

int run_session_create(const struct args *a)
{
	OCU_JSON json_t *reply = NULL;
	OCU_JSON json_t *body = NULL;
	struct ocu_error err = {0};

	if (!a->caller) {
		fputs("occ: session create: --caller is required\n", stderr);
		return OCC_USAGE;
	}
	body = json_pack("{ss ss* ss*}", "caller", a->caller, "label", a->label, "hint", a->hint);
	if (api_call(a, &(struct request){.method = "POST", .path = "/v1/sessions", .body = body}, &reply,
	             &err))
		return show_error(a, "session create", &err);
	show_session(a, reply);
	return OCC_OK;
}

int run_session_destroy(const struct args *a)
{
	OCU_JSON json_t *reply = NULL;
	struct ocu_error err = {0};

	if (on_session(a, "DELETE", "", NULL, false, &reply, &err))
		return show_error(a, "session destroy", &err);
	if (a->json) {
		show_json(reply);
	} else {
		show_text(ocu_json_str(reply, "session_id", ""));
		fputs(" ended\n", stdout);
	}
	return OCC_OK;
}

/* kill --------------------------------------------------------------------------------------------------- */

static bool confirmed(void)
{
	char line[16];

	if (!isatty(STDIN_FILENO)) {
		fputs("occ: kill --all needs --yes when nobody can be asked\n", stderr);
		return false;
	}
	fputs("Stop every session of this deployment? Type yes: ", stderr);
	return fgets(line, sizeof line, stdin) && strcmp(line, "yes\n") == 0;
}

static void show_kill(const struct args *a, const json_t *reply)
{
	if (a->json) {
		show_json(reply);
		return;
	}
	printf("%lld of %lld stopped, egress of %lld cut, in %.1f ms; denylist epoch %lld\n",
	       (long long)ocu_json_int(reply, "stopped", 0), (long long)ocu_json_int(reply, "sessions", 0),
	       (long long)ocu_json_int(reply, "egress_dropped", 0),
	       (double)ocu_json_int(reply, "duration_us", 0) / 1000,
	       (long long)ocu_json_int(reply, "epoch", 0));
}

int run_kill(const struct args *a)
{
	OCU_JSON json_t *reply = NULL;
	OCU_JSON json_t *body = json_pack("{ss*}", "reason", a->reason);
	struct ocu_error err = {0};
	int rc;

	if (a->all == (a->nwords == 1)) {
		fputs("occ: kill: either a session id or --all\n", stderr);
		return OCC_USAGE;
	}
	if (a->all && !a->yes && !confirmed())
		return OCC_USAGE;
	if (a->all)
		rc = api_call(a,
		              &(struct request){.method = "POST",
		                                .path = "/v1/kill-all",
		                                .body = body,
		                                .revoke = true,
		                                .timeout_ms = KILL_ALL_MS},
		              &reply, &err);
	else
		rc = on_session(a, "POST", "/kill", body, true, &reply, &err);
	if (rc && reply && json_object_get(reply, "sessions"))
		show_kill(a, reply);
	if (rc)
		return show_error(&(struct args){.json = a->json && !json_object_get(reply, "sessions")},
		                  "kill", &err);
	show_kill(a, reply);
	return OCC_OK;
}
