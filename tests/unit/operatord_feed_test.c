/* feed: what subscribers of the denylist get, and who may be one. */
#include "tests/unit/operatord_fixture.h"

#include <nng/nng.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/supplemental/tls/tls.h>

#include "libocu/denylist.h"
#include "libocu/tls_engine.h"
#include "proto/denylist.pb-c.h"

#if defined(__SANITIZE_THREAD__)
/* Publisher and subscriber share this process here. nng counts the references to a published message in a
 * library that is not instrumented, so the sanitizer cannot see what orders their use. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:libnng.so\n";
}
#endif

static struct ocu_error err;

static void url_of(char out[64], int port)
{
	snprintf(out, 64, "tls+tcp://127.0.0.1:%d", port);
}

static void deny(enum ocu_deny_kind kind, const char *value)
{
	struct deny_entry e = {.kind = kind, .added_ms = 1};
	uint64_t epoch;
	bool changed;

	snprintf(e.value, sizeof e.value, "%s", value);
	ck_assert_msg(feed_deny(fx.c.feed, &e, 1, &epoch, &changed, &err) == 0, "%s", err.text);
}

static void until(struct ocu_denylist *d, enum ocu_deny_kind kind, const char *value, int want)
{
	uint64_t end = ocu_mono_ms() + 60000;

	while (ocu_denylist_check(d, kind, value, &err) != want) {
		ck_assert_msg(ocu_mono_ms() < end, "%s never became %d, is %s", value, want, err.text);
		sched_yield();
	}
}

/* shows: NFR-SEC-04, NFR-SEC-01 */
START_TEST(a_subscriber_sees_every_change)
{
	struct ocu_denylist *d = NULL;
	char feed[64], pull[64];
	uint64_t epoch;

	url_of(feed, feed_pub_port(fx.c.feed));
	url_of(pull, feed_pull_port(fx.c.feed));
	deny(OCU_DENY_CALLER, "before");
	const struct ocu_denylist_opts o = {
	    .feed_url = feed, .pull_url = pull, .identity = fx.id[OCU_COMP_EGRESSD]};
	ck_assert_msg(ocu_denylist_start(&d, &o, &err) == 0, "%s", err.text);
	until(d, OCU_DENY_CALLER, "before", OCU_E_CALLER_DENIED);
	deny(OCU_DENY_TOKEN, "t1");
	until(d, OCU_DENY_TOKEN, "t1", OCU_E_TOKEN_REVOKED);
	ck_assert_int_eq(feed_lift(fx.c.feed, OCU_DENY_CALLER, "before", &epoch, &err), 0);
	until(d, OCU_DENY_CALLER, "before", 0);
	while (ocu_denylist_epoch(d) != epoch)
		sched_yield();
	/* What operatord tells its operator about this subscriber comes with the next pull. */
	while (heard_peer(&fx.c.heard, OCU_COMP_EGRESSD).epoch != epoch)
		sched_yield();
	ck_assert_str_eq(heard_peer(&fx.c.heard, OCU_COMP_EGRESSD).version, OCU_VERSION);
	ocu_denylist_stop(d);
}
END_TEST

/* Waits so long for the connection; one that will be refused needs no time. */
static int pull_as(enum ocu_component who, unsigned connect_ms, Ocu__Denylist__PullReply **ret,
                   uint64_t epoch)
{
	Ocu__Denylist__PullRequest q = OCU__DENYLIST__PULL_REQUEST__INIT;
	struct ocu_rpc_client *client = NULL;
	char url[64];

	url_of(url, feed_pull_port(fx.c.feed));
	const struct ocu_rpc_client_opts o = {.url = url, .identity = fx.id[who], .peer = OCU_COMP_OPERATORD};
	ck_assert_int_eq(ocu_rpc_client_new(&client, &o, &err), 0);
	q.epoch = epoch;
	ocu_rpc_client_wait(client, connect_ms, NULL);
	int rc =
	    ocu_rpc_call(client, &ocu_m_denylist_pull, &q.base, (ProtobufCMessage **)ret, 60000, NULL, &err);
	ocu_rpc_client_free(client);
	return rc;
}

