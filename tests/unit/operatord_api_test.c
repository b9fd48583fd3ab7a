/* api: what an operator can do, and what everybody else cannot. */
#include "tests/unit/operatord_api_fixture.h"

#include <arpa/inet.h>
#include <sys/socket.h>

static struct ocu_error err;

static void expect(struct ax_reply *r, int status, const char *reason)
{
	ck_assert_msg(r->status == status && strcmp(r->reason, reason) == 0, "%d %s, not %d %s", r->status,
	              r->reason, status, reason);
}

static char *forge(const char *header, const char *payload, const char *signature)
{
	char b[3][2048];
	char *token;

	ocu_b64url_encode(header, strlen(header), b[0]);
	ocu_b64url_encode(payload, strlen(payload), b[1]);
	ocu_b64url_encode(signature, strlen(signature), b[2]);
	ck_assert_int_gt(asprintf(&token, "%s.%s.%s", b[0], b[1], b[2]), 0);
	return token;
}

static void expect_token(char *steal, const char *reason)
{
	expect(ax_send(api_port(ax.api), "GET", "/v1/status", steal, NULL, 0), 401, reason);
	free(steal);
}

/* shows: NFR-SEC-09, NFR-SEC-10, NFR-SEC-11 (in part) */
START_TEST(only_a_good_assertion_opens_it)
{
	struct ocu_signer *other = NULL;
	char header[256], payload[512];

	expect(ax_send(api_port(ax.api), "GET", "/v1/status", NULL, NULL, 0), 401, "unauthenticated");
	expect_token(strdup("x"), "token_malformed");
	expect_token(ax_token_of(ax.key, (struct ax_claims){.iss = "ocu:" TD}), "token_issuer");
	expect_token(ax_token_of(ax.key, (struct ax_claims){.aud = "ocu-gateway"}), "token_audience");
	expect_token(ax_token_of(ax.key, (struct ax_claims){.iat = -120, .ttl = 60}), "token_expired");
	expect_token(ax_token_of(ax.key, (struct ax_claims){.ttl = 61}), "token_claim");
	expect_token(ax_token_of(ax.key, (struct ax_claims){.sub = "two words"}), "token_claim");
	ck_assert_int_eq(ocu_signer_generate(&other, NULL), 0);
	expect_token(ax_token_of(other, (struct ax_claims){0}), "token_unknown_key");
	ocu_signer_free(other);

	long now = (long)ocu_wall_s();
	snprintf(payload, sizeof payload,
	         "{\"iss\":\"occ\",\"aud\":\"ocu-operator-api\",\"sub\":\"root\",\"iat\":%ld,\"exp\":%ld,"
	         "\"jti\":\"j\"}",
	         now, now + 60);
	snprintf(header, sizeof header, "{\"alg\":\"none\",\"kid\":\"%s\"}", ocu_signer_kid(ax.key));
	expect_token(forge(header, payload, ""), "token_algorithm");
	snprintf(header, sizeof header, "{\"alg\":\"HS256\",\"kid\":\"%s\"}", ocu_signer_kid(ax.key));
	expect_token(forge(header, payload, "signature"), "token_algorithm");
	snprintf(header, sizeof header, "{\"alg\":\"EdDSA\",\"kid\":\"%s\"}", ocu_signer_kid(ax.key));
	expect_token(forge(header, payload, "signature"), "token_bad_signature");
	fake_wait(&fx.fake, "audit operator.authenticate!");
	ck_assert_int_eq(ax_call("GET", "/v1/status", NULL)->status, 200);
}
END_TEST

