/* shows: NFR-SEC-17, NFR-SEC-51 */
#include <check.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/httphead.h"
#include "libocu/buf.h"
#include "libocu/err.h"

static int parse(const char *text, struct http_head *h)
{
	return http_head_parse(text, strlen(text), h, NULL);
}

START_TEST(reads_a_request)
{
	struct http_head h;
	ck_assert_int_eq(
	    parse("POST /a?b HTTP/1.1\r\nhOsT:  a.example:81 \r\nContent-Length: 12\r\nX: \t\r\n\r\nrest",
	          &h),
	    0);
	ck_assert(http_span_is(h.method, "POST"));
	ck_assert(http_span_is(h.target, "/a?b"));
	ck_assert(http_span_is(h.host, "a.example:81"));
	ck_assert_int_eq(h.minor, 1);
	ck_assert_int_eq(h.body, HTTP_BODY_LENGTH);
	ck_assert_uint_eq(h.length, 12);
	ck_assert_uint_eq(h.size, 70);
	ck_assert_int_eq(parse("GET / HTTP/1.0\r\n\r\n", &h), 0);
	ck_assert_ptr_null(h.host.p);
	ck_assert_int_eq(h.minor, 0);
	ck_assert_int_eq(parse("PUT / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n", &h), 0);
	ck_assert_int_eq(h.body, HTTP_BODY_CHUNKED);
	ck_assert_int_eq(parse("GET / HTTP/1.1\r\nUpgrade: WebSocket\r\n\r\n", &h), 0);
	ck_assert(h.upgrade && h.websocket);
	ck_assert_int_eq(parse("GET / HTTP/1.1\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n", &h), 0);
	ck_assert(h.upgrade && !h.websocket);
	ck_assert_int_eq(parse("GET / HTTP/1.1\r\nUpgrade: websocket, h2c\r\n\r\n", &h), 0);
	ck_assert(h.upgrade && !h.websocket);
}
END_TEST

START_TEST(asks_for_more_at_every_cut)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
	struct http_head h;
	for (size_t n = 0; n < sizeof text - 1; n++) {
		char *copy = malloc(n ? n : 1);
		memcpy(copy, text, n);
		ck_assert_int_eq(http_head_parse(copy, n, &h, NULL), 1);
		free(copy);
	}
}
END_TEST

static const char *const bad[] = {
    "GET / HTTP/1.1\nHost: a\n\n",
    "GET / HTTP/1.1\r\nHost: a\n\r\n",
    "GET / HTTP/1.1\r\nX: a\rb\r\n\r\n",
    "GET / HTTP/1.1\r\r\n\r\n",
    "\r\nGET / HTTP/1.1\r\n\r\n",
    "GET  / HTTP/1.1\r\n\r\n",
    "GET /  HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1 \r\n\r\n",
    "GET /a b HTTP/1.1\r\n\r\n",
    "GET\t/ HTTP/1.1\r\n\r\n",
    " GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.2\r\n\r\n",
    "GET / HTTP/2.0\r\n\r\n",
    "GET / http/1.1\r\n\r\n",
    "GET /\r\n\r\n",
    "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
    "GET / HTTP/1.1\r\nHost\r\n\r\n",
    "GET / HTTP/1.1\r\n: a\r\n\r\n",
    "GET / HTTP/1.1\r\nX\x01: a\r\n\r\n",
    "GET / HTTP/1.1\r\nX: a\x7f\r\n\r\n",
    "G(T / HTTP/1.1\r\n\r\n",
    "GET /\x7f HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
    "GET / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n",
    "GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
    "GET / HTTP/1.1\r\nContent-Length: 0x1\r\n\r\n",
    "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "GET / HTTP/1.1\r\nContent-Length:\r\n\r\n",
    "GET / HTTP/1.1\r\nContent-Length: 9999999999999999999\r\n\r\n",
    "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
    "GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "GET / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
    "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "GET / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "GET / HTTP/1.1\r\nTransfer-Encoding:\r\n\r\n",
    "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
};

