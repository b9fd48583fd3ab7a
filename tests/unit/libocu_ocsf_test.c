/* ocsf: every event that can be made is accepted by the check auditd makes, whatever its strings hold. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/buf.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/id.h"
#include "libocu/json.h"
#include "libocu/ocsf.h"

static const struct ocu_event sample = {
    .class_uid = OCU_OCSF_PROCESS_ACTIVITY,
    .activity_id = 1,
    .action = "tool.call",
    .resource = "bash_tool",
    .actor_id = "alice",
    .session_id = "ses_01ARZ3NDEKTSV4RRFFQ69G5FAV",
    .trace_id = "trc_01ARZ3NDEKTSV4RRFFQ69G5FAV",
    .outcome = OCU_OUTCOME_SUCCESS,
};

/* Rendered, parsed by the strict parser and accepted by the check. */
static json_t *rendered(const struct ocu_event *ev)
{
	struct ocu_error err = {0};
	struct ocu_buf b = OCU_BUF_INIT(OCU_EVENT_MAX);
	json_t *j = NULL;
	if (ocu_event_render(ev, &b, &err))
		ck_abort_msg("render: %s", err.text);
	if (ocu_json_parse(b.data, b.len, OCU_EVENT_MAX, &j, &err))
		ck_abort_msg("parse: %s: %s", err.text, b.data);
	if (ocu_event_check(j, &err))
		ck_abort_msg("check: %s", err.text);
	ocu_buf_done(&b);
	return j;
}

static const char *str(const json_t *j, const char *key)
{
	const char *s = ocu_json_str(j, key, NULL);
	ck_assert_msg(s != NULL, "no string %s", key);
	return s;
}

/* shows: NFR-MAINT-AUDIT-SCHEMA (in part) */
START_TEST(an_event_is_ocsf_with_the_envelope)
{
	int64_t before = ocu_wall_ms();
	json_t *j = rendered(&sample);
	ck_assert_int_eq(ocu_json_int(j, "class_uid", 0), 1007);
	ck_assert_str_eq(str(j, "class_name"), "Process Activity");
	ck_assert_int_eq(ocu_json_int(j, "category_uid", 0), 1);
	ck_assert_int_eq(ocu_json_int(j, "activity_id", -1), 1);
	ck_assert_int_eq(ocu_json_int(j, "type_uid", 0), 100701);
	ck_assert_int_eq(ocu_json_int(j, "severity_id", 0), 1);
	ck_assert_str_eq(str(j, "status"), "Success");
	ck_assert_int_eq(ocu_json_int(j, "status_id", 0), 1);
	ck_assert_ptr_null(json_object_get(j, "status_code"));
	ck_assert_int_ge(ocu_json_int(j, "time", 0), before);
	ck_assert_int_le(ocu_json_int(j, "time", 0), ocu_wall_ms());
	const json_t *meta = json_object_get(j, "metadata");
	ck_assert_str_eq(str(meta, "version"), "1.3.0");
	ck_assert(ocu_id_valid("", str(meta, "uid")));
	ck_assert_str_ne(str(meta, "log_name"), "");
	const json_t *product = json_object_get(meta, "product");
	ck_assert_str_eq(str(product, "version"), OCU_VERSION);
	ck_assert_str_ne(str(product, "name"), "");
	ck_assert_str_ne(str(product, "vendor_name"), "");
	ck_assert_str_eq(str(j, "trace_id"), sample.trace_id);
	ck_assert_str_eq(str(j, "session_id"), sample.session_id);
	ck_assert_str_eq(str(j, "actor_id"), "alice");
	ck_assert_str_eq(str(j, "resource"), "bash_tool");
	ck_assert_str_eq(str(j, "action"), "tool.call");
	ck_assert_str_eq(str(j, "outcome"), "success");
	ck_assert_ptr_null(json_object_get(j, "unmapped"));
	json_decref(j);
}
END_TEST

static const struct {
	enum ocu_ocsf_class uid;
	int category;
	const char *name;
} classes[] = {
    {OCU_OCSF_FILE_ACTIVITY, 1, "File System Activity"},
    {OCU_OCSF_PROCESS_ACTIVITY, 1, "Process Activity"},
    {OCU_OCSF_ACCOUNT_CHANGE, 3, "Account Change"},
    {OCU_OCSF_AUTHENTICATION, 3, "Authentication"},
    {OCU_OCSF_ENTITY_MANAGEMENT, 3, "Entity Management"},
    {OCU_OCSF_NETWORK_ACTIVITY, 4, "Network Activity"},
    {OCU_OCSF_DNS_ACTIVITY, 4, "DNS Activity"},
    {OCU_OCSF_APP_LIFECYCLE, 6, "Application Lifecycle"},
    {OCU_OCSF_API_ACTIVITY, 6, "API Activity"},
};

