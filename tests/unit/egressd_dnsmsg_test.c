/* shows: NFR-SEC-08, NFR-SEC-12, NFR-SEC-51 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/dnsmsg.h"

static uint8_t msg[8192];
static size_t len;

static void u8(unsigned v)
{
	msg[len++] = (uint8_t)v;
}

static void u16(unsigned v)
{
	u8(v >> 8 & 255);
	u8(v & 255);
}

static void name(const char *dotted)
{
	while (*dotted) {
		size_t n = strcspn(dotted, ".");
		u8((unsigned)n);
		memcpy(msg + len, dotted, n);
		len += n;
		dotted += n + (dotted[n] == '.');
	}
	u8(0);
}

static void header(unsigned flags, unsigned qd, unsigned an, unsigned ns, unsigned ar)
{
	len = 0;
	u16(0xbeef);
	u16(flags);
	u16(qd);
	u16(an);
	u16(ns);
	u16(ar);
}

static void query(const char *host, unsigned type, bool opt)
{
	header(0x0100, 1, 0, 0, opt);
	name(host);
	u16(type);
	u16(1);
	if (opt) {
		u8(0);
		u16(DNS_OPT);
		u16(4096);
		u16(0);
		u16(0x8000);
		u16(0);
	}
}

static unsigned at16(const uint8_t *p)
{
	return (unsigned)(p[0] << 8 | p[1]);
}

START_TEST(reads_a_query)
{
	struct dns_query q;
	query("WwW.Example.org", DNS_A, false);
	ck_assert_int_eq(dns_parse(msg, len, &q), DNS_NOERROR);
	ck_assert(q.name_ok && q.recursion_desired && !q.edns);
	ck_assert_str_eq(q.host, "www.example.org");
	ck_assert_uint_eq(q.type, DNS_A);
	ck_assert_uint_eq(q.id, 0xbeef);
	query("example.org", DNS_HTTPS, true);
	ck_assert_int_eq(dns_parse(msg, len, &q), DNS_NOERROR);
	ck_assert(q.edns && q.dnssec_ok);
	ck_assert_uint_eq(q.type, DNS_HTTPS);
}
END_TEST

START_TEST(every_truncation_is_refused)
{
	struct dns_query q;
	query("www.example.org", DNS_A, true);
	for (size_t n = 0; n < len; n++) {
		/* exact-size copies, so that a read past the end is caught by the sanitizer */
		uint8_t *copy = malloc(n ? n : 1);
		memcpy(copy, msg, n);
		ck_assert_int_eq(dns_parse(copy, n, &q), n < 12 ? -1 : DNS_FORMERR);
		free(copy);
	}
	u8(0);
	ck_assert_int_eq(dns_parse(msg, len, &q), DNS_FORMERR);
}
END_TEST

START_TEST(other_headers_are_refused)
{
	struct dns_query q;
	static const struct {
		unsigned flags, qd, an, ns, ar;
		int want;
	} cases[] = {
	    {0x8100, 1, 0, 0, 0, -1},          /* a response */
	    {0x0800, 1, 0, 0, 0, DNS_NOTIMP},  /* IQUERY */
	    {0x2800, 1, 0, 0, 0, DNS_NOTIMP},  /* UPDATE */
	    {0x0200, 1, 0, 0, 0, DNS_FORMERR}, /* truncated */
	    {0x0100, 0, 0, 0, 0, DNS_FORMERR}, {0x0100, 2, 0, 0, 0, DNS_FORMERR},
	    {0x0100, 1, 1, 0, 0, DNS_FORMERR}, {0x0100, 1, 0, 1, 0, DNS_FORMERR},
	    {0x0100, 1, 0, 0, 2, DNS_FORMERR},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		header(cases[i].flags, cases[i].qd, cases[i].an, cases[i].ns, cases[i].ar);
		name("example.org");
		u16(DNS_A);
		u16(1);
		ck_assert_int_eq(dns_parse(msg, len, &q), cases[i].want);
	}
	query("example.org", DNS_A, false);
	msg[len - 1] = 3; /* CHAOS */
	ck_assert_int_eq(dns_parse(msg, len, &q), DNS_REFUSED);
}
END_TEST

