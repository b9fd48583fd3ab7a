/* denylist: what operatord denies is denied here, soon, once, and still when operatord is gone: then
 * everything is. */
#include <nng/nng.h>
#include <nng/protocol/pubsub0/pub.h>
#include <pthread.h>
#include <stdatomic.h>

#include "libocu/denylist.h"
#include "libocu/denylist_set.h"
#include "libocu/tls_engine.h"
#include "proto/denylist.pb-c.h"
#include "tests/unit/libocu_net_fixture.h"

#ifdef __SANITIZE_THREAD__
/* A published message is shared between this thread and nng's and counted with atomics inside libnng, which
 * is not instrumented: ThreadSanitizer sees the last free and not what orders it. Only the test's own
 * publisher is meant, and for that it is never inlined. */
const char *__tsan_default_suppressions(void);

const char *__tsan_default_suppressions(void)
{
	return "race:^publish\n";
}
#endif

static char *dir;
static struct ocu_identity *operatord, *sandboxd;

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
	operatord = net_identity(dir, OCU_COMP_OPERATORD);
	sandboxd = net_identity(dir, OCU_COMP_SANDBOXD);
}

static void unload(void)
{
	ocu_identity_free(operatord);
	ocu_identity_free(sandboxd);
}

/* --- an operatord --- */

enum { LIST_MAX = 70000 };

struct source {
	pthread_mutex_t lock;
	pthread_cond_t pulled;
	unsigned pulls;
	unsigned listeners; /* subscribers of the feed */
	bool silent;        /* answers no pull */
	char history[32];
	uint64_t epoch;
	size_t count;
	struct {
		uint32_t kind;
		char value[24];
	} list[LIST_MAX];
	struct ocu_rpc_server *server;
	nng_socket feed;
	char pull_url[64], feed_url[64];
};

static void answer_list(struct ocu_rpc_call *call, const struct source *s, uint64_t have)
{
	Ocu__Denylist__PullReply reply = OCU__DENYLIST__PULL_REPLY__INIT;
	Ocu__Denylist__Entry *entries = calloc(s->count + 1, sizeof *entries);
	Ocu__Denylist__Entry **list = calloc(s->count + 1, sizeof *list);

	reply.history = (char *)s->history;
	reply.epoch = s->epoch;
	reply.unchanged = have == s->epoch;
	reply.n_entries = reply.unchanged ? 0 : s->count;
	reply.entries = list;
	for (size_t i = 0; i < s->count; i++) {
		ocu__denylist__entry__init(&entries[i]);
		entries[i].kind = s->list[i].kind;
		entries[i].value = (char *)s->list[i].value;
		list[i] = &entries[i];
	}
	ocu_rpc_reply(call, &reply.base);
	free(entries);
	free(list);
}

static void pull(struct ocu_rpc_call *call, const ProtobufCMessage *m, void *arg)
{
	struct source *s = arg;
	struct ocu_error err = {0};

	ocu_error_set(&err, OCU_E_BUSY, "silent");
	pthread_mutex_lock(&s->lock);
	s->pulls++;
	if (s->silent)
		ocu_rpc_fail(call, &err);
	else
		answer_list(call, s, ((const Ocu__Denylist__PullRequest *)m)->epoch);
	pthread_cond_broadcast(&s->pulled);
	pthread_mutex_unlock(&s->lock);
}

static void feed_joined(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
	struct source *s = arg;

	(void)pipe;
	(void)event;
	pthread_mutex_lock(&s->lock);
	s->listeners++;
	pthread_cond_broadcast(&s->pulled);
	pthread_mutex_unlock(&s->lock);
}

