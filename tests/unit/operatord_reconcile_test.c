/* reconcile: the registry and the world, whatever stopped in between. */
#include <sched.h>

#include "operatord/hands.h"
#include "tests/unit/operatord_fixture.h"

static struct ocu_error err;
static char id[OCU_ID_MAX];

static void make_session(void)
{
	snprintf(id, sizeof id, "%s", fx_session("alice", "h"));
	/* The first list that shows it. */
	ck_assert_int_eq(fx_tick(), 0);
	fake_clear(&fx.fake);
}

static void wait_ended(void)
{
	char line[80];

	snprintf(line, sizeof line, "audit session.ended %s", id);
	fake_wait(&fx.fake, line);
	while (fx_row(id).state != SESSION_ENDED)
		sched_yield();
}

#define TEARDOWN "edge.Drop|control.Stop|mount.Release(scrub)|audit session.ended"

/* shows: NFR-SEC-72, NFR-REL-09 */
START_TEST(a_sandbox_that_is_gone_ends_the_session)
{
	make_session();
	fake_change(&fx.fake, &fx.fake.sandboxes, id, false);
	ck_assert_int_eq(fx_tick(), 0);
	wait_ended();
	ck_assert_str_eq(fake_order(&fx.fake, id), "audit session.lost!|" TEARDOWN);
	ck_assert_str_eq(fx_row(id).reason, "sandbox_gone");
}
END_TEST

START_TEST(a_lost_mount_ends_the_session_a_missing_edge_is_made_again)
{
	make_session();
	fake_change(&fx.fake, &fx.fake.edges, id, false);
	ck_assert_int_eq(fx_tick(), 0);
	ck_assert_str_eq(fake_order(&fx.fake, id), "audit edge.reregister|edge.Register");
	ck_assert(fake_holds(&fx.fake, &fx.fake.edges, id));
	fake_clear(&fx.fake);
	fake_change(&fx.fake, &fx.fake.mounts, id, false);
	ck_assert_int_eq(fx_tick(), 0);
	ck_assert_int_eq(fx_row(id).state, SESSION_ACTIVE); /* one list alone ends nothing */
	ck_assert_int_eq(fx_tick(), 0);
	wait_ended();
	ck_assert_str_eq(fx_row(id).reason, "mount_gone");
}
END_TEST

static void tick_once(void *arg)
{
	bool *done = arg;

	if (!*done) {
		*done = true;
		fake_change(&fx.fake, &fx.fake.mounts, id, false); /* as after the unmount */
		ck_assert_int_eq(fx_tick(), 0);
	}
}

START_TEST(an_end_under_way_is_nobody_elses)
{
	bool done = false;

	make_session();
	fx.fake.on_arg = &done;
	fx.fake.on[FAKE_STOP] = tick_once;
	ck_assert_int_eq(fx_destroy("alice", id, "", &err), 0);
	ck_assert(done);
	while (hands_taken(fx.c.hands, id))
		sched_yield();
	ck_assert_str_eq(fake_order(&fx.fake, id), "audit session.destroy|" TEARDOWN);
}
END_TEST

/* shows: NFR-REL-09 */
START_TEST(what_belongs_to_nobody_is_stopped)
{
	static const char ghost[] = "ses_00000000000000000000000000";

	fake_change(&fx.fake, &fx.fake.sandboxes, ghost, true);
	fake_change(&fx.fake, &fx.fake.edges, ghost, true);
	fake_change(&fx.fake, &fx.fake.mounts, ghost, true);
	ck_assert_int_eq(fx_tick(), 0);
	/* Files of a session this registry never knew are cut off, not deleted. */
	ck_assert_str_eq(fake_order(&fx.fake, ghost),
	                 "audit edge.orphan|edge.Drop|audit sandbox.orphan|control.Stop|"
	                 "audit mount.orphan|mount.Release");
	ck_assert(!fake_holds(&fx.fake, &fx.fake.sandboxes, ghost));
	/* No audit, no action. */
	fake_clear(&fx.fake);
	fake_change(&fx.fake, &fx.fake.sandboxes, ghost, true);
	fake_set_fail(&fx.fake, FAKE_APPEND, OCU_E_NO_SPACE);
	ck_assert_int_eq(fx_tick(), 0);
	ck_assert_str_eq(fake_order(&fx.fake, ghost), "");
}
END_TEST

