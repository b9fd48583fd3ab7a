/* err: the table is closed and consistent, and the error object carries context without losing its code. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/err.h"

static const struct row {
	int num;
	const char *name;
	int http;
	int jsonrpc;
	const char *reason;
	const char *text;
} rows[] = {
#define X(num, name, http, rpc, reason, text) {num, #name, http, rpc, reason, text},
    OCU_ERROR_TABLE(X)
#undef X
};
#define ROWS (sizeof rows / sizeof *rows)

/* shows: NFR-SEC-51 */
START_TEST(every_row_is_found_by_code_and_by_reason)
{
	for (size_t i = 0; i < ROWS; i++) {
		int code = -rows[i].num;
		ck_assert_int_eq(ocu_err_known(code), 1);
		ck_assert_str_eq(ocu_err_name(code), rows[i].name);
		ck_assert_str_eq(ocu_err_reason(code), rows[i].reason);
		ck_assert_str_eq(ocu_err_text(code), rows[i].text);
		ck_assert_int_eq(ocu_err_http(code), rows[i].http);
		ck_assert_int_eq(ocu_err_jsonrpc(code), rows[i].jsonrpc);
		ck_assert_int_eq(ocu_err_from_reason(rows[i].reason), code);
	}
}
END_TEST

/* A reason code is a word of one closed vocabulary: unique, lower case, fit for a header and a metric label.
 */
START_TEST(reasons_are_unique_words)
{
	for (size_t i = 0; i < ROWS; i++) {
		ck_assert_uint_gt(strlen(rows[i].reason), 0);
		ck_assert_uint_eq(strspn(rows[i].reason, "abcdefghijklmnopqrstuvwxyz_"),
		                  strlen(rows[i].reason));
		ck_assert_int_ge(rows[i].http, 400);
		ck_assert_int_le(rows[i].http, 599);
		ck_assert_int_lt(rows[i].jsonrpc, -31999);
		for (size_t k = 0; k < i; k++) {
			ck_assert_int_ne(rows[i].num, rows[k].num);
			ck_assert_str_ne(rows[i].reason, rows[k].reason);
		}
	}
}
END_TEST

/* They travel in RPC replies between versions. */
START_TEST(numbers_are_stable)
{
	ck_assert_int_eq(OCU_E_INTERNAL, -1);
	ck_assert_int_eq(OCU_E_PARSE, -4);
	ck_assert_int_eq(OCU_E_UNAUTHENTICATED, -30);
	ck_assert_int_eq(OCU_E_DENIED, -50);
	ck_assert_int_eq(OCU_E_SESSION_DENIED, -53);
	ck_assert_int_eq(OCU_E_AUDIT, -58);
	ck_assert_int_eq(OCU_E_EGRESS_DEST, -71);
	ck_assert_int_eq(OCU_E_CHAIN_BROKEN, -90);
}
END_TEST

START_TEST(unknown_codes_read_as_internal)
{
	static const int codes[] = {0, 1, 4, 58, -22, -1000, -2147483647 - 1, 2147483647};
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		ck_assert_int_eq(ocu_err_known(codes[i]), 0);
		ck_assert_str_eq(ocu_err_reason(codes[i]), "internal_error");
		ck_assert_int_eq(ocu_err_http(codes[i]), 500);
		ck_assert_int_eq(ocu_err_jsonrpc(codes[i]), -32603);
	}
	ck_assert_int_eq(ocu_err_from_reason("no_such_reason"), 0);
	ck_assert_int_eq(ocu_err_from_reason(""), 0);
	ck_assert_int_eq(ocu_err_from_reason(NULL), 0);
}
END_TEST

START_TEST(context_is_put_in_front)
{
	struct ocu_error e = {0};
	ck_assert_int_eq(ocu_error_set(&e, OCU_E_PARSE, "line %d", 7), OCU_E_PARSE);
	ck_assert_str_eq(e.text, "line 7");
	ck_assert_int_eq(e.sys_errno, 0);
	ck_assert_int_eq(ocu_error_add(&e, "reading %s", "x"), OCU_E_PARSE);
	ck_assert_str_eq(e.text, "reading x: line 7");
	ck_assert_int_eq(e.code, OCU_E_PARSE);
}
END_TEST

