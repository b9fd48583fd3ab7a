/*
 * tool_cancel: a client's word that it no longer wants an answer. Routes, sandboxes and progress are the
 * test's own here: what is seen is how often the sandbox would be told, and of which call.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/inflight.h"
#include "gateway/routes.h"
#include "gateway/sandboxes.h"
#include "gateway/tool.h"
#include "libocu/err.h"

#define SESSION "ses_01ARZ3NDEKTSV4RRFFQ69G5FAV"
#define OTHER   "ses_01ARZ3NDEKTSV4RRFFQ69G5FAW"

static unsigned routed, told;
static char last_trace[64];
static const char *session_now; /* where a route leads */

void routes_get(struct routes *r, const struct caller *caller, const char *hint, const char *trace,
                route_done_fn *done, void *arg)
{
	struct route route = {.url = "tls+tcp://127.0.0.1:9301", .grant = "x"};

	(void)r;
	ck_assert_str_eq(caller->sub, "alice");
	ck_assert_str_eq(hint, "chat");
	routed++;
	snprintf(last_trace, sizeof last_trace, "%s", trace);
	snprintf(route.session_id, sizeof route.session_id, "%s", session_now);
	done(arg, &route, NULL);
}

struct ocu_rpc_client *sandboxes_get(struct sandboxes *s, const char *url, struct ocu_error *err)
{
	(void)s;
	ck_assert_str_eq(url, "tls+tcp://127.0.0.1:9301");
	told++;
	ocu_error_set(err, OCU_E_UNAVAILABLE, "no sandbox in this test");
	return NULL;
}

void call_progress(struct call *c, double progress, const char *message)
{
	(void)c;
	(void)progress;
	(void)message;
}

static struct gateway g;
static struct exchange alices, mallorys;
static struct call first, second;

static void begin(struct call *c, int id, const char *trace)
{
	*c = (struct call){.ex = &alices, .id = json_integer(id), .trace = trace};
	snprintf(c->call_id, sizeof c->call_id, "call_%d", id);
	inflight_add(g.inflight, c);
}

static void route(struct call *c)
{
	struct route r = {.session_id = SESSION, .url = "tls+tcp://127.0.0.1:9301"};

	ck_assert(inflight_routed(g.inflight, c, &r));
}

static void cancel(struct exchange *who, int id)
{
	json_t *j = json_integer(id);

	tool_cancel(who, j);
	json_decref(j);
}

static void setup(void)
{
	ck_assert_int_eq(inflight_new(&g.inflight, NULL), 0);
	alices = mallorys = (struct exchange){.g = &g, .hint = "chat"};
	snprintf(alices.caller.sub, sizeof alices.caller.sub, "alice");
	snprintf(mallorys.caller.sub, sizeof mallorys.caller.sub, "mallory");
	session_now = SESSION;
	begin(&first, 1, "trc_first");
	begin(&second, 2, "trc_second");
}

static void end(struct call *c)
{
	inflight_remove(g.inflight, c);
	json_decref(c->id);
}

static void teardown(void)
{
	end(&first);
	end(&second);
	inflight_free(g.inflight);
}

START_TEST(a_call_is_cancelled_once)
{
	route(&first);
	route(&second);
	for (int i = 0; i < 100; i++)
		cancel(&alices, 1);
	ck_assert_uint_eq(routed, 1);
	ck_assert_uint_eq(told, 1);
	ck_assert_str_eq(last_trace, "trc_first");
	/* Another call has a cancellation of its own. */
	ck_assert(!second.cancelled);
	cancel(&alices, 2);
	ck_assert_uint_eq(told, 2);
	ck_assert_str_eq(last_trace, "trc_second");
}
END_TEST

START_TEST(a_call_without_a_route_never_begins)
{
	const struct route r = {.session_id = SESSION, .url = "tls+tcp://127.0.0.1:9301"};

	cancel(&alices, 1);
	cancel(&alices, 1);
	ck_assert_uint_eq(routed, 0);
	ck_assert(!inflight_routed(g.inflight, &first, &r));
	/* And is not cancelled in a sandbox that was never told of it. */
	cancel(&alices, 1);
	ck_assert_uint_eq(routed, 0);
}
END_TEST

START_TEST(nobody_cancels_the_calls_of_others)
{
	route(&first);
	cancel(&mallorys, 1);
	cancel(&alices, 3);
	ck_assert(!first.cancelled && !second.cancelled);
	ck_assert_uint_eq(routed, 0);
}
END_TEST

START_TEST(a_session_that_came_after_is_left_alone)
{
	route(&first);
	session_now = OTHER;
	cancel(&alices, 1);
	ck_assert_uint_eq(routed, 1);
	ck_assert_uint_eq(told, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("gateway_cancel");
	TCase *t = tcase_create("cancel");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_call_is_cancelled_once);
	tcase_add_test(t, a_call_without_a_route_never_begins);
	tcase_add_test(t, nobody_cancels_the_calls_of_others);
	tcase_add_test(t, a_session_that_came_after_is_left_alone);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
