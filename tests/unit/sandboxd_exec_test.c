/* Parameters of a command in bounds, and the command as evidence.
 * shows: NFR-SEC-47, NFR-SEC-51 */
#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/err.h"
#include "sandboxd/exec.h"

static char *repeat(char c, size_t n)
{
	char *s = malloc(n + 1);

	memset(s, c, n);
	s[n] = 0;
	return s;
}

START_TEST(commands_are_bounded)
{
	char *big = repeat('x', EXEC_COMMAND_MAX), *path = repeat('/', EXEC_PATH_MAX),
	     *words[EXEC_ARGV_MAX + 1];

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		words[i] = (char *)"w";
	ck_assert_int_eq(exec_check_argv(words, 1, "", NULL), 0);
	ck_assert_int_eq(exec_check_argv(words, EXEC_ARGV_MAX, "/tmp", NULL), 0);
	ck_assert_int_eq(exec_check_argv(words, EXEC_ARGV_MAX + 1, "", NULL), OCU_E_PARAMS);
	ck_assert_int_eq(exec_check_argv(words, 0, "", NULL), OCU_E_PARAMS);
	ck_assert_int_eq(exec_check_argv(words, 1, "tmp", NULL), OCU_E_PARAMS);
	ck_assert_int_eq(exec_check_argv(words, 1, path, NULL), OCU_E_PARAMS);
	words[1] = big;
	ck_assert_int_eq(exec_check_argv(words, 2, "", NULL), OCU_E_TOO_LARGE);
	big[EXEC_COMMAND_MAX - 3] = 0;
	ck_assert_int_eq(exec_check_argv(words, 2, "", NULL), 0);
	words[0] = (char *)"";
	ck_assert_int_eq(exec_check_argv(words, 1, "", NULL), OCU_E_PARAMS);
	free(big);
	free(path);
}
END_TEST

START_TEST(the_record_holds_the_command_or_its_beginning_and_its_hash)
{
	char *argv[] = {(char *)"/bin/bash", (char *)"-c", (char *)"echo hi"};
	json_t *d = json_object();

	exec_record_argv(d, argv, 3);
	ck_assert_str_eq(json_string_value(json_object_get(d, "command")), "/bin/bash -c echo hi");
	ck_assert_int_eq(json_integer_value(json_object_get(d, "command_bytes")), 21);
	/* printf '/bin/bash\0-c\0echo hi\0' | sha256sum */
	ck_assert_str_eq(json_string_value(json_object_get(d, "command_sha256")),
	                 "d7774913ed44bd8f6b6962fca70996b51d4eaf8ecd092a90697f6c97d4456617");
	ck_assert_ptr_null(json_object_get(d, "command_cut"));
	json_decref(d);
}
END_TEST

START_TEST(the_record_always_fits_an_event)
{
	char *argv[EXEC_ARGV_MAX];
	json_t *d;
	char *dump;

	for (size_t i = 0; i < EXEC_ARGV_MAX; i++)
		argv[i] = repeat(i % 2 ? '\x01' : '"', 4000);
	d = json_object();
	exec_record_argv(d, argv, EXEC_ARGV_MAX);
	dump = json_dumps(d, 0);
	ck_assert_uint_le(strlen(dump), 9000);
	ck_assert(json_is_true(json_object_get(d, "command_cut")));
	ck_assert_int_eq(json_integer_value(json_object_get(d, "command_bytes")),
	                 (intmax_t)4001 * EXEC_ARGV_MAX);
	free(dump);
	json_decref(d);
	for (size_t i = 0; i < EXEC_ARGV_MAX; i++)
		free(argv[i]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sandboxd_exec");
	TCase *t = tcase_create("exec");
	SRunner *r;
	int failed;

	tcase_add_test(t, commands_are_bounded);
	tcase_add_test(t, the_record_holds_the_command_or_its_beginning_and_its_hash);
	tcase_add_test(t, the_record_always_fits_an_event);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