#define IDLE_MS 600000

/* A session that runs and was last asked for IDLE_MS ago. */
static void make_idle_session(void)
{
	const struct registry_limits roomy = {.per_caller = 99, .total = 99};
	int64_t then = (int64_t)ocu_mono_ms() - IDLE_MS;
	struct session s = {.created_mono = then, .active_mono = then, .token_mono = then + IDLE_MS};

	ocu_id_new(OCU_ID_SESSION, s.session_id);
	ocu_id_new(OCU_ID_CONTAINER, s.container_name);
	ocu_id_new(OCU_ID_FILESYSTEM, s.filesystem_id);
	snprintf(s.caller, sizeof s.caller, "alice");
	snprintf(s.hint, sizeof s.hint, "h");
	snprintf(id, sizeof id, "%s", s.session_id);
	ck_assert_int_eq(registry_session_add(fx.c.registry, &s, &roomy, &err), 0);
	ck_assert_int_eq(registry_session_activate(fx.c.registry, id, "crun", "runc", then, &err), 0);
	fake_change(&fx.fake, &fx.fake.sandboxes, id, true);
	fake_change(&fx.fake, &fx.fake.mounts, id, true);
	fake_change(&fx.fake, &fx.fake.edges, id, true);
	fx.c.cfg.session_idle_ms = IDLE_MS;
}

/* No session may be idle for longer than a moment, and this one is. */
static void become_idle(void)
{
	fx.c.cfg.session_idle_ms = 1;
	while ((int64_t)ocu_mono_ms() <= fx_row(id).active_mono)
		sched_yield();
}

static void expect_expiry(const char *reason)
{
	ck_assert_int_eq(fx_tick(), 0);
	wait_ended();
	ck_assert_str_eq(fake_order(&fx.fake, id), "audit session.expire|" TEARDOWN);
	ck_assert_str_eq(fx_row(id).reason, reason);
}

/* shows: NFR-SEC-40, NFR-SEC-41, NFR-SEC-48 (in part) */
START_TEST(an_idle_session_expires)
{
	make_idle_session();
	/* Activity puts it off. */
	ck_assert_int_eq(fx_route("alice", id, &err), 0);
	ck_assert_int_eq(fx_tick(), 0);
	ck_assert_int_eq(fx_row(id).state, SESSION_ACTIVE);
	become_idle();
	expect_expiry("idle");
}
END_TEST

static void set_busy(bool busy)
{
	pthread_mutex_lock(&fx.fake.lock);
	fx.fake.busy = busy;
	pthread_mutex_unlock(&fx.fake.lock);
}

/* shows: NFR-SEC-40 */
START_TEST(a_session_whose_call_runs_is_not_idle)
{
	make_idle_session();
	set_busy(true);
	ck_assert_int_eq(fx_tick(), 0);
	ck_assert_int_eq(fx_row(id).state, SESSION_ACTIVE);
	/* It has been active until now, not until it was last asked for. */
	set_busy(false);
	ck_assert_int_eq(fx_tick(), 0);
	ck_assert_int_eq(fx_row(id).state, SESSION_ACTIVE);
	become_idle();
	expect_expiry("idle");
}
END_TEST

/* shows: NFR-SEC-41 */
START_TEST(an_old_session_expires_however_busy)
{
	make_session();
	fx.c.cfg.session_max_ms = 40;
	while ((int64_t)ocu_mono_ms() < fx_row(id).created_mono + 40)
		sched_yield();
	ck_assert_int_eq(fx_route("alice", id, &err), 0);
	expect_expiry("age");
}
END_TEST

