/* rpc: calls between daemons when all goes well, and when the other side is slow, full, gone or killed. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "proto/session.pb-c.h"
#include "tests/unit/libocu_net_fixture.h"

static char *dir;
static struct ocu_identity *auditd, *operatord, *gateway, *sandboxd;

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
	operatord = net_identity(dir, OCU_COMP_OPERATORD);
	gateway = net_identity(dir, OCU_COMP_GATEWAY);
	sandboxd = net_identity(dir, OCU_COMP_SANDBOXD);
}

static void unload(void)
{
	ocu_identity_free(auditd);
	ocu_identity_free(operatord);
	ocu_identity_free(gateway);
	ocu_identity_free(sandboxd);
}

/* --- a server that keeps calls --- */

struct keeper {
	pthread_mutex_t lock;
	pthread_cond_t came;
	struct ocu_rpc_call *calls[512];
	unsigned count;
};

static void keeper_init(struct keeper *k)
{
	memset(k, 0, sizeof *k);
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->came, NULL);
}

static void keep(struct ocu_rpc_call *call, const ProtobufCMessage *m, void *arg)
{
	struct keeper *k = arg;

	(void)m;
	pthread_mutex_lock(&k->lock);
	k->calls[k->count++] = call;
	pthread_cond_broadcast(&k->came);
	pthread_mutex_unlock(&k->lock);
}

/* Waits for so many calls; returns how many there are. */
static unsigned keeper_wait(struct keeper *k, unsigned count)
{
	pthread_mutex_lock(&k->lock);
	while (k->count < count)
		pthread_cond_wait(&k->came, &k->lock);
	count = k->count;
	pthread_mutex_unlock(&k->lock);
	return count;
}

static struct ocu_rpc_call *keeper_get(struct keeper *k, unsigned i)
{
	struct ocu_rpc_call *call;

	pthread_mutex_lock(&k->lock);
	call = k->calls[i];
	pthread_mutex_unlock(&k->lock);
	return call;
}

static void answer(struct ocu_rpc_call *call, uint64_t records)
{
	Ocu__Audit__HeadReply reply = OCU__AUDIT__HEAD_REPLY__INIT;

	reply.records = records;
	ocu_rpc_reply(call, &reply.base);
}

static const struct ocu_rpc_entry keeper_table[] = {{&ocu_m_audit_head, keep}, {0}};

static struct ocu_rpc_server *keeper_server(struct keeper *k, unsigned inflight, char url[64])
{
	struct ocu_rpc_server_opts o = {.url = "tls+tcp://127.0.0.1:0",
	                                .identity = auditd,
	                                .table = keeper_table,
	                                .arg = k,
	                                .inflight = inflight};

	return net_server(&o, url);
}

/* --- results of asynchronous calls --- */

struct results {
	pthread_mutex_t lock;
	pthread_cond_t more;
	unsigned done;
	int codes[512];
	uint64_t records[512];
};

static void results_init(struct results *r)
{
	memset(r, 0, sizeof *r);
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->more, NULL);
}

static void record(void *arg, const ProtobufCMessage *reply, const struct ocu_error *err)
{
	struct results *r = arg;

	pthread_mutex_lock(&r->lock);
	r->codes[r->done] = err ? err->code : 0;
	r->records[r->done++] = reply ? ((const Ocu__Audit__HeadReply *)reply)->records : 0;
	pthread_cond_broadcast(&r->more);
	pthread_mutex_unlock(&r->lock);
}

static void results_wait(struct results *r, unsigned count)
{
	pthread_mutex_lock(&r->lock);
	while (r->done < count)
		pthread_cond_wait(&r->more, &r->lock);
	pthread_mutex_unlock(&r->lock);
}

static int start_head(struct ocu_rpc_client *c, struct results *r, uint32_t deadline_ms,
                      struct ocu_error *err)
{
	Ocu__Audit__HeadRequest req = OCU__AUDIT__HEAD_REQUEST__INIT;

	return ocu_rpc_call_async(c, &ocu_m_audit_head, &req.base, deadline_ms, "trc_async", record, r, err);
}