START_TEST(ambiguous_requests_are_refused)
{
	struct http_head h;
	ck_assert_int_eq(parse(bad[_i], &h), OCU_E_EGRESS_PROTOCOL);
}
END_TEST

START_TEST(two_hosts_are_refused)
{
	struct http_head h;
	ck_assert_int_eq(parse("GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n", &h),
	                 OCU_E_EGRESS_HOST);
	static const char nul[] = "GET / HTTP/1.1\r\nHost: a.example\0\r\n\r\n";
	ck_assert_int_eq(http_head_parse(nul, sizeof nul - 1, &h, NULL), OCU_E_EGRESS_PROTOCOL);
}
END_TEST

START_TEST(size_and_count_are_bounded)
{
	struct ocu_buf b = OCU_BUF_INIT(1 << 20);
	struct http_head h;
	ocu_buf_puts(&b, "GET / HTTP/1.1\r\n");
	for (unsigned i = 0; i < HTTP_HEADERS_MAX; i++)
		ocu_buf_puts(&b, "X: y\r\n");
	ocu_buf_puts(&b, "\r\n");
	ck_assert_int_eq(http_head_parse(b.data, b.len, &h, NULL), 0);
	b.len -= 2;
	ocu_buf_puts(&b, "X: y\r\n\r\n");
	ck_assert_int_eq(http_head_parse(b.data, b.len, &h, NULL), OCU_E_EGRESS_PROTOCOL);
	ocu_buf_reset(&b);
	ocu_buf_puts(&b, "GET /");
	while (b.len < HTTP_HEAD_MAX)
		ocu_buf_putc(&b, 'a');
	ck_assert_int_eq(http_head_parse(b.data, HTTP_HEAD_MAX - 1, &h, NULL), 1);
	ck_assert_int_eq(http_head_parse(b.data, HTTP_HEAD_MAX, &h, NULL), OCU_E_EGRESS_PROTOCOL);
	ocu_buf_done(&b);
}
END_TEST

static const struct {
	const char *text;
	int want;
} looks[] = {
    {"", -1},
    {"G", -1},
    {"GET", -1},
    {"GET ", 1},
    {"get /", 1},
    {"POST / HTTP/1.1\r\n", 1},
    {"POST /", -1},
    {"PRI * HTTP/2.0\r\n", 1},
    {"\r\n\r\nGET /", 1},
    {" GET / HTTP/1.1", 1},
    {"\t\n POST / http/1.1\n", 1},
    {"X-ODD!  / HTTP/1.1\n", 1},
    {"POST\t/ HTTP/1.1\n", 1},
    {"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", 0},
    {"EHLO example.org\r\n", 0},
    {"INVITE sip:a@b SIP/2.0\r\n", 0},
    {"*1\r\n$4\r\nPING\r\n", 0},
    {"PING\r\n", 0},
    {"\x16\x03", 0},
    {"(a", 0},
    {"{\"a\":1}", 0},
};

START_TEST(tells_http_from_the_rest)
{
	ck_assert_int_eq(http_looks_like(looks[_i].text, strlen(looks[_i].text)), looks[_i].want);
}
END_TEST

START_TEST(token_characters_are_those_of_the_rfc)
{
	for (unsigned c = 1; c < 256; c++) {
		char line[] = "X / HTTP/1.1\n";
		line[0] = (char)c;
		bool token = (c < 128 && isalnum((int)c)) || strchr("!#$%&'*+-.^_`|~", (int)c);
		bool blank = strchr("\r\n\t ", (int)c);
		if (!blank)
			ck_assert_msg((http_looks_like(line, sizeof line - 1) == 1) == token, "%u", c);
	}
}
END_TEST

START_TEST(a_nul_byte_is_not_http)
{
	ck_assert_int_eq(http_looks_like("\0GET / HTTP/1.1\r\n", 17), 0);
	ck_assert_int_eq(http_looks_like("GE\0T / HTTP/1.1\r\n", 17), 0);
}
END_TEST

