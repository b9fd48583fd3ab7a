/* TLS at the gate: every ClientHello names the destination, the second one that a server may ask for, too. */
/* shows: NFR-SEC-08, NFR-SEC-17 */
#include "tests/unit/egressd_gate_fixture.h"

/* A hello for a.example as openssl's s_client would send it, less the key shares. */
#define HELLO(name)                                                                                          \
	"\x16\3\1\0\x41\1\0\0\x3d\3\3"                                                                       \
	"0123456789abcdef0123456789abcdef"                                                                   \
	"\0\0\2\x13\1\1\0\0\x12\0\0\0\x0e\0\x0c\0\0\x09" name
static const char hello[] = HELLO("a.example"), other_hello[] = HELLO("b.example");

#define SERVER_HELLO(random) "\x16\3\3\0\x2c\2\0\0\x28\3\3" random "\0\x13\1\0\0\0"
static const char server_hello[] = SERVER_HELLO("0123456789abcdef0123456789abcdef");
static const char retry[] = SERVER_HELLO(
    "\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91\xc2\xa2\x11\x16\x7a\xbb\x8c"
    "\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c") "\x14\3\3\0\1\1";
static const char ccs[] = "\x14\3\3\0\1\1", warning[] = "\x15\3\3\0\2\1\x70";
static const char early[] = "\x17\3\3\0\4\x16\3\1\0", fatal[] = "\x15\3\3\0\2\2\x2f";

START_TEST(tls_with_another_name_is_refused)
{
	static const uint16_t ports[] = {443, 80, 8443};
	for (size_t i = 0; i < 3; i++) {
		struct gate g;
		gate_init(&g, "b.example", ports[i]);
		ocu_buf_reset(&out);
		for (size_t n = 0; n < sizeof hello - 1; n++) {
			int rc = gate_feed(&g, hello + n, 1, &out, NULL);
			ck_assert_int_eq(rc, n + 2 == sizeof hello ? OCU_E_EGRESS_SNI : 0);
			ck_assert_uint_eq(out.len, 0);
		}
		gate_done(&g);
	}
}
END_TEST

/* A server skips what is in front, or reads the hello in another way: the name in it is not the one it takes.
 */
static const struct {
	const char *bytes;
	size_t len;
} disguises[] = {
    {"\x14\3\3\0\1\1", 6},
    {"\x15\3\1\0\2\1\x5a", 7},
    {"\x16\2\1", 3},
    {"\x80\x1c\1\3\3\0\3\0\0\0\x10\0\0\x2f"
     "0123456789abcdef",
     30},
};

START_TEST(tls_in_disguise_is_refused)
{
	static const uint16_t ports[] = {443, 80, 8443, 22};
	for (size_t i = 0; i < 4; i++)
		for (size_t step = 1; step <= 64; step += 63) {
			struct gate g;
			start(&g, ports[i]);
			int rc = feed_slowly(&g, disguises[_i].bytes, disguises[_i].len, step);
			if (rc == 0)
				rc = feed_slowly(&g, hello, sizeof hello - 1, step);
			if (rc == 0)
				rc = feed(&g, "\r\n\r\n");
			ck_assert_int_eq(rc, OCU_E_EGRESS_PROTOCOL);
			ck_assert_uint_eq(out.len, 0);
			gate_done(&g);
		}
}
END_TEST

#define TEXT(x) x, sizeof(x) - 1

static int answer_slowly(struct gate *g, const char *text, size_t len, size_t step)
{
	for (size_t at = 0; at < len; at += step) {
		size_t n = len - at < step ? len - at : step;
		char *copy = malloc(n);
		memcpy(copy, text + at, n);
		int rc = gate_answer(g, copy, n, &out, NULL);
		free(copy);
		if (rc)
			return rc;
	}
	return 0;
}

static void passed(const char *a, size_t a_len, const char *b, size_t b_len)
{
	ck_assert_uint_eq(out.len, a_len + b_len);
	ck_assert_mem_eq(out.data, a, a_len);
	ck_assert_mem_eq(out.data + a_len, b, b_len);
}