/* shows: NFR-SEC-09 */
START_TEST(an_assertion_is_good_once_also_across_a_restart)
{
	OCU_FREE char *token = ax_token();

	ck_assert_int_eq(ax_send(api_port(ax.api), "GET", "/v1/status", token, NULL, 0)->status, 200);
	expect(ax_send(api_port(ax.api), "GET", "/v1/status", token, NULL, 0), 401, "token_revoked");
	expect(ax_send(api_revoke_port(ax.api), "POST", "/v1/kill-all", token, "", 0), 401, "token_revoked");
	ax_close();
	ax_open();
	expect(ax_send(api_port(ax.api), "GET", "/v1/status", token, NULL, 0), 401, "token_revoked");
}
END_TEST

/* shows: NFR-SEC-51 */
START_TEST(bad_requests_are_refused_and_change_nothing)
{
	static const struct {
		const char *method, *path, *body;
		int status;
		const char *reason;
	} bad[] = {
	    {"POST", "/v1/denylist", "{", 400, "parse_error"},
	    {"POST", "/v1/denylist", "{\"kind\":\"caller\",\"kind\":\"token\",\"value\":\"x\"}", 400,
	     "parse_error"},
	    {"POST", "/v1/denylist", "{\"kind\":\"caller\",\"value\":\"\xff\"}", 400, "parse_error"},
	    {"POST", "/v1/denylist", "{\"kind\":\"caller\",\"value\":\"x\"} trailing", 400, "parse_error"},
	    {"POST", "/v1/denylist", "[]", 400, "invalid_params"},
	    {"POST", "/v1/denylist", "{}", 400, "invalid_params"},
	    {"POST", "/v1/denylist", "", 400, "invalid_params"},
	    {"POST", "/v1/denylist", "{\"kind\":\"everyone\",\"value\":\"x\"}", 400, "invalid_params"},
	    {"POST", "/v1/denylist", "{\"kind\":\"caller\",\"value\":\"\"}", 400, "invalid_params"},
	    {"POST", "/v1/denylist", "{\"kind\":\"caller\",\"value\":\"a\\nb\"}", 400, "invalid_params"},
	    {"POST", "/v1/denylist", "{\"kind\":\"caller\",\"value\":\"x\",\"force\":true}", 400,
	     "unknown_field"},
	    {"POST", "/v1/tokens", "{\"caller\":\"a\",\"ttl_s\":0}", 400, "invalid_params"},
	    {"POST", "/v1/tokens", "{\"caller\":\"a\",\"ttl_s\":34560000}", 400, "invalid_params"},
	    {"POST", "/v1/tokens", "{\"caller\":\"a\",\"ttl_s\":\"60\"}", 400, "invalid_params"},
	    {"POST", "/v1/tokens", "{\"caller\":\"a\",\"ttl_s\":60,\"audiences\":[]}", 400, "invalid_params"},
	    {"POST", "/v1/sessions", "{\"hint\":\"a\"}", 400, "invalid_params"},
	    {"POST", "/v1/kill-all", "{\"reason\":\"\\u0007\"}", 400, "invalid_params"},
	    {"GET", "/v1/sessions?limit=0", NULL, 400, "invalid_params"},
	    {"GET", "/v1/sessions?limit=99999", NULL, 400, "invalid_params"},
	    {"GET", "/v1/denylist?offset=-1", NULL, 400, "invalid_params"},
	    {"GET", "/v1/sessions/ses_nobody", NULL, 404, "not_found"},
	    {"DELETE", "/v1/sessions/ses_nobody", NULL, 404, "not_found"},
	    {"POST", "/v1/sessions/ses_nobody/kill", "{}", 404, "not_found"},
	    {"DELETE", "/v1/denylist/caller/nobody", NULL, 404, "not_found"},
	    {"DELETE", "/v1/denylist/everyone/nobody", NULL, 400, "invalid_params"},
	    {"GET", "/v1/nothing", NULL, 404, "not_found"},
	    {"GET", "/v2/status", NULL, 404, "not_found"},
	    {"PUT", "/v1/status", NULL, 405, "unknown_method"},
	    {"GET", "/v1/kill-all", NULL, 405, "unknown_method"},
	};
	uint64_t epoch = registry_epoch(fx.c.registry);

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct ax_reply *r = ax_call(bad[i].method, bad[i].path, bad[i].body);
		ck_assert_msg(r->status == bad[i].status, "%zu: %s %s: %d %s", i, bad[i].method, bad[i].path,
		              r->status, r->reason);
		ck_assert_msg(strcmp(r->reason, bad[i].reason) == 0 || bad[i].status == 405, "%zu: %s %s: %s",
		              i, bad[i].method, bad[i].path, r->reason);
	}
	ck_assert_uint_eq(registry_epoch(fx.c.registry), epoch);
	ck_assert(!fake_has(&fx.fake, "audit denylist"));
	ck_assert(!fake_has(&fx.fake, "audit token"));
}
END_TEST

