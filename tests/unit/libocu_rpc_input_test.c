/*
 * rpc: what a server does with a request that is not exactly right, sent by a peer whose certificate is.
 * Every refusal has its code, is reported, and leaves the server serving.
 */
#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <openssl/ssl.h>
#include <pthread.h>

#include "libocu/id.h"
#include "libocu/rpc_envelope.h"
#include "libocu/rpc_wire.h"
#include "libocu/tls_engine.h"
#include "proto/denylist.pb-c.h"
#include "proto/edge.pb-c.h"
#include "proto/envelope.pb-c.h"
#include "tests/unit/libocu_net_fixture.h"

static char *dir;
static struct ocu_identity *egressd, *operatord;

static void make_pki(void)
{
	dir = net_pki_new();
}

static void remove_pki(void)
{
	net_dir_free(dir);
}

/* --- the server, and what it refused --- */

static struct {
	pthread_mutex_t lock;
	unsigned count;
	uint32_t method;
	int code;
	char peer[OCU_SPIFFE_MAX];
} refusals = {.lock = PTHREAD_MUTEX_INITIALIZER};
static struct ocu_rpc_server *server;
static char url[64];

static void note(const struct ocu_peer *peer, uint32_t method, const struct ocu_error *why, void *arg)
{
	(void)arg;
	pthread_mutex_lock(&refusals.lock);
	refusals.count++;
	refusals.method = method;
	refusals.code = why->code;
	snprintf(refusals.peer, sizeof refusals.peer, "%s", peer ? peer->spiffe : "");
	pthread_mutex_unlock(&refusals.lock);
}

static void registered(struct ocu_rpc_call *call, const ProtobufCMessage *m, void *arg)
{
	Ocu__Edge__RegisterReply reply = OCU__EDGE__REGISTER_REPLY__INIT;

	(void)m;
	(void)arg;
	ocu_rpc_reply(call, &reply.base);
}

/* Serves edge.Register to operatord and exec.Run to the gateway. */
static void load(void)
{
	static const struct ocu_rpc_entry table[] = {
	    {&ocu_m_edge_register, registered}, {&ocu_m_exec_run, net_echo}, {0}};
	struct ocu_rpc_server_opts o = {.url = "tls+tcp://127.0.0.1:0", .table = table, .refused = note};

	o.identity = egressd = net_identity(dir, OCU_COMP_EGRESSD);
	operatord = net_identity(dir, OCU_COMP_OPERATORD);
	server = net_server(&o, url);
}

static void unload(void)
{
	ocu_rpc_server_stop(server, 1000);
	ocu_identity_free(egressd);
	ocu_identity_free(operatord);
}

static void expect_serving(void)
{
	struct ocu_rpc_client *c = net_connected(operatord, url, OCU_COMP_EGRESSD);
	Ocu__Edge__RegisterRequest req = OCU__EDGE__REGISTER_REQUEST__INIT;
	struct ocu_error err = {0};

	ck_assert_msg(ocu_rpc_call(c, &ocu_m_edge_register, &req.base, NULL, 60000, NULL, &err) == 0, "%s",
	              err.text);
	ocu_rpc_client_free(c);
}

/* --- tokens --- */

struct claims {
	const char *iss, *sub, *aud;
	long exp, iat; /* relative to now */
};

static const struct claims good = {"spiffe://" TD "/ocu/operatord", "spiffe://" TD "/ocu/operatord",
                                   "spiffe://" TD "/ocu/egressd", 600, 0};

static char *sign(const struct ocu_signer *signer, const struct claims *c)
{
	json_int_t now = (json_int_t)ocu_wall_s();
	char jti[OCU_ID_MAX], *token = NULL;
	struct ocu_error err = {0};
	json_t *claims;

	ocu_id_new(OCU_ID_TOKEN, jti);
	claims = json_pack("{s:s, s:s, s:s, s:I, s:I, s:s}", "iss", c->iss, "sub", c->sub, "aud", c->aud,
	                   "exp", now + c->exp, "iat", now + c->iat, "jti", jti);
	ck_assert_msg(ocu_jwt_sign(signer, claims, &token, &err) == 0, "%s", err.text);
	json_decref(claims);
	return token;
}

