/* tls_engine: who gets through the handshake, who does not, and what those cost who do not. */
#include <fcntl.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "libocu/tls_engine.h"
#include "libocu/tls_frame.h"
#include "libocu/tls_half_open.h"
#include "libocu/tls_peer.h"
#include "libocu/waiting.h"
#include "tests/unit/libocu_net_fixture.h"

static char *dir;

static void make_pki(void)
{
	dir = net_pki_new();
}

static void remove_pki(void)
{
	net_dir_free(dir);
}

/* --- where a message ends --- */

static size_t put_frame(uint8_t *out, size_t len)
{
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
	memset(out + 8, 'x', len);
	return 8 + len;
}

/* Any cut of the stream finds the same frame ends. */
START_TEST(frames_end_where_they_end)
{
	static const size_t lengths[] = {0, 1, 7, 8, 9, 300, 0, 2};
	uint8_t stream[1024] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
	size_t total = 8, ends[16], n_ends = 0, step = (size_t)_i + 1;
	struct ocu_tls_frame f = {0};
	size_t at = 0, seen = 0;

	ends[n_ends++] = 8;
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		total += put_frame(stream + total, lengths[i]);
		ends[n_ends++] = total;
	}
	while (at < total) {
		bool end;
		size_t n = ocu_tls_frame_take(&f, stream + at, step < total - at ? step : total - at, &end);

		ck_assert_uint_gt(n, 0);
		at += n;
		ck_assert_uint_le(at, ends[seen]);
		ck_assert_int_eq(end, at == ends[seen]);
		seen += end;
	}
	ck_assert_uint_eq(seen, n_ends);
}
END_TEST

