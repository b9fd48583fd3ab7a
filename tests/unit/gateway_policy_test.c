/* shows: NFR-SEC-49 */
#include <check.h>
#include <stdlib.h>

#include "gateway/policy.h"

static struct policy *load(const char *text)
{
	struct policy *p = NULL;
	json_t *rules = json_loads(text, 0, NULL);
	ck_assert_ptr_nonnull(rules);
	ck_assert_int_eq(policy_new(&p, rules, NULL), 0);
	json_decref(rules);
	return p;
}

START_TEST(denies_without_a_rule)
{
	struct policy *p = load("[]");
	ck_assert_int_eq(policy_check(p, "alice", "view", "/workspace/a", NULL), OCU_E_POLICY);
	policy_free(p);
}
END_TEST

START_TEST(matches_caller_and_tool)
{
	struct policy *p = load(
	    "[{\"caller\":\"alice\",\"tools\":[\"view\"]},{\"caller\":\"*\",\"tools\":[\"bash_tool\"]}]");
	ck_assert_int_eq(policy_check(p, "alice", "view", "/x", NULL), 0);
	ck_assert_int_eq(policy_check(p, "bob", "view", "/x", NULL), OCU_E_POLICY);
	ck_assert_int_eq(policy_check(p, "bob", "bash_tool", NULL, NULL), 0);
	ck_assert_int_eq(policy_check(p, "alice2", "view", "/x", NULL), OCU_E_POLICY);
	policy_free(p);
}
END_TEST

static const struct {
	const char *path;
	int want;
} paths[] = {
    {"/workspace/a", 0},
    {"/workspace", 0},
    {"/workspacex", OCU_E_POLICY},
    {"/etc/passwd", OCU_E_POLICY},
    {"/workspace/../etc/passwd", OCU_E_POLICY},
    {"/workspace/..", OCU_E_POLICY},
    {"/workspace/a..b", 0},
    {"/", OCU_E_POLICY},
};

START_TEST(prefixes_bind_whole_components)
{
	struct policy *p =
	    load("[{\"caller\":\"*\",\"tools\":[\"view\"],\"path_prefixes\":[\"/workspace/\"]}]");
	ck_assert_int_eq(policy_check(p, "a", "view", paths[_i].path, NULL), paths[_i].want);
	policy_free(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("gateway_policy");
	TCase *t = tcase_create("policy");
	tcase_add_test(t, denies_without_a_rule);
	tcase_add_test(t, matches_caller_and_tool);
	tcase_add_loop_test(t, prefixes_bind_whole_components, 0, sizeof paths / sizeof *paths);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
