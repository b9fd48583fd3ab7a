/* httpc, and httpd over TLS: what the client insists on, what the server speaks, and clients that leave.
 *
 * shows: NFR-SEC-37, NFR-FLEX-08
 */
#include <curl/curl.h>
#include <openssl/ssl.h>

#include "libocu/httpc.h"
#include "libocu_http_fixture.h"
#include "libocu_net_fixture.h"

static int handled, gone_calls;
static struct ocu_http_req *kept;

static void on_gone(struct ocu_http_req *r, void *user)
{
	(void)r;
	(void)user;
	event_add(&gone_calls);
}

static void keep(struct ocu_http_req *r, void *arg)
{
	(void)arg;
	kept = r;
	ocu_http_on_gone(r, on_gone);
	event_add(&handled);
}

/* Echoes what matters of the request. */
static void show(struct ocu_http_req *r, void *arg)
{
	char text[2048];
	const char *data, *h;
	size_t len;

	(void)arg;
	ocu_http_body(r, &data, &len);
	h = ocu_http_header(r, "X-Extra");
	int n = snprintf(text, sizeof text, "%s|%s|%s|%s|%.*s", ocu_http_method(r),
	                 ocu_http_bearer(r) ? ocu_http_bearer(r) : "-", h ? h : "-",
	                 ocu_http_header(r, "Content-Type") ? ocu_http_header(r, "Content-Type") : "-",
	                 (int)len, data);
	ocu_http_reply(r, 200, "text/plain", text, (size_t)n);
}

static void big(struct ocu_http_req *r, void *arg)
{
	char *b = calloc(1, 100000);

	(void)arg;
	ocu_http_reply(r, 200, "application/octet-stream", b, 100000);
	free(b);
}

static void redirect(struct ocu_http_req *r, void *arg)
{
	(void)arg;
	ocu_http_set_header(r, "Location", "/show");
	ocu_http_reply(r, 302, NULL, NULL, 0);
}

static const struct ocu_http_route routes[] = {
    {.method = "*", .pattern = "/show", .max_body = 1000, .handler = show},
    {.method = "GET", .pattern = "/big", .handler = big},
    {.method = "GET", .pattern = "/keep", .handler = keep},
    {.method = "GET", .pattern = "/redirect", .handler = redirect},
    {0},
};

static char *dir, *ca, *cert, *key;
static struct ocu_httpd *h;
static struct ocu_httpc_resp resp;
static struct ocu_error err;

static void issue_for_localhost(void)
{
	static const char *const dns[] = {"localhost", NULL}, *const ips[] = {"127.0.0.1", NULL};
	const struct ocu_pki_cert c = {.component = OCU_COMP_BROKERD, .dns = dns, .ips = ips, .days = 1};

	dir = net_dir_new();
	ck_assert_int_eq(ocu_pki_make_ca(dir, TD, NULL), 0);
	ck_assert_int_eq(ocu_pki_issue(dir, TD, &c, NULL), 0);
	ck_assert_int_gt(asprintf(&ca, "%s/ca.pem", dir), 0);
	ck_assert_int_gt(asprintf(&cert, "%s/brokerd/cert.pem", dir), 0);
	ck_assert_int_gt(asprintf(&key, "%s/brokerd/key.pem", dir), 0);
}

static void setup(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
	unsetenv("HTTPS_PROXY");
	unsetenv("https_proxy");
	unsetenv("http_proxy");
	unsetenv("ALL_PROXY");
	unsetenv("NO_PROXY");
	issue_for_localhost();
	h = http_start((struct ocu_httpd_opts){.routes = routes, .cert_path = cert, .key_path = key});
}

static void teardown(void)
{
	ocu_httpd_stop(h, 1000);
	net_dir_free(dir);
	free(ca);
	free(cert);
	free(key);
	curl_global_cleanup();
}

static const char *url(const char *host, const char *path)
{
	static char u[256];

	snprintf(u, sizeof u, "https://%s:%d%s", host, ocu_httpd_port(h), path);
	return u;
}

