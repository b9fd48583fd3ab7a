/* nodes: two of them, and what happens when one is away, full of faults, lying or gone. */
#include <sched.h>

#include "operatord/hands.h"
#include "operatord/kill.h"
#include "tests/unit/operatord_fixture.h"

static struct ocu_error err;

static struct {
	struct fake fake;
	struct ocu_rpc_server *server[OCU_COMP_COUNT];
	char url[OCU_COMP_COUNT][64];
	struct reconcile *reconcile;
} other;

static void serve_other(enum ocu_component who, const struct ocu_rpc_entry *table)
{
	const struct ocu_rpc_server_opts o = {.url = other.url[who][0] ? other.url[who]
	                                                               : "tls+tcp://127.0.0.1:0",
	                                      .identity = fx.id[who],
	                                      .table = table,
	                                      .arg = &other.fake,
	                                      .workers = 8,
	                                      .inflight = 2048,
	                                      .request_max = 2u << 20};

	ck_assert_msg(ocu_rpc_server_start(&other.server[who], &o, &err) == 0, "%s", err.text);
	snprintf(other.url[who], sizeof other.url[who], "tls+tcp://127.0.0.1:%d",
	         ocu_rpc_server_port(other.server[who]));
}

static void open_all(void)
{
	fx_open();
	if (fx.c.nodes.n > 1) {
		other.reconcile = reconcile_new(&fx.c, &fx.c.nodes.list[1]);
		ck_assert_ptr_nonnull(other.reconcile);
	}
}

static void close_all(void)
{
	ocu_rpc_client_free(fx.gateway);
	fx.gateway = NULL;
	ocu_rpc_server_stop(fx.sessions, 1000);
	fx.sessions = NULL;
	reconcile_free(other.reconcile);
	other.reconcile = NULL;
	fx_close();
}

static void tick_both(void)
{
	fx_tick();
	if (other.reconcile)
		reconcile_once(other.reconcile, &err);
}

/* The registry as an operatord of this configuration finds it. */
static void restart(void)
{
	close_all();
	open_all();
	tick_both();
	fx_gateway();
}

static void setup(void)
{
	memset(&other, 0, sizeof other);
	pthread_mutex_init(&other.fake.lock, NULL);
	ocu_cond_init(&other.fake.changed);
	other.fake.tier = "runc";
	other.fake.instance = "b";
	fx_keys_and_fakes();
	fx.fake.instance = "";
	serve_other(OCU_COMP_SANDBOXD, fake_sandboxd);
	serve_other(OCU_COMP_BROKERD, fake_brokerd);
	serve_other(OCU_COMP_EGRESSD, fake_egressd);
	fx.cfg.node[0].files_url = "https://files-a.test:8443";
	fx.cfg.node[1] = (struct node_conf){.name = "b",
	                                    .sandboxd_control_url = other.url[OCU_COMP_SANDBOXD],
	                                    .sandboxd_exec_url = "tls+tcp://exec-b.test:9301",
	                                    .brokerd_url = other.url[OCU_COMP_BROKERD],
	                                    .egressd_url = other.url[OCU_COMP_EGRESSD],
	                                    .files_url = ""};
	fx.cfg.nodes = 2;
	open_all();
	tick_both();
	fx_gateway();
	fake_clear(&fx.fake);
	fake_clear(&other.fake);
}

static void stop_other(enum ocu_component who)
{
	if (other.server[who])
		ocu_rpc_server_stop(other.server[who], 500);
	other.server[who] = NULL;
}

static void teardown(void)
{
	for (int m = 0; m < FAKE_METHODS; m++)
		fake_set_await(&other.fake, (enum fake_method)m, NULL);
	reconcile_free(other.reconcile);
	fx_teardown();
	for (int c = 0; c < OCU_COMP_COUNT; c++)
		stop_other((enum ocu_component)c);
}

static struct fx_created make(const char *hint)
{
	struct fx_created made;

	ck_assert_msg(fx_create("alice", hint, &made, &err) == 0, "%s", err.text);
	return made;
}

/* One session on each node; a's first. */
static void make_two(struct fx_created made[2])
{
	struct fx_created one = make("h1"), two = make("h2");
	const bool first_on_a = fx_row(one.session_id).node[0] == '\0';

	made[0] = first_on_a ? one : two;
	made[1] = first_on_a ? two : one;
	ck_assert_str_eq(fx_row(made[0].session_id).node, "");
	ck_assert_str_eq(fx_row(made[1].session_id).node, "b");
}

