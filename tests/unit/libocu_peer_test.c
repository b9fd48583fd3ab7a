/* peer: a SPIFFE id names a component or nobody. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/err.h"
#include "libocu/peer.h"

/* shows: NFR-SEC-26 */
START_TEST(an_id_names_its_component)
{
	for (unsigned c = OCU_COMP_NONE + 1; c < OCU_COMP_COUNT; c++) {
		struct ocu_peer p;
		char id[OCU_SPIFFE_MAX];

		ck_assert_int_eq(ocu_peer_spiffe("ocu.local", (enum ocu_component)c, NULL, id, NULL), 0);
		ck_assert_int_eq(ocu_peer_parse(&p, "ocu.local", id, NULL), 0);
		ck_assert_uint_eq(p.component, c);
		ck_assert_str_eq(p.instance, "");
		ck_assert_str_eq(p.spiffe, id);
		ck_assert_uint_eq(ocu_component_parse(ocu_component_name(p.component)), c);
		ck_assert_int_eq(ocu_peer_spiffe("ocu.local", (enum ocu_component)c, "node-7.a_b", id, NULL),
		                 0);
		ck_assert_int_eq(ocu_peer_parse(&p, "ocu.local", id, NULL), 0);
		ck_assert_str_eq(p.instance, "node-7.a_b");
	}
}
END_TEST

static const char *const nobody[] = {
    "",
    "spiffe://ocu.local",
    "spiffe://ocu.local/",
    "spiffe://ocu.local/ocu/",
    "spiffe://ocu.local/ocu/gateway/",
    "spiffe://ocu.local/ocu/gateway/a/b",
    "spiffe://ocu.local/ocu/gateway/.",
    "spiffe://ocu.local/ocu/gateway/..",
    "spiffe://ocu.local/ocu/gateway/a b",
    "spiffe://ocu.local/ocu/gateway/a%2fb",
    "spiffe://ocu.local/ocu/gateway?x",
    "spiffe://ocu.local/ocu/gateways",
    "spiffe://ocu.local/ocu/gatewa",
    "spiffe://ocu.local/ocu/Gateway",
    "spiffe://ocu.local/ocu/none",
    "spiffe://ocu.local//ocu/gateway",
    "spiffe://ocu.localx/ocu/gateway",
    "spiffe://other/ocu/gateway",
    "SPIFFE://ocu.local/ocu/gateway",
    "https://ocu.local/ocu/gateway",
    " spiffe://ocu.local/ocu/gateway",
    "spiffe://ocu.local/ocu/gateway\n",
    "spiffe://ocu.local/ocu/gateway/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
};

/* shows: NFR-SEC-26 */
START_TEST(anything_else_names_nobody)
{
	struct ocu_peer p = {.component = OCU_COMP_AUDITD};
	struct ocu_error err = {0};

	ck_assert_int_eq(ocu_peer_parse(&p, "ocu.local", nobody[_i], &err), OCU_E_PEER_UNKNOWN);
	ck_assert_int_eq(err.code, OCU_E_PEER_UNKNOWN);
	ck_assert_uint_eq(p.component, OCU_COMP_AUDITD); /* untouched */
}
END_TEST

START_TEST(no_id_is_made_of_bad_parts)
{
	char id[OCU_SPIFFE_MAX] = "same";
	char longest[OCU_SPIFFE_MAX];

	memset(longest, 'a', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	ck_assert_int_eq(ocu_peer_spiffe("ocu.local", OCU_COMP_NONE, NULL, id, NULL), OCU_E_INVALID);
	ck_assert_int_eq(ocu_peer_spiffe("ocu.local", OCU_COMP_COUNT, NULL, id, NULL), OCU_E_INVALID);
	ck_assert_int_eq(ocu_peer_spiffe("", OCU_COMP_AUDITD, NULL, id, NULL), OCU_E_INVALID);
	ck_assert_int_eq(ocu_peer_spiffe("a/b", OCU_COMP_AUDITD, NULL, id, NULL), OCU_E_INVALID);
	ck_assert_int_eq(ocu_peer_spiffe("ocu.local", OCU_COMP_AUDITD, "a/b", id, NULL), OCU_E_INVALID);
	ck_assert_int_eq(ocu_peer_spiffe("ocu.local", OCU_COMP_AUDITD, longest, id, NULL), OCU_E_INVALID);
	ck_assert_str_eq(id, "same");
}
END_TEST

START_TEST(names_of_no_component)
{
	ck_assert_str_eq(ocu_component_name(OCU_COMP_NONE), "none");
	ck_assert_str_eq(ocu_component_name((enum ocu_component)99), "none");
	ck_assert_uint_eq(ocu_component_parse("none"), OCU_COMP_NONE);
	ck_assert_uint_eq(ocu_component_parse(""), OCU_COMP_NONE);
	ck_assert_uint_eq(ocu_component_parse(NULL), OCU_COMP_NONE);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("peer");
	TCase *t = tcase_create("ids");
	SRunner *r;
	int failed;

	tcase_add_test(t, an_id_names_its_component);
	tcase_add_loop_test(t, anything_else_names_nobody, 0, sizeof nobody / sizeof *nobody);
	tcase_add_test(t, no_id_is_made_of_bad_parts);
	tcase_add_test(t, names_of_no_component);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