START_TEST(large_bodies_are_refused)
{
	OCU_FREE char *body = malloc(9000);
	OCU_FREE char *token = ax_token();

	memset(body, 0x20, 9000);
	expect(ax_send(api_port(ax.api), "POST", "/v1/denylist", token, body, 9000), 413, "too_large");
	free(token);
	token = ax_token();
	expect(ax_send(api_port(ax.api), "DELETE", "/v1/tokens/x", token, body, 100), 413, "too_large");
}
END_TEST

/* shows: NFR-IC-02 */
START_TEST(sessions_from_create_to_kill)
{
	char id[OCU_ID_MAX], path[128];

	struct ax_reply *r =
	    ax_call("POST", "/v1/sessions", "{\"caller\":\"alice\",\"label\":\"made by hand\"}");
	ck_assert_int_eq(r->status, 201);
	snprintf(id, sizeof id, "%s", ocu_json_str(r->json, "session_id", ""));
	ck_assert_str_eq(ocu_json_str(r->json, "state", ""), "active");
	ck_assert_str_eq(fake_order(&fx.fake, id),
	                 "audit session.create|mount.Register|edge.Register|control.Start");
	r = ax_call("GET", "/v1/sessions?caller=alice", NULL);
	ck_assert_uint_eq(json_array_size(json_object_get(r->json, "sessions")), 1);
	ck_assert_uint_eq(json_array_size(json_object_get(
	                      ax_call("GET", "/v1/sessions?caller=bob", NULL)->json, "sessions")),
	                  0);
	snprintf(path, sizeof path, "/v1/sessions/%s", id);
	ck_assert_str_eq(ocu_json_str(ax_call("GET", path, NULL)->json, "label", ""), "made by hand");
	snprintf(path, sizeof path, "/v1/sessions/%s/kill", id);
	r = ax_call("POST", path, "{\"reason\":\"test\"}");
	ck_assert_int_eq(r->status, 200);
	ck_assert_int_eq(ocu_json_int(r->json, "stopped", 0), 1);
	fake_wait(&fx.fake, "audit session.ended");
	while (fx_row(id).state != SESSION_ENDED)
		sched_yield();
	ck_assert_int_eq(ax_call("POST", "/v1/sessions", "{\"caller\":\"bob\"}")->status, 201);
	r = ax_call("POST", "/v1/kill-all", NULL);
	ck_assert_int_eq(ocu_json_int(r->json, "stopped", 0), 1);
	r = ax_call("GET", "/v1/sessions?all=1", NULL);
	ck_assert_uint_eq(json_array_size(json_object_get(r->json, "sessions")), 2);
}
END_TEST

