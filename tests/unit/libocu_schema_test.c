/* schema: a table of schema, value and verdict, and what an error may say about a peer's value. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/schema.h"

static struct ocu_schema *compiled(const char *text)
{
	struct ocu_schema *s = NULL;
	struct ocu_error err = {0};
	if (ocu_schema_new_text(&s, text, &err))
		ck_abort_msg("%s: %s", text, err.text);
	return s;
}

static json_t *parsed(const char *text)
{
	json_t *j = json_loads(text, JSON_DECODE_ANY, NULL);
	ck_assert_msg(j != NULL, "not JSON: %s", text);
	return j;
}

enum { OK = 0, BAD = OCU_E_PARAMS, UNKNOWN = OCU_E_UNKNOWN_FIELD };

#define OBJ "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{\"type\":\"integer\"}},"
#define DEEP                                                                                                 \
	"{\"type\":\"object\",\"properties\":{\"l\":{\"type\":\"array\",\"items\":" OBJ                      \
	"\"required\":[\"a\"]}}}}"
#define ANY                                                                                                  \
	"{\"anyOf\":[{\"type\":\"string\",\"maxLength\":3},{\"type\":\"array\",\"items\":{\"type\":"         \
	"\"integer\"}},"                                                                                     \
	"{\"type\":\"array\",\"maxItems\":0}]}"
#define EITHER OBJ "\"anyOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}]}"

static const struct {
	const char *schema;
	const char *value;
	int verdict;
	const char *text; /* how the error reads, NULL: not compared */
} cases[] = {
    {"{}", "null", OK, NULL},
    {"{}", "{\"x\":[1,{\"y\":2}]}", OK, NULL},
    {"{\"description\":\"d\",\"title\":\"t\",\"default\":1,\"examples\":[1],\"$schema\":\"x\"}", "{\"z\":1}",
     OK, NULL},

    {"{\"type\":\"null\"}", "null", OK, NULL},
    {"{\"type\":\"null\"}", "false", BAD, "/: expected null"},
    {"{\"type\":\"boolean\"}", "true", OK, NULL},
    {"{\"type\":\"boolean\"}", "0", BAD, "/: expected boolean"},
    {"{\"type\":\"boolean\"}", "\"true\"", BAD, NULL},
    {"{\"type\":\"integer\"}", "5", OK, NULL},
    {"{\"type\":\"integer\"}", "5.5", BAD, "/: expected integer"},
    {"{\"type\":\"integer\"}", "5.0", BAD, NULL},
    {"{\"type\":\"integer\"}", "\"5\"", BAD, NULL},
    {"{\"type\":\"number\"}", "5", OK, NULL},
    {"{\"type\":\"number\"}", "5.5", OK, NULL},
    {"{\"type\":\"number\"}", "null", BAD, "/: expected number"},
    {"{\"type\":\"string\"}", "\"\"", OK, NULL},
    {"{\"type\":\"string\"}", "[]", BAD, "/: expected string"},
    {"{\"type\":\"array\"}", "[1,\"a\"]", OK, NULL},
    {"{\"type\":\"array\"}", "{}", BAD, "/: expected array"},
    {"{\"type\":\"object\"}", "{}", OK, NULL},
    {"{\"type\":\"object\"}", "[]", BAD, "/: expected object"},
    {"{\"type\":[\"string\",\"null\"]}", "null", OK, NULL},
    {"{\"type\":[\"string\",\"null\"]}", "\"x\"", OK, NULL},
    {"{\"type\":[\"string\",\"null\"]}", "1", BAD, "/: expected null or string"},

    {"{\"enum\":[\"a\",\"b\",3,null]}", "\"b\"", OK, NULL},
    {"{\"enum\":[\"a\",\"b\",3,null]}", "3", OK, NULL},
    {"{\"enum\":[\"a\",\"b\",3,null]}", "null", OK, NULL},
    {"{\"enum\":[\"a\",\"b\",3,null]}", "\"c\"", BAD, "/: not one of the allowed values: a, b"},
    {"{\"enum\":[\"a\",\"b\",3,null]}", "\"A\"", BAD, NULL},
    {"{\"enum\":[{\"x\":1}]}", "{\"x\":1}", OK, NULL},
    {"{\"enum\":[{\"x\":1}]}", "{\"x\":2}", BAD, NULL},
    {"{\"const\":false}", "false", OK, NULL},
    {"{\"const\":false}", "null", BAD, NULL},

    {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}", "\"a\"", BAD, "/: shorter than 2 characters"},
    {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}", "\"ab\"", OK, NULL},
    {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}", "\"abc\"", OK, NULL},
    {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}", "\"abcd\"", BAD, "/: longer than 3 characters"},
    /* Characters, not bytes: three of four bytes each. */
    {"{\"maxLength\":3}", "\"\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\"", OK, NULL},
    {"{\"minLength\":2}", "\"\xf0\x9f\x98\x80\"", BAD, NULL},
    {"{\"maxLength\":3}", "12345", OK, NULL},
    {"{\"maxLength\":0}", "\"\"", OK, NULL},
    {"{\"maxLength\":0}", "\"x\"", BAD, NULL},
    {"{\"pattern\":\"^[a-z]+$\"}", "\"abc\"", OK, NULL},
    {"{\"pattern\":\"^[a-z]+$\"}", "\"abC\"", BAD, "/: does not have the required form"},
    {"{\"pattern\":\"^[a-z]+$\"}", "\"\"", BAD, NULL},
    {"{\"pattern\":\"^[a-z]+$\"}", "\"abc\\n\"", BAD, NULL},
    {"{\"pattern\":\"b\"}", "\"abc\"", OK, NULL},

    {"{\"minimum\":1,\"maximum\":10}", "0", BAD, "/: less than 1"},
    {"{\"minimum\":1,\"maximum\":10}", "1", OK, NULL},
    {"{\"minimum\":1,\"maximum\":10}", "10", OK, NULL},
    {"{\"minimum\":1,\"maximum\":10}", "11", BAD, "/: more than 10"},
    {"{\"minimum\":1,\"maximum\":10}", "0.999", BAD, NULL},
    {"{\"minimum\":1,\"maximum\":10}", "10.001", BAD, NULL},
    {"{\"minimum\":0.5}", "1", OK, NULL},
    {"{\"minimum\":0.5}", "0", BAD, "/: less than 0.5"},
    {"{\"maximum\":10}", "\"99\"", OK, NULL},
    /* Doubles cannot tell these two apart. */
    {"{\"maximum\":9223372036854775806}", "9223372036854775807", BAD, NULL},
    {"{\"maximum\":9223372036854775807}", "9223372036854775807", OK, NULL},
    {"{\"minimum\":-9223372036854775807}", "-9223372036854775808", BAD, NULL},

    {"{\"type\":\"array\",\"minItems\":1,\"maxItems\":2}", "[]", BAD, "/: fewer than 1 items"},
    {"{\"type\":\"array\",\"minItems\":1,\"maxItems\":2}", "[1]", OK, NULL},
    {"{\"type\":\"array\",\"minItems\":1,\"maxItems\":2}", "[1,2]", OK, NULL},
    {"{\"type\":\"array\",\"minItems\":1,\"maxItems\":2}", "[1,2,3]", BAD, "/: more than 2 items"},
    {"{\"items\":{\"type\":\"integer\"}}", "[1,2,\"x\",4]", BAD, "/2: expected integer"},

    {OBJ "\"required\":[\"a\"]}", "{\"a\":\"x\"}", OK, NULL},
    {OBJ "\"required\":[\"a\"]}", "{\"a\":\"x\",\"b\":1}", OK, NULL},
    {OBJ "\"required\":[\"a\"]}", "{\"b\":1}", BAD, "/: field \"a\" is missing"},
    {OBJ "\"required\":[\"a\",\"b\"]}", "{\"a\":\"x\"}", BAD, "/: field \"b\" is missing"},
    {OBJ "\"required\":[\"a\"]}", "{\"a\":null}", BAD, "/a: expected string"},
    {OBJ "\"required\":[\"a\"]}", "{\"a\":\"x\",\"c\":1}", UNKNOWN, "/: unknown field \"c\""},
    {OBJ "\"required\":[\"a\"]}", "{\"A\":\"x\"}", UNKNOWN, NULL},
    {OBJ "\"additionalProperties\":false}", "{\"c\":1}", UNKNOWN, NULL},
    {OBJ "\"additionalProperties\":{}}", "{\"c\":{\"d\":1}}", OK, NULL},
    {OBJ "\"additionalProperties\":{}}", "{\"a\":1,\"c\":2}", BAD, "/a: expected string"},
    {OBJ "\"additionalProperties\":{\"type\":\"integer\"}}", "{\"c\":1}", OK, NULL},
    {OBJ "\"additionalProperties\":{\"type\":\"integer\"}}", "{\"c\":\"1\"}", BAD, "/c: expected integer"},
    {"{\"type\":\"object\"}", "{\"a\":1}", UNKNOWN, "/: unknown field \"a\""},
    {"{\"properties\":{}}", "{\"a\":1}", UNKNOWN, NULL},
    {"{\"type\":[\"object\",\"null\"]}", "{\"a\":1}", UNKNOWN, NULL},
    {"{\"required\":[\"a\"]}", "{\"a\":1,\"b\":2}", OK, NULL},
    {"{\"required\":[\"a\"]}", "[]", OK, NULL},
    {DEEP, "{\"l\":[{\"a\":\"x\"},{\"a\":\"y\",\"b\":2}]}", OK, NULL},
    {DEEP, "{\"l\":[{\"a\":\"x\"},{\"a\":\"y\",\"b\":\"2\"}]}", BAD, "/l/1/b: expected integer"},
    {DEEP, "{\"l\":[{}]}", BAD, "/l/0: field \"a\" is missing"},
    {DEEP, "{\"l\":[{\"a\":\"x\",\"q\":0}]}", UNKNOWN, "/l/0: unknown field \"q\""},

    {ANY, "\"abc\"", OK, NULL},
    {ANY, "[1]", OK, NULL},
    {ANY, "[]", OK, NULL},
    {ANY, "\"abcd\"", BAD, "/: longer than 3 characters"},
    {ANY, "[\"x\"]", BAD, "/: has none of the allowed forms"},
    {ANY, "1", BAD, "/: has none of the allowed forms"},
    {EITHER, "{\"a\":\"x\"}", OK, NULL},
    {EITHER, "{\"b\":1}", OK, NULL},
    {EITHER, "{}", BAD, NULL},
    {EITHER, "{\"a\":\"x\",\"c\":1}", UNKNOWN, NULL},
};

