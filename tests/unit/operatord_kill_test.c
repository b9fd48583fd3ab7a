/* kill: revoked first, cut in parallel and fast, never behind ordinary work. */
#include "tests/unit/operatord_fixture.h"

#include "operatord/kill.h"

static struct ocu_error err;
static struct kill_result result;
static const struct kill_want one = {
    .action = ACTION_SESSION_KILL, .actor = "operator:t", .reason = "because"};
static const struct kill_want every = {
    .action = ACTION_SESSION_KILL_ALL, .actor = "operator:t", .reason = ""};
static const struct kill_want deny = {.action = ACTION_DENYLIST_ADD, .actor = "operator:t", .reason = ""};

static char victim[OCU_ID_MAX];
static int denied_at_cut[2];

static void look_at_drop(void *arg)
{
	(void)arg;
	denied_at_cut[0] = registry_deny_check(fx.c.registry, OCU_DENY_SESSION, victim, NULL);
}

static void look_at_stop(void *arg)
{
	(void)arg;
	denied_at_cut[1] = registry_deny_check(fx.c.registry, OCU_DENY_SESSION, victim, NULL);
}

static void make_victim(void)
{
	snprintf(victim, sizeof victim, "%s", fx_session("alice", "h"));
	fake_clear(&fx.fake);
}

static void wait_ended(const char *id)
{
	char line[80];

	snprintf(line, sizeof line, "audit session.ended %s", id);
	fake_wait(&fx.fake, line);
}

