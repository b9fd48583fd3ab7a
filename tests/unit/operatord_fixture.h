/* What operatord's tests share: a deployment's keys, the fakes, and operatord's parts around a registry of
 * their own. */
#ifndef OCU_TEST_OPERATORD_FIXTURE_H
#define OCU_TEST_OPERATORD_FIXTURE_H

#include <sched.h>
#include <sys/stat.h>

#include "libocu/audit.h"
#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/jwt.h"
#include "libocu/log.h"
#include "operatord/control.h"
#include "operatord/creates.h"
#include "operatord/feed.h"
#include "operatord/mint.h"
#include "operatord/reconcile.h"
#include "operatord/session_rpc.h"
#include "proto/session.pb-c.h"
#include "tests/unit/operatord_fake.h"

struct fx {
	char *dir;
	char state[256];
	struct ocu_identity *id[OCU_COMP_COUNT];
	struct ocu_rpc_server *server[OCU_COMP_COUNT];
	char url[OCU_COMP_COUNT][64];
	struct fake fake;
	struct settings cfg;
	struct control c;
	struct reconcile *reconcile;
	struct ocu_rpc_server *sessions;
	struct ocu_rpc_client *gateway;
	json_t *no_rules, *audiences;
};

static struct fx fx; /* one a test process */

static inline void fx_key(const char *file, const char *jwks)
{
	struct ocu_signer *key = NULL;
	char path[512];
	json_t *set;

	ck_assert_int_eq(ocu_signer_generate(&key, NULL), 0);
	snprintf(path, sizeof path, "%s/%s", fx.dir, file);
	ck_assert_int_eq(ocu_signer_save(key, path, NULL), 0);
	snprintf(path, sizeof path, "%s/%s", fx.dir, jwks);
	set = json_pack("{s[o]}", "keys", ocu_signer_jwk(key));
	ck_assert_int_eq(json_dump_file(set, path, 0), 0);
	json_decref(set);
	ocu_signer_free(key);
}