/* shows: NFR-SEC-51 */
START_TEST(verdicts)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct ocu_schema *s = compiled(cases[i].schema);
		json_t *v = parsed(cases[i].value);
		struct ocu_error err = {0};
		int rc = ocu_schema_check(s, v, &err);
		if (rc != cases[i].verdict)
			ck_abort_msg("%s on %s: %d %s", cases[i].schema, cases[i].value, rc, err.text);
		ck_assert_int_eq(err.code, rc);
		if (cases[i].text)
			ck_assert_str_eq(err.text, cases[i].text);
		/* The verdict does not depend on somebody asking why. */
		ck_assert_int_eq(ocu_schema_check(s, v, NULL), rc);
		json_decref(v);
		ocu_schema_free(s);
	}
}
END_TEST

START_TEST(unsupported_schemas_are_refused)
{
	static const char *const bad[] = {
	    "",
	    "[]",
	    "true",
	    "{\"type\":\"text\"}",
	    "{\"type\":[]}",
	    "{\"type\":[\"string\",1]}",
	    "{\"type\":null}",
	    "{\"format\":\"uri\"}",
	    "{\"$ref\":\"#/x\"}",
	    "{\"oneOf\":[{}]}",
	    "{\"allOf\":[{}]}",
	    "{\"not\":{}}",
	    "{\"exclusiveMinimum\":1}",
	    "{\"multipleOf\":2}",
	    "{\"uniqueItems\":true}",
	    "{\"patternProperties\":{}}",
	    "{\"Type\":\"string\"}",
	    "{\"enum\":[]}",
	    "{\"enum\":\"a\"}",
	    "{\"properties\":[]}",
	    "{\"properties\":{\"a\":true}}",
	    "{\"properties\":{\"a\":{\"typo\":1}}}",
	    "{\"items\":{\"typo\":1}}",
	    "{\"items\":[{}]}",
	    "{\"additionalProperties\":true}",
	    "{\"additionalProperties\":{\"typo\":1}}",
	    "{\"anyOf\":[]}",
	    "{\"anyOf\":{}}",
	    "{\"anyOf\":[{\"typo\":1}]}",
	    "{\"required\":\"a\"}",
	    "{\"required\":[1]}",
	    "{\"type\":\"object\",\"required\":[\"a\"]}",
	    "{\"properties\":{\"a\":{}},\"required\":[\"b\"]}",
	    "{\"minLength\":-1}",
	    "{\"maxLength\":1.5}",
	    "{\"minItems\":\"1\"}",
	    "{\"maxItems\":null}",
	    "{\"minimum\":\"1\"}",
	    "{\"maximum\":null}",
	    "{\"pattern\":\"(\"}",
	    "{\"pattern\":1}",
	    "{\"pattern\":\"(a)\\\\1\"}",
	    "{\"type\":\"string\",\"type\":\"string\"}",
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct ocu_schema *s = (struct ocu_schema *)bad;
		struct ocu_error err = {0};
		int rc = ocu_schema_new_text(&s, bad[i], &err);
		if (rc != OCU_E_CONFIG || err.code != OCU_E_CONFIG)
			ck_abort_msg("%s: %d %s", bad[i], rc, err.text);
		ck_assert_ptr_eq(s, (struct ocu_schema *)bad);
		ck_assert_int_eq(ocu_schema_new_text(&s, bad[i], NULL), OCU_E_CONFIG);
	}
	struct ocu_schema *s = NULL;
	ck_assert_int_eq(ocu_schema_new(&s, NULL, NULL), OCU_E_CONFIG);
	/* An escaped backslash before a digit is no back reference. */
	ocu_schema_free(compiled("{\"pattern\":\"a\\\\\\\\1\"}"));
	ocu_schema_free(NULL);
}
END_TEST

