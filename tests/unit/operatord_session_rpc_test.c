/* session_rpc: what the gateway may ask, and that it may ask nothing else. */
#include "tests/unit/operatord_fixture.h"

#include "operatord/pace.h"
#include "proto/denylist.pb-c.h"

static struct ocu_error err;

static json_t *claims_of(const char *token, const char *audience, int64_t max_ttl_s)
{
	const struct ocu_jwt_expect e = {
	    .issuer = "ocu:" TD "/operatord", .audience = audience, .max_ttl_s = max_ttl_s};
	struct ocu_jwks *keys = NULL;
	json_t *claims = NULL;
	char path[512];

	snprintf(path, sizeof path, "%s/session-jwks.json", fx.dir);
	ck_assert_int_eq(ocu_jwks_load(&keys, path, NULL), 0);
	ck_assert_msg(ocu_jwt_verify(keys, token, strlen(token), &e, &claims, &err) == 0, "%s", err.text);
	ocu_jwks_free(keys);
	return claims;
}

/* shows: NFR-SEC-72, NFR-SEC-10 */
START_TEST(create_starts_in_order_and_audits_first)
{
	struct fx_created made, again;

	ck_assert_msg(fx_create("alice", "h1", &made, &err) == 0, "%s", err.text);
	ck_assert(made.created);
	ck_assert_str_eq(fake_order(&fx.fake, made.session_id),
	                 "audit session.create|mount.Register|edge.Register|control.Start");
	ck_assert_str_eq(made.url, "tls+tcp://exec.test:9301");
	struct session row = fx_row(made.session_id);
	ck_assert_int_eq(row.state, SESSION_ACTIVE);
	ck_assert_str_eq(row.tier, "runc");

	json_t *grant = claims_of(made.grant, "ocu-exec", 300);
	ck_assert_str_eq(ocu_json_str(grant, "sub", ""), "alice");
	ck_assert_str_eq(ocu_json_str(grant, "sid", ""), made.session_id);
	ck_assert_str_eq(ocu_json_str(grant, "inst", ""), "node-1");
	ck_assert(made.ttl_ms >= 60000 && made.ttl_ms < 61000);
	json_decref(grant);
	json_t *session = claims_of(fx.fake.session_jwt, "ocu-session", 3600);
	ck_assert_str_eq(ocu_json_str(session, "sub", ""), row.container_name);
	ck_assert_str_eq(ocu_json_str(session, "sid", ""), made.session_id);
	json_decref(session);

	ck_assert_int_eq(fx_create("alice", "h1", &again, &err), 0);
	ck_assert(!again.created);
	ck_assert_str_eq(again.session_id, made.session_id);
	ck_assert_uint_eq(fake_count(&fx.fake, "control.Start"), 1);
}
END_TEST

/* A caller who ends each session before the next is within every limit on live ones. shows: NFR-SEC-46 (in
 * part) */
START_TEST(a_caller_starts_only_so_many_a_minute)
{
	struct fx_created made;
	unsigned started = 0;
	char hint[24];

	pace_free(fx.c.pace);
	fx.c.pace = pace_new(3);
	for (int i = 0; i < 12; i++) {
		snprintf(hint, sizeof hint, "churn%d", i);
		int rc = fx_create("mallory", hint, &made, &err);
		if (rc == 0) {
			started++;
			ck_assert_int_eq(fx_destroy("mallory", made.session_id, "", &err), 0);
		} else {
			ck_assert_int_eq(rc, OCU_E_RATE);
		}
	}
	/* Another one for every twenty seconds this took. */
	ck_assert_uint_ge(started, 3);
	ck_assert_uint_lt(started, 12);
	ck_assert(fake_has(&fx.fake, "audit session.create!"));
	/* Nobody else waits for that, and one that runs is found as before. */
	ck_assert_int_eq(fx_create("alice", "h", &made, &err), 0);
	ck_assert_int_eq(fx_create("alice", "h", &made, &err), 0);
	ck_assert(!made.created);
}
END_TEST