START_TEST(system_errors_keep_their_errno)
{
	struct ocu_error e = {0};
	ck_assert_int_eq(ocu_error_errno(&e, OCU_E_IO, ENOENT, "open %s", "/x"), OCU_E_IO);
	ck_assert_str_eq(e.text, "open /x: No such file or directory");
	ck_assert_int_eq(e.sys_errno, ENOENT);
	ocu_error_add(&e, "start");
	ck_assert_int_eq(e.sys_errno, ENOENT);
	ocu_error_set(&e, OCU_E_PARSE, "other");
	ck_assert_int_eq(e.sys_errno, 0);
}
END_TEST

START_TEST(the_old_text_may_be_an_argument)
{
	struct ocu_error e = {0};
	ocu_error_set(&e, OCU_E_PARSE, "inner");
	ocu_error_set(&e, OCU_E_INVALID, "outer (%s)", e.text);
	ck_assert_str_eq(e.text, "outer (inner)");
	ck_assert_int_eq(e.code, OCU_E_INVALID);
	ocu_error_add(&e, "again (%s)", e.text);
	ck_assert_str_eq(e.text, "again (outer (inner)): outer (inner)");
}
END_TEST

START_TEST(text_is_bounded)
{
	struct {
		struct ocu_error e;
		char guard[16];
	} s = {0};
	char big[2000];
	memset(big, 'a', sizeof big);
	big[sizeof big - 1] = '\0';
	memset(s.guard, '#', sizeof s.guard);
	ocu_error_set(&s.e, OCU_E_IO, "%s", big);
	ck_assert_uint_eq(strlen(s.e.text), OCU_ERROR_TEXT_MAX - 1);
	ocu_error_add(&s.e, "context");
	ck_assert_uint_eq(strlen(s.e.text), OCU_ERROR_TEXT_MAX - 1);
	ck_assert_int_eq(strncmp(s.e.text, "context: aaa", 12), 0);
	ocu_error_errno(&s.e, OCU_E_IO, EIO, "%s", big);
	ck_assert_uint_eq(strlen(s.e.text), OCU_ERROR_TEXT_MAX - 1);
	ck_assert_int_eq(s.e.sys_errno, EIO);
	for (size_t i = 0; i < sizeof s.guard; i++)
		ck_assert_int_eq(s.guard[i], '#');
}
END_TEST

START_TEST(null_is_allowed_and_errno_is_kept)
{
	struct ocu_error e = {0};
	errno = ENOTTY;
	ck_assert_int_eq(ocu_error_set(NULL, OCU_E_IO, "x"), OCU_E_IO);
	ck_assert_int_eq(ocu_error_errno(NULL, OCU_E_BUSY, EIO, "x"), OCU_E_BUSY);
	ck_assert_int_eq(ocu_error_add(NULL, "x"), OCU_E_INTERNAL);
	ocu_error_set(&e, OCU_E_IO, "%s", "x");
	ocu_error_errno(&e, OCU_E_IO, 12345, "%s", "x");
	ck_assert_int_eq(errno, ENOTTY);
}
END_TEST

START_TEST(context_on_an_unset_error_is_internal)
{
	struct ocu_error e = {0};
	ck_assert_int_eq(ocu_error_add(&e, "context"), OCU_E_INTERNAL);
	ck_assert_str_eq(e.text, "context");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libocu_err");
	TCase *c = tcase_create("err");

	tcase_add_test(c, every_row_is_found_by_code_and_by_reason);
	tcase_add_test(c, reasons_are_unique_words);
	tcase_add_test(c, numbers_are_stable);
	tcase_add_test(c, unknown_codes_read_as_internal);
	tcase_add_test(c, context_is_put_in_front);
	tcase_add_test(c, system_errors_keep_their_errno);
	tcase_add_test(c, the_old_text_may_be_an_argument);
	tcase_add_test(c, text_is_bounded);
	tcase_add_test(c, null_is_allowed_and_errno_is_kept);
	tcase_add_test(c, context_on_an_unset_error_is_internal);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