START_TEST(allow_list_entries_match_whole_ids)
{
	const char *list = "spiffe://t/ocu/gateway/*,spiffe://t/ocu/auditd,spiffe://t/ocu/brokerd/one";
	static const struct {
		const char *uri;
		bool allowed;
	} rows[] = {
	    {"spiffe://t/ocu/gateway", true},
	    {"spiffe://t/ocu/gateway/n1", true},
	    {"spiffe://t/ocu/gateway/", false},
	    {"spiffe://t/ocu/gateway/n1/x", false},
	    {"spiffe://t/ocu/gatewayx", false},
	    {"spiffe://t/ocu/gatewa", false},
	    {"spiffe://t/ocu/gateway/*", true},
	    {"spiffe://t/ocu/auditd", true},
	    {"spiffe://t/ocu/auditd/n1", false},
	    {"spiffe://t/ocu/brokerd", false},
	    {"spiffe://t/ocu/brokerd/one", true},
	    {"spiffe://t/ocu/brokerd/two", false},
	    {"", false},
	    {"*", false},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		ck_assert_msg(ocu_tls_peer_allowed(list, rows[i].uri) == rows[i].allowed, "%s", rows[i].uri);
	ck_assert(!ocu_tls_peer_allowed("", "spiffe://t/ocu/auditd"));
	ck_assert(!ocu_tls_peer_allowed(NULL, "spiffe://t/ocu/auditd"));
}
END_TEST

START_TEST(a_configuration_without_an_allow_list_is_refused)
{
	struct ocu_identity *id = net_identity(dir, OCU_COMP_AUDITD);
	nng_tls_config *f = NULL;

	ck_assert_int_eq(ocu_tls_config(&f, NNG_TLS_MODE_SERVER, id, "", NULL), OCU_E_INVALID);
	ck_assert_int_eq(ocu_tls_config(&f, NNG_TLS_MODE_SERVER, id, NULL, NULL), OCU_E_INVALID);
	free(id->key_pem);
	id->key_pem = strdup("no key");
	ck_assert_int_eq(ocu_tls_config(&f, NNG_TLS_MODE_SERVER, id, "spiffe://t/ocu/auditd", NULL),
	                 OCU_E_CONFIG);
	ck_assert_ptr_null(f);
	ocu_identity_free(id);
}
END_TEST

/* --- a server that takes note of refusals --- */

struct doorman {
	struct ocu_identity *id;
	struct ocu_rpc_server *server;
	char url[64];
	pthread_mutex_t lock;
	pthread_cond_t told;
	unsigned refused;
	char why[OCU_ERROR_TEXT_MAX]; /* of the first: what follows may be a connection cut off */
	char who[OCU_SPIFFE_MAX];
};

static void note(const struct ocu_peer *peer, uint32_t method, const struct ocu_error *why, void *arg)
{
	struct doorman *d = arg;

	pthread_mutex_lock(&d->lock);
	ck_assert_uint_eq(method, 0);
	ck_assert_int_eq(why->code, OCU_E_PEER_UNKNOWN);
	if (d->refused++ == 0) {
		snprintf(d->why, sizeof d->why, "%s", why->text);
		snprintf(d->who, sizeof d->who, "%s", peer ? peer->spiffe : "");
	}
	pthread_cond_broadcast(&d->told);
	pthread_mutex_unlock(&d->lock);
}

static void doorman_open(struct doorman *d)
{
	static const struct ocu_rpc_entry table[] = {{&ocu_m_audit_head, net_head}, {0}};
	struct ocu_rpc_server_opts o = {
	    .url = "tls+tcp://127.0.0.1:0", .table = table, .arg = d, .refused = note};

	memset(d, 0, sizeof *d);
	pthread_mutex_init(&d->lock, NULL);
	ocu_cond_init(&d->told);
	o.identity = d->id = net_identity(dir, OCU_COMP_AUDITD);
	d->server = net_server(&o, d->url);
}

static void doorman_close(struct doorman *d)
{
	ocu_rpc_server_stop(d->server, 1000);
	ocu_identity_free(d->id);
}

/* Returns how many refusals were told in all, at least `want` of them. */
static unsigned doorman_told(struct doorman *d, unsigned want)
{
	struct timespec end = ocu_after_ms(60000);
	unsigned got;

	pthread_mutex_lock(&d->lock);
	while (d->refused < want && ocu_cond_wait_until(&d->told, &d->lock, &end))
		;
	got = d->refused;
	pthread_mutex_unlock(&d->lock);
	return got;
}

static void good_client_works(const struct doorman *d)
{
	struct ocu_identity *id = net_identity(dir, OCU_COMP_OPERATORD);
	struct ocu_rpc_client *c = net_connected(id, d->url, OCU_COMP_AUDITD);
	struct ocu_error err = {0};

	ck_assert_msg(net_call_head(c, 60000, &err) == 0, "%s", err.text);
	ocu_rpc_client_free(c);
	ocu_identity_free(id);
}

/* shows: NFR-SEC-37, NFR-SEC-43 */
START_TEST(strangers_bytes_are_refused_and_harmless)
{
	static const struct {
		const char *data;
		size_t len;
	} lines[] = {
	    {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27},
	    {"\0SP\0\0\x30\0\0", 8},
	    {"\x16\x03\x01\xff\xff\x01\x00\xff\xfc\x03\x03zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", 47},
	    {"\x16\x03\x03\x00\x02\x01\x00", 7},
	    {"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", 11},
	    {"", 0},
	};
	struct doorman d;
	char noise[70000];

	doorman_open(&d);
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		int fd = net_tcp(ocu_rpc_server_port(d.server));

		ck_assert_int_eq(send(fd, lines[i].data, lines[i].len, MSG_NOSIGNAL), (ssize_t)lines[i].len);
		shutdown(fd, SHUT_WR);
		ck_assert_int_eq(net_closed_within(fd, 60000), 1);
		close(fd);
	}
	for (int i = 0; i < 8; i++) {
		int fd = net_tcp(ocu_rpc_server_port(d.server));

		for (size_t k = 0; k < sizeof noise; k++)
			noise[k] = (char)(rand() >> 7);
		(void)!send(fd, noise, sizeof noise, MSG_NOSIGNAL);
		ck_assert_int_eq(net_closed_within(fd, 60000), 1);
		close(fd);
	}
	ck_assert_uint_ge(doorman_told(&d, 3), 3);
	good_client_works(&d);
	doorman_close(&d);
}
END_TEST

/* --- certificates --- */

/* The id must be refused for this reason, under this name. */
static void expect_stranger(struct doorman *d, struct ocu_identity *id, const char *why, const char *who)
{
	struct ocu_rpc_client *c = net_client(id, d->url, OCU_COMP_AUDITD);

	ck_assert_uint_gt(doorman_told(d, 1), 0);
	ck_assert_int_eq(ocu_rpc_client_connected(c), 0);
	ck_assert_int_eq(net_call_head(c, 300, NULL), OCU_E_UNAVAILABLE);
	ocu_rpc_client_free(c);
	pthread_mutex_lock(&d->lock);
	ck_assert_msg(strstr(d->why, why) != NULL, "%s", d->why);
	ck_assert_str_eq(d->who, who);
	pthread_mutex_unlock(&d->lock);
	good_client_works(d);
}

/* shows: NFR-SEC-26, NFR-SEC-37 */
START_TEST(a_certificate_of_another_ca_is_refused)
{
	char *other = net_pki_new();
	struct ocu_identity *id = net_identity(other, OCU_COMP_OPERATORD);
	struct ocu_identity *ours = net_identity(dir, OCU_COMP_OPERATORD);
	struct doorman d;

	/* It trusts our server, so that the server is the one who refuses. */
	free(id->ca_pem);
	id->ca_pem = strdup(ours->ca_pem);
	doorman_open(&d);
	expect_stranger(&d, id, "certificate", "");
	doorman_close(&d);
	ocu_identity_free(id);
	ocu_identity_free(ours);
	net_dir_free(other);
}
END_TEST