static int call(struct ocu_httpc_req q)
{
	ocu_httpc_resp_done(&resp);
	memset(&err, 0, sizeof err);
	return ocu_httpc(&q, &resp, &err);
}

START_TEST(requests)
{
	const char *const extra[] = {"X-Extra: e", NULL};

	ck_assert_msg(call((struct ocu_httpc_req){.url = url("localhost", "/show"), .ca_path = ca}) == 0,
	              "%s", err.text);
	ck_assert_int_eq(resp.status, 200);
	ck_assert_str_eq(resp.body, "GET|-|-|-|");
	ck_assert_str_eq(resp.content_type, "text/plain");
	ck_assert_int_eq(call((struct ocu_httpc_req){.method = "POST",
	                                             .url = url("127.0.0.1", "/show"),
	                                             .ca_path = ca,
	                                             .bearer = "tok",
	                                             .content_type = "application/json",
	                                             .body = "{}",
	                                             .body_len = 2,
	                                             .headers = extra}),
	                 0);
	ck_assert_str_eq(resp.body, "POST|tok|e|application/json|{}");
	ck_assert_int_eq(
	    call((struct ocu_httpc_req){.method = "DELETE", .url = url("localhost", "/show"), .ca_path = ca}),
	    0);
	ck_assert_str_eq(resp.body, "DELETE|-|-|-|");
	ck_assert_int_eq(
	    call((struct ocu_httpc_req){.method = "HEAD", .url = url("localhost", "/show"), .ca_path = ca}),
	    0);
	ck_assert_uint_eq(resp.len, 0);
	ck_assert_int_eq(call((struct ocu_httpc_req){.url = url("localhost", "/none"), .ca_path = ca}), 0);
	ck_assert_int_eq(resp.status, 404);
}
END_TEST

START_TEST(redirects_are_not_followed)
{
	ck_assert_int_eq(call((struct ocu_httpc_req){.url = url("localhost", "/redirect"), .ca_path = ca}),
	                 0);
	ck_assert_int_eq(resp.status, 302);
}
END_TEST

START_TEST(servers_that_are_not_trusted)
{
	char *other = net_dir_new(), other_ca[256];

	ck_assert_int_eq(ocu_pki_make_ca(other, TD, NULL), 0);
	snprintf(other_ca, sizeof other_ca, "%s/ca.pem", other);
	ck_assert_int_eq(call((struct ocu_httpc_req){.url = url("localhost", "/show"), .ca_path = other_ca}),
	                 OCU_E_PEER_UNKNOWN);
	/* the system's store does not know the deployment's CA */
	ck_assert_int_eq(call((struct ocu_httpc_req){.url = url("localhost", "/show")}), OCU_E_PEER_UNKNOWN);
	/* a name the certificate is not for */
	static const char *const dns[] = {"other.test", NULL};
	const struct ocu_pki_cert c = {.component = OCU_COMP_GATEWAY, .dns = dns, .days = 1};
	ck_assert_int_eq(ocu_pki_issue(dir, TD, &c, NULL), 0);
	char other_cert[256], other_key[256];
	snprintf(other_cert, sizeof other_cert, "%s/gateway/cert.pem", dir);
	snprintf(other_key, sizeof other_key, "%s/gateway/key.pem", dir);
	ocu_httpd_stop(h, 1000);
	h = http_start(
	    (struct ocu_httpd_opts){.routes = routes, .cert_path = other_cert, .key_path = other_key});
	ck_assert_int_eq(call((struct ocu_httpc_req){.url = url("localhost", "/show"), .ca_path = ca}),
	                 OCU_E_PEER_UNKNOWN);
	ck_assert_int_eq(
	    call((struct ocu_httpc_req){.url = url("localhost", "/show"), .ca_path = "/nonexistent"}),
	    OCU_E_CONFIG);
	ck_assert_int_eq(event_get(&handled), 0);
	net_dir_free(other);
}
END_TEST

