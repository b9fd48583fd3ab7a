/* audit: an event is durable when auditd said so, and otherwise the caller hears of it in time. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "libocu/audit.h"
#include "libocu/json.h"
#include "libocu/metrics.h"
#include "tests/unit/libocu_net_fixture.h"

static char *dir;
static struct ocu_identity *auditd, *gateway;

static void make_pki(void)
{
	dir = net_pki_new();
}

static void remove_pki(void)
{
	net_dir_free(dir);
}

static void load(void)
{
	auditd = net_identity(dir, OCU_COMP_AUDITD);
	gateway = net_identity(dir, OCU_COMP_GATEWAY);
}

static void unload(void)
{
	ocu_identity_free(auditd);
	ocu_identity_free(gateway);
}

/* --- an auditd that remembers --- */

enum { SEEN_MAX = 40000 };

struct recorder {
	pthread_mutex_t lock;
	pthread_cond_t came;
	unsigned events, batches, largest;
	int hold; /* keep calls instead of answering */
	int fail; /* answer with this code */
	unsigned kept;
	uint64_t unreported;   /* refusals that an event says were not recorded */
	unsigned summaries;    /* events that say nothing else */
	uint32_t remaining_ms; /* of the last Append, when it came */
	struct ocu_rpc_call *calls[64];
	unsigned char seen[SEEN_MAX]; /* how often event number n came */
	char last[OCU_EVENT_MAX];
	struct ocu_rpc_server *server;
	char url[64];
};

static void count_event(struct recorder *r, const ProtobufCBinaryData *e)
{
	json_t *j = NULL;
	long number;

	snprintf(r->last, sizeof r->last, "%.*s", (int)e->len, (const char *)e->data);
	ck_assert_int_eq(ocu_json_parse((const char *)e->data, e->len, OCU_EVENT_MAX, &j, NULL), 0);
	ck_assert_int_eq(ocu_event_check(j, NULL), 0);
	number = strtol(ocu_json_str(j, "actor_id", "0"), NULL, 10);
	ck_assert(number >= 0 && number < SEEN_MAX);
	r->seen[number]++;
	r->events++;
	r->unreported += (uint64_t)ocu_json_int(json_object_get(j, "unmapped"), "unreported_before", 0);
	r->summaries += strcmp(ocu_json_str(j, "resource", ""), "several") == 0;
	json_decref(j);
}

static void append(struct ocu_rpc_call *call, const ProtobufCMessage *m, void *arg)
{
	const Ocu__Audit__AppendRequest *req = (const Ocu__Audit__AppendRequest *)m;
	Ocu__Audit__AppendReply reply = OCU__AUDIT__APPEND_REPLY__INIT;
	struct recorder *r = arg;
	struct ocu_error err = {0};
	int hold, fail;

	pthread_mutex_lock(&r->lock);
	hold = r->hold;
	fail = r->fail;
	r->remaining_ms = ocu_rpc_call_remaining_ms(call);
	r->batches++;
	if (req->n_events > r->largest)
		r->largest = (unsigned)req->n_events;
	for (size_t i = 0; i < req->n_events; i++)
		count_event(r, &req->events[i]);
	ocu_error_set(&err, fail ? fail : OCU_E_INTERNAL, "disk on fire");
	if (hold)
		r->calls[r->kept++] = call;
	pthread_cond_broadcast(&r->came);
	pthread_mutex_unlock(&r->lock);
	if (hold)
		return;
	if (fail)
		ocu_rpc_fail(call, &err);
	else
		ocu_rpc_reply(call, &reply.base);
}

static void recorder_start(struct recorder *r)
{
	static const struct ocu_rpc_entry table[] = {{&ocu_m_audit_append, append}, {0}};
	struct ocu_rpc_server_opts o = {.url = r->url[0] ? r->url : "tls+tcp://127.0.0.1:0",
	                                .identity = auditd,
	                                .table = table,
	                                .arg = r};

	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->came, NULL);
	r->server = net_server(&o, r->url);
}