/* --- sending any bytes as a request --- */

/* Code of the answer; 1 when the connection was closed instead. */
static int exchange(const void *data, size_t len)
{
	nng_tls_config *tls;
	nng_socket s;
	nng_dialer d;
	nng_msg *msg;
	struct ocu_rpc_answer a;
	int rv, code = 1;

	ck_assert_int_eq(
	    ocu_tls_config(&tls, NNG_TLS_MODE_CLIENT, operatord, "spiffe://" TD "/ocu/egressd", NULL), 0);
	ck_assert_int_eq(nng_req0_open(&s), 0);
	ck_assert_int_eq(nng_socket_set_ms(s, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE), 0);
	ck_assert_int_eq(nng_socket_set_ms(s, NNG_OPT_RECVTIMEO, 10000), 0);
	ck_assert_int_eq(nng_dialer_create(&d, s, url), 0);
	ck_assert_int_eq(nng_dialer_set_ptr(d, NNG_OPT_TLS_CONFIG, tls), 0);
	ck_assert_int_eq(nng_dialer_start(d, 0), 0);
	ck_assert_int_eq(nng_msg_alloc(&msg, 0), 0);
	ck_assert_int_eq(nng_msg_append(msg, data, len), 0);
	ck_assert_int_eq(nng_sendmsg(s, msg, 0), 0);
	rv = nng_recvmsg(s, &msg, 0);
	ck_assert_int_ne(rv, NNG_ETIMEDOUT);
	if (rv == 0) {
		ck_assert_int_eq(ocu_rpc_answer_decode(&a, nng_msg_body(msg), nng_msg_len(msg), NULL), 0);
		code = a.code;
		nng_msg_free(msg);
	}
	nng_close(s);
	nng_tls_config_free(tls);
	return code;
}

/* A request in which everything is right but what the test changes. */
static Ocu__Rpc__Request request(const char *token)
{
	Ocu__Rpc__Request r = OCU__RPC__REQUEST__INIT;

	r.id = 77;
	r.method = ocu_m_edge_register.id;
	r.deadline_ms = 5000;
	r.trace_id = (char *)"trc_test";
	r.token = (char *)token;
	return r;
}

static int send_request(const Ocu__Rpc__Request *r, const void *extra, size_t extra_len)
{
	size_t len = ocu__rpc__request__get_packed_size(r);
	uint8_t *data = malloc(len + extra_len + 1);
	int code;

	ocu__rpc__request__pack(r, data);
	if (extra_len)
		memcpy(data + len, extra, extra_len);
	code = exchange(data, len + extra_len);
	free(data);
	return code;
}

static int send_body(const void *body, size_t len)
{
	char *token = sign(operatord->token_signer, &good);
	Ocu__Rpc__Request r = request(token);
	int code;

	r.body.data = (uint8_t *)body;
	r.body.len = len;
	code = send_request(&r, NULL, 0);
	free(token);
	return code;
}

START_TEST(the_right_request_passes)
{
	ck_assert_int_eq(send_body(NULL, 0), 0);
	ck_assert_uint_eq(refusals.count, 0);
}
END_TEST

/* --- the envelope --- */

