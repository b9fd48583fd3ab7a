/* command: words and options of occ, and what is not accepted. */
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "operatord/occ/command.h"
#include "operatord/occ/duration.h"

static struct args a;
static const struct command *command;

/* Words up to NULL; "occ" is put before them. */
static int parse(const char *first, ...)
{
	const char *argv[32] = {"occ"};
	int argc = 1;
	va_list ap;

	va_start(ap, first);
	for (const char *w = first; w; w = va_arg(ap, const char *))
		argv[argc++] = w;
	va_end(ap);
	command = NULL;
	return command_parse(argc, (char **)argv, &a, &command);
}

static void quiet(void)
{
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stdout));
	unsetenv("OCU_DEPLOYMENT");
}

/* shows: NFR-IC-02 */
START_TEST(every_command_is_found_and_has_help)
{
	for (const struct command *c = commands; c->group; c++) {
		const char *x = c->min_words > 0 ? "x" : NULL, *y = c->min_words > 1 ? "y" : NULL;
		int rc = c->verb ? parse(c->group, c->verb, x, y, NULL) : parse(c->group, x, y, NULL);
		ck_assert_msg(rc == -1 && command == c, "%s %s: %d", c->group, c->verb ? c->verb : "", rc);
		rc = c->verb ? parse(c->group, c->verb, "--help", NULL) : parse(c->group, "--help", NULL);
		ck_assert_int_eq(rc, OCC_OK);
		rc = c->verb ? parse(c->group, c->verb, "--json", x, y, NULL)
		             : parse(c->group, "--json", x, y, NULL);
		ck_assert_int_eq(rc, -1);
		ck_assert(a.json);
		rc = c->verb ? parse(c->group, c->verb, "a", "b", "c", NULL)
		             : parse(c->group, "a", "b", "c", NULL);
		ck_assert_int_eq(rc, OCC_USAGE);
	}
}
END_TEST

START_TEST(options_before_and_after)
{
	ck_assert_int_eq(
	    parse("--deployment", "/d", "session", "list", "--all", "--caller", "bob", "--json", NULL), -1);
	ck_assert_str_eq(a.deployment, "/d");
	ck_assert(a.all && a.json);
	ck_assert_str_eq(a.caller, "bob");
	ck_assert_int_eq(parse("session", "show", "ses_1", "--deployment=/e", NULL), -1);
	ck_assert_str_eq(a.deployment, "/e");
	ck_assert_str_eq(a.word[0], "ses_1");
	ck_assert_int_eq(parse("--json", "status", NULL), -1);
	ck_assert(a.json);
	ck_assert_str_eq(a.deployment, "/etc/ocu");
	setenv("OCU_DEPLOYMENT", "/f", 1);
	ck_assert_int_eq(parse("status", NULL), -1);
	ck_assert_str_eq(a.deployment, "/f");
	ck_assert_int_eq(parse("token", "mint", "--audience", "x", "--audience", "y", NULL), -1);
	ck_assert_uint_eq(a.audience.n, 2);
	ck_assert_int_eq(parse("--version", NULL), OCC_OK);
	ck_assert_int_eq(parse("--help", NULL), OCC_OK);
}
END_TEST

START_TEST(what_is_not_accepted)
{
	ck_assert_int_eq(parse(NULL), OCC_USAGE);
	ck_assert_int_eq(parse("nonsense", NULL), OCC_USAGE);
	ck_assert_int_eq(parse("session", NULL), OCC_USAGE);
	ck_assert_int_eq(parse("session", "--help", NULL), OCC_OK); /* lists the group */
	ck_assert_int_eq(parse("nonsense", "--help", NULL), OCC_USAGE);
	ck_assert_int_eq(parse("session", "frobnicate", NULL), OCC_USAGE);
	ck_assert_int_eq(parse("session", "show", NULL), OCC_USAGE);
	ck_assert_int_eq(parse("session", "show", "a", "b", NULL), OCC_USAGE);
	ck_assert_int_eq(parse("session", "list", "--reason", "x", NULL), OCC_USAGE);
	ck_assert_int_eq(parse("session", "list", "--caller", NULL), OCC_USAGE);
	ck_assert_int_eq(parse("session", "list", "--nonsense", NULL), OCC_USAGE);
	ck_assert_int_eq(parse("--caller", "x", "session", "list", NULL), OCC_USAGE);
	ck_assert_int_eq(parse("deny", "add", "caller", NULL), OCC_USAGE);
	/* A token, a key or a password is no option of any command (NFR-SEC-75). */
	ck_assert_int_eq(parse("status", "--token", "x", NULL), OCC_USAGE);
	ck_assert_int_eq(parse("status", "--key", "x", NULL), OCC_USAGE);
}
END_TEST

START_TEST(times)
{
	long s;

	ck_assert_int_eq(duration_parse("1s", &s), 0);
	ck_assert_int_eq(s, 1);
	ck_assert_int_eq(duration_parse("90d", &s), 0);
	ck_assert_int_eq(s, 90l * 86400);
	ck_assert_int_eq(duration_parse("12h", &s), 0);
	ck_assert_int_eq(s, 12l * 3600);
	static const char *const bad[] = {"",    "s",    "0s",   "-1s",  "1",
	                                  "1w",  "1s ",  "1ss",  "401d", "99999999999999999999d",
	                                  " 1s", "0x1s", "1.5h", "+1s"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(duration_parse(bad[i], &s) == -1, "%s", bad[i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("occ_command");
	TCase *c = tcase_create("command");

	tcase_add_checked_fixture(c, quiet, NULL);
	tcase_add_test(c, every_command_is_found_and_has_help);
	tcase_add_test(c, options_before_and_after);
	tcase_add_test(c, what_is_not_accepted);
	tcase_add_test(c, times);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
