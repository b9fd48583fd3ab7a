/* json: what is taken, what is refused and with which code, and that depth is decided before the parser runs.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libocu/buf.h"
#include "libocu/err.h"
#include "libocu/json.h"

#define MAX 4096

static int parse(const char *s, json_t **ret, struct ocu_error *err)
{
	return ocu_json_parse(s, strlen(s), MAX, ret, err);
}

START_TEST(valid_documents_are_taken)
{
	static const char *const good[] = {
	    "{}",
	    "[]",
	    "null",
	    "true",
	    "0",
	    "-0",
	    "1.5e3",
	    "\"text\"",
	    " \t\r\n{\"a\": [1, 2, {\"b\": null}]}\n",
	    "9223372036854775807",
	    "-9223372036854775808",
	    "\"\\u20ac\\ud83d\\ude00\"",
	    "\"\xe2\x82\xac\"",
	    "{\"a\":1,\"A\":2}",
	    "\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"",
	    "\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"",
	};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		struct ocu_error err = {0};
		json_t *j = NULL;
		if (parse(good[i], &j, &err))
			ck_abort_msg("%s: %s", good[i], err.text);
		ck_assert_ptr_nonnull(j);
		json_decref(j);
	}
}
END_TEST

/* The parser is ours; jansson's own is the reference for what a text means. */
START_TEST(values_are_those_of_the_reference)
{
	static const char *const texts[] = {
	    "[0,-0,1,-1,10,-10,9223372036854775807,-9223372036854775808,123456789012345678]",
	    "[0.0,-0.0,1.5,-2.25e-3,1E5,1e+5,0.1,1e-400,1.7976931348623157e308,4.9e-324,"
	    "123456789012345678901.0]",
	    "[0."
	    "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001]",
	    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
	    "\"\\u0001\\u007f\\u0080\\u07ff\\u0800\\uABCD\\uabcd\\uFFFF\\ud7ff\\ue000\\uD800\\uDC00\\udbff\\u"
	    "dfff\"",
	    "\"plain text of more than eight bytes, then \\u00e9 and \xc3\xa9 and \xf0\x9f\x98\x80 and "
	    "\\\\\"",
	    "{\"\\u0061b\":1,\"ab \":2,\"\":3,\"\xe2\x82\xac\":{\"\\n\":[]}}",
	    " { \"a\" : [ true , false , null ] , \"b\" : { } } ",
	};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct ocu_error err = {0};
		json_t *ours = NULL;
		json_t *theirs = json_loads(texts[i], JSON_DECODE_ANY, NULL);
		ck_assert_ptr_nonnull(theirs);
		if (parse(texts[i], &ours, &err))
			ck_abort_msg("%s: %s", texts[i], err.text);
		if (!json_equal(ours, theirs))
			ck_abort_msg("another value: %s", texts[i]);
		json_decref(ours);
		json_decref(theirs);
	}
}
END_TEST

/* Every byte at every place of a word that is looked at eight bytes at a time. */
START_TEST(every_byte_in_a_string_is_judged)
{
	for (int c = 0; c < 256; c++) {
		for (size_t at = 1; at < 20; at++) {
			char text[22];
			memset(text, 'x', sizeof text);
			text[0] = text[21] = '"';
			text[at] = (char)c;
			json_t *ours = NULL;
			json_t *theirs = json_loadb(text, sizeof text, JSON_DECODE_ANY, NULL);
			int rc = ocu_json_parse(text, sizeof text, MAX, &ours, NULL);
			if ((rc == 0) != (theirs != NULL) || (theirs && !json_equal(ours, theirs)))
				ck_abort_msg("byte %d at %zu", c, at);
			json_decref(ours);
			json_decref(theirs);
		}
	}
}
END_TEST