START_TEST(answers_are_bounded)
{
	ck_assert_int_eq(
	    call((struct ocu_httpc_req){.url = url("localhost", "/big"), .ca_path = ca, .max_body = 99999}),
	    OCU_E_TOO_LARGE);
	ck_assert_int_eq(
	    call((struct ocu_httpc_req){.url = url("localhost", "/big"), .ca_path = ca, .max_body = 100000}),
	    0);
	ck_assert_uint_eq(resp.len, 100000);
}
END_TEST

START_TEST(a_server_that_does_not_answer)
{
	ck_assert_int_eq(
	    call((struct ocu_httpc_req){.url = url("localhost", "/keep"), .ca_path = ca, .timeout_ms = 5000}),
	    OCU_E_TIMEOUT);
	/* which also is a TLS client that left while its request was suspended */
	ck_assert(event_wait(&gone_calls, 1));
	ocu_http_reply(kept, 200, NULL, NULL, 0);
	ck_assert_int_eq(call((struct ocu_httpc_req){.url = "https://127.0.0.1:1/", .ca_path = ca}),
	                 OCU_E_UNAVAILABLE);
}
END_TEST

START_TEST(requests_that_are_refused)
{
	static const char *const line_end[] = {"X-Extra: a\r\nX-Other: b", NULL};

	ck_assert_int_eq(call((struct ocu_httpc_req){
	                     .url = url("localhost", "/show"), .ca_path = ca, .headers = line_end}),
	                 OCU_E_INVALID);
	ck_assert_int_eq(
	    call((struct ocu_httpc_req){.url = url("localhost", "/show"), .ca_path = ca, .bearer = "a\nb"}),
	    OCU_E_INVALID);
	ck_assert_int_eq(call((struct ocu_httpc_req){
	                     .url = url("localhost", "/show"), .ca_path = ca, .method = "GET\r\nX"}),
	                 OCU_E_INVALID);
	ck_assert_int_eq(call((struct ocu_httpc_req){.url = "file:///etc/passwd"}), OCU_E_INVALID);
	ck_assert_int_eq(call((struct ocu_httpc_req){.url = "gopher://127.0.0.1/"}), OCU_E_INVALID);
	ck_assert_int_eq(call((struct ocu_httpc_req){.url = "not a url"}), OCU_E_INVALID);
	ck_assert_int_eq(event_get(&handled), 0);
}
END_TEST

/* A proxy that notes what it was asked and says no. */
static char proxy_saw[4096];

static void *proxy(void *arg)
{
	int fd = accept(*(int *)arg, NULL, NULL);
	size_t n = 0;

	while (n < sizeof proxy_saw - 1 && !strstr(proxy_saw, "\r\n\r\n")) {
		ssize_t got = recv(fd, proxy_saw + n, sizeof proxy_saw - 1 - n, 0);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	http_send(fd, "HTTP/1.1 403 no\r\nContent-Length: 0\r\n\r\n");
	close(fd);
	return NULL;
}

START_TEST(proxies)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	socklen_t len = sizeof sa;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char env[64];
	pthread_t t;

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&sa, len), 0);
	ck_assert_int_eq(listen(listener, 4), 0);
	getsockname(listener, (struct sockaddr *)&sa, &len);
	snprintf(env, sizeof env, "http://127.0.0.1:%d", ntohs(sa.sin_port));
	setenv("HTTPS_PROXY", env, 1);
	/* asked to, it goes past the proxy; and so it does for NO_PROXY */
	ck_assert_int_eq(
	    call((struct ocu_httpc_req){.url = url("localhost", "/show"), .ca_path = ca, .no_proxy = true}),
	    0);
	setenv("NO_PROXY", "localhost", 1);
	ck_assert_int_eq(call((struct ocu_httpc_req){.url = url("localhost", "/show"), .ca_path = ca}), 0);
	unsetenv("NO_PROXY");
	pthread_create(&t, NULL, proxy, &listener);
	ck_assert_int_eq(
	    call((struct ocu_httpc_req){.url = url("localhost", "/show"), .ca_path = ca, .bearer = "secret"}),
	    OCU_E_UNAVAILABLE);
	pthread_join(t, NULL);
	ck_assert_ptr_eq(strstr(proxy_saw, "CONNECT localhost:"), proxy_saw);
	ck_assert_ptr_null(strstr(proxy_saw, "secret"));
	unsetenv("HTTPS_PROXY");
	close(listener);
}
END_TEST

