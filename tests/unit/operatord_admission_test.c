/* admission: the whole matrix of profiles and tiers, and the configuration that leads into it. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "libocu/daemon.h"
#include "libocu/err.h"
#include "operatord/admission.h"
#include "operatord/conf.h"

static struct ocu_error err;

/* shows: NFR-SEC-39 (in part) */
START_TEST(the_matrix)
{
	static const struct {
		enum profile profile;
		int want;
		const char *tier;
	} rows[] = {
	    {PROFILE_TRUSTED_OPERATOR, 0, "runc"},
	    {PROFILE_TRUSTED_OPERATOR, 0, "gvisor"},
	    {PROFILE_TRUSTED_OPERATOR, 0, "microvm"},
	    {PROFILE_TRUSTED_OPERATOR, OCU_E_TIER, ""},
	    {PROFILE_TRUSTED_OPERATOR, OCU_E_TIER, "RUNC"},
	    {PROFILE_INTERNAL_WORKFORCE, OCU_E_TIER, "runc"},
	    {PROFILE_INTERNAL_WORKFORCE, 0, "gvisor"},
	    {PROFILE_INTERNAL_WORKFORCE, 0, "microvm"},
	    {PROFILE_UNTRUSTED, OCU_E_TIER, "runc"},
	    {PROFILE_UNTRUSTED, OCU_E_TIER, "gvisor"},
	    {PROFILE_UNTRUSTED, 0, "microvm"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		ck_assert_int_eq(admission_check(rows[i].profile, rows[i].tier, &err), rows[i].want);
	ck_assert_int_eq(admission_profile_check(PROFILE_TRUSTED_OPERATOR, &err), 0);
	ck_assert_int_eq(admission_profile_check(PROFILE_INTERNAL_WORKFORCE, &err), OCU_E_CONFIG);
	ck_assert_int_eq(admission_profile_check(PROFILE_UNTRUSTED, &err), OCU_E_CONFIG);
	ck_assert_int_eq(admission_profile("nonsense"), PROFILE_UNTRUSTED);
}
END_TEST

START_TEST(downgrades)
{
	ck_assert(admission_profile_downgrade("untrusted", "trusted_operator"));
	ck_assert(admission_profile_downgrade("internal_workforce", "trusted_operator"));
	ck_assert(!admission_profile_downgrade("trusted_operator", "internal_workforce"));
	ck_assert(!admission_profile_downgrade("trusted_operator", "trusted_operator"));
	ck_assert(!admission_profile_downgrade("", "trusted_operator"));
	ck_assert(admission_tier_downgrade("microvm", "runc"));
	ck_assert(admission_tier_downgrade("gvisor", ""));
	ck_assert(!admission_tier_downgrade("runc", "gvisor"));
	ck_assert(!admission_tier_downgrade("", "runc"));
}
END_TEST

static int load(const char *yaml, struct settings *s)
{
	static struct ocu_conf *conf;
	char path[] = "/tmp/ocu-conf-XXXXXX";
	int fd = mkstemp(path), rc;
	FILE *f = fdopen(fd, "w");

	fputs(yaml, f);
	fclose(f);
	ocu_conf_free(conf);
	conf = NULL;
	rc = ocu_conf_load(&conf, "operatord", operatord_spec.options, path, &err);
	unlink(path);
	if (rc == 0)
		rc = operatord_spec.check(conf, &err);
	if (rc == 0 && s)
		settings_read(s, conf);
	return rc;
}

START_TEST(configuration)
{
	struct settings s;

	ck_assert_msg(load("", &s) == 0, "%s", err.text);
	ck_assert_int_eq(s.profile, PROFILE_TRUSTED_OPERATOR);
	ck_assert_int_eq(s.session_idle_ms, 15l * 60 * 1000);
	ck_assert_int_eq(s.session_max_ms, 0);
	ck_assert_int_eq(s.grant_ttl_ms, 60000);
	/* Asking for a route marks activity, so a grant must not outlive the idle limit. */
	ck_assert_int_eq(load("session_idle: 2s\ngrant_ttl: 60s\n", &s), 0);
	ck_assert_int_eq(s.grant_ttl_ms, 1000);
	ck_assert_int_eq(load("profile: untrusted\n", NULL), OCU_E_CONFIG);
	ck_assert_int_eq(load("profile: internal_workforce\n", NULL), OCU_E_CONFIG);
	ck_assert_int_eq(load("session_idle: 16m\n", NULL), OCU_E_CONFIG);
	ck_assert_int_eq(load("grant_ttl: 6m\n", NULL), OCU_E_CONFIG);
	ck_assert_int_eq(load("session_token_ttl: 61m\n", NULL), OCU_E_CONFIG);
	ck_assert_int_eq(load("brokerd_url: tcp://127.0.0.1:9401\n", NULL), OCU_E_CONFIG);
	ck_assert_int_eq(load("egress_allow: [{host: example.org}]\n", NULL), OCU_E_CONFIG);
	ck_assert_int_eq(
	    load("egress_rung: passthrough\negress_allow: [{host: '*.example.org', ports: [443]}]\n", &s), 0);
	ck_assert_uint_eq(json_array_size(s.egress_allow), 1);
	ck_assert_int_eq(load("egress_rung: passthrough\negress_allow: [{host: 'a b'}]\n", NULL),
	                 OCU_E_CONFIG);
	ck_assert_int_eq(load("egress_rung: bump\n", NULL), OCU_E_CONFIG);
	ck_assert_int_eq(load("nonsense: 1\n", NULL), OCU_E_CONFIG);
}
END_TEST

#define NODE(name, port)                                                                                     \
	"{name: " name ", sandboxd_control_url: tls+tcp://" port ":9302, sandboxd_exec_url: tls+tcp://" port \
	":9301, brokerd_url: tls+tcp://" port ":9401, egressd_url: tls+tcp://" port ":9501"

START_TEST(configuration_of_nodes)
{
	struct settings s;

	ck_assert_msg(load("brokerd_url: tls+tcp://b:1\n", &s) == 0, "%s", err.text);
	ck_assert_uint_eq(s.nodes, 1);
	ck_assert_str_eq(s.node[0].name, "");
	ck_assert_str_eq(s.node[0].brokerd_url, "tls+tcp://b:1");
	ck_assert_msg(load("nodes: [" NODE("''", "a") "}, " NODE(
	                       "b-2", "'[fd00::1]'") ", cordoned: true, files_url: https://f:8443}]\n",
	                   &s) != 0,
	              "a quote in an address");
	ck_assert_msg(load("nodes: [" NODE("''", "a") "}, " NODE("b-2", "b") ", cordoned: true, files_url: "
	                                                                     "'https://f:8443'}]\n",
	                   &s) == 0,
	              "%s", err.text);
	ck_assert_uint_eq(s.nodes, 2);
	ck_assert(!s.node[0].cordoned);
	ck_assert(s.node[1].cordoned);
	ck_assert_str_eq(s.node[1].name, "b-2");
	ck_assert_str_eq(s.node[1].egressd_url, "tls+tcp://b:9501");
	ck_assert_str_eq(s.node[1].files_url, "https://f:8443");
	ck_assert_int_eq(load("nodes: [" NODE("a", "a") "}, " NODE("a", "b") "}]\n", NULL), OCU_E_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.text, "same name"));
	ck_assert_int_eq(load("nodes: [" NODE("a", "a") "}, " NODE("b", "a") "}]\n", NULL), OCU_E_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.text, "same sandboxd_control_url"));
	ck_assert_int_eq(load("nodes: [" NODE("A", "a") "}]\n", NULL), OCU_E_CONFIG);
	ck_assert_int_eq(load("nodes: [" NODE("a/b", "a") "}]\n", NULL), OCU_E_CONFIG);
	ck_assert_int_eq(load("nodes: [" NODE("a", "a") ", zone: x}]\n", NULL), OCU_E_CONFIG);
	ck_assert_int_eq(load("nodes: [{name: a}]\n", NULL), OCU_E_CONFIG);
	ck_assert_int_eq(load("nodes: [" NODE("a", "a") ", files_url: 'https://f\"x'}]\n", NULL),
	                 OCU_E_CONFIG);
	ck_assert_int_eq(load("nodes: [" NODE("a", "a") ", files_url: 'http://f'}]\n", NULL), OCU_E_CONFIG);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("operatord_admission");
	TCase *c = tcase_create("admission");

	tcase_add_test(c, the_matrix);
	tcase_add_test(c, downgrades);
	tcase_add_test(c, configuration);
	tcase_add_test(c, configuration_of_nodes);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
