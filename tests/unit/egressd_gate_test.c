/* What gets through the gate, whole and byte by byte, must be the same, and nothing before it is decided. */
/* shows: NFR-SEC-08, NFR-SEC-17, NFR-SEC-51 */
#include "tests/unit/egressd_gate_fixture.h"

#define LONG    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define R(host) "GET / HTTP/1.1\r\nHost: " host "\r\n\r\n"

static const struct {
	uint16_t port;
	const char *in;
	int want;
	const char *out; /* NULL: the same as in */
} cases[] = {
    {80, R("a.example"), 0, NULL},
    {80, R("A.EXAMPLE."), 0, NULL},
    {80, R("a.example:80"), 0, NULL},
    {8080, R("a.example:8080"), 0, NULL},
    {8080, R("a.example"), 0, NULL},
    {80, R("a.example") R("a.example") R("a.example"), 0, NULL},
    {80, "GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n", 0, NULL},
    {80, "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n", 0, NULL},
    {80, "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello" R("a.example"), 0, NULL},
    {80, "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n" R("a.example"), 0, NULL},
    {80,
     "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: "
     "chunked\r\n\r\n5;x=y\r\nhello\r\n0A\r\n0123456789\r\n0\r\n"
     "T: v\r\n\r\n" R("a.example"),
     0, NULL},
    {80,
     "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: "
     "h2c\r\nHTTP2-Settings: AAM\r\n\r\n",
     0, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n"},
    {80, R("a.example") "GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\n\r\n", 0,
     R("a.example") R("a.example")},
    /* refused: what was let on before stays let on, nothing of the bad request is */
    {80, R("b.example"), OCU_E_EGRESS_HOST, ""},
    {80, R("a.example") R("b.example"), OCU_E_EGRESS_HOST, R("a.example")},
    {80, R("a.example:81"), OCU_E_EGRESS_HOST, ""},
    {80, R("a.example@b.example"), OCU_E_EGRESS_HOST, ""},
    {80, R("a.example, b.example"), OCU_E_EGRESS_HOST, ""},
    {80, R("127.0.0.1"), OCU_E_EGRESS_HOST, ""},
    {80, R("2130706433"), OCU_E_EGRESS_HOST, ""},
    {80, R("[::1]"), OCU_E_EGRESS_HOST, ""},
    {80, R(""), OCU_E_EGRESS_HOST, ""},
    {80, "GET / HTTP/1.1\r\n\r\n", OCU_E_EGRESS_HOST, ""},
    {80, "GET / HTTP/1.0\r\n\r\n", OCU_E_EGRESS_HOST, ""},
    {80, "GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", OCU_E_EGRESS_HOST, ""},
    {80, "GET http://a.example@b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", OCU_E_EGRESS_HOST, ""},
    {80, "GET https://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", OCU_E_EGRESS_PROTOCOL, ""},
    {80, "CONNECT a.example:80 HTTP/1.1\r\nHost: a.example\r\n\r\n", OCU_E_EGRESS_PROTOCOL, ""},
    {80, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", OCU_E_EGRESS_PROTOCOL, ""},
    {8080, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", OCU_E_EGRESS_PROTOCOL, ""},
    {80, "SSH-2.0-OpenSSH\r\n", OCU_E_EGRESS_PROTOCOL, ""},
    {443, "\x01\x02\r\n", OCU_E_EGRESS_PROTOCOL, ""},
    {8080, "\r\n" R("b.example"), OCU_E_EGRESS_PROTOCOL, ""},
    {8080, R("b.example"), OCU_E_EGRESS_HOST, ""},
    {8080, LONG " / HTTP/1.1\r\nHost: b.example\r\n\r\n", OCU_E_EGRESS_HOST,
     ""}, /* some servers take any token */
    {8080, "GET /\r\n", OCU_E_EGRESS_PROTOCOL, ""},
    {80, "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloGET",
     OCU_E_EGRESS_PROTOCOL,
     "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello"},
    {80, "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello",
     OCU_E_EGRESS_PROTOCOL, "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"},
    {80, "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n1000000000000000\r\n",
     OCU_E_EGRESS_PROTOCOL, "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"},
    {80, "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
     OCU_E_EGRESS_PROTOCOL, "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"},
    {80, "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\n",
     OCU_E_EGRESS_PROTOCOL, "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"},
    {80, "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nbad trailer\r\n\r\n",
     OCU_E_EGRESS_PROTOCOL, "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"},
    /* the smuggling classic: the second request hides in the first one's body, for servers that take the
       other length */
    {80,
     "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\nTransfer-Encoding: "
     "chunked\r\n\r\n0\r\n\r\n" R("b.example"),
     OCU_E_EGRESS_PROTOCOL, ""},
    /* other protocols on ports that are not the web's */
    {22, "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", 0, NULL},
    {6379, "*1\r\n$4\r\nPING\r\n", 0, NULL},
    {5432, "\x01\x02\x03", 0, NULL},
    {7000, "\x81\x05hello", 0, NULL},
    {23, "\xff\xfd\1\xff\xfb\x1f\xff\xfb\x20\xff\xfb\x18", 0, NULL},
};

START_TEST(lets_on_what_matches)
{
	static const size_t steps[] = {100000, 1, 2, 3, 7, 16};
	const char *want = cases[_i].out ? cases[_i].out : cases[_i].in;
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		struct gate g;
		start(&g, cases[_i].port);
		int rc = feed_slowly(&g, cases[_i].in, strlen(cases[_i].in), steps[i]);
		ck_assert_msg(rc == cases[_i].want, "step %zu: %d", steps[i], rc);
		ck_assert_str_eq(out.data ? out.data : "", want);
		gate_done(&g);
	}
}
END_TEST

START_TEST(nothing_passes_undecided)
{
	struct gate g;
	start(&g, 8080);
	ck_assert_int_eq(feed(&g, "POST /very/long"), 0);
	ck_assert(gate_undecided(&g) && gate_partial(&g));
	ck_assert_uint_eq(out.len, 0);
	gate_done(&g);
}
END_TEST

START_TEST(held_bytes_are_bounded)
{
	struct gate g;
	char big[HTTP_HEAD_MAX + 1];
	memset(big, 'a', sizeof big);
	start(&g, 8080);
	ck_assert_uint_eq(gate_room(&g), HTTP_HEAD_MAX);
	ck_assert_int_eq(gate_feed(&g, big, HTTP_HEAD_MAX - 1, &out, NULL), 0); /* a method may be long */
	ck_assert_int_eq(gate_feed(&g, big, 1, &out, NULL), OCU_E_EGRESS_PROTOCOL);
	ck_assert_uint_eq(out.len, 0);
	gate_done(&g);
	start(&g, 80);
	ck_assert_int_eq(gate_feed(&g, big, HTTP_HEAD_MAX - 1, &out, NULL), 0);
	ck_assert_uint_eq(gate_room(&g), 1);
	ck_assert_int_eq(gate_feed(&g, big, 1, &out, NULL), OCU_E_EGRESS_PROTOCOL);
	gate_done(&g);
	start(&g, 80);
	ck_assert_int_eq(gate_feed(&g, big, sizeof big, &out, NULL), OCU_E_EGRESS_PROTOCOL);
	ck_assert_uint_eq(out.len, 0);
	gate_done(&g);
}
END_TEST

START_TEST(a_server_may_speak_first)
{
	struct gate g;
	start(&g, 22);
	ck_assert_int_eq(gate_answer(&g, "SSH-2.0-x\r\n", 11, &out, NULL), 0);
	ck_assert_int_eq(g.state, GATE_OPEN);
	gate_done(&g);
	start(&g, 443); /* not on the web's ports */
	ck_assert_int_eq(gate_answer(&g, "SSH-2.0-x\r\n", 11, &out, NULL), 0);
	ck_assert(gate_undecided(&g));
	gate_done(&g);
	start(&g, 8080); /* a server that gave up waiting has not decided anything */
	ck_assert_int_eq(gate_answer(&g, "HTTP/1.1 408 Timeout\r\n", 22, &out, NULL), 0);
	ck_assert(gate_undecided(&g));
	ck_assert_int_eq(gate_answer(&g, "\x15\3\3\0\2\2\x0a", 7, &out, NULL), 0);
	ck_assert(gate_undecided(&g));
	ck_assert_int_eq(feed(&g, "GE"), 0);
	ck_assert_int_eq(gate_answer(&g, "220 hello\r\n", 11, &out, NULL), 0);
	ck_assert(gate_undecided(&g)); /* the guest had begun */
	ck_assert_int_eq(feed(&g, "T / HTTP/1.1\r\nHost: b.example\r\n\r\n"), OCU_E_EGRESS_HOST);
	gate_done(&g);
}
END_TEST

#define WS "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

static const struct {
	const char *answer;
	int want;
	bool open;
} answers[] = {
    {"HTTP/1.1 101 Switching Protocols\r\n\r\n", 0, true},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\n", 0, true},
    {"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", OCU_E_EGRESS_HOST, false},
    {"HTTP/1.1 200 OK\r\n\r\n101", OCU_E_EGRESS_HOST, false},
    {"HTTP/1.1 426 Upgrade Required\r\n\r\n", OCU_E_EGRESS_HOST, false},
    {"HTTP/1.0 101 No\r\n\r\n", OCU_E_EGRESS_HOST, false},
    {"garbage, not HTTP", OCU_E_EGRESS_HOST, false},
};

START_TEST(an_upgrade_counts_when_the_server_agrees)
{
	for (size_t step = 1; step < 100; step += 49) {
		const char *a = answers[_i].answer;
		struct gate g;
		int rc = 0;
		start(&g, 80);
		/* the guest does not wait: a second request for another host hides behind the upgrade */
		ck_assert_int_eq(feed(&g, WS R("b.example")), 0);
		ck_assert_str_eq(out.data, WS);
		ck_assert_uint_eq(gate_room(&g), HTTP_HEAD_MAX - strlen(R("b.example")));
		for (size_t at = 0; at < strlen(a) && rc == 0; at += step) {
			size_t n = strlen(a + at) < step ? strlen(a + at) : step;
			rc = gate_answer(&g, a + at, n, &out, NULL);
		}
		ck_assert_int_eq(rc, answers[_i].want);
		ck_assert_str_eq(out.data, answers[_i].open ? WS R("b.example") : WS);
		ck_assert(!answers[_i].open || g.state == GATE_OPEN);
		gate_done(&g);
	}
}
END_TEST

START_TEST(a_refused_upgrade_goes_on_as_http)
{
	struct gate g;
	start(&g, 80);
	ck_assert_int_eq(feed(&g, WS), 0);
	ck_assert_int_eq(gate_answer(&g, "HTTP/1.1 200 OK\r\n\r\n", 19, &out, NULL), 0);
	ck_assert_int_eq(feed(&g, R("a.example")), 0);
	ck_assert_str_eq(out.data, WS R("a.example"));
	ck_assert_int_eq(feed(&g, R("b.example")), OCU_E_EGRESS_HOST);
	gate_done(&g);
}
END_TEST

static void start_proxied(struct gate *g)
{
	start(g, 80);
	g->proxied = true;
	g->proto = GATE_HTTP;
	g->state = GATE_HEAD;
}

START_TEST(the_proxy_lets_one_request_on)
{
	struct gate g;
	start_proxied(&g);
	ck_assert_int_eq(
	    feed(&g, "POST http://a.example/x HTTP/1.1\r\nHost: a.example\r\nProxy-Authorization: x\r\n"
	             "Content-Length: 2\r\n\r\nokGET http://a.example/ HTTP/1.1\r\n"),
	    0);
	ck_assert_str_eq(
	    out.data,
	    "POST /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
	ck_assert_int_eq(g.state, GATE_SHUT);
	ck_assert_int_eq(feed(&g, R("b.example")), 0);
	ck_assert_uint_eq(g.hold.len, 0);
	gate_done(&g);
	start_proxied(&g);
	ck_assert_int_eq(feed(&g, "GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n"),
	                 OCU_E_EGRESS_HOST);
	gate_done(&g);
	start_proxied(&g);
	ck_assert_int_eq(feed(&g, R("a.example")), OCU_E_EGRESS_PROTOCOL);
	gate_done(&g);
	start_proxied(&g);
	ck_assert_int_eq(
	    feed(&g, "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\n\r\n"), 0);
	ck_assert_int_eq(g.state, GATE_SHUT);
	ck_assert_ptr_null(strstr(out.data, "Upgrade"));
	gate_done(&g);
}
END_TEST

START_TEST(large_bodies_stream)
{
	struct gate g;
	char chunk[65536];
	memset(chunk, 'x', sizeof chunk);
	start(&g, 80);
	ck_assert_int_eq(feed(&g, "PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 6553600\r\n\r\n"), 0);
	for (unsigned i = 0; i < 100; i++) {
		ocu_buf_reset(&out);
		ck_assert_uint_ge(gate_room(&g), sizeof chunk);
		ck_assert_int_eq(gate_feed(&g, chunk, sizeof chunk, &out, NULL), 0);
		ck_assert_uint_eq(out.len, sizeof chunk);
	}
	ck_assert_int_eq(g.state, GATE_HEAD);
	gate_done(&g);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("egressd_gate");
	TCase *t = tcase_create("gate");
	tcase_add_loop_test(t, lets_on_what_matches, 0, sizeof cases / sizeof *cases);
	tcase_add_test(t, nothing_passes_undecided);
	tcase_add_test(t, held_bytes_are_bounded);
	tcase_add_test(t, a_server_may_speak_first);
	tcase_add_loop_test(t, an_upgrade_counts_when_the_server_agrees, 0, sizeof answers / sizeof *answers);
	tcase_add_test(t, a_refused_upgrade_goes_on_as_http);
	tcase_add_test(t, the_proxy_lets_one_request_on);
	tcase_add_test(t, large_bodies_stream);
	tcase_add_checked_fixture(t, setup, teardown);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