START_TEST(denylist_and_tokens)
{
	char path[128];

	struct ax_reply *r =
	    ax_call("POST", "/v1/tokens", "{\"caller\":\"alice\",\"ttl_s\":60,\"label\":\"l\"}");
	ck_assert_int_eq(r->status, 201);
	ck_assert_str_ne(ocu_json_str(r->json, "token", ""), "");
	snprintf(path, sizeof path, "/v1/tokens/%s", ocu_json_str(r->json, "jti", ""));
	ck_assert_int_eq(ax_call("DELETE", path, NULL)->status, 200);
	r = ax_call("GET", "/v1/tokens", NULL);
	const json_t *t = json_array_get(json_object_get(r->json, "tokens"), 0);
	ck_assert(json_is_true(json_object_get(t, "revoked")));
	ck_assert_ptr_null(json_object_get(t, "token")); /* shown once */

	ck_assert_int_eq(ax_call("POST", "/v1/denylist", "{\"kind\":\"caller\",\"value\":\"a/b c\"}")->status,
	                 201);
	r = ax_call("GET", "/v1/denylist", NULL);
	ck_assert_uint_eq(json_array_size(json_object_get(r->json, "entries")), 2);
	json_int_t epoch = ocu_json_int(r->json, "epoch", 0);
	r = ax_call("DELETE", "/v1/denylist/caller/a/b%20c", NULL);
	ck_assert_int_eq(r->status, 200);
	ck_assert_int_eq(ocu_json_int(r->json, "epoch", 0), epoch + 1);
	r = ax_call("GET", "/v1/audit/head", NULL);
	ck_assert_int_eq(strncmp(ocu_json_str(r->json, "head", ""), "abcd00", 6), 0);
}
END_TEST

START_TEST(status_tells_who_is_there)
{
	struct ax_reply *r = ax_call("GET", "/v1/status", NULL);
	const json_t *components = json_object_get(r->json, "components");

	ck_assert_uint_eq(json_object_size(components), 5);
	ck_assert(json_is_true(json_object_get(json_object_get(components, "sandboxd"), "connected")));
	ck_assert(json_is_false(json_object_get(json_object_get(components, "gateway"), "connected")));
	fx_session("alice", "h");
	r = ax_call("GET", "/v1/status", NULL);
	components = json_object_get(r->json, "components");
	ck_assert(json_is_true(json_object_get(json_object_get(components, "gateway"), "connected")));
	ck_assert_int_eq(ocu_json_int(json_object_get(r->json, "sessions"), "live", 0), 1);
}
END_TEST

/* shows: NFR-SEC-55 */
START_TEST(the_revoke_listener_has_revocations_only)
{
	static const char *const others[][2] = {{"GET", "/v1/status"},    {"GET", "/v1/sessions"},
	                                        {"POST", "/v1/sessions"}, {"GET", "/v1/tokens"},
	                                        {"POST", "/v1/tokens"},   {"DELETE", "/v1/sessions/x"},
	                                        {"GET", "/v1/audit/head"}};
	OCU_FREE char *token = ax_token();

	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		int status =
		    ax_send(api_revoke_port(ax.api), others[i][0], others[i][1], token, NULL, 0)->status;
		ck_assert_msg(status == 404 || status == 405, "%s %s: %d", others[i][0], others[i][1],
		              status);
	}
	ck_assert_int_eq(ax_send(api_revoke_port(ax.api), "POST", "/v1/kill-all", token, "{}", 2)->status,
	                 200);
}
END_TEST

/* A certificate of the deployment is no way in: the API takes assertions, and the gateway has no key for one.
 */
/* shows: NFR-SEC-09, NFR-SEC-52 */
START_TEST(a_stolen_gateway_identity_does_not_open_it)
{
	struct ocu_signer *stolen = NULL;
	char path[512];

	snprintf(path, sizeof path, "%s/gateway/token.key", fx.dir);
	ck_assert_int_eq(ocu_signer_load(&stolen, path, NULL), 0);
	OCU_FREE char *token = ax_token_of(stolen, (struct ax_claims){0});
	expect(ax_send(api_port(ax.api), "POST", "/v1/kill-all", token, "{}", 2), 401, "token_unknown_key");
	struct fx_created made;
	ck_assert_int_eq(fx_create("alice", "h", &made, &err), 0);
	expect(ax_send(api_port(ax.api), "POST", "/v1/kill-all", made.grant, "{}", 2), 401,
	       "token_unknown_key");
	ocu_signer_free(stolen);
}
END_TEST