/* To where the first hello is through and the server has answered it. */
static void start_answered(struct gate *g, const char *text, size_t len, size_t step)
{
	start(g, 443);
	ck_assert_int_eq(feed_slowly(g, TEXT(hello), step), 0);
	ck_assert_int_eq(answer_slowly(g, text, len, step), 0);
	passed(TEXT(hello), "", 0);
	ocu_buf_reset(&out);
}

static const size_t pieces[] = {1, 3, 43, 1000};

START_TEST(tls_opens_when_the_server_goes_on)
{
	struct gate g;
	size_t step = pieces[_i];
	start(&g, 443);
	ck_assert_int_eq(feed_slowly(&g, TEXT(hello), step), 0);
	ck_assert(!gate_undecided(&g));
	ck_assert_int_eq(g.proto, GATE_TLS);
	ck_assert_int_eq(feed_slowly(&g, TEXT(early), step), 0);
	ck_assert(!gate_partial(&g)); /* it is not the guest that is waited for */
	passed(TEXT(hello), "", 0);
	ck_assert_int_eq(answer_slowly(&g, TEXT(warning), step), 0);
	ck_assert_int_eq(answer_slowly(&g, TEXT(server_hello), step), 0);
	ck_assert_int_eq(g.state, GATE_OPEN);
	passed(TEXT(hello), TEXT(early));
	ck_assert_int_eq(feed(&g, "anything"), 0);
	ck_assert_uint_eq(out.len, sizeof hello - 1 + sizeof early - 1 + 8);
	gate_done(&g);
}
END_TEST

START_TEST(a_second_hello_is_checked)
{
	struct gate g;
	size_t step = pieces[_i];
	start_answered(&g, TEXT(retry), step);
	ck_assert_int_eq(feed_slowly(&g, TEXT(ccs), step), 0);
	ck_assert_int_eq(feed_slowly(&g, TEXT(hello), step), 0);
	passed(TEXT(ccs), TEXT(hello));
	ck_assert_int_eq(feed(&g, "held"), 0);
	ck_assert_int_eq(answer_slowly(&g, TEXT(server_hello), step), 0);
	ck_assert_int_eq(g.state, GATE_OPEN);
	gate_done(&g);

	start_answered(&g, TEXT(retry), step);
	ck_assert_int_eq(feed_slowly(&g, TEXT(ccs), step), 0);
	ck_assert_int_eq(feed_slowly(&g, TEXT(other_hello), step), OCU_E_EGRESS_SNI);
	passed(TEXT(ccs), "", 0);
	gate_done(&g);
}
END_TEST

START_TEST(a_second_hello_is_checked_that_came_too_early)
{
	struct gate g;
	start(&g, 8443);
	ck_assert_int_eq(feed_slowly(&g, TEXT(hello), 1000), 0);
	ck_assert_int_eq(feed_slowly(&g, TEXT(other_hello), 1000), 0);
	passed(TEXT(hello), "", 0);
	ck_assert_int_eq(answer_slowly(&g, TEXT(retry), 1000), OCU_E_EGRESS_SNI);
	passed(TEXT(hello), "", 0);
	gate_done(&g);
}
END_TEST

START_TEST(a_third_hello_is_checked)
{
	struct gate g;
	start_answered(&g, TEXT(retry), 1000);
	ck_assert_int_eq(feed_slowly(&g, TEXT(hello), 1000), 0);
	ck_assert_int_eq(answer_slowly(&g, TEXT(retry), 1000), 0);
	ck_assert_int_eq(feed_slowly(&g, TEXT(other_hello), 1000), OCU_E_EGRESS_SNI);
	gate_done(&g);
}
END_TEST

START_TEST(rejected_early_data_is_dropped)
{
	struct gate g;
	size_t step = pieces[_i];
	start_answered(&g, TEXT(retry), step);
	ck_assert_int_eq(feed_slowly(&g, TEXT(early), step), 0);
	ck_assert_int_eq(feed_slowly(&g, TEXT(early), step), 0);
	ck_assert_int_eq(feed_slowly(&g, TEXT(hello), step), 0);
	passed(TEXT(hello), "", 0);
	gate_done(&g);
}
END_TEST