static void wait_ended(const char *id)
{
	char line[80];

	snprintf(line, sizeof line, "audit session.ended %s", id);
	fake_wait(&fx.fake, line);
	while (fx_row(id).state != SESSION_ENDED)
		sched_yield();
}

static void wait_connected(int node)
{
	fx_wait_node(&fx.c.nodes.list[node].peers);
}

static void wait_away(void)
{
	while (node_connected(&fx.c.nodes.list[1]))
		sched_yield();
}

START_TEST(sessions_are_spread_and_stay)
{
	struct fx_created two[2];

	make_two(two);
	ck_assert_str_eq(fake_order(&fx.fake, two[0].session_id),
	                 "audit session.create|mount.Register|edge.Register|control.Start");
	ck_assert_str_eq(fake_order(&other.fake, two[0].session_id), "");
	ck_assert_str_eq(fake_order(&other.fake, two[1].session_id),
	                 "mount.Register|edge.Register|control.Start");
	ck_assert_str_eq(two[0].url, "tls+tcp://exec.test:9301");
	ck_assert_str_eq(two[1].url, "tls+tcp://exec-b.test:9301");
	for (int i = 0; i < 6; i++) {
		char hint[24];
		snprintf(hint, sizeof hint, "more%d", i);
		make(hint);
	}
	ck_assert_uint_eq(fake_count(&fx.fake, "control.Start"), 4);
	ck_assert_uint_eq(fake_count(&other.fake, "control.Start"), 4);
	/* Found again where it is. */
	ck_assert_str_eq(make("h1").url, fx_row(make("h1").session_id).node[0] ? two[1].url : two[0].url);
	/* Its end is its node's matter alone. */
	fake_clear(&fx.fake);
	fake_clear(&other.fake);
	ck_assert_int_eq(fx_destroy("alice", two[1].session_id, "", &err), 0);
	ck_assert_str_eq(fake_order(&other.fake, NULL), "edge.Drop|control.Stop|mount.Release(scrub)");
	ck_assert_str_eq(fake_order(&fx.fake, NULL), "audit session.destroy|audit session.ended");
}
END_TEST

START_TEST(a_cordoned_node_keeps_what_it_has)
{
	struct fx_created two[2];

	make_two(two);
	fx.cfg.node[1].cordoned = true;
	restart();
	make("h3");
	make("h4");
	ck_assert_str_eq(make("h1").session_id,
	                 strcmp(make("h1").url, two[0].url) == 0 ? two[0].session_id : two[1].session_id);
	ck_assert_uint_eq(fake_count(&other.fake, "control.Start"), 1);
	ck_assert_int_eq(fx_row(two[1].session_id).state, SESSION_ACTIVE);
	fx.cfg.node[0].cordoned = true;
	restart();
	ck_assert_int_eq(fx_create("alice", "h5", NULL, &err), OCU_E_UNAVAILABLE);
}
END_TEST

/* A node on which nothing starts has the fewest sessions of all. */
START_TEST(a_failing_node_does_not_get_them_all)
{
	unsigned failed = 0;

	fake_set_fail(&other.fake, FAKE_START, OCU_E_INTERNAL);
	for (int i = 0; i < 6; i++) {
		char hint[24];
		snprintf(hint, sizeof hint, "f%d", i);
		failed += fx_create("alice", hint, NULL, &err) != 0;
	}
	ck_assert_uint_le(failed, 1);
	ck_assert_uint_ge(fake_count(&fx.fake, "control.Start"), 5);
}
END_TEST

START_TEST(a_tier_that_is_not_permitted_gets_no_session)
{
	fake_set_tier(&other.fake, "unheard-of");
	tick_both();
	make("h1");
	make("h2");
	ck_assert(!fake_has(&other.fake, "control.Start"));
	fake_set_tier(&fx.fake, "unheard-of");
	tick_both();
	ck_assert_int_eq(fx_create("alice", "h3", NULL, &err), OCU_E_TIER);
}
END_TEST

/* An address that leads to another node's sandboxd, or one without a name: its grants would be good
 * elsewhere. */