/* --- calls that work --- */

static void describe(struct ocu_rpc_call *call, const ProtobufCMessage *m, void *arg)
{
	Ocu__Audit__HeadReply reply = OCU__AUDIT__HEAD_REPLY__INIT;
	char text[512];

	(void)m;
	(void)arg;
	snprintf(text, sizeof text, "%s %s %d", ocu_rpc_call_peer(call)->spiffe, ocu_rpc_call_trace(call),
	         ocu_rpc_call_remaining_ms(call) > 0 && ocu_rpc_call_remaining_ms(call) <= 60000);
	reply.head.data = (uint8_t *)text;
	reply.head.len = strlen(text);
	ocu_rpc_reply(call, &reply.base);
}

/* shows: NFR-SEC-26 */
START_TEST(the_handler_knows_who_calls)
{
	static const struct ocu_rpc_entry table[] = {{&ocu_m_audit_head, describe}, {0}};
	struct ocu_rpc_server_opts o = {.url = "tls+tcp://127.0.0.1:0", .identity = auditd, .table = table};
	Ocu__Audit__HeadRequest req = OCU__AUDIT__HEAD_REQUEST__INIT;
	ProtobufCMessage *reply = NULL;
	const ProtobufCBinaryData *head;
	struct ocu_error err = {0};
	char url[64];
	struct ocu_rpc_server *s = net_server(&o, url);
	struct ocu_rpc_client *c = net_connected(operatord, url, OCU_COMP_AUDITD);

	ck_assert_msg(ocu_rpc_call(c, &ocu_m_audit_head, &req.base, &reply, 60000, "trc_01", &err) == 0, "%s",
	              err.text);
	head = &((Ocu__Audit__HeadReply *)reply)->head;
	ck_assert_int_eq((int)head->len, (int)strlen("spiffe://" TD "/ocu/operatord trc_01 1"));
	ck_assert_mem_eq(head->data, "spiffe://" TD "/ocu/operatord trc_01 1", head->len);
	protobuf_c_message_free_unpacked(reply, NULL);
	ocu_rpc_client_free(c);
	ocu_rpc_server_stop(s, 1000);
}
END_TEST

/* One server on two of three addresses, as on a host with a network for each peer. */
START_TEST(a_server_listens_where_it_is_told_and_nowhere_else)
{
	static const char *const hosts[] = {"127.0.0.1", "127.0.0.2", "127.0.0.3"};
	struct ocu_rpc_server_opts o = {
	    .url = "tls+tcp://127.0.0.1:0", .identity = auditd, .table = net_table};
	struct ocu_error err = {0};
	char url[64], both[128];
	struct ocu_rpc_server *s = net_server(&o, url);
	int port = ocu_rpc_server_port(s);

	ocu_rpc_server_stop(s, 1000);
	snprintf(both, sizeof both, "tls+tcp://%s:%d,tls+tcp://%s:%d", hosts[0], port, hosts[1], port);
	o.url = both;
	s = net_server(&o, url);
	for (size_t i = 0; i < 3; i++) {
		snprintf(url, sizeof url, "tls+tcp://%s:%d", hosts[i], port);
		struct ocu_rpc_client *c = net_client(operatord, url, OCU_COMP_AUDITD);
		if (i < 2)
			ck_assert_msg(ocu_rpc_client_wait(c, 60000, &err) == 0, "%s", err.text);
		ck_assert_int_eq(net_call_head(c, i < 2 ? 60000 : 300, &err), i < 2 ? 0 : OCU_E_UNAVAILABLE);
		ocu_rpc_client_free(c);
	}
	ocu_rpc_server_stop(s, 1000);
	o.url = "tls+tcp://127.0.0.1:0,";
	ck_assert_int_eq(ocu_rpc_server_start(&s, &o, &err), OCU_E_CONFIG);
}
END_TEST