/* The other way round: a client does not talk to a server of another CA. */
START_TEST(a_server_of_another_ca_is_refused)
{
	char *other = net_pki_new();
	struct ocu_identity *id = net_identity(other, OCU_COMP_OPERATORD);
	struct doorman d;
	struct ocu_rpc_client *c;

	doorman_open(&d);
	c = net_client(id, d.url, OCU_COMP_AUDITD);
	ck_assert_int_eq(net_call_head(c, 1000, NULL), OCU_E_UNAVAILABLE);
	ocu_rpc_client_free(c);
	doorman_close(&d);
	ocu_identity_free(id);
	net_dir_free(other);
}
END_TEST

/* shows: NFR-SEC-26 */
START_TEST(a_component_that_may_send_nothing_is_refused_by_name)
{
	struct ocu_identity *id = net_identity(dir, OCU_COMP_EGRESSD);
	struct doorman d;

	doorman_open(&d);
	expect_stranger(&d, id, "not allowed", "spiffe://" TD "/ocu/egressd");
	doorman_close(&d);
	ocu_identity_free(id);
}
END_TEST

/* A client that looks for brokerd and finds auditd's certificate does not stay. */
START_TEST(a_server_of_another_name_is_refused)
{
	struct ocu_identity *id = net_identity(dir, OCU_COMP_OPERATORD);
	struct doorman d;
	struct ocu_rpc_client *c;

	doorman_open(&d);
	c = net_client(id, d.url, OCU_COMP_BROKERD);
	ck_assert_int_eq(net_call_head(c, 1000, NULL), OCU_E_UNAVAILABLE);
	ocu_rpc_client_free(c);
	doorman_close(&d);
	ocu_identity_free(id);
}
END_TEST

static const struct {
	const char *san;
	long from, to;
	const char *why;
} bad_certs[] = {
    {"URI:spiffe://" TD "/ocu/operatord,URI:spiffe://" TD "/ocu/gateway", 0, 3600, "exactly one"},
    {"URI:spiffe://" TD "/ocu/operatord,URI:spiffe://" TD "/ocu/operatord", 0, 3600, "exactly one"},
    {"DNS:operatord", 0, 3600, "exactly one"},
    {NULL, 0, 3600, "exactly one"},
    {"URI:spiffe://other/ocu/operatord", 0, 3600, "not allowed"},
    {"URI:spiffe://" TD "/ocu/operatord/a/b", 0, 3600, "not allowed"},
    {"URI:spiffe://" TD "/ocu/operatord", -7200, -3600, "expired"},
    {"URI:spiffe://" TD "/ocu/operatord", 3600, 7200, "not yet valid"},
};

/* shows: NFR-SEC-26, NFR-SEC-37 */
START_TEST(a_certificate_of_our_ca_must_say_exactly_who)
{
	struct ocu_identity *id = net_identity(dir, OCU_COMP_OPERATORD);
	struct doorman d;

	net_recertify(id, dir, bad_certs[_i].san, bad_certs[_i].from, bad_certs[_i].to);
	doorman_open(&d);
	expect_stranger(&d, id, bad_certs[_i].why, "");
	doorman_close(&d);
	ocu_identity_free(id);
}
END_TEST

/* The same helper with a good name passes, so that the rows above fail for their own reason. */
START_TEST(a_certificate_with_one_good_name_passes)
{
	struct ocu_identity *id = net_identity(dir, OCU_COMP_OPERATORD);
	struct doorman d;
	struct ocu_rpc_client *c;
	struct ocu_error err = {0};

	net_recertify(id, dir, "URI:spiffe://" TD "/ocu/operatord", 0, 3600);
	doorman_open(&d);
	c = net_connected(id, d.url, OCU_COMP_AUDITD);
	ck_assert_msg(net_call_head(c, 60000, &err) == 0, "%s", err.text);
	ocu_rpc_client_free(c);
	doorman_close(&d);
	ocu_identity_free(id);
}
END_TEST

/* --- TLS itself --- */

static int handshake(int port, int max_version, const struct ocu_identity *id)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int fd = net_tcp(port);
	SSL *ssl;
	char byte;
	int ok;

	SSL_CTX_set_max_proto_version(ctx, max_version);
	if (id) {
		ck_assert_int_eq(SSL_CTX_use_certificate_file(ctx, id->cert_path, SSL_FILETYPE_PEM), 1);
		ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(ctx, id->key_path, SSL_FILETYPE_PEM), 1);
	}
	ssl = SSL_new(ctx);
	SSL_set_fd(ssl, fd);
	/* With TLS 1.3 the server's refusal of a certificate comes after the client's handshake. */
	ok = SSL_connect(ssl) == 1 && SSL_read(ssl, &byte, 1) == 1;
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	close(fd);
	return ok;
}