/* What is published from now on reaches the subscriber. */
static void source_wait_listener(struct source *s)
{
	pthread_mutex_lock(&s->lock);
	while (s->listeners == 0)
		pthread_cond_wait(&s->pulled, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

static struct source *source_new(void)
{
	static const struct ocu_rpc_entry table[] = {{&ocu_m_denylist_pull, pull}, {0}};
	struct source *s = calloc(1, sizeof *s);
	struct ocu_rpc_server_opts o = {
	    .url = "tls+tcp://127.0.0.1:0", .identity = operatord, .table = table, .arg = s};
	nng_tls_config *tls;
	nng_listener l;
	int port = 0;

	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->pulled, NULL);
	snprintf(s->history, sizeof s->history, "first");
	s->server = net_server(&o, s->pull_url);
	ck_assert_int_eq(
	    ocu_tls_config(&tls, NNG_TLS_MODE_SERVER, operatord, "spiffe://" TD "/ocu/sandboxd/*", NULL), 0);
	ck_assert_int_eq(nng_pub0_open(&s->feed), 0);
	ck_assert_int_eq(nng_pipe_notify(s->feed, NNG_PIPE_EV_ADD_POST, feed_joined, s), 0);
	ck_assert_int_eq(nng_listener_create(&l, s->feed, "tls+tcp://127.0.0.1:0"), 0);
	ck_assert_int_eq(nng_listener_set_ptr(l, NNG_OPT_TLS_CONFIG, tls), 0);
	ck_assert_int_eq(nng_listener_start(l, 0), 0);
	ck_assert_int_eq(nng_listener_get_int(l, NNG_OPT_TCP_BOUND_PORT, &port), 0);
	snprintf(s->feed_url, sizeof s->feed_url, "tls+tcp://127.0.0.1:%d", port);
	nng_tls_config_free(tls);
	return s;
}

static void source_free(struct source *s)
{
	ocu_rpc_server_stop(s->server, 1000);
	nng_close(s->feed);
	free(s);
}

/* Adds to the list without telling anybody. */
static void source_add(struct source *s, uint32_t kind, const char *value)
{
	pthread_mutex_lock(&s->lock);
	s->list[s->count].kind = kind;
	snprintf(s->list[s->count++].value, sizeof s->list[0].value, "%s", value);
	s->epoch++;
	pthread_mutex_unlock(&s->lock);
}

static void source_silence(struct source *s, bool silent)
{
	pthread_mutex_lock(&s->lock);
	s->silent = silent;
	pthread_mutex_unlock(&s->lock);
}

static void source_remove_all(struct source *s)
{
	pthread_mutex_lock(&s->lock);
	s->count = 0;
	s->epoch++;
	pthread_mutex_unlock(&s->lock);
}

/* Waits for so many further pulls: the list at the first of them has been applied by the last. */
static void source_wait_pulls(struct source *s, unsigned more)
{
	unsigned want;

	pthread_mutex_lock(&s->lock);
	want = s->pulls + more;
	while (s->pulls < want)
		pthread_cond_wait(&s->pulled, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

static __attribute__((noinline)) void publish_bytes(struct source *s, const void *data, size_t len)
{
	nng_msg *msg;

	ck_assert_int_eq(nng_msg_alloc(&msg, 0), 0);
	ck_assert_int_eq(nng_msg_append(msg, data, len), 0);
	ck_assert_int_eq(nng_sendmsg(s->feed, msg, 0), 0);
}

static __attribute__((noinline)) void publish(struct source *s, uint64_t epoch, const char *added,
                                              const char *removed)
{
	Ocu__Denylist__Change c = OCU__DENYLIST__CHANGE__INIT;
	Ocu__Denylist__Entry in = OCU__DENYLIST__ENTRY__INIT, out = OCU__DENYLIST__ENTRY__INIT;
	Ocu__Denylist__Entry *ins[] = {&in}, *outs[] = {&out};
	uint8_t bytes[512];

	in.kind = out.kind = OCU_DENY_SESSION;
	in.value = (char *)added;
	out.value = (char *)removed;
	c.history = s->history;
	c.epoch = epoch;
	c.n_added = added != NULL;
	c.added = ins;
	c.n_removed = removed != NULL;
	c.removed = outs;
	ck_assert_uint_lt(ocu__denylist__change__get_packed_size(&c), sizeof bytes);
	publish_bytes(s, bytes, ocu__denylist__change__pack(&c, bytes));
}

/* --- a subscriber --- */

struct told {
	pthread_mutex_t lock;
	pthread_cond_t more;
	unsigned count;
	char last[64];
};

static void told_init(struct told *t)
{
	memset(t, 0, sizeof *t);
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->more, NULL);
}

static void hear(enum ocu_deny_kind kind, const char *value, void *arg)
{
	struct told *t = arg;

	pthread_mutex_lock(&t->lock);
	t->count++;
	snprintf(t->last, sizeof t->last, "%d %s", (int)kind, value);
	pthread_cond_broadcast(&t->more);
	pthread_mutex_unlock(&t->lock);
}

static void told_wait(struct told *t, unsigned count)
{
	pthread_mutex_lock(&t->lock);
	while (t->count < count)
		pthread_cond_wait(&t->more, &t->lock);
	pthread_mutex_unlock(&t->lock);
}

static struct ocu_denylist *subscribe(const struct source *s, struct told *t, uint64_t stale_ms)
{
	struct ocu_denylist_opts o = {.feed_url = s->feed_url,
	                              .pull_url = s->pull_url,
	                              .identity = sandboxd,
	                              .stale_ms = stale_ms,
	                              .added = t ? hear : NULL,
	                              .arg = t};
	struct ocu_denylist *d = NULL;
	struct ocu_error err = {0};

	ck_assert_msg(ocu_denylist_start(&d, &o, &err) == 0, "%s", err.text);
	return d;
}

static void wait_fresh(struct ocu_denylist *d)
{
	uint64_t end = ocu_mono_ms() + 60000;

	while (!ocu_denylist_fresh(d) && ocu_mono_ms() < end)
		sched_yield();
	ck_assert_int_eq(ocu_denylist_fresh(d), 1);
}

static void wait_epoch(struct ocu_denylist *d, uint64_t epoch)
{
	uint64_t end = ocu_mono_ms() + 60000;

	while (ocu_denylist_epoch(d) != epoch && ocu_mono_ms() < end)
		sched_yield();
	ck_assert_uint_eq(ocu_denylist_epoch(d), epoch);
}

static void wait_check(struct ocu_denylist *d, const char *value, int code)
{
	uint64_t end = ocu_mono_ms() + 60000;

	while (ocu_denylist_check(d, OCU_DENY_SESSION, value, NULL) != code && ocu_mono_ms() < end)
		sched_yield();
	ck_assert_int_eq(ocu_denylist_check(d, OCU_DENY_SESSION, value, NULL), code);
}

/* --- the list --- */

/* shows: NFR-SEC-01, NFR-SEC-04 */
START_TEST(the_list_at_start_denies_and_is_told_once)
{
	struct source *s = source_new();
	struct told t;
	struct ocu_denylist *d;
	struct ocu_error err = {0};

	told_init(&t);
	source_add(s, OCU_DENY_SESSION, "ses_1");
	source_add(s, OCU_DENY_CALLER, "mallory");
	source_add(s, OCU_DENY_TOKEN, "tok_1");
	d = subscribe(s, &t, 0);
	told_wait(&t, 3);
	wait_fresh(d);
	ck_assert_uint_eq(ocu_denylist_epoch(d), 3);
	ck_assert_int_eq(ocu_denylist_check(d, OCU_DENY_SESSION, "ses_1", &err), OCU_E_SESSION_DENIED);
	ck_assert_int_eq(err.code, OCU_E_SESSION_DENIED);
	ck_assert_int_eq(ocu_denylist_check(d, OCU_DENY_CALLER, "mallory", NULL), OCU_E_CALLER_DENIED);
	ck_assert_int_eq(ocu_denylist_check(d, OCU_DENY_TOKEN, "tok_1", NULL), OCU_E_TOKEN_REVOKED);
	ck_assert_int_eq(ocu_denylist_check(d, OCU_DENY_CALLER, "ses_1", NULL), 0);
	ck_assert_int_eq(ocu_denylist_check(d, OCU_DENY_SESSION, "ses_11", NULL), 0);
	ck_assert_int_eq(ocu_denylist_check(d, (enum ocu_deny_kind)9, "ses_1", NULL), OCU_E_INVALID);
	source_wait_pulls(s, 2);
	ck_assert_uint_eq(t.count, 3);
	ocu_denylist_stop(d);
	source_free(s);
}
END_TEST

/* shows: NFR-SEC-01 */
START_TEST(a_published_change_takes_effect_at_once)
{
	struct source *s = source_new();
	struct told t;
	struct ocu_denylist *d;

	told_init(&t);
	d = subscribe(s, &t, 0);
	wait_fresh(d);
	source_wait_listener(s);
	source_wait_pulls(s, 1); /* joining caused a pull */
	ck_assert_int_eq(ocu_denylist_check(d, OCU_DENY_SESSION, "ses_2", NULL), 0);
	source_silence(s, true); /* no pull can have brought it */
	source_add(s, OCU_DENY_SESSION, "ses_2");
	publish(s, 1, "ses_2", NULL);
	wait_check(d, "ses_2", OCU_E_SESSION_DENIED);
	source_silence(s, false);
	told_wait(&t, 1);
	wait_epoch(d, 1);
	source_remove_all(s);
	publish(s, 2, NULL, "ses_2");
	wait_check(d, "ses_2", 0);
	wait_epoch(d, 2);
	publish(s, 2, "ses_old", NULL); /* not new any more */
	source_add(s, OCU_DENY_SESSION, "ses_3");
	publish(s, 3, "ses_3", NULL);
	wait_epoch(d, 3);
	ck_assert_int_eq(ocu_denylist_check(d, OCU_DENY_SESSION, "ses_old", NULL), 0);
	told_wait(&t, 2);
	ck_assert_uint_eq(t.count, 2);
	ck_assert_str_eq(t.last, "1 ses_3");
	ocu_denylist_stop(d);
	source_free(s);
}
END_TEST

/* A message that was lost costs a pull, and what the later one denies is denied meanwhile. shows: NFR-SEC-04
 */
START_TEST(a_gap_is_filled_by_a_pull)
{
	struct source *s = source_new();
	struct ocu_denylist *d;

	d = subscribe(s, NULL, 0);
	wait_fresh(d);
	source_wait_listener(s);
	source_add(s, OCU_DENY_SESSION, "ses_lost");
	source_add(s, OCU_DENY_SESSION, "ses_next");
	publish(s, 2, "ses_next", NULL);
	wait_check(d, "ses_next", OCU_E_SESSION_DENIED);
	wait_check(d, "ses_lost", OCU_E_SESSION_DENIED);
	wait_epoch(d, 2);
	ocu_denylist_stop(d);
	source_free(s);
}
END_TEST

/* Nothing published at all: the pull alone brings it. shows: NFR-SEC-04 */
START_TEST(without_the_feed_the_pull_is_enough)
{
	struct source *s = source_new();
	struct ocu_denylist *d;

	snprintf(s->feed_url, sizeof s->feed_url, "tls+tcp://127.0.0.1:1");
	d = subscribe(s, NULL, 0);
	wait_fresh(d);
	source_add(s, OCU_DENY_SESSION, "ses_4");
	wait_check(d, "ses_4", OCU_E_SESSION_DENIED);
	source_remove_all(s);
	wait_check(d, "ses_4", 0);
	ocu_denylist_stop(d);
	source_free(s);
}
END_TEST

START_TEST(an_older_list_of_the_same_history_is_ignored)
{
	struct source *s = source_new();
	struct ocu_denylist *d;

	source_add(s, OCU_DENY_SESSION, "ses_5");
	source_add(s, OCU_DENY_SESSION, "ses_6");
	d = subscribe(s, NULL, 0);
	wait_epoch(d, 2);
	pthread_mutex_lock(&s->lock);
	s->epoch = 1;
	s->count = 0;
	pthread_mutex_unlock(&s->lock);
	source_wait_pulls(s, 2);
	ck_assert_int_eq(ocu_denylist_check(d, OCU_DENY_SESSION, "ses_5", NULL), OCU_E_SESSION_DENIED);
	ck_assert_uint_eq(ocu_denylist_epoch(d), 2);
	ocu_denylist_stop(d);
	source_free(s);
}
END_TEST

START_TEST(another_history_replaces_everything)
{
	struct source *s = source_new();
	struct told t;
	struct ocu_denylist *d;

	told_init(&t);
	source_add(s, OCU_DENY_SESSION, "ses_7");
	source_add(s, OCU_DENY_SESSION, "ses_8");
	d = subscribe(s, &t, 0);
	told_wait(&t, 2);
	/* The same epoch: a list that says "unchanged" of another history is asked for again. */
	pthread_mutex_lock(&s->lock);
	snprintf(s->history, sizeof s->history, "second");
	snprintf(s->list[0].value, sizeof s->list[0].value, "ses_9");
	pthread_mutex_unlock(&s->lock);
	wait_check(d, "ses_9", OCU_E_SESSION_DENIED);
	ck_assert_int_eq(ocu_denylist_check(d, OCU_DENY_SESSION, "ses_7", NULL), 0);
	ck_assert_int_eq(ocu_denylist_check(d, OCU_DENY_SESSION, "ses_8", NULL), OCU_E_SESSION_DENIED);
	told_wait(&t, 3);
	ck_assert_uint_eq(t.count, 3);
	ocu_denylist_stop(d);
	source_free(s);
}
END_TEST

/* --- doubt --- */

/* shows: NFR-SEC-04, NFR-SEC-48 (in part) */
START_TEST(nothing_heard_denies_everything)
{
	struct source *s = source_new();
	struct ocu_denylist *d;
	struct ocu_error err = {0};

	pthread_mutex_lock(&s->lock);
	s->silent = true;
	pthread_mutex_unlock(&s->lock);
	d = subscribe(s, NULL, 3000);
	ck_assert_int_eq(ocu_denylist_check(d, OCU_DENY_SESSION, "ses_x", &err), OCU_E_STALE_DENYLIST);
	source_wait_pulls(s, 2);
	ck_assert_int_eq(ocu_denylist_check(d, OCU_DENY_SESSION, "ses_x", &err), OCU_E_STALE_DENYLIST);
	ck_assert_int_eq(ocu_denylist_fresh(d), 0);
	pthread_mutex_lock(&s->lock);
	s->silent = false;
	pthread_mutex_unlock(&s->lock);
	wait_check(d, "ses_x", 0);
	pthread_mutex_lock(&s->lock);
	s->silent = true;
	pthread_mutex_unlock(&s->lock);
	wait_check(d, "ses_x", OCU_E_STALE_DENYLIST);
	ocu_denylist_stop(d);
	source_free(s);
}
END_TEST

/* Whoever holds back the feed and lets the changes go one by one, the pulls never, must not keep the list
 * fresh with them: each takes effect, and none is news. shows: NFR-SEC-04 (in part) */
START_TEST(a_change_held_back_is_no_news)
{
	struct source *s = source_new();
	struct ocu_denylist *d = subscribe(s, NULL, 3000);
	uint64_t end, epoch = 0;
	char value[24];

	wait_fresh(d);
	source_wait_listener(s);
	source_wait_pulls(s, 1); /* joining caused a pull */
	source_silence(s, true);
	end = ocu_mono_ms() + 30000;
	while (ocu_denylist_fresh(d) && ocu_mono_ms() < end) {
		snprintf(value, sizeof value, "ses_%d", (int)++epoch);
		publish(s, epoch, value, NULL);
		wait_epoch(d, epoch);
		poll(NULL, 0, 10);
	}
	ck_assert_int_eq(ocu_denylist_fresh(d), 0);
	/* The last of them was no news, either, and still denies. */
	snprintf(value, sizeof value, "ses_late");
	publish(s, ++epoch, value, NULL);
	wait_check(d, value, OCU_E_SESSION_DENIED);
	ck_assert_int_eq(ocu_denylist_check(d, OCU_DENY_SESSION, "ses_other", NULL), OCU_E_STALE_DENYLIST);
	ocu_denylist_stop(d);
	source_free(s);
}
END_TEST

START_TEST(malformed_changes_change_nothing)
{
	static const struct {
		const char *bytes;
		size_t len;
	} rows[] = {{"", 0},
	            {"\xff", 1},
	            {"\x0a\x05"
	             "first\x10\x01\x1a\x01\x08",
	             12},
	            {"\x0a\x05"
	             "first\x10\x01\x38\x01",
	             11},
	            {"\x0a\x05"
	             "first\x10\x01\x1a\x05\x08\x01\x12\x01\xff",
	             16}};
	struct source *s = source_new();
	struct ocu_denylist *d = subscribe(s, NULL, 0);
	Ocu__Denylist__Entry none = OCU__DENYLIST__ENTRY__INIT, *list[] = {&none};
	Ocu__Denylist__Change c = OCU__DENYLIST__CHANGE__INIT;
	uint8_t bytes[64];

	wait_fresh(d);
	source_wait_listener(s);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		publish_bytes(s, rows[i].bytes, rows[i].len);
	c.history = s->history; /* well formed, but an entry of no kind and no value */
	c.epoch = 1;
	c.n_added = 1;
	c.added = list;
	publish_bytes(s, bytes, ocu__denylist__change__pack(&c, bytes));
	source_wait_pulls(s, 2);
	ck_assert_uint_eq(ocu_denylist_epoch(d), 0);
	ck_assert_int_eq(ocu_denylist_check(d, OCU_DENY_SESSION, "ses_x", NULL), 0);
	source_add(s, OCU_DENY_SESSION, "ses_y");
	publish(s, 1, "ses_y", NULL);
	wait_check(d, "ses_y", OCU_E_SESSION_DENIED);
	ocu_denylist_stop(d);
	source_free(s);
}
END_TEST

/* A list that cannot be held is not half held: it does not count as heard, and checks go stale. */
START_TEST(a_list_over_the_bound_is_not_taken)
{
	struct source *s = source_new();
	struct ocu_denylist *d;
	char value[24];

	for (unsigned i = 0; i < OCU_DENYLIST_MAX; i++) {
		snprintf(value, sizeof value, "ses_%u", (i * 2654435761u) % 1000003);
		source_add(s, OCU_DENY_SESSION, value);
	}
	d = subscribe(s, NULL, 5000);
	wait_fresh(d);
	ck_assert_int_eq(ocu_denylist_check(d, OCU_DENY_SESSION, value, NULL), OCU_E_SESSION_DENIED);
	ck_assert_int_eq(ocu_denylist_check(d, OCU_DENY_SESSION, "ses_nobody", NULL), 0);
	source_add(s, OCU_DENY_SESSION, "ses_one_more");
	wait_check(d, "ses_nobody", OCU_E_STALE_DENYLIST);
	ck_assert_int_eq(ocu_denylist_check(d, OCU_DENY_SESSION, value, NULL), OCU_E_SESSION_DENIED);
	ocu_denylist_stop(d);
	source_free(s);
}
END_TEST

/* A subscriber of the wrong name gets no feed and no list. */
START_TEST(stop_is_prompt_with_nobody_there)
{
	struct ocu_denylist_opts o = {
	    .feed_url = "tls+tcp://127.0.0.1:1", .pull_url = "tls+tcp://127.0.0.1:1", .identity = sandboxd};
	struct ocu_denylist *d = NULL;
	uint64_t start;

	ck_assert_int_eq(ocu_denylist_start(&d, &o, NULL), 0);
	ck_assert_int_eq(ocu_denylist_check(d, OCU_DENY_SESSION, "x", NULL), OCU_E_STALE_DENYLIST);
	start = ocu_mono_ms();
	ocu_denylist_stop(d);
	ck_assert_uint_lt(ocu_mono_ms() - start, 30000);
	o.feed_url = "nonsense";
	ck_assert_int_lt(ocu_denylist_start(&d, &o, NULL), 0);
}
END_TEST

START_TEST(the_set_holds_what_was_added)
{
	struct ocu_deny_set set = {0};
	char value[OCU_DENYLIST_VALUE_MAX + 2];

	for (unsigned i = 0; i < 500; i++) {
		snprintf(value, sizeof value, "v%u", i * 7919 % 500);
		ck_assert_int_eq(ocu_deny_set_add(&set, 1 + i % 3, value), 0);
		ck_assert_int_eq(ocu_deny_set_add(&set, 1 + i % 3, value), 0);
	}
	ck_assert_uint_eq(set.count, 500);
	for (unsigned i = 0; i < 500; i++) {
		snprintf(value, sizeof value, "v%u", i * 7919 % 500);
		ck_assert_ptr_nonnull(ocu_deny_set_find(&set, (enum ocu_deny_kind)(1 + i % 3), value));
		ck_assert_ptr_null(ocu_deny_set_find(&set, (enum ocu_deny_kind)(1 + (i + 1) % 3), value));
		ocu_deny_set_remove(&set, 1 + i % 3, value);
		ck_assert_ptr_null(ocu_deny_set_find(&set, (enum ocu_deny_kind)(1 + i % 3), value));
	}
	ck_assert_uint_eq(set.count, 0);
	ck_assert_int_eq(ocu_deny_set_add(&set, 0, "x"), OCU_E_INVALID);
	ck_assert_int_eq(ocu_deny_set_add(&set, 4, "x"), OCU_E_INVALID);
	ck_assert_int_eq(ocu_deny_set_add(&set, 1, ""), OCU_E_INVALID);
	memset(value, 'a', sizeof value - 1);
	value[sizeof value - 1] = '\0';
	ck_assert_int_eq(ocu_deny_set_add(&set, 1, value), OCU_E_INVALID);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(value, sizeof value, "v%u", i % 10);
		ck_assert_int_eq(ocu_deny_set_push(&set, 2, value), 0);
	}
	ocu_deny_set_sort(&set);
	ck_assert_uint_eq(set.count, 10);
	ocu_deny_set_done(&set);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("denylist");
	TCase *t = tcase_create("subscriber");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_unchecked_fixture(t, make_pki, remove_pki);
	tcase_add_checked_fixture(t, load, unload);
	tcase_add_test(t, the_list_at_start_denies_and_is_told_once);
	tcase_add_test(t, a_published_change_takes_effect_at_once);
	tcase_add_test(t, a_gap_is_filled_by_a_pull);
	tcase_add_test(t, without_the_feed_the_pull_is_enough);
	tcase_add_test(t, an_older_list_of_the_same_history_is_ignored);
	tcase_add_test(t, another_history_replaces_everything);
	tcase_add_test(t, nothing_heard_denies_everything);
	tcase_add_test(t, a_change_held_back_is_no_news);
	tcase_add_test(t, malformed_changes_change_nothing);
	tcase_add_test(t, a_list_over_the_bound_is_not_taken);
	tcase_add_test(t, stop_is_prompt_with_nobody_there);
	tcase_add_test(t, the_set_holds_what_was_added);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