/* What has begun to arrive is memory, on every connection of a peer. shows: NFR-SEC-51 */
START_TEST(a_server_takes_no_more_than_its_methods_need)
{
	struct ocu_rpc_server_opts o = {
	    .url = "tls+tcp://127.0.0.1:0", .identity = sandboxd, .table = net_table, .request_max = 65536};
	char url[64];
	struct ocu_rpc_server *s = net_server(&o, url);
	struct ocu_rpc_client *c = net_connected(gateway, url, OCU_COMP_SANDBOXD);
	Ocu__Exec__RunRequest req = OCU__EXEC__RUN_REQUEST__INIT;

	req.stdin.data = calloc(1, 70000);
	req.stdin.len = 60000;
	ck_assert_int_eq(ocu_rpc_call(c, &ocu_m_exec_run, &req.base, NULL, 60000, NULL, NULL), 0);
	req.stdin.len = 70000;
	ck_assert_int_eq(ocu_rpc_call(c, &ocu_m_exec_run, &req.base, NULL, 60000, NULL, NULL),
	                 OCU_E_UNAVAILABLE);
	req.stdin.len = 60000;
	ck_assert_int_eq(ocu_rpc_client_wait(c, 60000, NULL), 0);
	ck_assert_int_eq(ocu_rpc_call(c, &ocu_m_exec_run, &req.base, NULL, 60000, NULL, NULL), 0);
	free(req.stdin.data);
	ocu_rpc_client_free(c);
	ocu_rpc_server_stop(s, 1000);
}
END_TEST

/* Sizes around the record and buffer sizes, up to the largest message. */
START_TEST(bodies_of_every_size_come_back_whole)
{
	static const size_t sizes[] = {0,     1,     100,   8191,  16000, 16050, 16100,   16127,   16128,
	                               16129, 16383, 16384, 16385, 32255, 65536, 1000000, 8 << 20, 11 << 20};
	struct ocu_rpc_server_opts o = {
	    .url = "tls+tcp://127.0.0.1:0", .identity = sandboxd, .table = net_table};
	char url[64];
	struct ocu_rpc_server *s = net_server(&o, url);
	struct ocu_rpc_client *c = net_connected(gateway, url, OCU_COMP_SANDBOXD);
	uint8_t *data = malloc(11 << 20);

	for (size_t i = 0; i < 11 << 20; i++)
		data[i] = (uint8_t)(i * 2654435761u >> 13);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		Ocu__Exec__RunRequest req = OCU__EXEC__RUN_REQUEST__INIT;
		ProtobufCMessage *reply = NULL;
		struct ocu_error err = {0};

		req.stdin.data = data;
		req.stdin.len = sizes[i];
		ck_assert_msg(ocu_rpc_call(c, &ocu_m_exec_run, &req.base, &reply, 60000, NULL, &err) == 0,
		              "%zu: %s", sizes[i], err.text);
		ck_assert_uint_eq(((Ocu__Exec__RunReply *)reply)->stdout.len, sizes[i]);
		ck_assert(sizes[i] == 0 ||
		          memcmp(((Ocu__Exec__RunReply *)reply)->stdout.data, data, sizes[i]) == 0);
		protobuf_c_message_free_unpacked(reply, NULL);
	}
	free(data);
	ocu_rpc_client_free(c);
	ocu_rpc_server_stop(s, 1000);
}
END_TEST

struct caller {
	struct ocu_rpc_client *client;
	unsigned char fill;
	int bad;
};

static void *call_often(void *arg)
{
	struct caller *me = arg;
	uint8_t data[3000];

	memset(data, me->fill, sizeof data);
	for (size_t i = 0; i < 100; i++) {
		Ocu__Exec__RunRequest req = OCU__EXEC__RUN_REQUEST__INIT;
		ProtobufCMessage *reply = NULL;
		const ProtobufCBinaryData *got;

		req.stdin.data = data;
		req.stdin.len = i * 30;
		if (ocu_rpc_call(me->client, &ocu_m_exec_run, &req.base, &reply, 60000, NULL, NULL) != 0) {
			me->bad++;
			continue;
		}
		got = &((Ocu__Exec__RunReply *)reply)->stdout;
		me->bad += got->len != i * 30 || (got->len && memcmp(got->data, data, got->len) != 0);
		protobuf_c_message_free_unpacked(reply, NULL);
	}
	return NULL;
}