START_TEST(a_node_with_another_name_gets_no_session)
{
	other.fake.instance = "";
	tick_both();
	make("h1");
	make("h2");
	ck_assert(!fake_has(&other.fake, "control.Start"));
	fx.fake.instance = "b";
	tick_both();
	ck_assert_int_eq(fx_create("alice", "h3", NULL, &err), OCU_E_UNAVAILABLE);
}
END_TEST

/* shows: NFR-REL-09 */
START_TEST(a_node_that_is_away_loses_only_its_own)
{
	struct fx_created two[2];
	char hint[24];

	make_two(two);
	stop_other(OCU_COMP_SANDBOXD);
	wait_away();
	/* New ones go elsewhere; nothing is concluded of the old one yet. */
	for (int i = 0; i < 3; i++) {
		snprintf(hint, sizeof hint, "new%d", i);
		ck_assert_str_eq(fx_row(make(hint).session_id).node, "");
	}
	tick_both();
	tick_both();
	ck_assert_int_eq(fx_row(two[1].session_id).state, SESSION_ACTIVE);
	/* Away for too long: its caller gets another session. */
	fx.c.cfg.node_lost_ms = 1;
	reconcile_once(other.reconcile, &err);
	fake_wait(&fx.fake, "audit session.lost!");
	while (fx_row(two[1].session_id).state != SESSION_ENDING ||
	       hands_taken(fx.c.hands, two[1].session_id))
		sched_yield();
	ck_assert_str_eq(fx_row(two[1].session_id).reason, "node_lost");
	ck_assert_int_eq(fx_row(two[0].session_id).state, SESSION_ACTIVE);
	struct session row = fx_row(two[1].session_id);
	ck_assert_str_eq(fx_row(make(row.hint).session_id).node, "");
	/* Back again: what it still holds is taken down. */
	ck_assert(fake_holds(&other.fake, &other.fake.sandboxes, two[1].session_id));
	fx.c.cfg.node_lost_ms = 60000;
	serve_other(OCU_COMP_SANDBOXD, fake_sandboxd);
	wait_connected(1);
	reconcile_once(other.reconcile, &err);
	wait_ended(two[1].session_id);
	ck_assert(!fake_holds(&other.fake, &other.fake.sandboxes, two[1].session_id));
	ck_assert(fake_has(&other.fake, "mount.Release(scrub)"));
}
END_TEST

/* After a restart a session is only a row until its own node was compared with. */
START_TEST(a_row_is_not_trusted_before_its_node_was_seen)
{
	struct fx_created two[2];

	make_two(two);
	const struct session row = fx_row(two[1].session_id);
	close_all();
	open_all();
	fx_tick();
	fx_gateway();
	ck_assert_int_eq(fx_create("alice", row.hint, NULL, &err), OCU_E_UNAVAILABLE);
	ck_assert_int_eq(fx_create("alice", "new", NULL, &err), 0);
	reconcile_once(other.reconcile, &err);
	ck_assert_str_eq(make(row.hint).session_id, two[1].session_id);
}
END_TEST

/* shows: NFR-REL-09 */
START_TEST(a_node_taken_out_ends_its_sessions)
{
	struct fx_created two[2];

	make_two(two);
	const struct session row = fx_row(two[1].session_id);
	fx.cfg.nodes = 1;
	fake_clear(&fx.fake);
	fake_clear(&other.fake);
	restart();
	wait_ended(two[1].session_id);
	ck_assert_str_eq(fx_row(two[1].session_id).reason, "node_gone");
	ck_assert_int_eq(fx_row(two[0].session_id).state, SESSION_ACTIVE);
	ck_assert_str_eq(fake_order(&other.fake, NULL), "");
	ck_assert_str_eq(fx_row(make(row.hint).session_id).node, "");
	/* Put in again: it still runs something that belongs to nobody, and the files are scrubbed with it.
	 */
	fx.cfg.nodes = 2;
	restart();
	ck_assert(!fake_holds(&other.fake, &other.fake.sandboxes, two[1].session_id));
	ck_assert_str_eq(fake_order(&other.fake, two[1].session_id),
	                 "edge.Drop|control.Stop|mount.Release(scrub)");
}
END_TEST