START_TEST(the_published_form_says_what_is_closed)
{
	struct ocu_schema *s = compiled(DEEP);
	json_t *j = ocu_schema_json(s);
	ck_assert(json_is_false(json_object_get(j, "additionalProperties")));
	json_t *items = json_object_get(json_object_get(json_object_get(j, "properties"), "l"), "items");
	ck_assert(json_is_false(json_object_get(items, "additionalProperties")));
	ck_assert_ptr_null(json_object_get(json_object_get(json_object_get(items, "properties"), "a"),
	                                   "additionalProperties"));
	ocu_schema_free(s);
	s = compiled(OBJ "\"additionalProperties\":{}}");
	ck_assert(json_is_object(json_object_get(ocu_schema_json(s), "additionalProperties")));
	ocu_schema_free(s);
}
END_TEST

START_TEST(the_caller_keeps_its_json)
{
	json_t *j = parsed(OBJ "\"required\":[\"a\"]}");
	struct ocu_schema *s = NULL;
	ck_assert_int_eq(ocu_schema_new(&s, j, NULL), 0);
	ck_assert_ptr_null(json_object_get(j, "additionalProperties"));
	json_object_clear(j);
	json_decref(j);
	json_t *v = parsed("{\"b\":1}");
	ck_assert_int_eq(ocu_schema_check(s, v, NULL), OCU_E_PARAMS);
	json_decref(v);
	ocu_schema_free(s);
}
END_TEST