static const struct {
	const char *name;
	const char *bytes;
	size_t len;
	int code;
} envelopes[] = {
    {"empty", "", 0, OCU_E_INVALID},
    {"cut key", "\x80", 1, OCU_E_PARSE},
    {"cut varint", "\x08\xff\xff", 3, OCU_E_PARSE},
    {"varint of eleven bytes", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, OCU_E_PARSE},
    {"varint over 64 bits", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, OCU_E_PARSE},
    {"cut string", "\x22\x05trc", 5, OCU_E_PARSE},
    {"length over the end", "\x32\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10, OCU_E_PARSE},
    {"field 0", "\x00\x01", 2, OCU_E_PARSE},
    {"group", "\x0b\x0c", 2, OCU_E_PARSE},
    {"unknown field", "\x08\x01\x10\x02\x18\x05\x38\x01", 8, OCU_E_UNKNOWN_FIELD},
    {"far unknown field", "\x18\x05\xf8\xff\xff\xff\x0f\x01", 8, OCU_E_UNKNOWN_FIELD},
    {"no deadline", "\x08\x01\x10\x02", 4, OCU_E_INVALID},
    {"zero deadline", "\x08\x01\x10\x02\x18\x00", 6, OCU_E_INVALID},
    {"deadline over 32 bits", "\x18\xff\xff\xff\xff\x1f", 6, OCU_E_PARSE},
    {"number as string", "\x0a\x01x", 3, OCU_E_PARSE},
    {"string as number", "\x20\x01", 2, OCU_E_PARSE},
    {"fixed64 id", "\x09\x01\x02\x03\x04\x05\x06\x07\x08", 9, OCU_E_PARSE},
    {"id twice", "\x08\x01\x08\x02\x18\x05", 6, OCU_E_PARSE},
    {"token twice", "\x18\x05\x2a\x01x\x2a\x01y", 8, OCU_E_PARSE},
    {"trace not UTF-8", "\x18\x05\x22\x02\xc3\x28", 6, OCU_E_PARSE},
    {"trace with NUL", "\x18\x05\x22\x03t\0c", 7, OCU_E_PARSE},
    {"trace overlong UTF-8", "\x18\x05\x22\x02\xc0\xaf", 6, OCU_E_PARSE},
    {"trace too long",
     "\x18\x05\x22\x28"
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     44, OCU_E_TOO_LARGE},
    {"HTTP", "POST / HTTP/1.1\r\n\r\n", 19, OCU_E_UNKNOWN_FIELD},
};

/* shows: NFR-SEC-51, NFR-SEC-43 */
START_TEST(a_malformed_envelope_is_refused)
{
	int code = exchange(envelopes[_i].bytes, envelopes[_i].len);

	ck_assert_msg(code == envelopes[_i].code, "%s: %d", envelopes[_i].name, code);
	ck_assert_uint_eq(refusals.count, 1);
	ck_assert_int_eq(refusals.code, envelopes[_i].code);
	ck_assert_str_eq(refusals.peer, "spiffe://" TD "/ocu/operatord");
	expect_serving();
}
END_TEST

START_TEST(an_over_long_token_is_refused)
{
	char *token = malloc(OCU_JWT_MAX + 2);
	Ocu__Rpc__Request r = request(token);

	memset(token, 'a', OCU_JWT_MAX + 1);
	token[OCU_JWT_MAX + 1] = '\0';
	ck_assert_int_eq(send_request(&r, NULL, 0), OCU_E_TOO_LARGE);
	free(token);
	expect_serving();
}
END_TEST

START_TEST(an_answer_names_its_request_even_when_that_was_unreadable)
{
	struct ocu_rpc_request r;

	ck_assert_int_eq(ocu_rpc_request_decode(&r, "\x08\x4d\x38\x01", 4, NULL), OCU_E_UNKNOWN_FIELD);
	ck_assert_uint_eq(r.id, 77);
}
END_TEST

/* --- methods and peers --- */

/* shows: NFR-SEC-51 */
START_TEST(an_unknown_method_is_refused)
{
	static const uint32_t methods[] = {0, 1, 0x0502, 0x0101, UINT32_MAX};
	char *token = sign(operatord->token_signer, &good);

	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
		Ocu__Rpc__Request r = request(token);

		r.method = methods[i];
		ck_assert_int_eq(send_request(&r, NULL, 0), OCU_E_UNKNOWN_METHOD);
		ck_assert_uint_eq(refusals.count, i + 1);
		ck_assert_uint_eq(refusals.method, methods[i]);
	}
	free(token);
	expect_serving();
}
END_TEST

/* The gateway's method is in the table; operatord may connect, and may not send it. shows: NFR-SEC-26 */
START_TEST(a_peer_may_send_only_what_is_its_own)
{
	char *token = sign(operatord->token_signer, &good);
	Ocu__Rpc__Request r = request(token);

	r.method = ocu_m_exec_run.id;
	ck_assert_int_eq(send_request(&r, NULL, 0), OCU_E_PEER_DENIED);
	ck_assert_int_eq(refusals.code, OCU_E_PEER_DENIED);
	ck_assert_uint_eq(refusals.method, ocu_m_exec_run.id);
	free(token);
	expect_serving();
}
END_TEST