/* shows: NFR-SEC-51 */
START_TEST(anything_else_is_refused)
{
	static const struct {
		const char *s;
		size_t len;
	} bad[] = {
#define S(text) {text, sizeof text - 1}
	    S(""),
	    S(" "),
	    S("{"),
	    S("{\"a\":1"),
	    S("[1,]"),
	    S("{\"a\":1,}"),
	    S("{a:1}"),
	    S("{'a':1}"),
	    S("[1] x"),
	    S("[1][2]"),
	    S("{}\0"),
	    S("true\0"),
	    S("1\0"),
	    S("[1]\0[2]"),
	    S("{\"a\":1,\"a\":1}"),
	    S("{\"x\":{\"a\":1,\"b\":2,\"a\":3}}"),
	    S("{\"a\":1,\"\\u0061\":2}"),
	    S("\"\\u0000\""),
	    S("{\"\\u0000\":1}"),
	    S("\"a\0b\""),
	    S("\"\xff\""),
	    S("\"\xc0\xaf\""),
	    S("\"\xed\xa0\x80\""),
	    S("\"\\ud800\""),
	    S("\"\\udc00\\ud800\""),
	    S("\"a\nb\""),
	    S("\"\t\""),
	    S("\"\\x41\""),
	    S("NaN"),
	    S("[Infinity]"),
	    S("-"),
	    S("01"),
	    S("+1"),
	    S("1."),
	    S(".5"),
	    S("0x10"),
	    S("1e999"),
	    S("9223372036854775808"),
	    S("-9223372036854775809"),
	    S("True"),
	    S("nul"),
	    S("// c\n1"),
	    S("/* c */1"),
	    S("\xef\xbb\xbf{}"),
#undef S
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct ocu_error err = {0};
		json_t *j = (json_t *)&err;
		if (ocu_json_parse(bad[i].s, bad[i].len, MAX, &j, &err) != OCU_E_PARSE)
			ck_abort_msg("taken or wrong code: %s", bad[i].s);
		/* Untouched on failure. */
		ck_assert_ptr_eq(j, (json_t *)&err);
		ck_assert_int_eq(err.code, OCU_E_PARSE);
		ck_assert_uint_gt(strlen(err.text), 0);
	}
}
END_TEST

static void nested(char out[MAX], size_t depth, const char *open, const char *close)
{
	struct ocu_buf b = OCU_BUF_INIT(MAX - 1);
	for (size_t i = 0; i < depth; i++)
		ocu_buf_puts(&b, open);
	ocu_buf_puts(&b, "1");
	for (size_t i = 0; i < depth; i++)
		ocu_buf_puts(&b, close);
	ck_assert_int_eq(b.failed, 0);
	memcpy(out, b.data, b.len + 1);
	ocu_buf_done(&b);
}

START_TEST(nesting_is_bounded)
{
	char text[MAX];
	json_t *j = NULL;
	struct ocu_error err = {0};
	nested(text, OCU_JSON_DEPTH_MAX, "[", "]");
	ck_assert_int_eq(parse(text, &j, &err), 0);
	json_decref(j);
	nested(text, OCU_JSON_DEPTH_MAX, "{\"a\":", "}");
	ck_assert_int_eq(parse(text, &j, &err), 0);
	json_decref(j);
	nested(text, OCU_JSON_DEPTH_MAX + 1, "[", "]");
	ck_assert_int_eq(parse(text, &j, &err), OCU_E_PARSE);
	ck_assert_ptr_nonnull(strstr(err.text, "nested too deep"));
	nested(text, OCU_JSON_DEPTH_MAX + 1, "{\"a\\\"\":", "}");
	ck_assert_int_eq(parse(text, &j, &err), OCU_E_PARSE);
	ck_assert_ptr_nonnull(strstr(err.text, "nested too deep"));
	nested(text, OCU_JSON_DEPTH_MAX / 2 + 1, "[{\"\\\\\":", "}]");
	ck_assert_int_eq(parse(text, &j, &err), OCU_E_PARSE);
	ck_assert_ptr_nonnull(strstr(err.text, "nested too deep"));
}
END_TEST