START_TEST(compression_and_long_names_are_refused)
{
	struct dns_query q;
	header(0x0100, 1, 0, 0, 0);
	u16(0xc00c);
	u16(DNS_A);
	u16(1);
	ck_assert_int_eq(dns_parse(msg, len, &q), DNS_FORMERR);
	header(0x0100, 1, 0, 0, 0);
	u8(64);
	len += 64;
	u8(0);
	u16(DNS_A);
	u16(1);
	ck_assert_int_eq(dns_parse(msg, len, &q), DNS_FORMERR);
	for (unsigned labels = 127; labels <= 128; labels++) { /* 255 and 257 bytes on the wire */
		header(0x0100, 1, 0, 0, 0);
		for (unsigned i = 0; i < labels; i++) {
			u8(1);
			u8('a');
		}
		u8(0);
		u16(DNS_A);
		u16(1);
		ck_assert_int_eq(dns_parse(msg, len, &q), labels == 127 ? DNS_NOERROR : DNS_FORMERR);
	}
}
END_TEST

START_TEST(labels_with_odd_bytes_are_no_names)
{
	struct dns_query q;
	static const char *const odd[] = {
	    "allowed.example", "a b", "a\0b", "\xc3\xbc", "*", "a:b", "-a", "a/b"};
	for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
		size_t n = i == 2 ? 3 : strlen(odd[i]);
		header(0x0100, 1, 0, 0, 0);
		u8((unsigned)n); /* one label, dots and all */
		memcpy(msg + len, odd[i], n);
		len += n;
		u8(3);
		u8('o');
		u8('r');
		u8('g');
		u8(0);
		u16(DNS_A);
		u16(1);
		ck_assert_int_eq(dns_parse(msg, len, &q), DNS_NOERROR);
		ck_assert_msg(!q.name_ok, "label %zu", i);
	}
	query("", DNS_A, false);
	ck_assert_int_eq(dns_parse(msg, len, &q), DNS_NOERROR);
	ck_assert(!q.name_ok);
	query("127.0.0.1", DNS_A, false);
	ck_assert_int_eq(dns_parse(msg, len, &q), DNS_NOERROR);
	ck_assert(!q.name_ok);
}
END_TEST

START_TEST(options_are_walked)
{
	struct dns_query q;
	query("example.org", DNS_A, true);
	msg[len - 1] = 8;
	u16(10); /* COOKIE */
	u16(4);
	u16(1);
	u16(2);
	ck_assert_int_eq(dns_parse(msg, len, &q), DNS_NOERROR);
	msg[len - 5] = 5; /* one byte past the option data */
	ck_assert_int_eq(dns_parse(msg, len, &q), DNS_FORMERR);
	query("example.org", DNS_A, true);
	msg[len - 5] = 1; /* EDNS version 1 */
	ck_assert_int_eq(dns_parse(msg, len, &q), DNS_BADVERS);
}
END_TEST

START_TEST(answers_carry_the_address)
{
	struct dns_query q;
	uint8_t out[DNS_REPLY_MAX];
	query("Www.example.org", DNS_A, false);
	ck_assert_int_eq(dns_parse(msg, len, &q), 0);
	size_t n = dns_build(&q, &(struct dns_answer){.addr = 0xc6120001, .ttl = 10, .ede = -1}, out);
	ck_assert_uint_eq(n, len + 16);
	ck_assert_uint_eq(at16(out), 0xbeef);
	ck_assert_uint_eq(at16(out + 2), 0x8180);
	ck_assert_uint_eq(at16(out + 4), 1);
	ck_assert_uint_eq(at16(out + 6), 1);
	ck_assert_uint_eq(at16(out + 10), 0);
	ck_assert_mem_eq(out + 12, msg + 12, len - 12); /* the question as it was asked, case and all */
	ck_assert_mem_eq(out + len, "\xc0\x0c\0\1\0\1\0\0\0\x0a\0\4\xc6\x12\0\1", 16);
}
END_TEST