/* --- tokens --- */

#define ID(name) "spiffe://" TD "/ocu/" name

static const struct {
	const char *name;
	struct claims claims;
	int code;
} bad_claims[] = {
    {"expired", {ID("operatord"), ID("operatord"), ID("egressd"), -1, -600}, OCU_E_TOKEN_EXPIRED},
    {"for another callee", {ID("operatord"), ID("operatord"), ID("brokerd"), 600, 0}, OCU_E_TOKEN_AUDIENCE},
    {"for no callee", {ID("operatord"), ID("operatord"), "", 600, 0}, OCU_E_TOKEN_AUDIENCE},
    {"issued by another", {ID("gateway"), ID("operatord"), ID("egressd"), 600, 0}, OCU_E_TOKEN_ISSUER},
    {"about another", {ID("operatord"), ID("gateway"), ID("egressd"), 600, 0}, 0 /* any refusal */},
    {"lives too long", {ID("operatord"), ID("operatord"), ID("egressd"), 7200, 0}, 0},
    {"another trust domain",
     {"spiffe://x/ocu/operatord", "spiffe://x/ocu/operatord", ID("egressd"), 600, 0},
     0},
};

/* shows: NFR-SEC-26 */
START_TEST(a_token_that_says_something_else_is_refused)
{
	char *token = sign(operatord->token_signer, &bad_claims[_i].claims);
	Ocu__Rpc__Request r = request(token);
	int code = send_request(&r, NULL, 0);

	ck_assert_msg(code <= OCU_E_UNAUTHENTICATED && code >= OCU_E_TOKEN_CLAIM, "%s: %d",
	              bad_claims[_i].name, code);
	if (bad_claims[_i].code)
		ck_assert_msg(code == bad_claims[_i].code, "%s: %d", bad_claims[_i].name, code);
	ck_assert_uint_eq(refusals.count, 1);
	ck_assert_int_eq(refusals.code, code);
	free(token);
	expect_serving();
}
END_TEST

/* The gateway's own, valid token on operatord's connection: a stolen token is worth nothing without its
 * certificate. shows: NFR-SEC-26 */
START_TEST(a_token_of_another_principal_is_refused)
{
	struct ocu_identity *gateway = net_identity(dir, OCU_COMP_GATEWAY);
	struct claims claims = {ID("gateway"), ID("gateway"), ID("egressd"), 600, 0};
	char *token = sign(gateway->token_signer, &claims);
	Ocu__Rpc__Request r = request(token);

	ck_assert_int_eq(send_request(&r, NULL, 0), OCU_E_TOKEN_ISSUER);
	free(token);
	/* Signed with the gateway's key but claiming to be operatord. */
	token = sign(gateway->token_signer, &good);
	r = request(token);
	ck_assert_int_lt(send_request(&r, NULL, 0), 0);
	free(token);
	ocu_identity_free(gateway);
	expect_serving();
}
END_TEST

/* shows: NFR-SEC-26 */
START_TEST(a_foreign_or_missing_token_is_refused)
{
	static const char *const texts[] = {"x", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "..",
	                                    "\xc3\xa9.\xc3\xa9.\xc3\xa9"};
	struct ocu_signer *stranger = NULL;
	Ocu__Rpc__Request r = request("");
	char *token;

	ck_assert_int_eq(send_request(&r, NULL, 0), OCU_E_UNAUTHENTICATED);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		int code;

		r = request(texts[i]);
		code = send_request(&r, NULL, 0);
		ck_assert_msg(code <= OCU_E_UNAUTHENTICATED && code >= OCU_E_TOKEN_CLAIM, "%s: %d", texts[i],
		              code);
	}
	ck_assert_int_eq(ocu_signer_generate(&stranger, NULL), 0);
	token = sign(stranger, &good);
	r = request(token);
	ck_assert_int_eq(send_request(&r, NULL, 0), OCU_E_TOKEN_KEY);
	free(token);
	token = sign(operatord->token_signer, &good);
	token[strlen(token) - 10] = token[strlen(token) - 10] == 'A' ? 'B' : 'A';
	r = request(token);
	ck_assert_int_eq(send_request(&r, NULL, 0), OCU_E_TOKEN_SIGNATURE);
	free(token);
	ocu_signer_free(stranger);
	expect_serving();
}
END_TEST