/* What a peer sent comes back in an error only in small, printable pieces. */
START_TEST(errors_repeat_little_of_the_value)
{
	char key[3000];
	memset(key, 'K', sizeof key);
	key[sizeof key - 1] = '\0';
	struct ocu_schema *s = compiled("{\"type\":\"object\"}");
	json_t *v = json_pack("{s:i}", key, 1);
	struct ocu_error err = {0};
	ck_assert_int_eq(ocu_schema_check(s, v, &err), OCU_E_UNKNOWN_FIELD);
	ck_assert_uint_eq(strspn(strchr(err.text, 'K'), "K"), 64);
	ck_assert_uint_lt(strlen(err.text), 128);
	json_decref(v);
	ocu_schema_free(s);

	/* Two keys on the path share the allowance. */
	s = compiled("{\"additionalProperties\":{\"additionalProperties\":{\"type\":\"null\"}}}");
	key[50] = '\0';
	v = json_pack("{s:{s:i}}", key, key, 1);
	ck_assert_int_eq(ocu_schema_check(s, v, &err), OCU_E_PARAMS);
	size_t repeated = 0;
	for (const char *p = err.text; *p; p++)
		repeated += *p == 'K';
	ck_assert_uint_eq(repeated, 64);
	ck_assert_ptr_nonnull(strstr(err.text, ": expected null"));
	json_decref(v);
	ocu_schema_free(s);

	s = compiled("{\"type\":\"object\"}");
	v = json_pack("{s:i}", "a\n\x1b[2J\x7f\xc3\xa9", 1);
	ck_assert_int_eq(ocu_schema_check(s, v, &err), OCU_E_UNKNOWN_FIELD);
	ck_assert_str_eq(err.text, "/: unknown field \"a??[2J?\xc3\xa9\"");
	json_decref(v);
	ocu_schema_free(s);

	/* Never half a character at the end of the allowance. */
	char wide[200] = "";
	for (size_t i = 0; i < 120; i += 3)
		memcpy(wide + i, "\xe2\x82\xac", 4);
	s = compiled("{\"type\":\"object\"}");
	v = json_pack("{s:i}", wide, 1);
	ck_assert_int_eq(ocu_schema_check(s, v, &err), OCU_E_UNKNOWN_FIELD);
	json_t *text = json_string(err.text);
	ck_assert_ptr_nonnull(text);
	json_decref(text);
	json_decref(v);
	ocu_schema_free(s);
}
END_TEST