/* Many brackets are fine as long as they do not nest. */
START_TEST(width_is_not_depth)
{
	struct ocu_buf b = OCU_BUF_INIT(MAX);
	ocu_buf_puts(&b, "[");
	for (int i = 0; i < 100; i++)
		ocu_buf_puts(&b, "[],{},");
	ocu_buf_puts(&b, "0]");
	json_t *j = NULL;
	ck_assert_int_eq(parse(b.data, &j, NULL), 0);
	ck_assert_uint_eq(json_array_size(j), 201);
	json_decref(j);
	ocu_buf_done(&b);
}
END_TEST

START_TEST(a_flood_of_brackets_ends_at_the_limit)
{
	size_t len = 1 << 20;
	char *text = malloc(len);
	memset(text, '[', len);
	json_t *j = NULL;
	struct ocu_error err = {0};
	ck_assert_int_eq(ocu_json_parse(text, len, len, &j, &err), OCU_E_PARSE);
	ck_assert_ptr_nonnull(strstr(err.text, "line 1 column 33: nested too deep"));
	free(text);
}
END_TEST

START_TEST(size_is_bounded_before_anything_else)
{
	json_t *j = NULL;
	struct ocu_error err = {0};
	ck_assert_int_eq(ocu_json_parse("[1,2]", 5, 5, &j, &err), 0);
	json_decref(j);
	/* The data is not looked at: a pointer that cannot be read is fine. */
	ck_assert_int_eq(ocu_json_parse((const char *)8, 6, 5, &j, &err), OCU_E_TOO_LARGE);
	ck_assert_int_eq(ocu_json_parse("[1,2", 4, 0, &j, NULL), OCU_E_TOO_LARGE);
}
END_TEST

START_TEST(errors_name_line_and_column)
{
	json_t *j = NULL;
	struct ocu_error err = {0};
	ck_assert_int_eq(parse("{\n  \"a\": 1,\n  \"a\": 2\n}", &j, &err), OCU_E_PARSE);
	ck_assert_ptr_nonnull(strstr(err.text, "line 3 column"));
	/* What an error repeats of the input is bounded. */
	char text[2000] = "{\"";
	memset(text + 2, 'k', 1500);
	memcpy(text + 1502, "\" 1}", 5);
	ck_assert_int_eq(parse(text, &j, &err), OCU_E_PARSE);
	ck_assert_uint_lt(strlen(err.text), 200);
}
END_TEST

START_TEST(files)
{
	char path[] = "/tmp/ocu-json-XXXXXX";
	int fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "{\"a\":[1]}\n", 10), 10);
	json_t *j = NULL;
	struct ocu_error err = {0};
	ck_assert_int_eq(ocu_json_load_file(path, 10, &j, &err), 0);
	ck_assert_uint_eq(json_array_size(json_object_get(j, "a")), 1);
	json_decref(j);
	ck_assert_int_eq(ocu_json_load_file(path, 9, &j, &err), OCU_E_TOO_LARGE);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	ck_assert_int_eq(ocu_json_load_file(path, 100, &j, &err), OCU_E_PARSE);
	ck_assert_ptr_nonnull(strstr(err.text, path));
	ck_assert_ptr_nonnull(strstr(err.text, "line 2"));
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_eq(ocu_json_load_file(path, 100, &j, &err), OCU_E_PARSE);
	unlink(path);
	close(fd);
	ck_assert_int_eq(ocu_json_load_file(path, 100, &j, &err), OCU_E_NOT_FOUND);
}
END_TEST

START_TEST(dump_is_compact_in_order_and_bounded)
{
	const char *text = "{\"z\":1,\"a\":[true,false,null,-0.5,-7,\"\\n\\\"\xe2\x82\xac\"],\"m\":{}}";
	json_t *j = NULL;
	ck_assert_int_eq(parse(text, &j, NULL), 0);
	struct ocu_buf b = OCU_BUF_INIT(100);
	ck_assert_int_eq(ocu_json_dump(j, &b), 0);
	ck_assert_str_eq(b.data, text);
	ocu_buf_done(&b);
	b = OCU_BUF_INIT(strlen(text) - 1);
	ck_assert_int_eq(ocu_json_dump(j, &b), OCU_E_TOO_LARGE);
	ocu_buf_done(&b);
	json_decref(j);
	j = json_string("x");
	b = OCU_BUF_INIT(10);
	ck_assert_int_eq(ocu_json_dump(j, &b), 0);
	ck_assert_str_eq(b.data, "\"x\"");
	ocu_buf_done(&b);
	json_decref(j);
}
END_TEST