/* shows: NFR-SEC-01, NFR-SEC-45, NFR-SEC-65 (in part) */
START_TEST(revoked_before_it_is_cut)
{
	make_victim();
	uint64_t epoch = registry_epoch(fx.c.registry);
	fx.fake.on[FAKE_DROP] = look_at_drop;
	fx.fake.on[FAKE_STOP] = look_at_stop;
	ck_assert_msg(kill_session(&fx.c, victim, &one, &result, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(result.sessions, 1);
	ck_assert_uint_eq(result.stopped, 1);
	ck_assert_uint_eq(result.dropped, 1);
	ck_assert_uint_eq(result.epoch, epoch + 1);
	ck_assert_int_eq(denied_at_cut[0], OCU_E_SESSION_DENIED);
	ck_assert_int_eq(denied_at_cut[1], OCU_E_SESSION_DENIED);
	wait_ended(victim);
	const char *order = fake_order(&fx.fake, victim);
	bool either =
	    strcmp(order,
	           "audit session.kill|edge.Drop|control.Stop|mount.Release(scrub)|audit session.ended") ==
	        0 ||
	    strcmp(order,
	           "audit session.kill|control.Stop|edge.Drop|mount.Release(scrub)|audit session.ended") == 0;
	ck_assert_msg(either, "%s", order);
	/* The conversation is over, too, until somebody lifts it. */
	ck_assert_int_eq(fx_create("alice", "h", NULL, &err), OCU_E_SESSION_DENIED);
	ck_assert_int_eq(fx_route("alice", victim, &err), OCU_E_SESSION_DENIED);
	ck_assert_int_eq(kill_session(&fx.c, "ses_nobody", &one, &result, &err), OCU_E_NOT_FOUND);
}
END_TEST

/* shows: NFR-SEC-65 (in part) */
START_TEST(files_that_are_still_being_removed_are_not_told_of_as_gone)
{
	for (int pending = 1; pending >= 0; pending--) {
		snprintf(victim, sizeof victim, "%s", fx_session("alice", pending ? "h" : "i"));
		fake_clear(&fx.fake);
		fx.fake.scrub_pending = pending;
		fx.fake.ended_scrubbed = pending;
		ck_assert_msg(kill_session(&fx.c, victim, &one, &result, &err) == 0, "%s", err.text);
		wait_ended(victim);
		ck_assert_int_eq(fx.fake.ended_scrubbed, !pending);
	}
}
END_TEST

START_TEST(egress_and_sandbox_are_cut_in_parallel)
{
	make_victim();
	/* Either waits for the other to have been asked: one after the other would never end. */
	fake_set_await(&fx.fake, FAKE_DROP, "control.Stop");
	fake_set_await(&fx.fake, FAKE_STOP, "edge.Drop");
	ck_assert_msg(kill_session(&fx.c, victim, &one, &result, &err) == 0, "%s", err.text);
	ck_assert_uint_lt(result.duration_us, 30000000);
}
END_TEST

/* shows: NFR-SEC-45, NFR-SEC-72 */
START_TEST(no_audit_no_kill)
{
	make_victim();
	uint64_t epoch = registry_epoch(fx.c.registry);
	fake_set_fail(&fx.fake, FAKE_APPEND, OCU_E_NO_SPACE);
	ck_assert_int_eq(kill_session(&fx.c, victim, &one, &result, &err), OCU_E_AUDIT);
	ck_assert_int_eq(kill_all(&fx.c, &every, &result, &err), OCU_E_AUDIT);
	ck_assert_int_eq(kill_denied(&fx.c, OCU_DENY_CALLER, "alice", &deny, &result, &err), OCU_E_AUDIT);
	ck_assert_str_eq(fake_order(&fx.fake, NULL), "");
	ck_assert_uint_eq(registry_epoch(fx.c.registry), epoch);
	ck_assert_int_eq(fx_row(victim).state, SESSION_ACTIVE);
}
END_TEST

/* A sandboxd that never answers: the operator is told, egress is cut, and the rest is done when it can be. */
START_TEST(a_cut_that_fails_is_told_and_finished_later)
{
	make_victim();
	fake_set_fail(&fx.fake, FAKE_STOP, OCU_E_TIMEOUT);
	ck_assert_int_eq(kill_session(&fx.c, victim, &one, &result, &err), OCU_E_TIMEOUT);
	ck_assert_uint_eq(result.sessions, 1);
	ck_assert_uint_eq(result.stopped, 0);
	ck_assert_uint_eq(result.dropped, 1);
	ck_assert_int_eq(fx_row(victim).state, SESSION_ENDING);
	ck_assert(!fake_has(&fx.fake, "mount.Release"));
	fake_set_fail(&fx.fake, FAKE_STOP, 0);
	ck_assert_int_eq(fx_tick(), 0);
	wait_ended(victim);
	ck_assert(!fake_holds(&fx.fake, &fx.fake.sandboxes, victim));
}
END_TEST

static void *start_thread(void *arg)
{
	struct ocu_error *own = arg;

	fx_create("alice", "h", NULL, own);
	return NULL;
}

/* shows: NFR-SEC-01 */
START_TEST(a_session_killed_while_it_starts_never_runs)
{
	struct ocu_error own = {0};
	struct session *list;
	pthread_t t;
	size_t n;

	fake_set_await(&fx.fake, FAKE_START, "go on");
	ck_assert_int_eq(pthread_create(&t, NULL, start_thread, &own), 0);
	fake_wait(&fx.fake, "control.Start");
	ck_assert_int_eq(kill_all(&fx.c, &every, &result, &err), 0);
	ck_assert_uint_eq(result.sessions, 1);
	fake_say(&fx.fake, "go on");
	pthread_join(t, NULL);
	ck_assert_int_eq(own.code, OCU_E_SESSION_DENIED);
	ck_assert_int_eq(
	    registry_session_list(fx.c.registry, &(struct session_filter){.limit = 9}, &list, &n, &err), 0);
	ck_assert_uint_eq(n, 1);
	ck_assert_int_ne(list[0].state, SESSION_ACTIVE);
	ck_assert(!fake_holds(&fx.fake, &fx.fake.sandboxes, list[0].session_id));
	free(list);
}
END_TEST

static void insert_running(const char *caller, const char *hint)
{
	struct session s = {.created_ms = ocu_wall_ms(), .created_mono = (int64_t)ocu_mono_ms()};
	const struct registry_limits roomy = {.per_caller = 10000, .total = 10000};

	ocu_id_new(OCU_ID_SESSION, s.session_id);
	ocu_id_new(OCU_ID_CONTAINER, s.container_name);
	ocu_id_new(OCU_ID_FILESYSTEM, s.filesystem_id);
	snprintf(s.caller, sizeof s.caller, "%s", caller);
	snprintf(s.hint, sizeof s.hint, "%s", hint);
	ck_assert_int_eq(registry_session_add(fx.c.registry, &s, &roomy, &err), 0);
	ck_assert_int_eq(
	    registry_session_activate(fx.c.registry, s.session_id, "crun", "runc", s.created_mono, &err), 0);
	fake_change(&fx.fake, &fx.fake.sandboxes, s.session_id, true);
}

enum { N = 500 };

static void insert_many(void)
{
	char hint[32];

	for (int i = 0; i < N; i++) {
		snprintf(hint, sizeof hint, "h%d", i);
		insert_running(i % 2 ? "alice" : "bob", hint);
	}
}

static void *kill_all_thread(void *arg)
{
	struct ocu_error own = {0};

	kill_all(&fx.c, &every, arg, &own);
	return NULL;
}

/* shows: NFR-SEC-01 */
START_TEST(an_egressd_that_does_not_answer_delays_no_stop)
{
	struct kill_result own = {0};
	uint64_t start = ocu_mono_ms();
	pthread_t t;

	insert_many();
	fake_set_await(&fx.fake, FAKE_DROP, "go on");
	ck_assert_int_eq(pthread_create(&t, NULL, kill_all_thread, &own), 0);
	while (fake_count(&fx.fake, "control.Stop ") < N)
		sched_yield();
	ck_assert_uint_lt(ocu_mono_ms() - start, 20000); /* less than the time a drop has */
	fake_say(&fx.fake, "go on");
	pthread_join(t, NULL);
	ck_assert_uint_eq(own.stopped, N);
}
END_TEST

/* shows: NFR-SEC-01 */
START_TEST(all_of_many_in_one_epoch)
{
	unsigned live;

	insert_many();
	uint64_t epoch = registry_epoch(fx.c.registry);
	ck_assert_msg(kill_all(&fx.c, &every, &result, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(result.stopped, N);
	ck_assert_uint_eq(result.dropped, N);
	ck_assert_uint_eq(result.epoch, epoch + 1);
	ck_assert_uint_eq(fake_count(&fx.fake, "audit session.kill "), N);
	ck_assert_uint_lt(result.duration_us, 30000000);
	do
		ck_assert_int_eq(registry_session_count(fx.c.registry, &live, &err), 0);
	while (live > 0 && sched_yield() == 0);
}
END_TEST

/* shows: NFR-SEC-04 */
START_TEST(a_denied_caller_loses_the_sessions_and_nobody_else_does)
{
	char bob[OCU_ID_MAX];

	make_victim();
	snprintf(bob, sizeof bob, "%s", fx_session("bob", "h"));
	ck_assert_msg(kill_denied(&fx.c, OCU_DENY_CALLER, "alice", &deny, &result, &err) == 0, "%s",
	              err.text);
	ck_assert_uint_eq(result.stopped, 1);
	wait_ended(victim);
	ck_assert_int_eq(fx_row(bob).state, SESSION_ACTIVE);
	ck_assert_int_eq(fx_create("alice", "new", NULL, &err), OCU_E_CALLER_DENIED);
	ck_assert_int_eq(kill_denied(&fx.c, OCU_DENY_TOKEN, "tok_test", &deny, &result, &err), 0);
	ck_assert_int_eq(fx_route("bob", bob, &err), OCU_E_TOKEN_REVOKED);
	ck_assert_int_eq(kill_denied(&fx.c, OCU_DENY_CALLER, "", &deny, &result, &err), OCU_E_PARAMS);
	ck_assert_int_eq(kill_denied(&fx.c, OCU_DENY_CALLER, "a\nb", &deny, &result, &err), OCU_E_PARAMS);
}
END_TEST

static _Atomic bool flooding;

static void *flood(void *arg)
{
	struct ocu_error own = {0};
	char hint[64];

	for (unsigned i = 0; flooding; i++) {
		snprintf(hint, sizeof hint, "%p-%u", arg, i);
		struct fx_created made;
		if (fx_create(i % 2 ? "flood" : "flood2", hint, &made, &own) == 0)
			fx_destroy(i % 2 ? "flood" : "flood2", made.session_id, "", &own);
	}
	return NULL;
}

/* shows: NFR-SEC-55 */
START_TEST(a_flood_of_sessions_does_not_delay_it)
{
	pthread_t t[8];
	char names[8][8];

	make_victim();
	/* Starts that hang fill the start pool; creates queue behind them. */
	fake_set_await(&fx.fake, FAKE_START, "go on");
	flooding = true;
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, flood, names[i]), 0);
	fake_wait(&fx.fake, "control.Start");
	ck_assert_msg(kill_session(&fx.c, victim, &one, &result, &err) == 0, "%s", err.text);
	ck_assert_uint_lt(result.duration_us, 30000000);
	fake_say(&fx.fake, "go on");
	/* And with everything moving. */
	ck_assert_msg(kill_all(&fx.c, &every, &result, &err) == 0, "%s", err.text);
	ck_assert_uint_lt(result.duration_us, 30000000);
	flooding = false;
	for (int i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
}
END_TEST

static void add(TCase *c)
{
	tcase_add_test(c, revoked_before_it_is_cut);
	tcase_add_test(c, files_that_are_still_being_removed_are_not_told_of_as_gone);
	tcase_add_test(c, egress_and_sandbox_are_cut_in_parallel);
	tcase_add_test(c, no_audit_no_kill);
	tcase_add_test(c, a_cut_that_fails_is_told_and_finished_later);
	tcase_add_test(c, a_session_killed_while_it_starts_never_runs);
	tcase_add_test(c, an_egressd_that_does_not_answer_delays_no_stop);
	tcase_add_test(c, all_of_many_in_one_epoch);
	tcase_add_test(c, a_denied_caller_loses_the_sessions_and_nobody_else_does);
	tcase_add_test(c, a_flood_of_sessions_does_not_delay_it);
}

FX_MAIN("operatord_kill", add)