/* --- the server's side of TLS --- */

/* The protocol agreed on, or NULL when the server refuses. */
static const char *handshake(const struct ocu_httpd *s, int min, int max)
{
	static char name[32];
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int fd = http_connect(s);
	bool ok = false;
	char c;

	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_min_proto_version(ctx, min);
	SSL_CTX_set_max_proto_version(ctx, max);
	SSL *ssl = SSL_new(ctx);
	SSL_set_fd(ssl, fd);
	if (SSL_connect(ssl) == 1) {
		static const char req[] = "GET /show HTTP/1.1\r\nHost: x\r\n\r\n";
		ok = SSL_write(ssl, req, sizeof req - 1) > 0 && SSL_read(ssl, &c, 1) == 1;
		snprintf(name, sizeof name, "%s", SSL_get_version(ssl));
	}
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	close(fd);
	return ok ? name : NULL;
}

START_TEST(protocol_versions)
{
	struct ocu_httpd *older = http_start((struct ocu_httpd_opts){
	    .routes = routes, .cert_path = cert, .key_path = key, .allow_tls12 = true});

	ck_assert_str_eq(handshake(h, TLS1_2_VERSION, TLS1_3_VERSION), "TLSv1.3");
	ck_assert_ptr_null(handshake(h, TLS1_2_VERSION, TLS1_2_VERSION));
	ck_assert_ptr_null(handshake(h, TLS1_VERSION, TLS1_1_VERSION));
	ck_assert_str_eq(handshake(older, TLS1_2_VERSION, TLS1_3_VERSION), "TLSv1.3");
	ck_assert_str_eq(handshake(older, TLS1_2_VERSION, TLS1_2_VERSION), "TLSv1.2");
	ck_assert_ptr_null(handshake(older, TLS1_VERSION, TLS1_1_VERSION));
	ocu_httpd_stop(older, 1000);
}
END_TEST

START_TEST(plain_text_to_a_tls_port)
{
	struct http_answer a = {0};

	ck_assert_int_eq(http_once(h, "GET /show HTTP/1.1\r\nHost: x\r\n\r\n", &a), 0);
	http_answer_done(&a);
	ck_assert_str_eq(handshake(h, TLS1_3_VERSION, TLS1_3_VERSION), "TLSv1.3");
}
END_TEST

START_TEST(keys_that_do_not_serve)
{
	struct ocu_httpd *x = NULL;
	struct ocu_httpd_opts o = {
	    .listen = "127.0.0.1:0", .routes = routes, .cert_path = cert, .key_path = ca};

	ck_assert_int_ne(ocu_httpd_start(&x, &o, NULL), 0);
	o.key_path = "/nonexistent";
	ck_assert_int_eq(ocu_httpd_start(&x, &o, NULL), OCU_E_NOT_FOUND);
	chmod(key, 0644);
	o.key_path = key;
	ck_assert_int_eq(ocu_httpd_start(&x, &o, NULL), OCU_E_CONFIG);
	ck_assert_ptr_null(x);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libocu_httpc");
	TCase *c = tcase_create("httpc");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, requests);
	tcase_add_test(c, redirects_are_not_followed);
	tcase_add_test(c, servers_that_are_not_trusted);
	tcase_add_test(c, answers_are_bounded);
	tcase_add_test(c, a_server_that_does_not_answer);
	tcase_add_test(c, requests_that_are_refused);
	tcase_add_test(c, proxies);
	tcase_add_test(c, protocol_versions);
	tcase_add_test(c, plain_text_to_a_tls_port);
	tcase_add_test(c, keys_that_do_not_serve);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