START_TEST(a_pull_gives_the_whole_list_once)
{
	Ocu__Denylist__PullReply *p = NULL;

	deny(OCU_DENY_CALLER, "a");
	deny(OCU_DENY_SESSION, "s");
	ck_assert_int_eq(pull_as(OCU_COMP_GATEWAY, 60000, &p, 0), 0);
	ck_assert_uint_eq(p->n_entries, 2);
	ck_assert_str_eq(p->entries[0]->value, "a");
	ck_assert_str_eq(p->history, registry_history(fx.c.registry));
	uint64_t epoch = p->epoch;
	ocu__denylist__pull_reply__free_unpacked(p, NULL);
	p = NULL;
	ck_assert_int_eq(pull_as(OCU_COMP_BROKERD, 60000, &p, epoch), 0);
	ck_assert(p->unchanged);
	ck_assert_uint_eq(p->n_entries, 0);
	ocu__denylist__pull_reply__free_unpacked(p, NULL);
}
END_TEST

/* shows: NFR-SEC-26 */
START_TEST(others_may_not_pull)
{
	ck_assert_int_eq(pull_as(OCU_COMP_AUDITD, 0, NULL, 0), OCU_E_UNAVAILABLE);
	ck_assert_int_eq(pull_as(OCU_COMP_OPERATORD, 0, NULL, 0), OCU_E_UNAVAILABLE);
}
END_TEST

START_TEST(the_pull_listener_serves_nothing_else)
{
	Ocu__Session__RouteRequest q = OCU__SESSION__ROUTE_REQUEST__INIT;
	struct ocu_rpc_client *client = NULL;
	char url[64];

	url_of(url, feed_pull_port(fx.c.feed));
	const struct ocu_rpc_client_opts o = {
	    .url = url, .identity = fx.id[OCU_COMP_GATEWAY], .peer = OCU_COMP_OPERATORD};
	ck_assert_int_eq(ocu_rpc_client_new(&client, &o, &err), 0);
	ck_assert_msg(ocu_rpc_client_wait(client, 60000, &err) == 0, "%s", err.text);
	ck_assert_int_eq(ocu_rpc_call(client, &ocu_m_session_route, &q.base, NULL, 60000, NULL, &err),
	                 OCU_E_UNKNOWN_METHOD);
	ocu_rpc_client_free(client);
}
END_TEST

/* auditd's certificate is a good one, of a component that enforces nothing. */
/* shows: NFR-SEC-26, NFR-SEC-37 */
START_TEST(others_may_not_subscribe)
{
	nng_tls_config *tls = NULL;
	char url[64], allow[OCU_SPIFFE_MAX + 4], spiffe[OCU_SPIFFE_MAX];
	nng_dialer dialer;
	nng_socket s;
	nng_msg *msg;

	url_of(url, feed_pub_port(fx.c.feed));
	ck_assert_int_eq(ocu_peer_spiffe(TD, OCU_COMP_OPERATORD, NULL, spiffe, &err), 0);
	snprintf(allow, sizeof allow, "%s/*", spiffe);
	ck_assert_int_eq(ocu_tls_engine_register(&err), 0);
	ck_assert_msg(ocu_tls_config(&tls, NNG_TLS_MODE_CLIENT, fx.id[OCU_COMP_AUDITD], allow, &err) == 0,
	              "%s", err.text);
	ck_assert_int_eq(nng_sub0_open(&s), 0);
	ck_assert_int_eq(nng_socket_set(s, NNG_OPT_SUB_SUBSCRIBE, "", 0), 0);
	ck_assert_int_eq(nng_socket_set_ms(s, NNG_OPT_RECVTIMEO, 700), 0);
	ck_assert_int_eq(nng_dialer_create(&dialer, s, url), 0);
	ck_assert_int_eq(nng_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, tls), 0);
	nng_dialer_start(dialer, NNG_FLAG_NONBLOCK);
	for (int i = 0; i < 20; i++) {
		char value[32];
		snprintf(value, sizeof value, "v%d", i);
		deny(OCU_DENY_CALLER, value);
	}
	ck_assert_int_eq(nng_recvmsg(s, &msg, 0), NNG_ETIMEDOUT);
	nng_close(s);
	nng_tls_config_free(tls);
}
END_TEST

static void add(TCase *c)
{
	tcase_add_test(c, a_subscriber_sees_every_change);
	tcase_add_test(c, a_pull_gives_the_whole_list_once);
	tcase_add_test(c, others_may_not_pull);
	tcase_add_test(c, the_pull_listener_serves_nothing_else);
	tcase_add_test(c, others_may_not_subscribe);
}

FX_MAIN("operatord_feed", add)