/* --- bodies --- */

static const struct {
	const char *name;
	const char *bytes;
	size_t len;
	int code;
} bodies[] = {
    {"cut", "\x0a\x10ses", 5, OCU_E_PARSE},
    {"unknown field", "\x0a\x01x\x7a\x01x", 6, OCU_E_UNKNOWN_FIELD},
    {"unknown field in a nested message", "\x22\x05\x0a\x01x\x78\x01", 7, OCU_E_UNKNOWN_FIELD},
    {"cut nested message", "\x22\x05\x0a\x07x\x10\x01", 7, OCU_E_PARSE},
    {"wrong wire type", "\x08\x01", 2, OCU_E_PARSE},
    {"message as number", "\x20\x01", 2, OCU_E_PARSE},
    {"string not UTF-8", "\x0a\x01\xff", 3, OCU_E_PARSE},
    {"string with NUL", "\x0a\x02x\0", 4, OCU_E_PARSE},
    {"field twice", "\x0a\x01x\x0a\x01y", 6, OCU_E_PARSE},
    {"packed field cut", "\x22\x06\x0a\x01x\x12\x01\x80", 8, OCU_E_PARSE},
    {"trailing byte", "\x0a\x01x\x01", 4, OCU_E_PARSE},
    {"length in six bytes", "\x0a\x80\x80\x80\x80\x80\0", 7, OCU_E_PARSE},
    {"key in six bytes", "\x8a\x80\x80\x80\x80\0\x01x", 8, OCU_E_PARSE},
};

/* shows: NFR-SEC-51 */
START_TEST(a_body_that_is_not_the_methods_is_refused)
{
	int code = send_body(bodies[_i].bytes, bodies[_i].len);

	ck_assert_msg(code == bodies[_i].code, "%s: %d", bodies[_i].name, code);
	ck_assert_uint_eq(refusals.count, 1);
	ck_assert_uint_eq(refusals.method, ocu_m_edge_register.id);
	expect_serving();
}
END_TEST

START_TEST(a_right_body_passes_packed_or_not)
{
	ck_assert_int_eq(send_body("\x22\x06\x0a\x01x\x12\x01\x50", 8), 0);
	ck_assert_int_eq(send_body("\x22\x05\x0a\x01x\x10\x50", 7), 0);
}
END_TEST

/* Two bytes of input must not become fifty of memory without end. */
START_TEST(too_many_elements_are_refused)
{
	size_t n = OCU_WIRE_REPEATED_MAX + 1;
	uint8_t *body = malloc(2 * n);

	for (size_t i = 0; i < n; i++) {
		body[2 * i] = 0x22;
		body[2 * i + 1] = 0;
	}
	ck_assert_int_eq(send_body(body, 2 * n), OCU_E_TOO_LARGE);
	ck_assert_int_eq(ocu_wire_check(&ocu__edge__register_request__descriptor, body, 2 * n - 2, NULL), 0);
	free(body);
	expect_serving();
}
END_TEST

/* shows: NFR-SEC-51 */
START_TEST(an_oversized_message_costs_its_sender_the_connection)
{
	size_t len = OCU_RPC_MESSAGE_MAX + 1;
	uint8_t *data = calloc(1, len);

	ck_assert_int_eq(exchange(data, len), 1);
	free(data);
	expect_serving();
}
END_TEST

/* --- below the messages --- */

static SSL *good_tls(int *fd)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl;

	ck_assert_int_eq(SSL_CTX_use_certificate_file(ctx, operatord->cert_path, SSL_FILETYPE_PEM), 1);
	ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(ctx, operatord->key_path, SSL_FILETYPE_PEM), 1);
	ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	*fd = net_tcp(ocu_rpc_server_port(server));
	SSL_set_fd(ssl, *fd);
	ck_assert_int_eq(SSL_connect(ssl), 1);
	return ssl;
}