START_TEST(pace_is_kept_on_the_given_clock)
{
	struct pace *p = pace_new(2);
	char caller[24];

	ck_assert_int_eq(pace_take(p, "a", 1000, &err), 0);
	ck_assert_int_eq(pace_take(p, "a", 1000, &err), 0);
	ck_assert_int_eq(pace_take(p, "a", 1000, &err), OCU_E_RATE);
	ck_assert_int_eq(pace_take(p, "b", 1000, &err), 0);
	ck_assert_int_eq(pace_take(p, "a", 30999, &err), OCU_E_RATE);
	ck_assert_int_eq(pace_take(p, "a", 31000, &err), 0);
	ck_assert_int_eq(pace_take(p, "a", 31000, &err), OCU_E_RATE);
	/* A crowd pushes out the oldest, and nobody who was there lately. */
	for (int i = 0; i < 2000; i++) {
		snprintf(caller, sizeof caller, "crowd%d", i);
		ck_assert_int_eq(pace_take(p, caller, 31001 + (uint64_t)i, &err), 0);
		if (i % 500 == 0)
			ck_assert_int_eq(pace_take(p, "a", 31001 + (uint64_t)i, &err), OCU_E_RATE);
	}
	pace_free(p);
}
END_TEST

static void *create_thread(void *arg)
{
	struct fx_created *made = arg;
	struct ocu_error own = {0};

	if (fx_create("alice", "same", made, &own))
		snprintf(made->session_id, sizeof made->session_id, "failed %d", own.code);
	return NULL;
}

START_TEST(creates_of_one_pair_at_once_give_one_session)
{
	enum { N = 24 };
	struct fx_created made[N] = {0};
	pthread_t t[N];
	int created = 0;

	/* The start waits until every one has asked. */
	fake_set_await(&fx.fake, FAKE_START, "everybody asked");
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, create_thread, &made[i]), 0);
	fake_wait(&fx.fake, "control.Start");
	fake_say(&fx.fake, "everybody asked");
	for (int i = 0; i < N; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < N; i++) {
		ck_assert_str_eq(made[i].session_id, made[0].session_id);
		created += made[i].created;
	}
	ck_assert_int_eq(created, 1);
	ck_assert_uint_eq(fake_count(&fx.fake, "control.Start"), 1);
	ck_assert_uint_eq(fake_count(&fx.fake, "audit session.create "), 1);
}
END_TEST

/* shows: NFR-SEC-53, NFR-COST-06 (in part) */
START_TEST(quota_is_kept_and_given_back)
{
	char hint[32];

	for (unsigned i = 0; i < fx.cfg.limits.per_caller; i++) {
		snprintf(hint, sizeof hint, "h%u", i);
		fx_session("alice", hint);
	}
	ck_assert_int_eq(fx_create("alice", "one-more", NULL, &err), OCU_E_QUOTA);
	fake_wait(&fx.fake, "audit session.create!");
	ck_assert_int_eq(fx_create("bob", "h", NULL, &err), 0);
	ck_assert_int_eq(fx_destroy("alice", "", "h0", &err), 0);
	ck_assert_int_eq(fx_create("alice", "one-more", NULL, &err), 0);
}
END_TEST

/* shows: NFR-SEC-65 (in part), NFR-SEC-72 */
START_TEST(a_failed_start_is_taken_back_in_order)
{
	static const enum fake_method steps[] = {FAKE_REGISTER_MOUNT, FAKE_REGISTER_EDGE, FAKE_START};
	static const char *const before[] = {"mount.Register", "mount.Register|edge.Register",
	                                     "mount.Register|edge.Register|control.Start"};
	char want[512];
	struct session *list;
	size_t n;

	for (int i = 0; i < 3; i++) {
		fake_clear(&fx.fake);
		fake_set_fail(&fx.fake, steps[i], OCU_E_BUSY);
		ck_assert_int_eq(fx_create("alice", "h", NULL, &err), OCU_E_BUSY);
		ck_assert_str_eq(err.text, ocu_err_text(OCU_E_BUSY));
		fake_set_fail(&fx.fake, steps[i], 0);
		ck_assert_int_eq(registry_session_list(fx.c.registry, &(struct session_filter){.limit = 99},
		                                       &list, &n, &err),
		                 0);
		ck_assert_uint_eq(n, (size_t)i + 1);
		ck_assert_int_eq(list[i].state, SESSION_ENDED);
		snprintf(want, sizeof want,
		         "audit session.create|%s|audit "
		         "session.rollback!|edge.Drop|control.Stop|mount.Release(scrub)|"
		         "audit session.ended",
		         before[i]);
		ck_assert_str_eq(fake_order(&fx.fake, list[i].session_id), want);
		free(list);
	}
	ck_assert_int_eq(fx_create("alice", "h", NULL, &err), 0);
}
END_TEST