START_TEST(only_a_hello_follows_a_retry)
{
	struct gate g;
	start_answered(&g, TEXT(retry), 1000);
	ck_assert_int_eq(feed(&g, "GET / HTTP/1.1\r\n"), OCU_E_EGRESS_PROTOCOL);
	ck_assert_uint_eq(out.len, 0);
	gate_done(&g);
	start_answered(&g, TEXT(retry), 1000);
	ck_assert_int_eq(feed_slowly(&g, TEXT(fatal), 2), 0); /* the guest does not like it */
	passed(TEXT(fatal), "", 0);
	gate_done(&g);
}
END_TEST

/* It did not read the hello: what it would make of the next bytes nobody knows. */
START_TEST(a_server_that_answers_otherwise_gets_no_more)
{
	static const struct {
		const char *text;
		size_t len;
	} answers[] = {{TEXT("HTTP/1.1 400 Bad Request\r\n")},
	               {TEXT("\x17\3\3\0\1x")},
	               {TEXT("\x16\2\1")},
	               {TEXT("\x16\3\3\0\5\2\0\0\1x")}};
	for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
		struct gate g;
		start_answered(&g, answers[i].text, answers[i].len, pieces[_i]);
		ck_assert_int_eq(g.state, GATE_SHUT);
		ck_assert_int_eq(feed(&g, "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n"), 0);
		ck_assert_uint_eq(out.len, 0);
		gate_done(&g);
	}
}
END_TEST

START_TEST(a_long_answer_at_once_is_understood)
{
	static char text[40000];
	struct gate g;
	memcpy(text, server_hello, sizeof server_hello - 1);
	start_answered(&g, text, sizeof text, sizeof text);
	ck_assert_int_eq(g.state, GATE_OPEN);
	gate_done(&g);
	for (size_t at = 0; at + sizeof warning - 1 <= sizeof text; at += sizeof warning - 1)
		memcpy(text + at, warning, sizeof warning - 1);
	start_answered(&g, text, sizeof text, 1000); /* no answer in all that */
	ck_assert_int_eq(g.state, GATE_SHUT);
	gate_done(&g);
	start_answered(&g, TEXT(retry), 1000);
	ck_assert_int_eq(answer_slowly(&g, text, sizeof text, 1000), 0);
	ck_assert_int_eq(g.state, GATE_SHUT);
	gate_done(&g);
}
END_TEST

START_TEST(nothing_may_hide_behind_a_hello_in_its_record)
{
	struct gate g;
	char both[sizeof hello + 4];
	memcpy(both, hello, sizeof hello - 1);
	memset(both + sizeof hello - 1, 0, 4);
	both[4] += 4;
	start(&g, 443);
	ck_assert_int_eq(feed_slowly(&g, both, sizeof hello + 3, pieces[_i]), OCU_E_EGRESS_PROTOCOL);
	ck_assert_uint_eq(out.len, 0);
	gate_done(&g);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("egressd_gate_tls");
	TCase *t = tcase_create("tls");
	const int n = sizeof pieces / sizeof *pieces;
	tcase_add_test(t, tls_with_another_name_is_refused);
	tcase_add_loop_test(t, tls_in_disguise_is_refused, 0, sizeof disguises / sizeof *disguises);
	tcase_add_loop_test(t, tls_opens_when_the_server_goes_on, 0, n);
	tcase_add_loop_test(t, a_second_hello_is_checked, 0, n);
	tcase_add_test(t, a_second_hello_is_checked_that_came_too_early);
	tcase_add_test(t, a_third_hello_is_checked);
	tcase_add_loop_test(t, rejected_early_data_is_dropped, 0, n);
	tcase_add_test(t, only_a_hello_follows_a_retry);
	tcase_add_loop_test(t, a_server_that_answers_otherwise_gets_no_more, 0, n);
	tcase_add_test(t, a_long_answer_at_once_is_understood);
	tcase_add_loop_test(t, nothing_may_hide_behind_a_hello_in_its_record, 0, n);
	tcase_add_checked_fixture(t, setup, teardown);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