static const struct {
	const char *name;
	const char *bytes;
	size_t len;
	int closes;
} streams[] = {
    {"no greeting", "GET / HTTP/1.1\r\n\r\n", 18, 1},
    {"greeting of another protocol", "\0SP\0\0\x10\0\0", 8, 1},
    {"a reply socket", "\0SP\0\0\x31\0\0", 8, 1},
    {"length of 2^63", "\0SP\0\0\x30\0\0\x80\0\0\0\0\0\0\0", 16, 1},
    {"length over the bound", "\0SP\0\0\x30\0\0\0\0\0\0\x10\0\0\0", 16, 1},
    {"empty message", "\0SP\0\0\x30\0\0\0\0\0\0\0\0\0\0", 16, 1},
    {"message without request id", "\0SP\0\0\x30\0\0\0\0\0\0\0\0\0\x02xx", 18, 1},
    {"message that only hops", "\0SP\0\0\x30\0\0\0\0\0\0\0\0\0\x08\0\0\0\1\0\0\0\2", 24, 1},
    {"cut message", "\0SP\0\0\x30\0\0\0\0\0\0\0\0\0\x20\x80\0\0\1", 20, 0},
};

/* A peer with a good certificate that does not speak nng's protocol. shows: NFR-SEC-43 */
START_TEST(garbage_inside_tls_is_harmless)
{
	int fd;
	SSL *ssl = good_tls(&fd);

	ck_assert_int_gt(SSL_write(ssl, streams[_i].bytes, (int)streams[_i].len), 0);
	if (streams[_i].closes)
		ck_assert_msg(net_closed_within(fd, 60000), "%s", streams[_i].name);
	SSL_free(ssl);
	close(fd);
	expect_serving();
}
END_TEST

/* Asks and never reads: its answers fill the connection, and then one slot after the other, until it loses
 * the connection. shows: NFR-SEC-55 */
START_TEST(who_takes_no_answers_stops_nobody_else)
{
	const struct timeval patience = {.tv_sec = 60};
	Ocu__Rpc__Request r = request("none");
	uint8_t frame[512] = {0};
	size_t len = ocu__rpc__request__pack(&r, frame + 12);
	int fd;
	SSL *ssl = good_tls(&fd);

	ck_assert_uint_lt(len, 256 - 4);
	frame[7] = (uint8_t)(len + 4);
	frame[8] = 0x80; /* the request id */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	ck_assert_int_gt(SSL_write(ssl, "\0SP\0\0\x30\0\0", 8), 0);
	while (SSL_write(ssl, frame, (int)len + 12) > 0)
		;
	ck_assert_msg(errno != EAGAIN, "neither read from nor disconnected");
	expect_serving();
	SSL_free(ssl);
	close(fd);
}
END_TEST

/* --- the strict check against everything a message type can be --- */

START_TEST(any_single_change_is_read_safely)
{
	Ocu__Denylist__Entry entry = OCU__DENYLIST__ENTRY__INIT, *entries[3] = {&entry, &entry, &entry};
	Ocu__Denylist__PullReply reply = OCU__DENYLIST__PULL_REPLY__INIT;
	uint8_t bytes[256], copy[256];
	size_t len;
	unsigned passed = 0;

	entry.kind = 2;
	entry.value = (char *)"someone";
	entry.epoch = 1u << 20;
	reply.history = (char *)"h";
	reply.epoch = 99;
	reply.n_entries = 3;
	reply.entries = entries;
	len = ocu__denylist__pull_reply__pack(&reply, bytes);
	ck_assert_int_eq(ocu_wire_check(reply.base.descriptor, bytes, len, NULL), 0);
	for (size_t i = 0; i < len; i++)
		for (unsigned v = 0; v < 256; v++) {
			ProtobufCMessage *m = NULL;

			memcpy(copy, bytes, len);
			copy[i] = (uint8_t)v;
			if (ocu_wire_unpack(reply.base.descriptor, copy, len, &m, NULL) == 0) {
				ck_assert_uint_eq(m->n_unknown_fields, 0);
				protobuf_c_message_free_unpacked(m, NULL);
				passed++;
			}
		}
	for (size_t cut = 0; cut < len; cut++)
		ocu_wire_check(reply.base.descriptor, bytes, cut, NULL);
	ck_assert_uint_gt(passed, len);
}
END_TEST