/* shows: NFR-SEC-72, NFR-SEC-45 */
START_TEST(no_audit_no_session)
{
	struct session *list;
	size_t n;

	fake_set_fail(&fx.fake, FAKE_APPEND, OCU_E_NO_SPACE);
	ck_assert_int_eq(fx_create("alice", "h", NULL, &err), OCU_E_AUDIT);
	ck_assert_str_eq(fake_order(&fx.fake, NULL), "");
	ck_assert_int_eq(
	    registry_session_list(fx.c.registry, &(struct session_filter){.limit = 9}, &list, &n, &err), 0);
	ck_assert_uint_eq(n, 0);
	free(list);
	fake_set_fail(&fx.fake, FAKE_APPEND, 0);
	const char *id = fx_session("alice", "h");
	/* Nor does one end without. */
	fake_set_fail(&fx.fake, FAKE_APPEND, OCU_E_NO_SPACE);
	fake_clear(&fx.fake);
	ck_assert_int_eq(fx_destroy("alice", id, "", &err), OCU_E_AUDIT);
	ck_assert_str_eq(fake_order(&fx.fake, NULL), "");
	ck_assert_int_eq(fx_row(id).state, SESSION_ACTIVE);
}
END_TEST

START_TEST(sessions_of_others_do_not_exist)
{
	Ocu__Session__StatusRequest q = OCU__SESSION__STATUS_REQUEST__INIT;
	Ocu__Session__StatusReply *p = NULL;
	const char *id = fx_session("alice", "h");

	q.caller = (char *)"mallory";
	q.session_id = (char *)id;
	ck_assert_int_eq(fx_route("mallory", id, &err), OCU_E_NOT_FOUND);
	ck_assert_int_eq(fx_destroy("mallory", id, "", &err), OCU_E_NOT_FOUND);
	ck_assert_int_eq(ocu_rpc_call(fx.gateway, &ocu_m_session_status, &q.base, NULL, 5000, NULL, &err),
	                 OCU_E_NOT_FOUND);
	ck_assert_ptr_null(strstr(err.text, id));
	ck_assert_int_eq(fx_destroy("mallory", "", "h", &err), 0); /* her own, of which there is none */
	ck_assert_int_eq(fx_row(id).state, SESSION_ACTIVE);
	q.caller = (char *)"alice";
	ck_assert_int_eq(ocu_rpc_call(fx.gateway, &ocu_m_session_status, &q.base, (ProtobufCMessage **)&p,
	                              5000, NULL, &err),
	                 0);
	ck_assert_str_eq(p->state, "active");
	ocu__session__status_reply__free_unpacked(p, NULL);
}
END_TEST

/* shows: NFR-SEC-65 (in part) */
START_TEST(destroy_tears_down_in_order)
{
	const char *id = fx_session("alice", "h");

	fake_clear(&fx.fake);
	ck_assert_msg(fx_destroy("alice", id, "", &err) == 0, "%s", err.text);
	ck_assert_str_eq(
	    fake_order(&fx.fake, id),
	    "audit session.destroy|edge.Drop|control.Stop|mount.Release(scrub)|audit session.ended");
	ck_assert_int_eq(fx_row(id).state, SESSION_ENDED);
	ck_assert_int_eq(fx_destroy("alice", id, "", &err), 0);
	ck_assert_int_eq(fx_route("alice", id, &err), OCU_E_SESSION_GONE);
}
END_TEST

/* shows: NFR-SEC-40, NFR-SEC-48 (in part) */
START_TEST(a_route_marks_activity)
{
	const char *id = fx_session("alice", "h");
	int64_t before = fx_row(id).active_mono, now = (int64_t)ocu_mono_ms();

	while ((int64_t)ocu_mono_ms() <= now)
		sched_yield();
	ck_assert_int_eq(fx_route("alice", id, &err), 0);
	ck_assert_int_gt(fx_row(id).active_mono, before);
	before = fx_row(id).active_mono;
	while ((int64_t)ocu_mono_ms() <= before)
		sched_yield();
	fx_session("alice", "h");
	ck_assert_int_gt(fx_row(id).active_mono, before);
}
END_TEST

static int try_create(const char *caller, const char *token, const char *hint)
{
	Ocu__Session__CreateRequest q = OCU__SESSION__CREATE_REQUEST__INIT;

	q.caller = (char *)caller;
	q.token_id = (char *)token;
	q.hint = (char *)hint;
	return ocu_rpc_call(fx.gateway, &ocu_m_session_create, &q.base, NULL, 10000, NULL, &err);
}