/* A value that was not parsed by us may hold what a C string cannot. */
START_TEST(a_nul_does_not_hide_the_rest_from_a_pattern)
{
	struct ocu_schema *s = compiled("{\"pattern\":\"^[a-z]+$\"}");
	json_t *v = json_stringn("abc\0/../etc", 11);
	ck_assert_int_eq(ocu_schema_check(s, v, NULL), OCU_E_PARAMS);
	json_decref(v);
	ck_assert_int_eq(ocu_schema_check(s, NULL, NULL), OCU_E_PARAMS);
	ocu_schema_free(s);
}
END_TEST

static json_t *wrapped(int how, json_t *j)
{
	switch (how) {
	case 0:
		return json_pack("{s:o}", "items", j);
	case 1:
		return json_pack("{s:o}", "additionalProperties", j);
	case 2:
		return json_pack("{s:{s:o}}", "properties", "p", j);
	default:
		return json_pack("{s:[o]}", "anyOf", j);
	}
}

/* 32 schemas one inside the other are taken, one more is not, whatever holds them. */
START_TEST(deep_schemas_end)
{
	json_t *j = json_object();
	for (int depth = 1; depth <= 34; depth++) {
		struct ocu_schema *s = NULL;
		ck_assert_int_eq(ocu_schema_new(&s, j, NULL), depth <= 32 ? 0 : OCU_E_CONFIG);
		ocu_schema_free(s);
		j = wrapped(_i, j);
	}
	json_decref(j);
}
END_TEST

static struct ocu_schema *shared;

static void *checker(void *arg)
{
	json_t *good = parsed("{\"p\":\"abc\",\"n\":[1,2]}");
	json_t *wrong = parsed("{\"p\":\"ABC\",\"n\":[1,2]}");
	for (int i = 0; i < 2000; i++) {
		struct ocu_error err = {0};
		if (ocu_schema_check(shared, good, &err) != 0 ||
		    ocu_schema_check(shared, wrong, &err) != BAD ||
		    strcmp(err.text, "/p: does not have the required form") != 0)
			*(int *)arg = 1;
	}
	json_decref(good);
	json_decref(wrong);
	return NULL;
}

START_TEST(threads_share_a_schema)
{
	shared = compiled("{\"type\":\"object\",\"properties\":{\"p\":{\"pattern\":\"^[a-z]+$\"},"
	                  "\"n\":{\"type\":\"array\",\"items\":{\"minimum\":1}}}}");
	pthread_t t[4];
	int wrong[4] = {0};
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, checker, &wrong[i]), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		ck_assert_int_eq(wrong[i], 0);
	}
	ocu_schema_free(shared);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libocu_schema");
	TCase *c = tcase_create("schema");

	tcase_add_test(c, verdicts);
	tcase_add_test(c, unsupported_schemas_are_refused);
	tcase_add_test(c, the_published_form_says_what_is_closed);
	tcase_add_test(c, the_caller_keeps_its_json);
	tcase_add_test(c, errors_repeat_little_of_the_value);
	tcase_add_test(c, a_nul_does_not_hide_the_rest_from_a_pattern);
	tcase_add_loop_test(c, deep_schemas_end, 0, 4);
	tcase_add_test(c, threads_share_a_schema);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