static void recorder_wait(struct recorder *r, unsigned kept)
{
	pthread_mutex_lock(&r->lock);
	while (r->kept < kept)
		pthread_cond_wait(&r->came, &r->lock);
	pthread_mutex_unlock(&r->lock);
}

static void recorder_release(struct recorder *r)
{
	Ocu__Audit__AppendReply reply = OCU__AUDIT__APPEND_REPLY__INIT;

	pthread_mutex_lock(&r->lock);
	r->hold = 0;
	for (unsigned i = 0; i < r->kept; i++)
		ocu_rpc_reply(r->calls[i], &reply.base);
	r->kept = 0;
	pthread_mutex_unlock(&r->lock);
}

static struct ocu_audit *emitter(const char *url)
{
	struct ocu_audit *a = NULL;
	struct ocu_error err = {0};

	ck_assert_msg(ocu_audit_start(&a, url, gateway, &err) == 0, "%s", err.text);
	return a;
}

static struct ocu_audit *connected_emitter(const char *url)
{
	struct ocu_audit *a = emitter(url);

	while (!ocu_audit_healthy(a))
		sched_yield();
	return a;
}

static struct ocu_event event(const char *number)
{
	return (struct ocu_event){.class_uid = OCU_OCSF_API_ACTIVITY,
	                          .activity_id = 99,
	                          .action = "test.done",
	                          .resource = "thing",
	                          .actor_id = number,
	                          .session_id = "",
	                          .trace_id = "",
	                          .outcome = OCU_OUTCOME_SUCCESS};
}

static int commit(struct ocu_audit *a, unsigned number, struct ocu_error *err)
{
	char text[16];
	struct ocu_event ev;

	snprintf(text, sizeof text, "%u", number);
	ev = event(text);
	return ocu_audit_commit(a, &ev, err);
}

/* --- commits --- */