/* The thousands of a class's number are its category. */
START_TEST(every_class_renders)
{
	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
		struct ocu_event ev = sample;
		ev.class_uid = classes[i].uid;
		ev.activity_id = 99;
		json_t *j = rendered(&ev);
		ck_assert_str_eq(str(j, "class_name"), classes[i].name);
		ck_assert_int_eq(ocu_json_int(j, "category_uid", 0), classes[i].category);
		ck_assert_int_eq(ocu_json_int(j, "category_uid", 0), (int)classes[i].uid / 1000);
		ck_assert_int_eq(ocu_json_int(j, "type_uid", 0), (int)classes[i].uid * 100 + 99);
		json_decref(j);
	}
}
END_TEST

START_TEST(outcomes_and_reasons)
{
	struct ocu_event ev = sample;
	ev.outcome = OCU_OUTCOME_DENIED;
	ev.reason = OCU_E_EGRESS_DEST;
	json_t *j = rendered(&ev);
	ck_assert_str_eq(str(j, "outcome"), "denied");
	ck_assert_str_eq(str(j, "status"), "Failure");
	ck_assert_int_eq(ocu_json_int(j, "status_id", 0), 2);
	ck_assert_int_eq(ocu_json_int(j, "severity_id", 0), 3);
	ck_assert_str_eq(str(j, "status_code"), "destination_not_allowed");
	json_decref(j);
	ev.outcome = OCU_OUTCOME_FAILURE;
	ev.reason = OCU_E_TIMEOUT;
	j = rendered(&ev);
	ck_assert_str_eq(str(j, "outcome"), "failure");
	ck_assert_str_eq(str(j, "status"), "Failure");
	ck_assert_int_eq(ocu_json_int(j, "severity_id", 0), 2);
	ck_assert_str_eq(str(j, "status_code"), "timeout");
	json_decref(j);
}
END_TEST

START_TEST(what_is_missing_is_filled_in)
{
	struct ocu_event ev = {.class_uid = OCU_OCSF_API_ACTIVITY};
	json_t *a = rendered(&ev);
	json_t *b = rendered(&ev);
	ck_assert(ocu_id_valid(OCU_ID_TRACE, str(a, "trace_id")));
	ck_assert_str_ne(str(a, "trace_id"), str(b, "trace_id"));
	ck_assert_str_ne(str(json_object_get(a, "metadata"), "uid"),
	                 str(json_object_get(b, "metadata"), "uid"));
	ck_assert_str_eq(str(a, "session_id"), "");
	ck_assert_str_eq(str(a, "actor_id"), "unknown");
	ck_assert_str_eq(str(a, "action"), "unknown");
	ck_assert_str_eq(str(a, "resource"), "");
	json_decref(a);
	json_decref(b);
}
END_TEST

START_TEST(detail_goes_to_unmapped)
{
	struct ocu_event ev = sample;
	json_t *detail = json_pack("{s:s, s:[i,i], s:{s:b}}", "command_sha256", "ab", "n", 1, 2, "o", "x", 1);
	ev.detail = detail;
	json_t *j = rendered(&ev);
	ck_assert(json_equal(json_object_get(j, "unmapped"), detail));
	json_decref(j);
	json_decref(detail);
	/* Only an object can be there. */
	detail = json_string("x");
	ev.detail = detail;
	j = rendered(&ev);
	ck_assert_ptr_null(json_object_get(j, "unmapped"));
	json_decref(j);
	json_decref(detail);
}
END_TEST

/* A text of n bytes that repeats unit. */
static char *repeated(const char *unit, size_t n)
{
	char *s = malloc(n + 1);
	size_t len = strlen(unit);
	for (size_t i = 0; i < n; i++)
		s[i] = unit[i % len];
	s[n] = '\0';
	return s;
}

static const char *const units[] = {
    "a",
    "\"",
    "\\",
    "\x01",
    "\x1f\"",
    "\xff",
    "\xc3\xa9",
    "\xe2\x82\xac",
    "\xf0\x9f\x98\x80",
    "\xf0\x9f\x98",
    "a\n",
};

static json_t *big_detail(size_t dumped)
{
	/* {"d":"..."} */
	char *text = repeated("x", dumped - 8);
	json_t *j = json_pack("{s:s}", "d", text);
	free(text);
	return j;
}

