/* shows: NFR-SEC-08, NFR-SEC-17, NFR-FLEX-15 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/policy.h"
#include "libocu/err.h"

static const uint32_t ssh[] = {22}, many[] = {8080, 8443};

static const struct policy_rule rules[] = {
    {"example.org", NULL, 0},  {"*.Example.net", NULL, 0},  {"git.example.net", ssh, 1},
    {"multi.example", ssh, 1}, {"multi.example.", many, 2}, {"*.deep.multi.example", many, 2},
    {"*.xn--p1ai", NULL, 0},
};

static struct policy *make(const char *rung)
{
	struct policy *p = NULL;
	ck_assert_int_eq(policy_new(&p, rung, rules, sizeof rules / sizeof *rules, NULL), 0);
	return p;
}

static const struct {
	const char *host;
	unsigned port;
	int name, want;
} cases[] = {
    {"example.org", 443, 0, 0},
    {"example.org", 80, 0, 0},
    {"example.org", 22, 0, OCU_E_EGRESS_PORT},
    {"example.org", 0, 0, OCU_E_EGRESS_PORT},
    {"www.example.org", 443, OCU_E_EGRESS_DEST, OCU_E_EGRESS_DEST},
    {"xexample.org", 443, OCU_E_EGRESS_DEST, OCU_E_EGRESS_DEST},
    {"example.org.evil", 443, OCU_E_EGRESS_DEST, OCU_E_EGRESS_DEST},
    {"org", 443, OCU_E_EGRESS_DEST, OCU_E_EGRESS_DEST},
    {"example.net", 443, OCU_E_EGRESS_DEST, OCU_E_EGRESS_DEST},
    {"a.example.net", 443, 0, 0},
    {"a.b.c.example.net", 443, 0, 0},
    {"aexample.net", 443, OCU_E_EGRESS_DEST, OCU_E_EGRESS_DEST},
    {"git.example.net", 22, 0, 0},
    {"git.example.net", 443, 0, 0}, /* the wildcard allows it */
    {"git.example.net", 25, 0, OCU_E_EGRESS_PORT},
    {"multi.example", 22, 0, 0},
    {"multi.example", 8443, 0, 0},
    {"multi.example", 443, 0, OCU_E_EGRESS_PORT},
    {"deep.multi.example", 8080, OCU_E_EGRESS_DEST, OCU_E_EGRESS_DEST},
    {"x.deep.multi.example", 8080, 0, 0},
    {"xn--e1afmkfd.xn--p1ai", 443, 0, 0},
};

START_TEST(decides)
{
	struct policy *p = make("passthrough");
	ck_assert_int_eq(policy_check_name(p, cases[_i].host), cases[_i].name);
	ck_assert_int_eq(policy_check(p, cases[_i].host, (uint16_t)cases[_i].port), cases[_i].want);
	policy_unref(p);
}
END_TEST

START_TEST(deny_all_denies_what_its_rules_name)
{
	struct policy *p = make("deny-all");
	ck_assert_int_eq(policy_check(p, "example.org", 443), OCU_E_EGRESS_DENY_ALL);
	ck_assert_int_eq(policy_check_name(p, "example.org"), OCU_E_EGRESS_DENY_ALL);
	policy_unref(p);
}
END_TEST

START_TEST(an_empty_list_denies)
{
	struct policy *p = NULL;
	ck_assert_int_eq(policy_new(&p, "passthrough", NULL, 0, NULL), 0);
	ck_assert_int_eq(policy_check(p, "example.org", 443), OCU_E_EGRESS_DEST);
	policy_unref(p);
}
END_TEST

static const char *const rungs[] = {"", "bump", "sds", "Passthrough", "deny-all ", "allow-all"};

START_TEST(other_rungs_are_refused)
{
	struct policy *p = NULL;
	struct ocu_error err = {0};
	ck_assert_int_eq(policy_new(&p, rungs[_i], rules, 1, &err), OCU_E_UNSUPPORTED);
	ck_assert_ptr_null(p);
	ck_assert_ptr_nonnull(strstr(err.text, "deny-all, passthrough"));
}
END_TEST

static const char *const hosts[] = {"",
                                    "*",
                                    "*.",
                                    "**.example.org",
                                    "a.*.org",
                                    "*example.org",
                                    "127.0.0.1",
                                    "[::1]",
                                    "10.1",
                                    "b\xc3\xbc.example",
                                    "exa mple.org",
                                    "*.*.org",
                                    "http://example.org",
                                    "example.org:443",
                                    "*.1"};

START_TEST(rules_that_are_no_names_are_refused)
{
	struct policy_rule rule = {hosts[_i], NULL, 0};
	struct policy *p = NULL;
	ck_assert_int_eq(policy_new(&p, "passthrough", &rule, 1, NULL), OCU_E_INVALID);
}
END_TEST

START_TEST(sizes_are_bounded)
{
	static struct policy_rule list[POLICY_RULES_MAX + 1];
	static char text[POLICY_RULES_MAX + 1][32];
	uint32_t ports[POLICY_PORTS_MAX + 1], zero = 0, large = 65536;
	struct policy *p = NULL;

	for (unsigned i = 0; i <= POLICY_RULES_MAX; i++) {
		snprintf(text[i], sizeof text[i], "h%u.example", i);
		list[i].host = text[i];
	}
	ck_assert_int_eq(policy_new(&p, "passthrough", list, POLICY_RULES_MAX + 1, NULL), OCU_E_TOO_LARGE);
	ck_assert_int_eq(policy_new(&p, "passthrough", list, POLICY_RULES_MAX, NULL), 0);
	ck_assert_uint_eq(policy_rules(p), POLICY_RULES_MAX);
	for (unsigned i = 0; i < POLICY_RULES_MAX; i++)
		ck_assert_int_eq(policy_check(p, text[i], 443), 0);
	policy_unref(p);
	for (unsigned i = 0; i <= POLICY_PORTS_MAX; i++)
		ports[i] = 1000 + i;
	struct policy_rule rule = {"a.example", ports, POLICY_PORTS_MAX + 1};
	ck_assert_int_eq(policy_new(&p, "passthrough", &rule, 1, NULL), OCU_E_TOO_LARGE);
	rule = (struct policy_rule){"a.example", &zero, 1};
	ck_assert_int_eq(policy_new(&p, "passthrough", &rule, 1, NULL), OCU_E_INVALID);
	rule = (struct policy_rule){"a.example", &large, 1};
	ck_assert_int_eq(policy_new(&p, "passthrough", &rule, 1, NULL), OCU_E_INVALID);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("egressd_policy");
	TCase *t = tcase_create("policy");
	tcase_add_loop_test(t, decides, 0, sizeof cases / sizeof *cases);
	tcase_add_test(t, deny_all_denies_what_its_rules_name);
	tcase_add_test(t, an_empty_list_denies);
	tcase_add_loop_test(t, other_rungs_are_refused, 0, sizeof rungs / sizeof *rungs);
	tcase_add_loop_test(t, rules_that_are_no_names_are_refused, 0, sizeof hosts / sizeof *hosts);
	tcase_add_test(t, sizes_are_bounded);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