/* A stolen node that says it runs another node's session gets nothing of it, and takes nothing from it. */
START_TEST(a_node_cannot_claim_anothers_session)
{
	struct fx_created two[2];

	make_two(two);
	fake_clear(&fx.fake);
	fake_clear(&other.fake);
	fake_change(&other.fake, &other.fake.sandboxes, two[0].session_id, true);
	fake_change(&other.fake, &other.fake.mounts, two[0].session_id, true);
	fake_change(&other.fake, &other.fake.edges, two[0].session_id, true);
	tick_both();
	tick_both();
	ck_assert_str_eq(fake_order(&other.fake, two[0].session_id), "edge.Drop|control.Stop|mount.Release");
	ck_assert_int_eq(fx_row(two[0].session_id).state, SESSION_ACTIVE);
	ck_assert(fake_holds(&fx.fake, &fx.fake.sandboxes, two[0].session_id));
	ck_assert(!fake_has(&fx.fake, "control.Stop"));
	/* Nor does its silence about a session of its own keep that one alive elsewhere. */
	fake_change(&other.fake, &other.fake.sandboxes, two[1].session_id, false);
	tick_both();
	wait_ended(two[1].session_id);
	ck_assert_int_eq(fx_row(two[0].session_id).state, SESSION_ACTIVE);
}
END_TEST

static const struct kill_want every = {
    .action = ACTION_SESSION_KILL_ALL, .actor = "operator:t", .reason = ""};

static void *kill_thread(void *arg)
{
	struct ocu_error own = {0};

	kill_all(&fx.c, &every, arg, &own);
	return NULL;
}

/* shows: NFR-SEC-01, NFR-SEC-55 */
START_TEST(a_silent_node_does_not_delay_the_kill_on_another)
{
	enum { N = 6 };
	struct kill_result result;
	pthread_t t;
	char hint[24];

	for (int i = 0; i < N; i++) {
		snprintf(hint, sizeof hint, "k%d", i);
		make(hint);
	}
	fake_set_await(&other.fake, FAKE_STOP, "now");
	fake_set_await(&other.fake, FAKE_DROP, "now");
	ck_assert_int_eq(pthread_create(&t, NULL, kill_thread, &result), 0);
	/* All of the other node's are stopped, and of this one's none is. */
	while (fake_count(&fx.fake, "control.Stop") < N / 2)
		sched_yield();
	fake_wait(&other.fake, "control.Stop");
	pthread_mutex_lock(&other.fake.lock);
	ck_assert_uint_eq(other.fake.sandboxes.n, N / 2);
	pthread_mutex_unlock(&other.fake.lock);
	fake_say(&other.fake, "now");
	pthread_join(t, NULL);
	ck_assert_uint_eq(result.sessions, N);
	ck_assert_uint_eq(result.stopped, N);
	ck_assert_uint_eq(result.dropped, N);
}
END_TEST

/* What cannot be confirmed is not said to be. */
START_TEST(a_kill_on_a_node_that_is_away_is_told)
{
	struct fx_created two[2];
	struct kill_result result;

	make_two(two);
	stop_other(OCU_COMP_SANDBOXD);
	wait_away();
	ck_assert_int_ne(kill_all(&fx.c, &every, &result, &err), 0);
	ck_assert_uint_eq(result.sessions, 2);
	ck_assert_uint_eq(result.stopped, 1);
	ck_assert_uint_eq(result.dropped, 2);
	ck_assert_int_eq(fx_row(two[1].session_id).state, SESSION_ENDING);
	wait_ended(two[0].session_id);
}
END_TEST

static void add(TCase *c)
{
	tcase_add_test(c, sessions_are_spread_and_stay);
	tcase_add_test(c, a_cordoned_node_keeps_what_it_has);
	tcase_add_test(c, a_failing_node_does_not_get_them_all);
	tcase_add_test(c, a_tier_that_is_not_permitted_gets_no_session);
	tcase_add_test(c, a_node_with_another_name_gets_no_session);
	tcase_add_test(c, a_node_that_is_away_loses_only_its_own);
	tcase_add_test(c, a_row_is_not_trusted_before_its_node_was_seen);
	tcase_add_test(c, a_node_taken_out_ends_its_sessions);
	tcase_add_test(c, a_node_cannot_claim_anothers_session);
	tcase_add_test(c, a_silent_node_does_not_delay_the_kill_on_another);
	tcase_add_test(c, a_kill_on_a_node_that_is_away_is_told);
}

int main(void)
{
	Suite *suite = suite_create("operatord_nodes");
	TCase *c = tcase_create("nodes");
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 120);
	add(c);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