/* Each of many callers gets its own answers. */
START_TEST(many_callers_share_a_connection)
{
	enum { CALLERS = 32 };
	struct ocu_rpc_server_opts o = {
	    .url = "tls+tcp://127.0.0.1:0", .identity = sandboxd, .table = net_table};
	char url[64];
	struct ocu_rpc_server *s = net_server(&o, url);
	struct ocu_rpc_client *c = net_connected(gateway, url, OCU_COMP_SANDBOXD);
	struct caller callers[CALLERS];
	pthread_t threads[CALLERS];
	int bad = 0;

	for (int i = 0; i < CALLERS; i++) {
		callers[i] = (struct caller){.client = c, .fill = (unsigned char)(i + 1)};
		ck_assert_int_eq(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
	}
	for (int i = 0; i < CALLERS; i++) {
		pthread_join(threads[i], NULL);
		bad += callers[i].bad;
	}
	ck_assert_int_eq(bad, 0);
	ocu_rpc_client_free(c);
	ocu_rpc_server_stop(s, 1000);
}
END_TEST

/* Calls are answered in any order, from another thread than the handler's. */
START_TEST(calls_may_be_kept_and_answered_later)
{
	enum { N = 50 };
	struct keeper k;
	struct results r;
	char url[64];
	struct ocu_rpc_server *s;
	struct ocu_rpc_client *c;
	uint64_t sum = 0;

	keeper_init(&k);
	results_init(&r);
	s = keeper_server(&k, 0, url);
	c = net_connected(operatord, url, OCU_COMP_AUDITD);
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(start_head(c, &r, 60000, NULL), 0);
	keeper_wait(&k, N);
	for (unsigned i = N; i-- > 0;)
		answer(keeper_get(&k, i), i + 1);
	results_wait(&r, N);
	for (int i = 0; i < N; i++) {
		ck_assert_int_eq(r.codes[i], 0);
		sum += r.records[i];
	}
	ck_assert_uint_eq(sum, N * (N + 1) / 2);
	ocu_rpc_client_free(c);
	ocu_rpc_server_stop(s, 1000);
}
END_TEST

static void fail_loudly(struct ocu_rpc_call *call, const ProtobufCMessage *m, void *arg)
{
	struct ocu_error err = {0};

	(void)m;
	(void)arg;
	ocu_error_set(&err, OCU_E_QUOTA, "bad \xff byte, good \xc3\xa9");
	ocu_rpc_fail(call, &err);
}

static void answer_wrongly(struct ocu_rpc_call *call, const ProtobufCMessage *m, void *arg)
{
	Ocu__Audit__AppendReply reply = OCU__AUDIT__APPEND_REPLY__INIT;

	(void)m;
	(void)arg;
	ocu_rpc_reply(call, &reply.base);
}

START_TEST(a_failure_carries_code_and_text)
{
	static const struct ocu_rpc_entry table[] = {
	    {&ocu_m_audit_head, fail_loudly}, {&ocu_m_session_route, answer_wrongly}, {0}};
	struct ocu_rpc_server_opts o = {.url = "tls+tcp://127.0.0.1:0", .identity = auditd, .table = table};
	Ocu__Audit__HeadRequest head = OCU__AUDIT__HEAD_REQUEST__INIT;
	Ocu__Session__RouteRequest route = OCU__SESSION__ROUTE_REQUEST__INIT;
	ProtobufCMessage *untouched = (ProtobufCMessage *)&head;
	struct ocu_error err = {0};
	char url[64];
	struct ocu_rpc_server *s = net_server(&o, url);
	struct ocu_rpc_client *c = net_connected(operatord, url, OCU_COMP_AUDITD);

	ck_assert_int_eq(ocu_rpc_call(c, &ocu_m_audit_head, &head.base, &untouched, 60000, NULL, &err),
	                 OCU_E_QUOTA);
	ck_assert_int_eq(err.code, OCU_E_QUOTA);
	ck_assert_str_eq(err.text, "bad ? byte, good \xc3\xa9");
	ck_assert_ptr_eq(untouched, &head);
	ocu_rpc_client_free(c);
	/* A handler's own mistake reaches the caller as an error, never as a reply of another type. */
	c = net_connected(gateway, url, OCU_COMP_AUDITD);
	ck_assert_int_eq(ocu_rpc_call(c, &ocu_m_session_route, &route.base, NULL, 60000, NULL, &err),
	                 OCU_E_INTERNAL);
	ocu_rpc_client_free(c);
	ocu_rpc_server_stop(s, 1000);
}
END_TEST

/* --- limits of time and number --- */

START_TEST(no_answer_is_a_timeout_and_a_late_one_is_nothing)
{
	struct keeper k;
	struct ocu_error err = {0};
	char url[64];
	struct ocu_rpc_server *s;
	struct ocu_rpc_client *c;
	uint64_t start;

	keeper_init(&k);
	s = keeper_server(&k, 0, url);
	c = net_connected(operatord, url, OCU_COMP_AUDITD);
	start = ocu_mono_ms();
	ck_assert_int_eq(net_call_head(c, 3000, &err), OCU_E_TIMEOUT);
	ck_assert_uint_ge(ocu_mono_ms() - start, 2990);
	keeper_wait(&k, 1);
	/* The server counts from the request's arrival, so it may have what the way took left. */
	ck_assert_uint_le(ocu_rpc_call_remaining_ms(keeper_get(&k, 0)), 3000);
	answer(keeper_get(&k, 0), 1);
	ck_assert_int_eq(ocu_rpc_client_connected(c), 1);
	ocu_rpc_client_free(c);
	ocu_rpc_server_stop(s, 1000);
}
END_TEST

START_TEST(calls_over_the_clients_bound_fail_at_once)
{
	struct keeper k;
	struct results r;
	struct ocu_error err = {0};
	char url[64];
	struct ocu_rpc_server *s;
	struct ocu_rpc_client_opts o = {.identity = operatord, .peer = OCU_COMP_AUDITD, .inflight = 3};
	struct ocu_rpc_client *c;

	keeper_init(&k);
	results_init(&r);
	s = keeper_server(&k, 0, url);
	o.url = url;
	ck_assert_int_eq(ocu_rpc_client_new(&c, &o, NULL), 0);
	ck_assert_int_eq(ocu_rpc_client_wait(c, 60000, NULL), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(start_head(c, &r, 60000, NULL), 0);
	ck_assert_int_eq(start_head(c, &r, 60000, &err), OCU_E_BUSY);
	ck_assert_int_eq(net_call_head(c, 10000, NULL), OCU_E_BUSY);
	keeper_wait(&k, 3);
	answer(keeper_get(&k, 0), 1);
	results_wait(&r, 1);
	ck_assert_int_eq(start_head(c, &r, 60000, NULL), 0);
	keeper_wait(&k, 4);
	for (int i = 1; i < 4; i++)
		answer(keeper_get(&k, i), 1);
	results_wait(&r, 4);
	ocu_rpc_client_free(c);
	ocu_rpc_server_stop(s, 1000);
}
END_TEST

/* The server takes `inflight` requests; the others wait in the connection and are served in their turn. */
START_TEST(requests_over_the_servers_bound_wait)
{
	enum { N = 20 };
	struct keeper k;
	struct results r;
	char url[64];
	struct ocu_rpc_server *s;
	struct ocu_rpc_client *c;

	keeper_init(&k);
	results_init(&r);
	s = keeper_server(&k, 4, url);
	c = net_connected(operatord, url, OCU_COMP_AUDITD);
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(start_head(c, &r, 60000, NULL), 0);
	keeper_wait(&k, 4);
	for (unsigned i = 0; i < N; i++) {
		ck_assert_uint_le(keeper_wait(&k, i + 1), i + 4);
		answer(keeper_get(&k, i), i);
	}
	results_wait(&r, N);
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(r.codes[i], 0);
	ocu_rpc_client_free(c);
	ocu_rpc_server_stop(s, 1000);
}
END_TEST

START_TEST(misuse_is_refused_before_anything_is_sent)
{
	Ocu__Audit__AppendRequest wrong = OCU__AUDIT__APPEND_REQUEST__INIT;
	Ocu__Exec__RunRequest big = OCU__EXEC__RUN_REQUEST__INIT;
	struct ocu_rpc_client *c = net_client(operatord, "tls+tcp://127.0.0.1:1", OCU_COMP_AUDITD);

	ck_assert_int_eq(ocu_rpc_call(c, &ocu_m_audit_head, &wrong.base, NULL, 1000, NULL, NULL),
	                 OCU_E_INVALID);
	ck_assert_int_eq(net_call_head(c, 0, NULL), OCU_E_INVALID);
	big.stdin.len = OCU_RPC_MESSAGE_MAX;
	big.stdin.data = calloc(1, big.stdin.len);
	ck_assert_int_eq(ocu_rpc_call(c, &ocu_m_exec_run, &big.base, NULL, 1000, NULL, NULL),
	                 OCU_E_TOO_LARGE);
	free(big.stdin.data);
	ocu_rpc_client_free(c);
}
END_TEST

/* --- the other side is not there, goes, comes back --- */

START_TEST(a_peer_that_is_not_there_is_unavailable_in_time)
{
	struct ocu_rpc_client *c = net_client(operatord, "tls+tcp://127.0.0.1:1", OCU_COMP_AUDITD);
	uint64_t start, least = UINT64_MAX;

	/* The least of some: this machine may be slow, but not at every one of them. */
	for (int i = 0; i < 5; i++) {
		start = ocu_mono_ms();
		ck_assert_int_eq(net_call_head(c, 300, NULL), OCU_E_UNAVAILABLE);
		start = ocu_mono_ms() - start;
		least = start < least ? start : least;
	}
	ck_assert_uint_lt(least, 1500);
	start = ocu_mono_ms();
	ck_assert_int_eq(net_call_head(c, 60000, NULL), OCU_E_UNAVAILABLE);
	ck_assert_uint_ge(ocu_mono_ms() - start, 1900);
	ck_assert_uint_lt(ocu_mono_ms() - start, 30000);
	ck_assert_int_eq(ocu_rpc_client_wait(c, 50, NULL), OCU_E_UNAVAILABLE);
	ocu_rpc_client_free(c);
}
END_TEST

START_TEST(a_call_waits_for_the_first_connection)
{
	struct ocu_rpc_server_opts o = {
	    .url = "tls+tcp://127.0.0.1:0", .identity = auditd, .table = net_table};
	char url[64];
	struct ocu_rpc_server *s = net_server(&o, url);
	int answered = 0;

	/* At least one of some: this machine may be too slow to connect in time, but not at every one. */
	for (int i = 0; i < 5; i++) {
		struct ocu_rpc_client *c = net_client(operatord, url, OCU_COMP_AUDITD);
		uint64_t start = ocu_mono_ms();
		int rc = net_call_head(c, 60000, NULL); /* not connected yet */

		ck_assert(rc == 0 || rc == OCU_E_UNAVAILABLE);
		ck_assert(rc == 0 || ocu_mono_ms() - start >= 1900);
		answered += rc == 0;
		ocu_rpc_client_free(c);
	}
	ck_assert_int_gt(answered, 0);
	ocu_rpc_server_stop(s, 1000);
}
END_TEST

/* Runs a server of its own that keeps every call; says its port and each call on the pipe. */
static pid_t fork_keeper(int *ret_fd, char url[64])
{
	int pipe_fds[2], port = 0;
	pid_t pid;

	ck_assert_int_eq(pipe(pipe_fds), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		struct keeper k;
		struct ocu_rpc_server *s;

		keeper_init(&k);
		s = keeper_server(&k, 0, url);
		port = ocu_rpc_server_port(s);
		(void)!write(pipe_fds[1], &port, sizeof port);
		for (unsigned n = 1;; n++) {
			keeper_wait(&k, n);
			(void)!write(pipe_fds[1], "c", 1);
		}
	}
	close(pipe_fds[1]);
	ck_assert_int_eq(read(pipe_fds[0], &port, sizeof port), sizeof port);
	snprintf(url, 64, "tls+tcp://127.0.0.1:%d", port);
	*ret_fd = pipe_fds[0];
	return pid;
}

/* shows: NFR-REL-12 */
START_TEST(a_peer_killed_in_mid_call_ends_the_calls_at_once)
{
	enum { N = 8 };
	struct results r;
	struct ocu_rpc_client *c;
	char url[64], byte;
	int fd;
	pid_t pid = fork_keeper(&fd, url);
	uint64_t start;

	results_init(&r);
	c = net_connected(operatord, url, OCU_COMP_AUDITD);
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(start_head(c, &r, 60000, NULL), 0);
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(read(fd, &byte, 1), 1);
	start = ocu_mono_ms();
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	results_wait(&r, N);
	ck_assert_uint_lt(ocu_mono_ms() - start, 30000);
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(r.codes[i], OCU_E_UNAVAILABLE);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(net_call_head(c, 10000, NULL), OCU_E_UNAVAILABLE);
	ocu_rpc_client_free(c);
	close(fd);
}
END_TEST

START_TEST(a_restarted_server_is_found_again)
{
	struct ocu_rpc_server_opts o = {
	    .url = "tls+tcp://127.0.0.1:0", .identity = auditd, .table = net_table};
	struct ocu_error err = {0};
	char url[64];
	struct ocu_rpc_server *s = net_server(&o, url);
	struct ocu_rpc_client *c = net_connected(operatord, url, OCU_COMP_AUDITD);

	for (int i = 0; i < 3; i++) {
		ck_assert_msg(net_call_head(c, 60000, &err) == 0, "%s", err.text);
		ocu_rpc_server_stop(s, 1000);
		while (ocu_rpc_client_connected(c))
			sched_yield();
		o.url = url;
		s = net_server(&o, url);
		ck_assert_msg(ocu_rpc_client_wait(c, 60000, &err) == 0, "%s", err.text);
	}
	ocu_rpc_client_free(c);
	ocu_rpc_server_stop(s, 1000);
}
END_TEST

/* --- ends --- */

START_TEST(freeing_a_client_cancels_its_calls)
{
	enum { N = 10 };
	struct keeper k;
	struct results r;
	char url[64];
	struct ocu_rpc_server *s;
	struct ocu_rpc_client *c, *lost;

	keeper_init(&k);
	results_init(&r);
	s = keeper_server(&k, 0, url);
	c = net_connected(operatord, url, OCU_COMP_AUDITD);
	lost = net_client(operatord, "tls+tcp://127.0.0.1:1", OCU_COMP_AUDITD);
	for (int i = 0; i < N; i++)
		ck_assert_int_eq(start_head(c, &r, 60000, NULL), 0);
	keeper_wait(&k, N);
	ck_assert_int_eq(start_head(lost, &r, 60000, NULL), 0);
	ocu_rpc_client_free(lost); /* before it gives its peer up */
	ocu_rpc_client_free(c);
	ck_assert_uint_eq(r.done, N + 1);
	for (int i = 0; i <= N; i++)
		ck_assert_int_eq(r.codes[i], OCU_E_CANCELLED);
	for (int i = 0; i < N; i++)
		answer(keeper_get(&k, i), 1);
	ocu_rpc_server_stop(s, 1000);
}
END_TEST

START_TEST(calls_answered_after_the_server_stopped_are_freed)
{
	struct keeper k;
	struct results r;
	char url[64];
	struct ocu_rpc_server *s;
	struct ocu_rpc_client *c;
	uint64_t start;

	keeper_init(&k);
	results_init(&r);
	s = keeper_server(&k, 0, url);
	c = net_connected(operatord, url, OCU_COMP_AUDITD);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(start_head(c, &r, 60000, NULL), 0);
	keeper_wait(&k, 3);
	start = ocu_mono_ms();
	ocu_rpc_server_stop(s, 100);
	ck_assert_uint_lt(ocu_mono_ms() - start, 30000);
	results_wait(&r, 3);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(r.codes[i], OCU_E_UNAVAILABLE);
		ck_assert_str_eq(ocu_rpc_call_peer(keeper_get(&k, i))->spiffe,
		                 "spiffe://" TD "/ocu/operatord");
		answer(keeper_get(&k, i), 1);
	}
	ocu_rpc_client_free(c);
}
END_TEST

/* A reply that was given before stop is delivered, however soon stop follows. */
START_TEST(stopping_loses_no_answer)
{
	for (int round = 0; round < 30; round++) {
		struct keeper k;
		struct results r;
		char url[64];
		struct ocu_rpc_server *s;
		struct ocu_rpc_client *c;

		keeper_init(&k);
		results_init(&r);
		s = keeper_server(&k, 0, url);
		c = net_connected(operatord, url, OCU_COMP_AUDITD);
		for (int i = 0; i < 5; i++)
			ck_assert_int_eq(start_head(c, &r, 60000, NULL), 0);
		keeper_wait(&k, 5);
		for (int i = 0; i < 5; i++)
			answer(keeper_get(&k, i), 1);
		ocu_rpc_server_stop(s, 60000);
		results_wait(&r, 5);
		for (int i = 0; i < 5; i++)
			ck_assert_int_eq(r.codes[i], 0);
		ocu_rpc_client_free(c);
	}
}
END_TEST

START_TEST(a_server_that_cannot_listen_says_so)
{
	struct ocu_rpc_server_opts o = {
	    .url = "tls+tcp://127.0.0.1:0", .identity = auditd, .table = net_table};
	struct ocu_error err = {0};
	struct ocu_rpc_server *second = NULL, *s;
	char url[64];

	s = net_server(&o, url);
	o.url = url;
	ck_assert_int_eq(ocu_rpc_server_start(&second, &o, &err), OCU_E_IO);
	ck_assert_ptr_null(second);
	ck_assert_ptr_nonnull(strstr(err.text, url));
	o.url = "nonsense";
	ck_assert_int_lt(ocu_rpc_server_start(&second, &o, &err), 0);
	ocu_rpc_server_stop(s, 1000);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("rpc");
	TCase *t = tcase_create("calls");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_unchecked_fixture(t, make_pki, remove_pki);
	tcase_add_checked_fixture(t, load, unload);
	tcase_add_test(t, the_handler_knows_who_calls);
	tcase_add_test(t, a_server_listens_where_it_is_told_and_nowhere_else);
	tcase_add_test(t, a_server_takes_no_more_than_its_methods_need);
	tcase_add_test(t, bodies_of_every_size_come_back_whole);
	tcase_add_test(t, many_callers_share_a_connection);
	tcase_add_test(t, calls_may_be_kept_and_answered_later);
	tcase_add_test(t, a_failure_carries_code_and_text);
	tcase_add_test(t, no_answer_is_a_timeout_and_a_late_one_is_nothing);
	tcase_add_test(t, calls_over_the_clients_bound_fail_at_once);
	tcase_add_test(t, requests_over_the_servers_bound_wait);
	tcase_add_test(t, misuse_is_refused_before_anything_is_sent);
	tcase_add_test(t, a_peer_that_is_not_there_is_unavailable_in_time);
	tcase_add_test(t, a_call_waits_for_the_first_connection);
	tcase_add_test(t, a_peer_killed_in_mid_call_ends_the_calls_at_once);
	tcase_add_test(t, a_restarted_server_is_found_again);
	tcase_add_test(t, freeing_a_client_cancels_its_calls);
	tcase_add_test(t, calls_answered_after_the_server_stopped_are_freed);
	tcase_add_test(t, stopping_loses_no_answer);
	tcase_add_test(t, a_server_that_cannot_listen_says_so);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