/* shows: NFR-SEC-45, NFR-REL-12 */
START_TEST(a_commit_returns_when_auditd_has_answered)
{
	struct recorder r = {0};
	struct ocu_audit *a;
	struct ocu_error err = {0};

	recorder_start(&r);
	a = connected_emitter(r.url);
	ck_assert_msg(commit(a, 7, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(r.events, 1);
	ck_assert_uint_eq(r.seen[7], 1);
	ck_assert_int_eq(ocu_audit_healthy(a), 1);
	ocu_audit_stop(a);
	ocu_rpc_server_stop(r.server, 1000);
}
END_TEST

struct committer {
	struct ocu_audit *audit;
	unsigned from, count, failed;
};

static void *commit_many(void *arg)
{
	struct committer *c = arg;

	for (unsigned i = 0; i < c->count; i++)
		c->failed += commit(c->audit, c->from + i, NULL) != 0;
	return NULL;
}

/* Every event arrives exactly once, in fewer requests than events. shows: NFR-REL-12, NFR-PERF-10 */
START_TEST(a_crowd_shares_batches)
{
	enum { CROWD = 64, EACH = 100 };
	static struct recorder r;
	struct committer c[CROWD];
	pthread_t threads[CROWD];
	struct ocu_audit *a;

	recorder_start(&r);
	a = connected_emitter(r.url);
	for (unsigned i = 0; i < CROWD; i++) {
		c[i] = (struct committer){.audit = a, .from = i * EACH, .count = EACH};
		ck_assert_int_eq(pthread_create(&threads[i], NULL, commit_many, &c[i]), 0);
	}
	for (unsigned i = 0; i < CROWD; i++) {
		pthread_join(threads[i], NULL);
		ck_assert_uint_eq(c[i].failed, 0);
	}
	ck_assert_uint_eq(r.events, (size_t)CROWD * EACH);
	for (unsigned i = 0; i < CROWD * EACH; i++)
		ck_assert_uint_eq(r.seen[i], 1);
	ck_assert_uint_lt(r.batches, r.events);
	ck_assert_uint_gt(r.largest, 1);
	ocu_audit_stop(a);
	ocu_rpc_server_stop(r.server, 1000);
}
END_TEST

struct outcome {
	pthread_mutex_t lock;
	pthread_cond_t more;
	unsigned durable, refused;
	int code;
	char text[sizeof((struct ocu_error *)0)->text]; /* of the last refusal */
};

static void outcome_init(struct outcome *o)
{
	memset(o, 0, sizeof *o);
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->more, NULL);
}

static void note(void *arg, const struct ocu_error *err)
{
	struct outcome *o = arg;

	pthread_mutex_lock(&o->lock);
	o->durable += err == NULL;
	o->refused += err != NULL;
	o->code = err ? err->code : 0;
	if (err)
		snprintf(o->text, sizeof o->text, "%s", err->text);
	pthread_cond_broadcast(&o->more);
	pthread_mutex_unlock(&o->lock);
}

static void outcome_wait(struct outcome *o, unsigned total)
{
	pthread_mutex_lock(&o->lock);
	while (o->durable + o->refused < total)
		pthread_cond_wait(&o->more, &o->lock);
	pthread_mutex_unlock(&o->lock);
}

/* With auditd slow, what comes meanwhile waits and goes out together; the bound on what may wait holds. */
START_TEST(a_slow_auditd_gets_larger_batches_and_a_bounded_queue)
{
	enum { BOUND = 16384 };
	static struct recorder r;
	struct outcome o;
	struct ocu_audit *a;
	struct ocu_event ev = event("1");
	struct ocu_error err = {0};

	outcome_init(&o);
	r.hold = 1;
	recorder_start(&r);
	a = connected_emitter(r.url);
	ck_assert_int_eq(ocu_audit_commit_async(a, &ev, note, &o, NULL), 0);
	recorder_wait(&r, 1);
	for (unsigned i = 1; i < BOUND; i++)
		ck_assert_msg(ocu_audit_commit_async(a, &ev, note, &o, &err) == 0, "%u: %s", i, err.text);
	ck_assert_int_eq(ocu_audit_commit_async(a, &ev, note, &o, &err), OCU_E_AUDIT);
	recorder_wait(&r, 4);
	ck_assert_uint_le(r.kept, 4);
	recorder_release(&r);
	outcome_wait(&o, BOUND);
	ck_assert_uint_eq(o.durable, BOUND);
	ck_assert_uint_eq(r.events, BOUND);
	ck_assert_uint_eq(r.largest, 256);
	ocu_audit_stop(a);
	ocu_rpc_server_stop(r.server, 1000);
}
END_TEST

START_TEST(a_commit_from_before_the_connection_has_its_time_on_top)
{
	static struct recorder r;
	int durable = 0;

	recorder_start(&r);
	/* At least one of some: this machine may be too slow to connect in time, but not at every one. */
	for (unsigned i = 0; i < 5; i++) {
		struct ocu_audit *a = emitter(r.url);
		int rc = commit(a, i, NULL);

		ck_assert(rc == 0 || rc == OCU_E_AUDIT);
		if (rc == 0) {
			durable++;
			ck_assert_uint_gt(r.remaining_ms, 2000);
		}
		ocu_audit_stop(a);
	}
	ck_assert_int_gt(durable, 0);
	ocu_rpc_server_stop(r.server, 1000);
}
END_TEST

/* --- no audit, no action --- */

/* shows: NFR-SEC-45, NFR-SEC-72 */
START_TEST(without_auditd_a_commit_fails_in_two_seconds)
{
	struct ocu_audit *a = emitter("tls+tcp://127.0.0.1:1");
	struct ocu_error err = {0};
	uint64_t start = ocu_mono_ms();

	ck_assert_int_eq(commit(a, 1, &err), OCU_E_AUDIT);
	ck_assert_int_eq(err.code, OCU_E_AUDIT);
	ck_assert_uint_lt(ocu_mono_ms() - start, 30000);
	ck_assert_int_eq(ocu_audit_healthy(a), 0);
	ocu_audit_stop(a);
}
END_TEST

/* However many wait: none waits longer than the first would have. shows: NFR-SEC-45 */
START_TEST(without_auditd_a_long_queue_fails_in_time_too)
{
	enum { N = 3000 };
	struct ocu_audit *a = emitter("tls+tcp://127.0.0.1:1");
	struct ocu_event ev = event("1");
	struct outcome o;
	uint64_t start = ocu_mono_ms();

	outcome_init(&o);
	for (unsigned i = 0; i < N; i++)
		ck_assert_int_eq(ocu_audit_commit_async(a, &ev, note, &o, NULL), 0);
	outcome_wait(&o, N);
	ck_assert_uint_lt(ocu_mono_ms() - start, 30000);
	ck_assert_uint_eq(o.refused, N);
	ck_assert_int_eq(o.code, OCU_E_AUDIT);
	ocu_audit_stop(a);
}
END_TEST

/* shows: NFR-SEC-45 */
START_TEST(what_auditd_refuses_is_not_done)
{
	struct recorder r = {.fail = OCU_E_NO_SPACE};
	struct ocu_audit *a;
	struct ocu_error err = {0};

	recorder_start(&r);
	a = connected_emitter(r.url);
	ck_assert_int_eq(commit(a, 1, &err), OCU_E_AUDIT);
	ck_assert_ptr_nonnull(strstr(err.text, "disk on fire"));
	pthread_mutex_lock(&r.lock);
	r.fail = 0;
	pthread_mutex_unlock(&r.lock);
	ck_assert_int_eq(commit(a, 2, NULL), 0);
	ocu_audit_stop(a);
	ocu_rpc_server_stop(r.server, 1000);
}
END_TEST

START_TEST(an_event_that_cannot_be_written_is_refused)
{
	struct ocu_audit *a = emitter("tls+tcp://127.0.0.1:1");
	struct ocu_event ev = event("1");
	json_t *detail = json_object();
	char *big = malloc(40000);

	memset(big, 'x', 39999);
	big[39999] = '\0';
	json_object_set_new(detail, "big", json_string(big));
	ev.detail = detail;
	ck_assert_int_eq(ocu_audit_commit(a, &ev, NULL), OCU_E_AUDIT);
	json_decref(detail);
	free(big);
	ocu_audit_stop(a);
}
END_TEST

/* auditd is another process and is killed while it holds an Append. shows: NFR-REL-12, NFR-SEC-45 */
START_TEST(auditd_killed_in_mid_commit_is_a_failure_at_once)
{
	static struct recorder r;
	struct outcome o;
	struct ocu_audit *a;
	struct ocu_event ev = event("1");
	int fds[2], port = 0;
	char byte, url[64];
	pid_t pid;

	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		r.hold = 1;
		recorder_start(&r);
		port = ocu_rpc_server_port(r.server);
		(void)!write(fds[1], &port, sizeof port);
		recorder_wait(&r, 1);
		(void)!write(fds[1], "c", 1);
		pause();
	}
	ck_assert_int_eq(read(fds[0], &port, sizeof port), sizeof port);
	snprintf(url, sizeof url, "tls+tcp://127.0.0.1:%d", port);
	outcome_init(&o);
	a = connected_emitter(url);
	ck_assert_int_eq(ocu_audit_commit_async(a, &ev, note, &o, NULL), 0);
	ck_assert_int_eq(read(fds[0], &byte, 1), 1);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	outcome_wait(&o, 1);
	ck_assert_uint_eq(o.refused, 1);
	ck_assert_msg(strstr(o.text, "connection was lost"), "%s", o.text); /* and not: no answer in time */
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ocu_audit_stop(a);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(an_auditd_that_comes_back_is_used_again)
{
	static struct recorder r;
	struct ocu_audit *a;
	struct ocu_error err = {0};

	recorder_start(&r);
	a = connected_emitter(r.url);
	ck_assert_int_eq(commit(a, 1, NULL), 0);
	ocu_rpc_server_stop(r.server, 1000);
	while (ocu_audit_healthy(a))
		sched_yield();
	recorder_start(&r);
	while (!ocu_audit_healthy(a))
		sched_yield();
	ck_assert_msg(commit(a, 2, &err) == 0, "%s", err.text);
	ocu_audit_stop(a);
	ocu_rpc_server_stop(r.server, 1000);
}
END_TEST

/* Connected, and taking nothing: a full disk. It is tried again as long as somebody asks.
 * shows: NFR-SEC-45, NFR-SEC-72 */
START_TEST(an_auditd_that_cannot_write_is_not_healthy)
{
	static struct recorder r;
	struct ocu_audit *a;

	recorder_start(&r);
	a = connected_emitter(r.url);
	r.fail = OCU_E_NO_SPACE;
	ck_assert_int_eq(commit(a, 1, NULL), OCU_E_AUDIT);
	ck_assert_int_eq(ocu_audit_healthy(a), 0);
	pthread_mutex_lock(&r.lock);
	while (r.events < 2)
		pthread_cond_wait(&r.came, &r.lock);
	r.fail = 0;
	pthread_mutex_unlock(&r.lock);
	while (!ocu_audit_healthy(a))
		sched_yield();
	ck_assert_ptr_nonnull(strstr(r.last, "\"audit.resumed\""));
	ck_assert_int_eq(commit(a, 2, NULL), 0);
	ocu_audit_stop(a);
	ocu_rpc_server_stop(r.server, 1000);
}
END_TEST

/* --- stop --- */

START_TEST(stop_waits_for_what_is_pending)
{
	enum { N = 500 };
	static struct recorder r;
	struct outcome o;
	struct ocu_audit *a;
	struct ocu_event ev = event("3");

	outcome_init(&o);
	recorder_start(&r);
	a = connected_emitter(r.url);
	for (unsigned i = 0; i < N; i++)
		ck_assert_int_eq(ocu_audit_commit_async(a, &ev, note, &o, NULL), 0);
	ocu_audit_stop(a);
	ck_assert_uint_eq(o.durable, N);
	ck_assert_uint_eq(r.events, N);
	ocu_rpc_server_stop(r.server, 1000);
}
END_TEST

START_TEST(stop_ends_what_never_will)
{
	enum { N = 2000 };
	static struct recorder r;
	struct outcome o;
	struct ocu_audit *a;
	struct ocu_event ev = event("3");
	uint64_t start;

	outcome_init(&o);
	r.hold = 1;
	recorder_start(&r);
	a = connected_emitter(r.url);
	for (unsigned i = 0; i < N; i++)
		ck_assert_int_eq(ocu_audit_commit_async(a, &ev, note, &o, NULL), 0);
	recorder_wait(&r, 1);
	start = ocu_mono_ms();
	ocu_audit_stop(a);
	ck_assert_uint_lt(ocu_mono_ms() - start, 30000);
	ck_assert_uint_eq(o.refused, N);
	recorder_release(&r);
	ocu_rpc_server_stop(r.server, 1000);
}
END_TEST

/* --- reports --- */

START_TEST(a_report_arrives_or_is_counted_as_lost)
{
	struct ocu_counter *lost =
	    ocu_counter("ocu_audit_lost_total", NULL, "Reports that did not reach the audit trail");
	static struct recorder r;
	struct ocu_event ev = event("5");
	struct ocu_audit *a;

	recorder_start(&r);
	a = connected_emitter(r.url);
	ocu_audit_report(a, &ev);
	ocu_audit_stop(a);
	ck_assert_uint_eq(r.seen[5], 1);
	ck_assert_uint_eq(ocu_counter_value(lost), 0);
	ocu_rpc_server_stop(r.server, 1000);
	a = emitter("tls+tcp://127.0.0.1:1");
	ocu_audit_report(a, &ev);
	ocu_audit_report(a, &ev);
	ocu_audit_stop(a);
	ck_assert_uint_eq(ocu_counter_value(lost), 2);
}
END_TEST

/* shows: NFR-SEC-26, NFR-MAINT-AUDIT-SCHEMA (in part) */
START_TEST(a_refused_request_is_an_event_and_a_flood_of_them_is_shaped)
{
	static struct recorder r;
	struct ocu_peer peer = {.component = OCU_COMP_BROKERD, .spiffe = "spiffe://" TD "/ocu/brokerd"};
	struct ocu_error why = {0};
	struct ocu_audit *a;

	recorder_start(&r);
	a = connected_emitter(r.url);
	ocu_error_set(&why, OCU_E_PEER_DENIED, "brokerd may not send session.Create");
	ocu_audit_rpc_refused(a, &peer, ocu_m_session_create.id, &why);
	pthread_mutex_lock(&r.lock);
	while (r.events == 0)
		pthread_cond_wait(&r.came, &r.lock);
	ck_assert_ptr_nonnull(strstr(r.last, "\"session.Create\""));
	ck_assert_ptr_nonnull(strstr(r.last, "spiffe://" TD "/ocu/brokerd"));
	pthread_mutex_unlock(&r.lock);
	ck_assert_ptr_nonnull(strstr(r.last, "\"system:gateway\""));
	ck_assert_ptr_nonnull(strstr(r.last, "peer_not_permitted"));
	for (int i = 0; i < 5000; i++)
		ocu_audit_rpc_refused(a, NULL, 4711, &why);
	/* Without another one to tell it with, and without an end. */
	pthread_mutex_lock(&r.lock);
	while (r.events - r.summaries + r.unreported < 5001)
		pthread_cond_wait(&r.came, &r.lock);
	ck_assert_uint_eq(r.events - r.summaries + r.unreported, 5001);
	ck_assert_uint_ge(r.summaries, 1);
	ck_assert_ptr_nonnull(strstr(r.last, "\"rpc.refused\""));
	pthread_mutex_unlock(&r.lock);
	for (int i = 0; i < 100; i++)
		ocu_audit_rpc_refused(a, NULL, 4711, &why);
	ocu_audit_stop(a);
	ck_assert_uint_eq(r.events - r.summaries + r.unreported, 5101);
	ck_assert_uint_lt(r.events, 300);
	ocu_rpc_server_stop(r.server, 1000);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("audit");
	TCase *t = tcase_create("emitter");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_unchecked_fixture(t, make_pki, remove_pki);
	tcase_add_checked_fixture(t, load, unload);
	tcase_add_test(t, a_commit_returns_when_auditd_has_answered);
	tcase_add_test(t, a_crowd_shares_batches);
	tcase_add_test(t, a_slow_auditd_gets_larger_batches_and_a_bounded_queue);
	tcase_add_test(t, a_commit_from_before_the_connection_has_its_time_on_top);
	tcase_add_test(t, without_auditd_a_commit_fails_in_two_seconds);
	tcase_add_test(t, an_auditd_that_cannot_write_is_not_healthy);
	tcase_add_test(t, without_auditd_a_long_queue_fails_in_time_too);
	tcase_add_test(t, what_auditd_refuses_is_not_done);
	tcase_add_test(t, an_event_that_cannot_be_written_is_refused);
	tcase_add_test(t, auditd_killed_in_mid_commit_is_a_failure_at_once);
	tcase_add_test(t, an_auditd_that_comes_back_is_used_again);
	tcase_add_test(t, stop_waits_for_what_is_pending);
	tcase_add_test(t, stop_ends_what_never_will);
	tcase_add_test(t, a_report_arrives_or_is_counted_as_lost);
	tcase_add_test(t, a_refused_request_is_an_event_and_a_flood_of_them_is_shaped);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