START_TEST(denials_say_why_to_who_asks_with_edns)
{
	struct dns_query q;
	uint8_t out[DNS_REPLY_MAX];
	const struct dns_answer a = {
	    .rcode = DNS_NXDOMAIN, .ede = DNS_EDE_BLOCKED, .reason = "destination_not_allowed"};
	query("evil.example", DNS_A, true);
	ck_assert_int_eq(dns_parse(msg, len, &q), 0);
	size_t n = dns_build(&q, &a, out);
	ck_assert_uint_eq(at16(out + 2), 0x8183);
	ck_assert_uint_eq(at16(out + 10), 1);
	ck_assert_mem_eq(out + n - 29,
	                 "\0\x0f\0\x19\0\x0f"
	                 "destination_not_allowed",
	                 29);
	ck_assert_uint_eq(at16(out + n - 31), 29); /* rdlen */
	query("evil.example", DNS_A, false);
	ck_assert_int_eq(dns_parse(msg, len, &q), 0);
	n = dns_build(&q, &a, out);
	ck_assert_uint_eq(n, len);
	ck_assert_uint_eq(at16(out + 10), 0);
	query("evil.example", DNS_A, true);
	ck_assert_int_eq(dns_parse(msg, len, &q), 0);
	n = dns_build(&q, &(struct dns_answer){.rcode = DNS_BADVERS, .ede = -1}, out);
	ck_assert_uint_eq(at16(out + 2) & 15, 0);
	ck_assert_uint_eq(out[n - 6], 1); /* the upper bits, in OPT */
}
END_TEST

START_TEST(the_largest_reply_fits)
{
	struct dns_query q;
	uint8_t out[DNS_REPLY_MAX + 64];
	char reason[200];
	memset(reason, 'r', sizeof reason - 1);
	reason[sizeof reason - 1] = 0;
	header(0x0100, 1, 0, 0, 1);
	for (unsigned i = 0; i < 127; i++) {
		u8(1);
		u8('a');
	}
	u8(0);
	u16(DNS_A);
	u16(1);
	u8(0);
	u16(DNS_OPT);
	u16(4096);
	u16(0);
	u16(0);
	u16(0);
	ck_assert_int_eq(dns_parse(msg, len, &q), 0);
	size_t n = dns_build(&q, &(struct dns_answer){.addr = 1, .ttl = 1, .ede = 15, .reason = reason}, out);
	ck_assert_uint_le(n, DNS_REPLY_MAX);
}
END_TEST

START_TEST(unreadable_questions_get_a_bare_header)
{
	struct dns_query q;
	uint8_t out[DNS_REPLY_MAX];
	header(0x0100, 7, 0, 0, 0);
	ck_assert_int_eq(dns_parse(msg, len, &q), DNS_FORMERR);
	size_t n = dns_build(&q, &(struct dns_answer){.rcode = DNS_FORMERR, .ede = -1}, out);
	ck_assert_uint_eq(n, 12);
	ck_assert_uint_eq(at16(out + 4), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("egressd_dnsmsg");
	TCase *t = tcase_create("dnsmsg");
	tcase_add_test(t, reads_a_query);
	tcase_add_test(t, every_truncation_is_refused);
	tcase_add_test(t, other_headers_are_refused);
	tcase_add_test(t, compression_and_long_names_are_refused);
	tcase_add_test(t, labels_with_odd_bytes_are_no_names);
	tcase_add_test(t, options_are_walked);
	tcase_add_test(t, answers_carry_the_address);
	tcase_add_test(t, denials_say_why_to_who_asks_with_edns);
	tcase_add_test(t, the_largest_reply_fits);
	tcase_add_test(t, unreadable_questions_get_a_bare_header);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