/* shows: NFR-SEC-37 */
START_TEST(only_tls_13_with_a_certificate)
{
	struct ocu_identity *id = net_identity(dir, OCU_COMP_OPERATORD);
	struct doorman d;
	int port;

	doorman_open(&d);
	port = ocu_rpc_server_port(d.server);
	ck_assert_int_eq(handshake(port, TLS1_3_VERSION, id), 1);
	ck_assert_int_eq(handshake(port, TLS1_2_VERSION, id), 0);
	ck_assert_int_eq(handshake(port, TLS1_3_VERSION, NULL), 0);
	ck_assert_uint_ge(doorman_told(&d, 2), 2);
	doorman_close(&d);
	ocu_identity_free(id);
}
END_TEST

/* --- handshakes that never end --- */

enum { CROWD = 1000 };

static void raise_descriptors(void)
{
	struct rlimit r;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &r), 0);
	r.rlim_cur = r.rlim_max < 4096 ? r.rlim_max : 4096;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &r), 0);
	ck_assert_uint_ge(r.rlim_cur, CROWD + OCU_TLS_HALF_OPEN_MAX + 200);
}

/* shows: NFR-SEC-43, NFR-SEC-55 */
START_TEST(a_thousand_silent_connections_keep_nobody_out)
{
	int fds[CROWD], closed = 0;
	struct doorman d;

	raise_descriptors();
	doorman_open(&d);
	for (int i = 0; i < CROWD; i++) {
		fds[i] = net_tcp(ocu_rpc_server_port(d.server));
		if (i % 250 == 0)
			good_client_works(&d);
	}
	good_client_works(&d);
	/* Those over the bound were ended by newcomers, oldest first; the rest still waits. */
	for (int i = 0; i < CROWD - OCU_TLS_HALF_OPEN_MAX; i++)
		closed += net_closed_within(fds[i], 60000);
	ck_assert_int_eq(closed, CROWD - OCU_TLS_HALF_OPEN_MAX);
	for (int i = 0; i < CROWD; i++)
		close(fds[i]);
	good_client_works(&d);
	doorman_close(&d);
}
END_TEST

/* nng's limit of 10 s holds for a silent connection and for one that trickles. shows: NFR-SEC-43 */
START_TEST(an_unfinished_handshake_ends_after_ten_seconds)
{
	struct doorman d;
	static const char bytes[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
	int silent, trickle;
	uint64_t start = ocu_mono_ms(), took;
	size_t sent = 0;

	doorman_open(&d);
	silent = net_tcp(ocu_rpc_server_port(d.server));
	trickle = net_tcp(ocu_rpc_server_port(d.server));
	while (!net_closed_within(trickle, 1000)) {
		(void)!send(trickle, &bytes[sent < sizeof bytes ? sent : sizeof bytes - 1], 1, MSG_NOSIGNAL);
		sent++;
		ck_assert_uint_lt(ocu_mono_ms() - start, 60000);
	}
	ck_assert_int_eq(net_closed_within(silent, 60000), 1);
	took = ocu_mono_ms() - start;
	ck_assert_uint_ge(took, 5000);
	ck_assert_uint_lt(took, 60000);
	close(silent);
	close(trickle);
	good_client_works(&d);
	doorman_close(&d);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tls_engine");
	TCase *t = tcase_create("engine");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_unchecked_fixture(t, make_pki, remove_pki);
	tcase_add_loop_test(t, frames_end_where_they_end, 0, 40);
	tcase_add_test(t, allow_list_entries_match_whole_ids);
	tcase_add_test(t, a_configuration_without_an_allow_list_is_refused);
	tcase_add_test(t, strangers_bytes_are_refused_and_harmless);
	tcase_add_test(t, a_certificate_of_another_ca_is_refused);
	tcase_add_test(t, a_server_of_another_ca_is_refused);
	tcase_add_test(t, a_component_that_may_send_nothing_is_refused_by_name);
	tcase_add_test(t, a_server_of_another_name_is_refused);
	tcase_add_loop_test(t, a_certificate_of_our_ca_must_say_exactly_who, 0,
	                    sizeof bad_certs / sizeof *bad_certs);
	tcase_add_test(t, a_certificate_with_one_good_name_passes);
	tcase_add_test(t, only_tls_13_with_a_certificate);
	tcase_add_test(t, a_thousand_silent_connections_keep_nobody_out);
	tcase_add_test(t, an_unfinished_handshake_ends_after_ten_seconds);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