/* shows: NFR-SEC-10 */
START_TEST(a_session_jwt_is_renewed_at_half_its_life)
{
	char before[4096];

	make_session();
	snprintf(before, sizeof before, "%s", fx.fake.session_jwt);
	ck_assert_int_eq(fx_tick(), 0);
	ck_assert(!fake_has(&fx.fake, "control.Token"));
	fx.c.cfg.session_token_ttl_ms = 60;
	while ((int64_t)ocu_mono_ms() < fx_row(id).token_mono + 30)
		sched_yield();
	ck_assert_int_eq(fx_tick(), 0);
	ck_assert_str_eq(fake_order(&fx.fake, id), "audit session.token|control.Token");
	ck_assert_str_ne(before, fx.fake.session_jwt);
	/* One that was not taken is sent again. */
	fake_clear(&fx.fake);
	fake_set_fail(&fx.fake, FAKE_TOKEN, OCU_E_BUSY);
	while ((int64_t)ocu_mono_ms() < fx_row(id).token_mono + 30)
		sched_yield();
	fx_tick();
	fake_set_fail(&fx.fake, FAKE_TOKEN, 0);
	while ((int64_t)ocu_mono_ms() < fx_row(id).token_mono + 30)
		sched_yield();
	fx_tick();
	ck_assert_uint_eq(fake_count(&fx.fake, "control.Token"), 2);
}
END_TEST

/* Root in a sandbox can stop its guest agent, and a caller may have many sandboxes. */
START_TEST(silent_guests_hold_up_one_round_each)
{
	enum { N = 4 };
	char ids[N][OCU_ID_MAX];

	for (int i = 0; i < N; i++) {
		char hint[16];
		snprintf(hint, sizeof hint, "h%d", i);
		snprintf(ids[i], sizeof ids[i], "%s", fx_session("alice", hint));
	}
	ck_assert_int_eq(fx_tick(), 0);
	fake_clear(&fx.fake);
	fx.c.cfg.session_token_ttl_ms = 4ll * 3600 * 1000; /* a failure puts off by half a minute */
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(registry_session_token_minted(
		                     fx.c.registry, ids[i], (int64_t)ocu_mono_ms() - 3ll * 3600 * 1000, &err),
		                 0);
	fake_set_fail(&fx.fake, FAKE_TOKEN, OCU_E_TIMEOUT);
	for (unsigned i = 1; i < N; i++) {
		ck_assert_int_eq(fx_tick(), 0);
		ck_assert_uint_eq(fake_count(&fx.fake, "control.Token"), i);
	}
	fake_set_fail(&fx.fake, FAKE_TOKEN, 0);
	fake_clear(&fx.fake);
	ck_assert_int_eq(fx_tick(), 0);
	ck_assert_uint_ge(fake_count(&fx.fake, "control.Token"), 1);
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(fx_row(ids[i]).state, SESSION_ACTIVE);
}
END_TEST

START_TEST(nothing_is_concluded_from_silence)
{
	make_session();
	fake_change(&fx.fake, &fx.fake.sandboxes, id, false);
	fake_change(&fx.fake, &fx.fake.edges, id, false);
	fake_set_fail(&fx.fake, FAKE_LIST, OCU_E_BUSY);
	ck_assert_int_eq(fx_tick(), OCU_E_BUSY);
	ck_assert_int_eq(fx_row(id).state, SESSION_ACTIVE);
	ck_assert_str_eq(fake_order(&fx.fake, id), "");
}
END_TEST