static inline void fx_keys(void)
{
	static const char *const ips[] = {"127.0.0.1", NULL};
	struct ocu_error err = {0};
	char path[512];

	fx.dir = net_dir_new();
	ck_assert_msg(ocu_pki_make_ca(fx.dir, TD, &err) == 0, "%s", err.text);
	for (int c = OCU_COMP_NONE + 1; c < OCU_COMP_COUNT; c++) {
		const struct ocu_pki_cert cert = {.component = (enum ocu_component)c, .ips = ips, .days = 1};
		ck_assert_msg(ocu_pki_issue(fx.dir, TD, &cert, &err) == 0, "%s", err.text);
	}
	/* Each has read everybody's key only when all are there. */
	for (int c = OCU_COMP_NONE + 1; c < OCU_COMP_COUNT; c++)
		fx.id[c] = net_identity(fx.dir, (enum ocu_component)c);
	snprintf(path, sizeof path, "%s/operator", fx.dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	fx_key("operatord/session.key", "session-jwks.json");
	fx_key("operatord/caller.key", "caller-jwks.json");
	fx_key("operator/operator.key", "operator-jwks.json");
	snprintf(fx.state, sizeof fx.state, "%s/state", fx.dir);
	ck_assert_int_eq(mkdir(fx.state, 0700), 0);
}

static inline void fx_serve(enum ocu_component who, const struct ocu_rpc_entry *table)
{
	const struct ocu_rpc_server_opts o = {.url = "tls+tcp://127.0.0.1:0",
	                                      .identity = fx.id[who],
	                                      .table = table,
	                                      .arg = &fx.fake,
	                                      .workers = 16,
	                                      .inflight = 2048,
	                                      .request_max = 2u << 20};
	struct ocu_error err = {0};

	ck_assert_msg(ocu_rpc_server_start(&fx.server[who], &o, &err) == 0, "%s", err.text);
	snprintf(fx.url[who], sizeof fx.url[who], "tls+tcp://127.0.0.1:%d",
	         ocu_rpc_server_port(fx.server[who]));
}

static inline void fx_settings(void)
{
	fx.no_rules = json_array();
	fx.audiences = json_pack("[ss]", "ocu-gateway", "ocu-files");
	fx.cfg = (struct settings){.trust_domain = TD,
	                           .pki_dir = fx.dir,
	                           .rpc_listen = "tls+tcp://127.0.0.1:0",
	                           .feed_listen = "tls+tcp://127.0.0.1:0",
	                           .pull_listen = "tls+tcp://127.0.0.1:0",
	                           .api_listen = "127.0.0.1:0",
	                           .revoke_listen = "127.0.0.1:0",
	                           .node = {{.name = "",
	                                     .sandboxd_control_url = fx.url[OCU_COMP_SANDBOXD],
	                                     .sandboxd_exec_url = "tls+tcp://exec.test:9301",
	                                     .brokerd_url = fx.url[OCU_COMP_BROKERD],
	                                     .egressd_url = fx.url[OCU_COMP_EGRESSD],
	                                     .files_url = ""}},
	                           .nodes = 1,
	                           .audit_url = fx.url[OCU_COMP_AUDITD],
	                           .limits = {.per_caller = 8, .total = 600},
	                           .starts_per_minute = 100000,
	                           .session_idle_ms = 900000,
	                           .grant_ttl_ms = 60000,
	                           .session_token_ttl_ms = 1800000,
	                           .reconcile_ms = 1000,
	                           .image = "",
	                           .memory_bytes = 1 << 30,
	                           .cpu_percent = 100,
	                           .pids = 128,
	                           .scratch_bytes = 1 << 28,
	                           .quota_bytes = 1 << 28,
	                           .quota_files = 1000,
	                           .egress_rung = "deny-all",
	                           .egress_allow = fx.no_rules,
	                           .token_audiences = fx.audiences,
	                           .token_ttl_max_ms = 90ll * 86400 * 1000};
}

static inline void fx_wait_node(const struct peers *p)
{
	struct ocu_rpc_client *const all[] = {p->sandboxd, p->brokerd, p->egressd, p->sandboxd_revoke,
	                                      p->egressd_revoke};
	struct ocu_error err = {0};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		ck_assert_msg(ocu_rpc_client_wait(all[i], 60000, &err) == 0, "%s", err.text);
}

/* operatord's parts over whatever the state folder holds. */
static inline void fx_open(void)
{
	struct ocu_error err = {0};
	ck_assert_msg(control_open(&fx.c, &fx.cfg, fx.state, fx.id[OCU_COMP_OPERATORD], &err) == 0, "%s",
	              err.text);
	ck_assert_msg(control_connect(&fx.c, &err) == 0, "%s", err.text);
	ck_assert_msg(feed_start(&fx.c.feed, &fx.c, &err) == 0, "%s", err.text);
	for (size_t i = 0; i < fx.c.nodes.n; i++)
		fx_wait_node(&fx.c.nodes.list[i].peers);
	ck_assert_msg(ocu_rpc_client_wait(fx.c.auditd, 60000, &err) == 0, "%s", err.text);
	while (!ocu_audit_healthy(fx.c.audit))
		sched_yield();
	fx.reconcile = reconcile_new(&fx.c, &fx.c.nodes.list[0]);
	ck_assert_ptr_nonnull(fx.reconcile);
}

static inline void fx_close(void)
{
	reconcile_free(fx.reconcile);
	fx.reconcile = NULL;
	control_close(&fx.c);
}

static inline int fx_tick(void)
{
	struct ocu_error err = {0};

	return reconcile_once(fx.reconcile, &err);
}

static inline void fx_gateway(void)
{
	struct ocu_error err = {0};
	char url[64];

	ck_assert_msg(session_rpc_start(&fx.sessions, &fx.c, &err) == 0, "%s", err.text);
	snprintf(url, sizeof url, "tls+tcp://127.0.0.1:%d", ocu_rpc_server_port(fx.sessions));
	const struct ocu_rpc_client_opts o = {
	    .url = url, .identity = fx.id[OCU_COMP_GATEWAY], .peer = OCU_COMP_OPERATORD, .inflight = 256};
	ck_assert_msg(ocu_rpc_client_new(&fx.gateway, &o, &err) == 0, "%s", err.text);
	ck_assert_msg(ocu_rpc_client_wait(fx.gateway, 60000, &err) == 0, "%s", err.text);
}

static inline void fx_keys_and_fakes(void)
{
	memset(&fx, 0, sizeof fx);
	ocu_log_init("operatord", OCU_LOG_ERROR);
	pthread_mutex_init(&fx.fake.lock, NULL);
	ocu_cond_init(&fx.fake.changed);
	fx.fake.tier = "runc";
	fx.fake.instance = "node-1";
	fx_keys();
	fx_serve(OCU_COMP_AUDITD, fake_auditd);
	fx_serve(OCU_COMP_SANDBOXD, fake_sandboxd);
	fx_serve(OCU_COMP_BROKERD, fake_brokerd);
	fx_serve(OCU_COMP_EGRESSD, fake_egressd);
	fx_settings();
}

/* Everything, compared once. */
static inline void fx_setup(void)
{
	fx_keys_and_fakes();
	fx_open();
	ck_assert_int_eq(fx_tick(), 0);
	fx_gateway();
	fake_clear(&fx.fake);
}

static inline void fx_teardown(void)
{
	/* Whatever a test made wait goes on now. */
	for (int m = 0; m < FAKE_METHODS; m++)
		fake_set_await(&fx.fake, (enum fake_method)m, NULL);
	if (fx.gateway)
		ocu_rpc_client_free(fx.gateway);
	ocu_rpc_server_stop(fx.sessions, 1000);
	if (fx.reconcile)
		fx_close();
	for (int c = 0; c < OCU_COMP_COUNT; c++)
		if (fx.server[c])
			ocu_rpc_server_stop(fx.server[c], 500);
	for (int c = 0; c < OCU_COMP_COUNT; c++)
		ocu_identity_free(fx.id[c]);
	json_decref(fx.no_rules);
	json_decref(fx.audiences);
	net_dir_free(fx.dir);
}

/* What the gateway asks, blocking. ---------------------------------------------------------------------- */

struct fx_created {
	char session_id[OCU_ID_MAX];
	bool created;
	char grant[4096];
	char url[128];
	uint32_t ttl_ms;
};

static inline int fx_create(const char *caller, const char *hint, struct fx_created *ret,
                            struct ocu_error *err)
{
	Ocu__Session__CreateRequest q = OCU__SESSION__CREATE_REQUEST__INIT;
	Ocu__Session__CreateReply *p = NULL;

	q.caller = (char *)caller;
	q.token_id = (char *)"tok_test";
	q.hint = (char *)hint;
	int rc = ocu_rpc_call(fx.gateway, &ocu_m_session_create, &q.base, (ProtobufCMessage **)&p, 30000,
	                      NULL, err);
	if (rc == 0 && ret) {
		snprintf(ret->session_id, sizeof ret->session_id, "%s", p->session_id);
		snprintf(ret->grant, sizeof ret->grant, "%s", p->route->grant);
		snprintf(ret->url, sizeof ret->url, "%s", p->route->sandboxd_url);
		ret->ttl_ms = p->route->grant_ttl_ms;
		ret->created = p->created;
	}
	ocu__session__create_reply__free_unpacked(p, NULL);
	return rc;
}

/* A session that runs; its id is good until the next call. */
static inline const char *fx_session(const char *caller, const char *hint)
{
	static struct fx_created made;
	struct ocu_error err = {0};

	ck_assert_msg(fx_create(caller, hint, &made, &err) == 0, "%s", err.text);
	return made.session_id;
}

static inline int fx_route(const char *caller, const char *session, struct ocu_error *err)
{
	Ocu__Session__RouteRequest q = OCU__SESSION__ROUTE_REQUEST__INIT;

	q.caller = (char *)caller;
	q.session_id = (char *)session;
	return ocu_rpc_call(fx.gateway, &ocu_m_session_route, &q.base, NULL, 10000, NULL, err);
}

static inline int fx_destroy(const char *caller, const char *session, const char *hint, struct ocu_error *err)
{
	Ocu__Session__DestroyRequest q = OCU__SESSION__DESTROY_REQUEST__INIT;

	q.caller = (char *)caller;
	q.session_id = (char *)session;
	q.hint = (char *)hint;
	return ocu_rpc_call(fx.gateway, &ocu_m_session_destroy, &q.base, NULL, 20000, NULL, err);
}

static inline struct session fx_row(const char *session_id)
{
	struct session s = {0};
	struct ocu_error err = {0};

	ck_assert_msg(registry_session_get(fx.c.registry, session_id, &s, &err) == 0, "%s", err.text);
	return s;
}

#define FX_MAIN(name, add)                                                                                   \
	int main(void)                                                                                       \
	{                                                                                                    \
		Suite *suite = suite_create(name);                                                           \
		TCase *c = tcase_create(name);                                                               \
		tcase_add_checked_fixture(c, fx_setup, fx_teardown);                                         \
		tcase_set_timeout(c, 120);                                                                   \
		add(c);                                                                                      \
		suite_add_tcase(suite, c);                                                                   \
		SRunner *r = srunner_create(suite);                                                          \
		srunner_run_all(r, CK_NORMAL);                                                               \
		int failed = srunner_ntests_failed(r);                                                       \
		srunner_free(r);                                                                             \
		return failed ? EXIT_FAILURE : EXIT_SUCCESS;                                                 \
	}

#endif
