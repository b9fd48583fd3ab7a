/* actions: every mutating thing is on the list, is audited first, and is refused when it cannot be. */
#include "tests/unit/operatord_api_fixture.h"

#include "operatord/actions.h"
#include "operatord/api_call.h"

static struct ocu_error err;

/* How each operator action is asked for. %s: a live session, or a known token. */
static const struct asking {
	enum action_id action;
	const char *path, *body;
} askings[] = {
    {ACTION_OPERATOR_CREATE, "/v1/sessions", "{\"caller\":\"carol\"}"},
    {ACTION_OPERATOR_DESTROY, "/v1/sessions/%s", NULL},
    {ACTION_SESSION_KILL, "/v1/sessions/%s/kill", "{}"},
    {ACTION_SESSION_KILL_ALL, "/v1/kill-all", "{}"},
    {ACTION_DENYLIST_ADD, "/v1/denylist", "{\"kind\":\"caller\",\"value\":\"dave\"}"},
    {ACTION_DENYLIST_LIFT, "/v1/denylist/caller/mallory", NULL},
    {ACTION_TOKEN_MINT, "/v1/tokens", "{\"caller\":\"carol\",\"ttl_s\":60}"},
    {ACTION_TOKEN_REVOKE, "/v1/tokens/tok_1", NULL},
};
#define ASKINGS (sizeof askings / sizeof *askings)

static const struct endpoint_row {
	const char *method, *route;
} endpoints[] = {
#define X(handler, method, route, pool, schema) {method, route},
    API_ENDPOINTS(X)
#undef X
};

static const struct action *action_for(const char *method, const char *route)
{
	for (int i = 0; i < ACTION_COUNT; i++)
		if (actions[i].who == ACTOR_OPERATOR && strcmp(actions[i].method, method) == 0 &&
		    strcmp(actions[i].route, route) == 0)
			return &actions[i];
	return NULL;
}

/* shows: NFR-SEC-45 */
START_TEST(every_mutating_route_is_on_the_list_and_the_other_way_round)
{
	size_t mutating = 0, listed = 0;

	for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++) {
		if (strcmp(endpoints[i].method, "GET") == 0)
			continue;
		mutating++;
		ck_assert_msg(action_for(endpoints[i].method, endpoints[i].route), "%s %s is not an action",
		              endpoints[i].method, endpoints[i].route);
	}
	for (int i = 0; i < ACTION_COUNT; i++)
		listed += actions[i].who == ACTOR_OPERATOR;
	ck_assert_uint_eq(listed, mutating);
	ck_assert_uint_eq(listed, ASKINGS);
}
END_TEST

/* All that operatord keeps, as one text. */
static char *everything(void)
{
	OCU_FREE struct session *s = NULL;
	OCU_FREE struct deny_entry *d = NULL;
	OCU_FREE struct token_record *t = NULL;
	struct session_filter all = {.limit = 1000};
	json_t *out = json_array();
	uint64_t epoch;
	size_t n;

	ck_assert_int_eq(registry_session_list(fx.c.registry, &all, &s, &n, &err), 0);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(out, json_pack("[si]", s[i].session_id, (int)s[i].state));
	ck_assert_int_eq(registry_deny_list(fx.c.registry, &d, &n, &epoch, &err), 0);
	json_array_append_new(out, json_integer((json_int_t)epoch));
	for (size_t i = 0; i < n; i++)
		json_array_append_new(out, json_string(d[i].value));
	ck_assert_int_eq(registry_token_list(fx.c.registry, NULL, 1000, &t, &n, &err), 0);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(out, json_pack("[sb]", t[i].jti, (int)t[i].revoked));
	char *text = json_dumps(out, JSON_COMPACT);
	json_decref(out);
	return text;
}

static char victim[OCU_ID_MAX];