/* What is dumped can be read back: a tree that could not is refused, one that contains itself as well. */
START_TEST(dump_is_no_deeper_than_parse)
{
	json_t *j = _i ? json_array() : json_object();
	for (int depth = 1; depth <= 40; depth++) {
		struct ocu_buf b = OCU_BUF_INIT(MAX);
		json_t *again = NULL;
		ocu_buf_puts(&b, "x");
		if (depth <= OCU_JSON_DEPTH_MAX) {
			ck_assert_int_eq(ocu_json_dump(j, &b), 0);
			ck_assert_int_eq(ocu_json_parse(b.data + 1, b.len - 1, MAX, &again, NULL), 0);
			json_decref(again);
		} else {
			ck_assert_int_eq(ocu_json_dump(j, &b), OCU_E_INVALID);
			ck_assert_str_eq(b.data, "x");
		}
		ocu_buf_reset(&b);
		ck_assert_int_eq(ocu_json_dump_within(j, 3, &b),
		                 depth <= OCU_JSON_DEPTH_MAX - 3 ? 0 : OCU_E_INVALID);
		ocu_buf_done(&b);
		j = depth % 2 ? json_pack("[o]", j) : json_pack("{s:o}", "k", j);
	}
	json_decref(j);
	struct ocu_buf b = OCU_BUF_INIT(MAX);
	ck_assert_int_eq(ocu_json_dump(NULL, &b), OCU_E_INVALID);
	ocu_buf_done(&b);
}
END_TEST

START_TEST(members_by_type)
{
	json_t *j = NULL;
	ck_assert_int_eq(parse("{\"s\":\"x\",\"i\":7,\"t\":true,\"f\":false,\"r\":1.0,\"n\":null}", &j, NULL),
	                 0);
	ck_assert_str_eq(ocu_json_str(j, "s", "d"), "x");
	ck_assert_str_eq(ocu_json_str(j, "i", "d"), "d");
	ck_assert_str_eq(ocu_json_str(j, "no", "d"), "d");
	ck_assert_ptr_null(ocu_json_str(NULL, "no", NULL));
	ck_assert_int_eq(ocu_json_int(j, "i", -1), 7);
	ck_assert_int_eq(ocu_json_int(j, "r", -1), -1);
	ck_assert_int_eq(ocu_json_int(j, "s", -1), -1);
	ck_assert_int_eq(ocu_json_bool(j, "t", 0), 1);
	ck_assert_int_eq(ocu_json_bool(j, "f", 1), 0);
	ck_assert_int_eq(ocu_json_bool(j, "i", 1), 1);
	ck_assert_int_eq(ocu_json_bool(j, "n", -1), -1);
	json_decref(j);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libocu_json");
	TCase *c = tcase_create("json");

	tcase_add_test(c, valid_documents_are_taken);
	tcase_add_test(c, values_are_those_of_the_reference);
	tcase_add_test(c, every_byte_in_a_string_is_judged);
	tcase_add_test(c, anything_else_is_refused);
	tcase_add_test(c, nesting_is_bounded);
	tcase_add_test(c, width_is_not_depth);
	tcase_add_test(c, a_flood_of_brackets_ends_at_the_limit);
	tcase_add_test(c, size_is_bounded_before_anything_else);
	tcase_add_test(c, errors_name_line_and_column);
	tcase_add_test(c, files);
	tcase_add_test(c, dump_is_compact_in_order_and_bounded);
	tcase_add_loop_test(c, dump_is_no_deeper_than_parse, 0, 2);
	tcase_add_test(c, members_by_type);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