/* Our writer and protobuf's own agree. */
START_TEST(the_envelope_is_the_one_of_the_proto_file)
{
	uint8_t bytes[512];
	size_t at = ocu_rpc_request_head(bytes, UINT64_MAX, 0x0501, "trc_x", 3);
	Ocu__Rpc__Request *q;
	Ocu__Rpc__Reply *a;

	for (const char *c = "abc"; *c; c++)
		bytes[at++] = (uint8_t)*c;
	at += ocu_rpc_request_tail(bytes + at, 4000000000u, "tok", 3);
	q = ocu__rpc__request__unpack(NULL, at, bytes);
	ck_assert_ptr_nonnull(q);
	ck_assert(q->id == UINT64_MAX && q->method == 0x0501 && q->deadline_ms == 4000000000u);
	ck_assert_str_eq(q->trace_id, "trc_x");
	ck_assert_str_eq(q->token, "tok");
	ck_assert_uint_eq(q->body.len, 3);
	ocu__rpc__request__free_unpacked(q, NULL);
	at = ocu_rpc_answer_head(bytes, 7, OCU_E_AUDIT, "no", 0);
	a = ocu__rpc__reply__unpack(NULL, at, bytes);
	ck_assert_ptr_nonnull(a);
	ck_assert(a->id == 7 && a->code == OCU_E_AUDIT && a->body.len == 0);
	ck_assert_str_eq(a->text, "no");
	ocu__rpc__reply__free_unpacked(a, NULL);
}
END_TEST

START_TEST(an_error_text_is_cut_at_the_end_of_a_character)
{
	uint8_t bytes[OCU_RPC_ANSWER_HEAD_MAX];
	char text[3 * OCU_RPC_TEXT_MAX + 1];
	struct ocu_rpc_answer a;
	size_t len;

	for (size_t i = 0; i + 3 < sizeof text; i += 3)
		memcpy(text + i, "\xe2\x82\xac", 4);
	len = ocu_rpc_answer_head(bytes, 1, -1, text, 0);
	ck_assert_int_eq(ocu_rpc_answer_decode(&a, bytes, len, NULL), 0);
	ck_assert_uint_eq(strlen(a.text), (size_t)(OCU_RPC_TEXT_MAX / 3) * 3);
}
END_TEST

#define ROWS(a) (sizeof(a) / sizeof *(a))

int main(void)
{
	Suite *s = suite_create("rpc_input");
	TCase *t = tcase_create("input");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_unchecked_fixture(t, make_pki, remove_pki);
	tcase_add_checked_fixture(t, load, unload);
	tcase_add_test(t, the_right_request_passes);
	tcase_add_loop_test(t, a_malformed_envelope_is_refused, 0, ROWS(envelopes));
	tcase_add_test(t, an_over_long_token_is_refused);
	tcase_add_test(t, an_answer_names_its_request_even_when_that_was_unreadable);
	tcase_add_test(t, an_unknown_method_is_refused);
	tcase_add_test(t, a_peer_may_send_only_what_is_its_own);
	tcase_add_loop_test(t, a_token_that_says_something_else_is_refused, 0, ROWS(bad_claims));
	tcase_add_test(t, a_token_of_another_principal_is_refused);
	tcase_add_test(t, a_foreign_or_missing_token_is_refused);
	tcase_add_loop_test(t, a_body_that_is_not_the_methods_is_refused, 0, ROWS(bodies));
	tcase_add_test(t, a_right_body_passes_packed_or_not);
	tcase_add_test(t, too_many_elements_are_refused);
	tcase_add_test(t, an_oversized_message_costs_its_sender_the_connection);
	tcase_add_loop_test(t, garbage_inside_tls_is_harmless, 0, ROWS(streams));
	tcase_add_test(t, who_takes_no_answers_stops_nobody_else);
	tcase_add_test(t, any_single_change_is_read_safely);
	tcase_add_test(t, the_envelope_is_the_one_of_the_proto_file);
	tcase_add_test(t, an_error_text_is_cut_at_the_end_of_a_character);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