/* Something for every action to act on. */
static void furnish(void)
{
	const struct token_record t = {.jti = "tok_1",
	                               .caller = "alice",
	                               .created_ms = ocu_wall_ms(),
	                               .expires_ms = ocu_wall_ms() + 60000};
	struct deny_entry e = {.kind = OCU_DENY_CALLER, .value = "mallory"};
	uint64_t epoch;
	bool changed;

	snprintf(victim, sizeof victim, "%s", fx_session("alice", "h"));
	ck_assert_int_eq(registry_token_add(fx.c.registry, &t, &err), 0);
	ck_assert_int_eq(registry_deny_add(fx.c.registry, &e, 1, &epoch, &changed, &err), 0);
	fake_clear(&fx.fake);
}

static struct ax_reply *ask(const struct asking *a)
{
	char path[128];

	snprintf(path, sizeof path, a->path, victim);
	return ax_call(actions[a->action].method, path, a->body);
}

/* shows: NFR-SEC-45, NFR-SEC-72 */
START_TEST(refused_when_the_event_cannot_be_written)
{
	furnish();
	OCU_FREE char *before = everything();
	fake_set_fail(&fx.fake, FAKE_APPEND, OCU_E_NO_SPACE);
	for (size_t i = 0; i < ASKINGS; i++) {
		struct ax_reply *r = ask(&askings[i]);
		OCU_FREE char *after = everything();
		ck_assert_msg(r->status == 503 && strcmp(r->reason, "audit_unavailable") == 0, "%s: %d %s",
		              actions[askings[i].action].name, r->status, r->reason);
		ck_assert_str_eq(before, after);
		ck_assert_str_eq(fake_order(&fx.fake, NULL), "");
	}
}
END_TEST

/* Refused one by one, so that a handler that writes some other event first does not pass. */
/* shows: NFR-SEC-45 */
START_TEST(each_needs_its_own_event)
{
	furnish();
	OCU_FREE char *before = everything();
	for (size_t i = 0; i < ASKINGS; i++) {
		fake_set_fail_action(&fx.fake, actions[askings[i].action].name);
		struct ax_reply *r = ask(&askings[i]);
		OCU_FREE char *after = everything();
		ck_assert_msg(r->status == 503, "%s: %d", actions[askings[i].action].name, r->status);
		ck_assert_str_eq(before, after);
	}
	fake_set_fail_action(&fx.fake, NULL);
}
END_TEST

static size_t ending(void)
{
	OCU_FREE struct session *s = NULL;
	struct session_filter all = {.limit = 1000};
	size_t n, found = 0;

	ck_assert_int_eq(registry_session_list(fx.c.registry, &all, &s, &n, &err), 0);
	for (size_t i = 0; i < n; i++)
		found += s[i].state == SESSION_ENDING;
	return found;
}

/* Ends that a kill left for later have written their last event. */
static void wait_for_ends(void)
{
	while (ending() > 0)
		sched_yield();
}

START_TEST(written_first_when_it_can_be)
{
	/* Each on its own session, in the order of the table: a kill-all in the middle takes the rest. */
	for (size_t i = 0; i < ASKINGS; i++) {
		char hint[32], line[64];
		snprintf(hint, sizeof hint, "h%zu", i);
		if (i == 0)
			furnish();
		else
			snprintf(victim, sizeof victim, "%s", fx_session("alice", hint));
		wait_for_ends();
		fake_clear(&fx.fake);
		struct ax_reply *r = ask(&askings[i]);
		ck_assert_msg(r->status == 200 || r->status == 201, "%s: %d %s",
		              actions[askings[i].action].name, r->status, r->reason);
		snprintf(line, sizeof line, "audit %s", actions[askings[i].action].name);
		ck_assert_msg(strncmp(fake_order(&fx.fake, NULL), line, strlen(line)) == 0, "%s: %s", line,
		              fake_order(&fx.fake, NULL));
	}
}
END_TEST

static void add(TCase *c)
{
	tcase_add_test(c, every_mutating_route_is_on_the_list_and_the_other_way_round);
	tcase_add_test(c, refused_when_the_event_cannot_be_written);
	tcase_add_test(c, each_needs_its_own_event);
	tcase_add_test(c, written_first_when_it_can_be);
}

AX_MAIN("operatord_actions", add)