/* An actor who chooses a wild name must not be able to stop, or to break, the record of what he does. */
START_TEST(strings_never_make_an_event_fail)
{
	json_t *detail = big_detail(16384);
	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		for (size_t n = 500; n < 5000; n += n < 530 || (n > 1015 && n < 1035) ? 1 : 500) {
			char *text = repeated(units[i], n);
			struct ocu_event ev = {
			    .class_uid = OCU_OCSF_API_ACTIVITY,
			    .action = text,
			    .resource = text,
			    .actor_id = text,
			    .session_id = text,
			    .trace_id = text,
			    .outcome = OCU_OUTCOME_DENIED,
			    .reason = OCU_E_EGRESS_DENY_ALL,
			    .detail = detail,
			};
			json_t *j = rendered(&ev);
			ck_assert_uint_le(strlen(str(j, "actor_id")), 3072);
			json_decref(j);
			free(text);
		}
	}
	json_decref(detail);
}
END_TEST

START_TEST(strings_are_cut_at_a_kilobyte_between_characters)
{
	struct ocu_event ev = sample;
	char *text = repeated("a", 1024);
	ev.actor_id = text;
	json_t *j = rendered(&ev);
	ck_assert_str_eq(str(j, "actor_id"), text);
	json_decref(j);
	free(text);
	text = repeated("a", 1025);
	ev.actor_id = text;
	j = rendered(&ev);
	ck_assert_uint_eq(strlen(str(j, "actor_id")), 1024);
	json_decref(j);
	free(text);
	/* 341 characters of three bytes are 1023; the next one would pass the limit. */
	text = repeated("\xe2\x82\xac", 3000);
	ev.actor_id = text;
	j = rendered(&ev);
	ck_assert_uint_eq(strlen(str(j, "actor_id")), 1023);
	ck_assert_ptr_null(strstr(str(j, "actor_id"), "\xef\xbf\xbd"));
	json_decref(j);
	free(text);
}
END_TEST

START_TEST(only_size_can_fail)
{
	struct ocu_error err = {0};
	struct ocu_event ev = sample;
	struct ocu_buf b = OCU_BUF_INIT(OCU_EVENT_MAX);
	json_t *detail = big_detail(16384);
	ev.detail = detail;
	ck_assert_int_eq(ocu_event_render(&ev, &b, &err), 0);
	ck_assert_uint_eq(b.max, OCU_EVENT_MAX);
	json_decref(detail);
	detail = big_detail(16385);
	ev.detail = detail;
	ocu_buf_reset(&b);
	ck_assert_int_eq(ocu_event_render(&ev, &b, &err), OCU_E_TOO_LARGE);
	ck_assert_int_eq(err.code, OCU_E_TOO_LARGE);
	ck_assert_uint_eq(b.max, OCU_EVENT_MAX);
	json_decref(detail);
	ocu_buf_done(&b);
	/* Wherever the buffer ends. */
	detail = json_pack("{s:s}", "k", "value");
	ev.detail = detail;
	ck_assert_int_eq(ocu_event_render(&ev, &b, &err), 0);
	size_t whole = b.len;
	for (size_t max = 0; max < whole; max++) {
		ocu_buf_done(&b);
		b.max = max;
		err = (struct ocu_error){0};
		ck_assert_int_eq(ocu_event_render(&ev, &b, &err), OCU_E_TOO_LARGE);
		ck_assert_int_eq(err.code, OCU_E_TOO_LARGE);
		ck_assert_uint_eq(b.max, max);
	}
	json_decref(detail);
	/* Deeper than the strict parser at the other end would take. */
	detail = json_object();
	for (int depth = 1; depth <= OCU_JSON_DEPTH_MAX; depth++) {
		ocu_buf_done(&b);
		b.max = OCU_EVENT_MAX;
		ev.detail = detail;
		ck_assert_int_eq(ocu_event_render(&ev, &b, &err),
		                 depth < OCU_JSON_DEPTH_MAX ? 0 : OCU_E_INVALID);
		detail = json_pack("{s:o}", "k", detail);
	}
	json_decref(detail);
	ocu_buf_done(&b);
}
END_TEST

/* Several events in one buffer: a batch. */
START_TEST(rendering_appends)
{
	struct ocu_buf b = OCU_BUF_INIT(OCU_EVENT_MAX);
	ck_assert_int_eq(ocu_buf_puts(&b, "["), 0);
	ck_assert_int_eq(ocu_event_render(&sample, &b, NULL), 0);
	ocu_buf_puts(&b, ",");
	ck_assert_int_eq(ocu_event_render(&sample, &b, NULL), 0);
	ocu_buf_puts(&b, "]");
	json_t *j = NULL;
	ck_assert_int_eq(ocu_json_parse(b.data, b.len, OCU_EVENT_MAX, &j, NULL), 0);
	ck_assert_uint_eq(json_array_size(j), 2);
	ck_assert_int_eq(ocu_event_check(json_array_get(j, 1), NULL), 0);
	json_decref(j);
	ocu_buf_done(&b);
}
END_TEST