/* shows: NFR-REL-01, NFR-REL-09 */
START_TEST(a_restart_keeps_what_runs_and_finishes_what_was_half_done)
{
	char half[OCU_ID_MAX], ending[OCU_ID_MAX], line[80];
	const struct registry_limits roomy = {.per_caller = 99, .total = 99};
	struct session s = {.created_ms = ocu_wall_ms(), .created_mono = (int64_t)ocu_mono_ms()};

	make_session();
	snprintf(ending, sizeof ending, "%s", fx_session("bob", "h"));
	ck_assert_int_eq(registry_session_ending(fx.c.registry, ending, "destroyed", &err), 0);
	ocu_id_new(OCU_ID_SESSION, s.session_id);
	ocu_id_new(OCU_ID_CONTAINER, s.container_name);
	ocu_id_new(OCU_ID_FILESYSTEM, s.filesystem_id);
	snprintf(s.caller, sizeof s.caller, "carol");
	snprintf(s.hint, sizeof s.hint, "h");
	snprintf(half, sizeof half, "%s", s.session_id);
	ck_assert_int_eq(registry_session_add(fx.c.registry, &s, &roomy, &err), 0);
	fake_change(&fx.fake, &fx.fake.sandboxes, half, true);

	ocu_rpc_client_free(fx.gateway);
	ocu_rpc_server_stop(fx.sessions, 1000);
	fx.gateway = NULL;
	fx.sessions = NULL;
	fx_close();
	fx_open();
	fx_gateway();
	fake_clear(&fx.fake);
	/* Not before the world was looked at. */
	ck_assert_int_eq(fx_create("dave", "h", NULL, &err), OCU_E_UNAVAILABLE);
	ck_assert_int_eq(fx_tick(), 0);
	ck_assert_int_eq(fx_create("dave", "h", NULL, &err), 0);
	snprintf(line, sizeof line, "audit session.ended %s", half);
	fake_wait(&fx.fake, line);
	ck_assert_str_eq(fake_order(&fx.fake, half), "audit session.rollback!|" TEARDOWN);
	snprintf(line, sizeof line, "audit session.ended %s", ending);
	fake_wait(&fx.fake, line);
	ck_assert_str_eq(fake_order(&fx.fake, ending), TEARDOWN);
	/* And the one that runs is the same one, for the same pair. */
	struct fx_created again;
	ck_assert_int_eq(fx_create("alice", "h", &again, &err), 0);
	ck_assert(!again.created);
	ck_assert_str_eq(again.session_id, id);
}
END_TEST

static int fatal_code;

static void on_fatal(void *arg, const struct ocu_error *why)
{
	(void)arg;
	fatal_code = why->code;
	fake_say(&fx.fake, "fatal");
}

/* shows: NFR-SEC-39 (in part) */
START_TEST(a_tier_that_is_not_permitted_starts_nothing)
{
	struct reconcilers *r = NULL;

	fx.c.cfg.profile = PROFILE_INTERNAL_WORKFORCE;
	ck_assert_int_eq(fx_create("alice", "h", NULL, &err), OCU_E_TIER);
	ck_assert(!fake_has(&fx.fake, "mount.Register"));
	ck_assert_int_eq(reconcile_start(&r, &fx.c, on_fatal, NULL, &err), 0);
	fake_wait(&fx.fake, "fatal");
	reconcile_stop(r);
	ck_assert_int_eq(fatal_code, OCU_E_TIER);
	/* What sandboxd says it started decides, too. */
	fx.c.cfg.profile = PROFILE_TRUSTED_OPERATOR;
	fake_set_tier(&fx.fake, "unheard-of");
	ck_assert_int_eq(fx_create("alice", "h", NULL, &err), OCU_E_TIER);
	fake_wait(&fx.fake, "audit session.rollback!");
}
END_TEST

/* shows: NFR-SEC-39 (in part) */
START_TEST(a_change_of_tier_is_in_the_trail)
{
	fake_set_tier(&fx.fake, "gvisor");
	ck_assert_int_eq(fx_tick(), 0);
	ck_assert_uint_eq(fake_count(&fx.fake, "audit tier.change "), 1);
	fake_set_tier(&fx.fake, "runc");
	ck_assert_int_eq(fx_tick(), 0);
	ck_assert_uint_eq(fake_count(&fx.fake, "audit tier.change!"), 1);
}
END_TEST

static void add(TCase *c)
{
	tcase_add_test(c, a_sandbox_that_is_gone_ends_the_session);
	tcase_add_test(c, a_lost_mount_ends_the_session_a_missing_edge_is_made_again);
	tcase_add_test(c, an_end_under_way_is_nobody_elses);
	tcase_add_test(c, what_belongs_to_nobody_is_stopped);
	tcase_add_test(c, an_idle_session_expires);
	tcase_add_test(c, a_session_whose_call_runs_is_not_idle);
	tcase_add_test(c, an_old_session_expires_however_busy);
	tcase_add_test(c, a_session_jwt_is_renewed_at_half_its_life);
	tcase_add_test(c, silent_guests_hold_up_one_round_each);
	tcase_add_test(c, nothing_is_concluded_from_silence);
	tcase_add_test(c, a_restart_keeps_what_runs_and_finishes_what_was_half_done);
	tcase_add_test(c, a_tier_that_is_not_permitted_starts_nothing);
	tcase_add_test(c, a_change_of_tier_is_in_the_trail);
}

FX_MAIN("operatord_reconcile", add)