static void rewritten(const char *text, unsigned rewrite, const char *target, const char *want)
{
	struct ocu_buf b = OCU_BUF_INIT(4096);
	struct http_head h;
	struct http_span t = {target, target ? strlen(target) : 0};
	ck_assert_int_eq(parse(text, &h), 0);
	ck_assert_int_eq(http_head_write(text, &h, rewrite, t, &b, NULL), 0);
	ck_assert_str_eq(b.data, want);
	ocu_buf_done(&b);
}

START_TEST(writes_heads_again)
{
	rewritten(
	    "GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\nX:  y \r\n\r\n",
	    HTTP_DROP_UPGRADE, NULL, "GET / HTTP/1.1\r\nHost: a.example\r\nX:  y \r\n\r\n");
	rewritten(
	    "GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\nProxy-Connection: keep-alive\r\n"
	    "Proxy-Authorization: Basic Zm9v\r\nconnection: keep-alive\r\nKeep-Alive: 5\r\nX: y\r\n\r\n",
	    HTTP_FROM_PROXY, "/x", "GET /x HTTP/1.1\r\nHost: a.example\r\nX: y\r\nConnection: close\r\n\r\n");
}
END_TEST

START_TEST(a_rewrite_keeps_to_its_buffer)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: h2c\r\n\r\n";
	struct ocu_buf b = OCU_BUF_INIT(20);
	struct http_head h;
	ck_assert_int_eq(parse(text, &h), 0);
	ck_assert_int_eq(http_head_write(text, &h, HTTP_DROP_UPGRADE, (struct http_span){0}, &b, NULL),
	                 OCU_E_TOO_LARGE);
	ocu_buf_done(&b);
}
END_TEST

static const struct {
	const char *target, *authority, *path;
} targets[] = {
    {"http://a.example/x?y", "a.example", "/x?y"},
    {"HTTP://a.example:81", "a.example:81", "/"},
    {"http://u@a.example/", "u@a.example", "/"},
    {"https://a.example/", NULL, NULL},
    {"ftp://a.example/", NULL, NULL},
    {"http:/a.example/", NULL, NULL},
    {"//a.example/", NULL, NULL},
    {"/x", NULL, NULL},
    {"http://a.example?x", NULL, NULL},
    {"http://a.example#@b.example/", NULL, NULL},
    {"http://a.example\\@b.example/", NULL, NULL},
};

START_TEST(splits_absolute_targets)
{
	struct http_span t = {targets[_i].target, strlen(targets[_i].target)}, a, p;
	int rc = http_absolute(t, &a, &p, NULL);
	ck_assert_int_eq(rc, targets[_i].authority ? 0 : OCU_E_EGRESS_PROTOCOL);
	if (rc == 0) {
		ck_assert(http_span_is(a, targets[_i].authority));
		ck_assert(http_span_is(p, targets[_i].path));
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("egressd_httphead");
	TCase *t = tcase_create("httphead");
	tcase_add_test(t, reads_a_request);
	tcase_add_test(t, asks_for_more_at_every_cut);
	tcase_add_loop_test(t, ambiguous_requests_are_refused, 0, sizeof bad / sizeof *bad);
	tcase_add_test(t, two_hosts_are_refused);
	tcase_add_test(t, size_and_count_are_bounded);
	tcase_add_loop_test(t, tells_http_from_the_rest, 0, sizeof looks / sizeof *looks);
	tcase_add_test(t, token_characters_are_those_of_the_rfc);
	tcase_add_test(t, a_nul_byte_is_not_http);
	tcase_add_test(t, writes_heads_again);
	tcase_add_test(t, a_rewrite_keeps_to_its_buffer);
	tcase_add_loop_test(t, splits_absolute_targets, 0, sizeof targets / sizeof *targets);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