START_TEST(bad_names_are_refused)
{
	char large[400];

	memset(large, 'a', sizeof large - 1);
	large[sizeof large - 1] = '\0';
	ck_assert_int_eq(try_create("", "t", "h"), OCU_E_PARAMS);
	ck_assert_int_eq(try_create("alice", "t", ""), OCU_E_PARAMS);
	ck_assert_int_eq(try_create(large, "t", "h"), OCU_E_PARAMS);
	ck_assert_int_eq(try_create("alice", large, "h"), OCU_E_PARAMS);
	ck_assert_int_eq(try_create("alice", "t", large), OCU_E_PARAMS);
	ck_assert_int_eq(try_create("ali\nce", "t", "h"), OCU_E_PARAMS);
	ck_assert_int_lt(try_create("ali\xff"
	                            "ce",
	                            "t", "h"),
	                 0);
	ck_assert(!fake_has(&fx.fake, "audit session"));
	ck_assert(!fake_has(&fx.fake, "mount.Register"));
}
END_TEST

/* shows: NFR-SEC-01, NFR-SEC-52, NFR-SEC-55 */
START_TEST(a_stolen_gateway_certificate_gets_nothing_else)
{
	static const char *const forbidden[] = {
	    "control.Start", "control.Stop", "control.Token", "control.List", "mount.Register",
	    "mount.Release", "mount.List",   "edge.Register", "edge.Drop",    "edge.List",
	    "audit.Head",    "audit.Append", "denylist.Pull", "exec.Run"};
	const char *id = fx_session("alice", "h");
	char name[64];

	fake_clear(&fx.fake);
	snprintf(name, sizeof name, "%s", id);
	for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
		const struct ocu_rpc_method *m = ocu_method_find_name(forbidden[i]);
		ProtobufCMessage *q = calloc(1, m->request->sizeof_message);
		m->request->message_init(q);
		int rc = ocu_rpc_call(fx.gateway, m, q, NULL, 5000, NULL, &err);
		ck_assert_msg(rc == OCU_E_UNKNOWN_METHOD || rc == OCU_E_PEER_DENIED, "%s gave %d",
		              forbidden[i], rc);
		free(q);
	}
	ck_assert_int_eq(fx_row(name).state, SESSION_ACTIVE);
	ck_assert(!fake_has(&fx.fake, "edge.Drop"));
	fake_wait(&fx.fake, "audit rpc"); /* and it is in the trail */
}
END_TEST

START_TEST(other_daemons_are_not_let_in)
{
	static const enum ocu_component others[] = {OCU_COMP_SANDBOXD, OCU_COMP_BROKERD, OCU_COMP_EGRESSD,
	                                            OCU_COMP_AUDITD};
	char url[64];

	snprintf(url, sizeof url, "tls+tcp://127.0.0.1:%d", ocu_rpc_server_port(fx.sessions));
	for (size_t i = 0; i < 4; i++) {
		const struct ocu_rpc_client_opts o = {
		    .url = url, .identity = fx.id[others[i]], .peer = OCU_COMP_OPERATORD};
		Ocu__Session__StatusRequest q = OCU__SESSION__STATUS_REQUEST__INIT;
		struct ocu_rpc_client *client = NULL;
		ck_assert_int_eq(ocu_rpc_client_new(&client, &o, &err), 0);
		ck_assert_int_eq(ocu_rpc_call(client, &ocu_m_session_status, &q.base, NULL, 1000, NULL, &err),
		                 OCU_E_UNAVAILABLE);
		ocu_rpc_client_free(client);
	}
}
END_TEST

static void add(TCase *c)
{
	tcase_add_test(c, create_starts_in_order_and_audits_first);
	tcase_add_test(c, a_caller_starts_only_so_many_a_minute);
	tcase_add_test(c, pace_is_kept_on_the_given_clock);
	tcase_add_test(c, creates_of_one_pair_at_once_give_one_session);
	tcase_add_test(c, quota_is_kept_and_given_back);
	tcase_add_test(c, a_failed_start_is_taken_back_in_order);
	tcase_add_test(c, no_audit_no_session);
	tcase_add_test(c, sessions_of_others_do_not_exist);
	tcase_add_test(c, destroy_tears_down_in_order);
	tcase_add_test(c, a_route_marks_activity);
	tcase_add_test(c, bad_names_are_refused);
	tcase_add_test(c, a_stolen_gateway_certificate_gets_nothing_else);
	tcase_add_test(c, other_daemons_are_not_let_in);
}

FX_MAIN("operatord_session_rpc", add)