static int dial(int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
	if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* shows: NFR-SEC-55 */
START_TEST(a_crowd_on_the_operator_listener_does_not_delay_a_kill)
{
	enum { CROWD = 400 };
	int fd[CROWD];
	OCU_FREE char *token = ax_token();
	char path[128];

	snprintf(path, sizeof path, "/v1/sessions/%s/kill", fx_session("alice", "h"));
	/* More connections than it takes, each in the middle of nothing. */
	for (int i = 0; i < CROWD; i++) {
		fd[i] = dial(api_port(ax.api));
		if (fd[i] >= 0 && send(fd[i], "\x16\x03\x01", 3, MSG_NOSIGNAL) < 0)
			continue;
	}
	uint64_t begin = ocu_mono_ms();
	struct ax_reply *r = ax_send(api_revoke_port(ax.api), "POST", path, token, "{}", 2);
	ck_assert_int_eq(r->status, 200);
	ck_assert_int_eq(ocu_json_int(r->json, "stopped", 0), 1);
	ck_assert_uint_lt(ocu_mono_ms() - begin, 30000);
	for (int i = 0; i < CROWD; i++)
		if (fd[i] >= 0)
			close(fd[i]);
}
END_TEST

static void *destroy_slowly(void *arg)
{
	OCU_FREE char *token = ax_token();
	struct ax_reply r = {0};

	ax_request(&r, api_port(ax.api), "DELETE", arg, token, NULL, 0);
	json_decref(r.json);
	return NULL;
}

/* shows: NFR-SEC-55 */
START_TEST(slow_operator_requests_do_not_delay_a_kill)
{
	enum { SLOW = 7 };
	pthread_t t[SLOW];
	char path[128], slow[SLOW][128], victim[OCU_ID_MAX];

	snprintf(victim, sizeof victim, "%s", fx_session("alice", "h"));
	fake_clear(&fx.fake);
	/* Destroys that hang in brokerd take every ordinary worker. */
	fake_set_await(&fx.fake, FAKE_RELEASE, "go on");
	for (int i = 0; i < SLOW; i++) {
		char hint[32];
		snprintf(hint, sizeof hint, "s%d", i);
		snprintf(slow[i], sizeof slow[i], "/v1/sessions/%s", fx_session("bob", hint));
		ck_assert_int_eq(pthread_create(&t[i], NULL, destroy_slowly, slow[i]), 0);
	}
	fake_wait(&fx.fake, "mount.Release(scrub)");
	snprintf(path, sizeof path, "/v1/sessions/%s/kill", victim);
	OCU_FREE char *token = ax_token();
	uint64_t begin = ocu_mono_ms();
	ck_assert_int_eq(ax_send(api_port(ax.api), "POST", path, token, "{}", 2)->status, 200);
	ck_assert_uint_lt(ocu_mono_ms() - begin, 30000);
	fake_say(&fx.fake, "go on");
	for (int i = 0; i < SLOW; i++)
		pthread_join(t[i], NULL);
}
END_TEST

static void add(TCase *c)
{
	tcase_add_test(c, only_a_good_assertion_opens_it);
	tcase_add_test(c, an_assertion_is_good_once_also_across_a_restart);
	tcase_add_test(c, bad_requests_are_refused_and_change_nothing);
	tcase_add_test(c, large_bodies_are_refused);
	tcase_add_test(c, sessions_from_create_to_kill);
	tcase_add_test(c, denylist_and_tokens);
	tcase_add_test(c, status_tells_who_is_there);
	tcase_add_test(c, the_revoke_listener_has_revocations_only);
	tcase_add_test(c, a_stolen_gateway_identity_does_not_open_it);
	tcase_add_test(c, a_crowd_on_the_operator_listener_does_not_delay_a_kill);
	tcase_add_test(c, slow_operator_requests_do_not_delay_a_kill);
}

AX_MAIN("operatord_api", add)