START_TEST(mistakes_of_the_program_are_errors)
{
	struct ocu_buf b = OCU_BUF_INIT(OCU_EVENT_MAX);
	struct ocu_event ev = sample;
	ev.class_uid = 1234;
	ck_assert_int_eq(ocu_event_render(&ev, &b, NULL), OCU_E_INVALID);
	ev = sample;
	ev.activity_id = 100;
	ck_assert_int_eq(ocu_event_render(&ev, &b, NULL), OCU_E_INVALID);
	ev.activity_id = -1;
	ck_assert_int_eq(ocu_event_render(&ev, &b, NULL), OCU_E_INVALID);
	ev = sample;
	ev.outcome = (enum ocu_outcome)3;
	ck_assert_int_eq(ocu_event_render(&ev, &b, NULL), OCU_E_INVALID);
	ck_assert_uint_eq(b.len, 0);
}
END_TEST

/* The path of a member and what it is set to, as JSON; NULL: removed. */
static const struct {
	const char *path[2];
	const char *value;
} breaks[] = {
    {{"class_uid"}, NULL},
    {{"class_uid"}, "\"1007\""},
    {{"class_uid"}, "1007.0"},
    {{"class_uid"}, "1"},
    {{"class_uid"}, "9007199254740993"},
    {{"metadata"}, NULL},
    {{"metadata"}, "\"1.3.0\""},
    {{"metadata", "version"}, NULL},
    {{"metadata", "version"}, "1.3"},
    {{"metadata", "version"}, "\"\""},
    {{"metadata", "version"}, "\"2.0.0\""},
    {{"time"}, NULL},
    {{"time"}, "0"},
    {{"time"}, "-5"},
    {{"time"}, "\"now\""},
    {{"time"}, "1.5e12"},
    {{"trace_id"}, NULL},
    {{"trace_id"}, "\"\""},
    {{"trace_id"}, "7"},
    {{"session_id"}, NULL},
    {{"session_id"}, "null"},
    {{"actor_id"}, NULL},
    {{"actor_id"}, "\"\""},
    {{"actor_id"}, "{}"},
    {{"resource"}, NULL},
    {{"resource"}, "[]"},
    {{"action"}, NULL},
    {{"action"}, "\"\""},
    {{"outcome"}, NULL},
    {{"outcome"}, "\"\""},
    {{"outcome"}, "\"Success\""},
    {{"outcome"}, "true"},
};

/* shows: NFR-MAINT-AUDIT-SCHEMA (in part) */
START_TEST(each_missing_or_wrong_member_is_refused)
{
	for (size_t i = 0; i < sizeof breaks / sizeof *breaks; i++) {
		json_t *j = rendered(&sample);
		json_t *in = breaks[i].path[1] ? json_object_get(j, breaks[i].path[0]) : j;
		const char *key = breaks[i].path[1] ? breaks[i].path[1] : breaks[i].path[0];
		if (breaks[i].value)
			json_object_set_new(in, key, json_loads(breaks[i].value, JSON_DECODE_ANY, NULL));
		else
			json_object_del(in, key);
		struct ocu_error err = {0};
		if (ocu_event_check(j, &err) != OCU_E_INVALID)
			ck_abort_msg("accepted: %s = %s", key, breaks[i].value);
		ck_assert_ptr_nonnull(strstr(err.text, key));
		json_decref(j);
	}
	json_t *list = json_array();
	ck_assert_int_eq(ocu_event_check(list, NULL), OCU_E_INVALID);
	json_decref(list);
	ck_assert_int_eq(ocu_event_check(NULL, NULL), OCU_E_INVALID);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libocu_ocsf");
	TCase *c = tcase_create("ocsf");

	tcase_add_test(c, an_event_is_ocsf_with_the_envelope);
	tcase_add_test(c, every_class_renders);
	tcase_add_test(c, outcomes_and_reasons);
	tcase_add_test(c, what_is_missing_is_filled_in);
	tcase_add_test(c, detail_goes_to_unmapped);
	tcase_add_test(c, strings_never_make_an_event_fail);
	tcase_add_test(c, strings_are_cut_at_a_kilobyte_between_characters);
	tcase_add_test(c, only_size_can_fail);
	tcase_add_test(c, rendering_appends);
	tcase_add_test(c, mistakes_of_the_program_are_errors);
	tcase_add_test(c, each_missing_or_wrong_member_is_refused);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
