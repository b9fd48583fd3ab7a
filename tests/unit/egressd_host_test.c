/* shows: NFR-SEC-08, NFR-SEC-17 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/host.h"
#include "libocu/err.h"

#define LABEL63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"

static const struct {
	const char *in, *out;
	int want;
} names[] = {
    {"example.org", "example.org", 0},
    {"EXAMPLE.Org", "example.org", 0},
    {"example.org.", "example.org", 0},
    {"a", "a", 0},
    {"_dmarc.example.org", "_dmarc.example.org", 0},
    {"xn--bcher-kva.example", "xn--bcher-kva.example", 0},
    {"1.example", "1.example", 0},
    {"127.0.0.1.example", "127.0.0.1.example", 0},
    {"1a", "1a", 0},
    {"0xg", "0xg", 0},
    {LABEL63 ".org", LABEL63 ".org", 0},
    /* addresses in every spelling */
    {"127.0.0.1", NULL, OCU_E_EGRESS_RAW_ADDRESS},
    {"127.0.0.1.", NULL, OCU_E_EGRESS_RAW_ADDRESS},
    {"2130706433", NULL, OCU_E_EGRESS_RAW_ADDRESS},
    {"0x7f000001", NULL, OCU_E_EGRESS_RAW_ADDRESS},
    {"0X7F.1", NULL, OCU_E_EGRESS_RAW_ADDRESS},
    {"017700000001", NULL, OCU_E_EGRESS_RAW_ADDRESS},
    {"0177.0.0.01", NULL, OCU_E_EGRESS_RAW_ADDRESS},
    {"127.1", NULL, OCU_E_EGRESS_RAW_ADDRESS},
    {"127.0x1", NULL, OCU_E_EGRESS_RAW_ADDRESS},
    {"0x", NULL, OCU_E_EGRESS_RAW_ADDRESS},
    {"example.1", NULL, OCU_E_EGRESS_RAW_ADDRESS},
    {"[::1]", NULL, OCU_E_EGRESS_RAW_ADDRESS},
    {"::1", NULL, OCU_E_EGRESS_RAW_ADDRESS},
    {"::ffff:127.0.0.1", NULL, OCU_E_EGRESS_RAW_ADDRESS},
    {"fe80::1%eth0", NULL, OCU_E_EGRESS_RAW_ADDRESS},
    /* no names */
    {"", NULL, OCU_E_EGRESS_PROTOCOL},
    {".", NULL, OCU_E_EGRESS_PROTOCOL},
    {"..", NULL, OCU_E_EGRESS_PROTOCOL},
    {".example.org", NULL, OCU_E_EGRESS_PROTOCOL},
    {"example..org", NULL, OCU_E_EGRESS_PROTOCOL},
    {"example.org..", NULL, OCU_E_EGRESS_PROTOCOL},
    {"-example.org", NULL, OCU_E_EGRESS_PROTOCOL},
    {"example-.org", NULL, OCU_E_EGRESS_PROTOCOL},
    {"exa mple.org", NULL, OCU_E_EGRESS_PROTOCOL},
    {"example.org\t", NULL, OCU_E_EGRESS_PROTOCOL},
    {"ex%61mple.org", NULL, OCU_E_EGRESS_PROTOCOL},
    {"b\xc3\xbc"
     "cher.example",
     NULL, OCU_E_EGRESS_PROTOCOL},
    {"example\xef\xbc\x8eorg", NULL, OCU_E_EGRESS_PROTOCOL},
    {"a@b", NULL, OCU_E_EGRESS_PROTOCOL},
    {"a/b", NULL, OCU_E_EGRESS_PROTOCOL},
    {"*.example.org", NULL, OCU_E_EGRESS_PROTOCOL},
    {LABEL63 "h.org", NULL, OCU_E_EGRESS_PROTOCOL},
};

START_TEST(reads_names)
{
	char out[HOST_MAX + 1] = "untouched";
	ck_assert_int_eq(host_parse(names[_i].in, strlen(names[_i].in), out, NULL), names[_i].want);
	ck_assert_str_eq(out, names[_i].out ? names[_i].out : "untouched");
}
END_TEST

START_TEST(bounds_the_length)
{
	char in[300], out[HOST_MAX + 1];
	for (size_t i = 0; i < sizeof in; i++)
		in[i] = i % 2 ? '.' : 'a';
	ck_assert_int_eq(host_parse(in, 253, out, NULL), 0);
	ck_assert_uint_eq(strlen(out), 253);
	ck_assert_int_eq(host_parse(in, 254, out, NULL), 0); /* the 254th is the trailing dot */
	ck_assert_int_eq(host_parse(in, 255, out, NULL), OCU_E_EGRESS_PROTOCOL);
	ck_assert_int_eq(host_parse("a\0b", 3, out, NULL), OCU_E_EGRESS_PROTOCOL);
}
END_TEST

static const struct {
	const char *in, *out;
	int port, want;
} authorities[] = {
    {"example.org", "example.org", 0, 0},
    {"Example.org:8080", "example.org", 8080, 0},
    {"example.org.:443", "example.org", 443, 0},
    {"example.org:65535", "example.org", 65535, 0},
    {"example.org:00080", "example.org", 80, 0},
    {"example.org:", NULL, 0, OCU_E_EGRESS_PROTOCOL},
    {"example.org:0", NULL, 0, OCU_E_EGRESS_PROTOCOL},
    {"example.org:65536", NULL, 0, OCU_E_EGRESS_PROTOCOL},
    {"example.org:000080", NULL, 0, OCU_E_EGRESS_PROTOCOL},
    {"example.org:+80", NULL, 0, OCU_E_EGRESS_PROTOCOL},
    {"example.org:80 ", NULL, 0, OCU_E_EGRESS_PROTOCOL},
    {"example.org:80:80", NULL, 0, OCU_E_EGRESS_RAW_ADDRESS},
    {"allowed.example@evil.example", NULL, 0, OCU_E_EGRESS_PROTOCOL},
    {"allowed.example:80@evil.example", NULL, 0, OCU_E_EGRESS_PROTOCOL},
    {"evil.example#@allowed.example", NULL, 0, OCU_E_EGRESS_PROTOCOL},
    {"[::1]:80", NULL, 0, OCU_E_EGRESS_RAW_ADDRESS},
    {"[allowed.example]:80", NULL, 0, OCU_E_EGRESS_RAW_ADDRESS},
    {"2130706433:80", NULL, 0, OCU_E_EGRESS_RAW_ADDRESS},
    {":80", NULL, 0, OCU_E_EGRESS_PROTOCOL},
    {"", NULL, 0, OCU_E_EGRESS_PROTOCOL},
};

START_TEST(reads_authorities)
{
	char out[HOST_MAX + 1] = "untouched";
	uint16_t port = 7;
	int rc = host_parse_authority(authorities[_i].in, strlen(authorities[_i].in), out, &port, NULL);
	ck_assert_int_eq(rc, authorities[_i].want);
	ck_assert_str_eq(out, rc ? "untouched" : authorities[_i].out);
	ck_assert_int_eq(port, rc ? 7 : authorities[_i].port);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("egressd_host");
	TCase *t = tcase_create("host");
	tcase_add_loop_test(t, reads_names, 0, sizeof names / sizeof *names);
	tcase_add_test(t, bounds_the_length);
	tcase_add_loop_test(t, reads_authorities, 0, sizeof authorities / sizeof *authorities);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
