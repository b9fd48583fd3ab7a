/* Every range of the deny-set at both of its ends and one step outside of each. */
/* shows: NFR-SEC-12 */
#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "egressd/addr.h"

static union addr parse(const char *text)
{
	union addr a = {0};
	if (strchr(text, ':')) {
		a.in6.sin6_family = AF_INET6;
		ck_assert_int_eq(inet_pton(AF_INET6, text, &a.in6.sin6_addr), 1);
	} else {
		a.in.sin_family = AF_INET;
		ck_assert_int_eq(inet_pton(AF_INET, text, &a.in.sin_addr), 1);
	}
	return a;
}

static const struct {
	const char *before, *first, *last, *after; /* NULL: the neighbour is forbidden, too */
} ranges[] = {
    {NULL, "0.0.0.0", "0.255.255.255", "1.0.0.0"},
    {"9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"},
    {"100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"},
    {"126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"},
    {"168.63.129.15", "168.63.129.16", "168.63.129.16", "168.63.129.17"},
    {"169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"},
    {"172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"},
    {"191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"},
    {"192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"},
    {"192.31.195.255", "192.31.196.0", "192.31.196.255", "192.31.197.0"},
    {"192.52.192.255", "192.52.193.0", "192.52.193.255", "192.52.194.0"},
    {"192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"},
    {"192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"},
    {"192.175.47.255", "192.175.48.0", "192.175.48.255", "192.175.49.0"},
    {"198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"},
    {"198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"},
    {"203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"},
    {"223.255.255.255", "224.0.0.0", "239.255.255.255", NULL},
    {NULL, "240.0.0.0", "255.255.255.255", NULL},
    {NULL, "::", "::", NULL},
    {NULL, "::1", "::1", NULL},
    {NULL, "::2", "::ffff:ffff", NULL},
    {NULL, "::ffff:0.0.0.0", "::ffff:255.255.255.255", NULL},
    {NULL, "64:ff9b::", "64:ff9b::255.255.255.255", NULL},
    {NULL, "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", NULL},
    {NULL, "100::", "100::ffff:ffff:ffff:ffff", NULL},
    {NULL, "::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::"},
    {"2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {NULL, "2001:1::1", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"},
    {"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
     "2001:db9::"},
    {"2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
     "2003::"},
    {"2620:4f:7fff:ffff:ffff:ffff:ffff:ffff", "2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff",
     "2620:4f:8001::"},
    {"3ffd:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3ffe::", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {NULL, "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"},
    {"3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {NULL, "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {NULL, "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {NULL, "fd00:ec2::254", "fd00:ec2::254", NULL},
    {NULL, "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {NULL, "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
    {NULL, "ff00::", "ff02::1", NULL},
    {"2a00:1450::5efd:7f00:1", "2a00:1450::5efe:127.0.0.1", "2a00:1450::5efe:10.0.0.1",
     "2a00:1450::5eff:7f00:1"},
    {"2a00:1450:0:0:300:5efe:7f00:1", "2a00:1450:0:0:200:5efe:7f00:1", "2a00:1450:0:0:200:5efe:a00:1", NULL},
};

static void expect(const char *text, bool forbidden)
{
	if (!text)
		return;
	union addr a = parse(text);
	const char *why = addr_forbidden(&a);
	ck_assert_msg(!!why == forbidden, "%s: %s", text, why ? why : "permitted");
}

START_TEST(ranges_are_exact)
{
	expect(ranges[_i].before, false);
	expect(ranges[_i].first, true);
	expect(ranges[_i].last, true);
	expect(ranges[_i].after, false);
}
END_TEST

static const char *const public[] = {"1.1.1.1",
                                     "8.8.8.8",
                                     "93.184.215.14",
                                     "20.30.40.2",
                                     "223.5.5.5",
                                     "192.0.1.1",
                                     "2606:4700:4700::1111",
                                     "2a00:1450:4001:80e::200e",
                                     "2400:cb00::1",
                                     "2001:4860:4860::8888"};

START_TEST(public_addresses_pass)
{
	expect(public[_i], false);
}
END_TEST

/* One address of every /16: a rule too wide or too narrow changes the count. */
START_TEST(ipv4_space_adds_up)
{
	uint32_t allowed = 0;
	union addr a = {.in.sin_family = AF_INET};
	for (uint32_t net = 0; net < 0x10000; net++) {
		a.in.sin_addr.s_addr = htonl(net << 16 | 0xf0f0);
		allowed += addr_forbidden(&a) == NULL;
	}
	/* 65536 less 0/8, 10/8, 127/8 (768), 100.64/10 (64), 169.254/16 (1), 172.16/12 (16), 192.168/16 (1),
	 * 198.18/15 (2), 224/3 (8192) */
	ck_assert_uint_eq(allowed, 65536 - 768 - 64 - 1 - 16 - 1 - 2 - 8192);
}
END_TEST

START_TEST(other_families_are_forbidden)
{
	union addr a = {.sa.sa_family = AF_UNIX};
	ck_assert_ptr_nonnull(addr_forbidden(&a));
	a.sa.sa_family = AF_UNSPEC;
	ck_assert_ptr_nonnull(addr_forbidden(&a));
}
END_TEST

START_TEST(own_addresses_are_recognised)
{
	union addr a = parse("127.0.0.1");
	ck_assert(addr_is_local(&a));
	a = parse("198.51.100.77");
	ck_assert(!addr_is_local(&a));
}
END_TEST

START_TEST(an_address_that_cannot_be_asked_about_is_taken_to_be_our_own)
{
	union addr a = parse("198.51.100.77");
	struct rlimit old, none;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = old.rlim_max};
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	bool local = addr_is_local(&a);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	ck_assert(local);
}
END_TEST

START_TEST(formats)
{
	char out[ADDR_TEXT_MAX];
	union addr a = parse("1.2.3.4");
	addr_format(&a, out);
	ck_assert_str_eq(out, "1.2.3.4");
	addr_set_port(&a, 443);
	addr_format(&a, out);
	ck_assert_str_eq(out, "1.2.3.4:443");
	a = parse("2a00::1");
	addr_set_port(&a, 80);
	addr_format(&a, out);
	ck_assert_str_eq(out, "[2a00::1]:80");
	ck_assert_uint_eq(addr_port(&a), 80);
}
END_TEST

START_TEST(compares)
{
	union addr a = parse("1.2.3.4"), b = parse("1.2.3.4"), c = parse("1.2.3.5"), d = parse("2a00::1");
	addr_set_port(&b, 1);
	ck_assert(addr_equal(&a, &b, false));
	ck_assert(!addr_equal(&a, &b, true));
	ck_assert(!addr_equal(&a, &c, false));
	ck_assert(!addr_equal(&a, &d, false));
	ck_assert(addr_equal(&d, &d, true));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("egressd_addr");
	TCase *t = tcase_create("addr");
	tcase_add_loop_test(t, ranges_are_exact, 0, sizeof ranges / sizeof *ranges);
	tcase_add_loop_test(t, public_addresses_pass, 0, sizeof public / sizeof *public);
	tcase_add_test(t, ipv4_space_adds_up);
	tcase_add_test(t, other_families_are_forbidden);
	tcase_add_test(t, own_addresses_are_recognised);
	tcase_add_test(t, an_address_that_cannot_be_asked_about_is_taken_to_be_our_own);
	tcase_add_test(t, formats);
	tcase_add_test(t, compares);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
