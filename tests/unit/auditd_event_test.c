/* What becomes evidence and what does not. */
#include "auditd/event.h"
#include "libocu/json.h"
#include "tests/unit/auditd_fixture.h"

static const char *data;
static size_t len;
static char *owned;
static struct ocu_error err;

static int accept_text(const char *text, size_t n)
{
	free(owned);
	owned = NULL;
	memset(&err, 0, sizeof err);
	data = text;
	len = n;
	return event_accept(&data, &len, &owned, &err);
}

static void teardown(void)
{
	free(owned);
	owned = NULL;
}

static struct ocu_buf good(void)
{
	struct ocu_buf b = OCU_BUF_INIT((size_t)2 * OCU_EVENT_MAX);
	af_event(&b, "ses_01JC0000000000000000000000", "true");
	return b;
}

START_TEST(test_good_is_taken_as_it_is)
{
	struct ocu_buf b = good();
	ck_assert_int_eq(accept_text(b.data, b.len), 0);
	ck_assert_ptr_eq(data, b.data);
	ck_assert_uint_eq(len, b.len);
	ck_assert_ptr_null(owned);
	ocu_buf_done(&b);
}
END_TEST

START_TEST(test_space_around_is_cut)
{
	struct ocu_buf b = good(), spaced = OCU_BUF_INIT(OCU_EVENT_MAX);
	ocu_buf_puts(&spaced, " \n\t");
	ocu_buf_put(&spaced, b.data, b.len);
	ocu_buf_puts(&spaced, "\r\n ");
	ck_assert_int_eq(accept_text(spaced.data, spaced.len), 0);
	ck_assert_uint_eq(len, b.len);
	ck_assert_mem_eq(data, b.data, len);
	ocu_buf_done(&b);
	ocu_buf_done(&spaced);
}
END_TEST

/* Every prefix of an event is no event. */
START_TEST(test_every_truncation)
{
	struct ocu_buf b = good();
	for (size_t n = 0; n < b.len; n++)
		ck_assert_msg(accept_text(b.data, n) < 0, "%zu bytes", n);
	ocu_buf_done(&b);
}
END_TEST

/* Without any one of its members an event is refused, or it was not a mandatory one. */
START_TEST(test_mandatory_members)
{
	static const char *const mandatory[] = {"class_uid", "metadata", "time",   "trace_id", "session_id",
	                                        "actor_id",  "resource", "action", "outcome"};
	struct ocu_buf b = good(), text = OCU_BUF_INIT(OCU_EVENT_MAX);
	for (size_t i = 0; i < sizeof mandatory / sizeof *mandatory; i++) {
		json_t *j = NULL;
		ck_assert_int_eq(ocu_json_parse(b.data, b.len, OCU_EVENT_MAX, &j, NULL), 0);
		json_object_del(j, mandatory[i]);
		ocu_buf_reset(&text);
		ocu_json_dump(j, &text);
		ck_assert_msg(accept_text(text.data, text.len) == OCU_E_INVALID, "%s", mandatory[i]);
		json_decref(j);
	}
	ocu_buf_done(&b);
	ocu_buf_done(&text);
}
END_TEST

START_TEST(test_garbage)
{
	static const char *const bad[] = {"",
	                                  "null",
	                                  "[]",
	                                  "\"x\"",
	                                  "{",
	                                  "{\"a\":1,\"a\":2}",
	                                  "{\"a\":\"\xff\"}",
	                                  "{\"a\":NaN}",
	                                  "{\"a\":\"\\u0000\"}",
	                                  "{}{}",
	                                  "{\"a\":\"\n\"}"};
	char deep[200];
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		ck_assert_msg(accept_text(bad[i], strlen(bad[i])) < 0, "%s", bad[i]);
		ck_assert_uint_lt(strlen(err.text), OCU_ERROR_TEXT_MAX);
		ck_assert_uint_gt(strlen(err.text), 0);
	}
	memset(deep, '[', sizeof deep);
	ck_assert_int_eq(accept_text(deep, sizeof deep), OCU_E_PARSE);
	ck_assert_int_lt(accept_text(NULL, 0), 0);
}
END_TEST

START_TEST(test_oversize)
{
	struct ocu_buf b = good();
	size_t n = b.len;
	while (b.len <= OCU_EVENT_MAX)
		ocu_buf_putc(&b, ' ');
	ck_assert_int_eq(accept_text(b.data, b.len), OCU_E_TOO_LARGE);
	ck_assert_int_eq(accept_text(b.data, OCU_EVENT_MAX), 0);
	ck_assert_uint_eq(len, n);
	ocu_buf_done(&b);
}
END_TEST

/* An event that says who it is from: the saying is dropped, the rest stays. */
START_TEST(test_source_claims_are_dropped)
{
	struct ocu_buf b = good(), text = OCU_BUF_INIT(OCU_EVENT_MAX);
	json_t *j = NULL, *back = NULL;
	ck_assert_int_eq(ocu_json_parse(b.data, b.len, OCU_EVENT_MAX, &j, NULL), 0);
	json_t *meta = json_object_get(j, "metadata");
	json_object_set_new(j, "source", json_string("operatord"));
	json_object_set_new(meta, "source", json_string("operatord"));
	json_object_set_new(meta, "log_provider", json_string("operatord"));
	json_object_set_new(meta, "loggers", json_pack("[{s:s}]", "name", "operatord"));
	json_object_set_new(json_object_get(meta, "product"), "feature",
	                    json_pack("{s:s}", "name", "operatord"));
	ocu_json_dump(j, &text);
	ck_assert_int_eq(accept_text(text.data, text.len), 0);
	ck_assert_ptr_nonnull(owned);
	ck_assert_ptr_eq(data, owned);
	ck_assert_ptr_null(memmem(data, len, "operatord", 9));
	ck_assert_int_eq(ocu_json_parse(data, len, OCU_EVENT_MAX, &back, NULL), 0);
	ck_assert_int_eq(ocu_event_check(back, NULL), 0);
	ck_assert_uint_eq(len, b.len);
	json_decref(j);
	json_decref(back);
	ocu_buf_done(&b);
	ocu_buf_done(&text);
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_test(tc, test_good_is_taken_as_it_is);
	tcase_add_test(tc, test_space_around_is_cut);
	tcase_add_test(tc, test_every_truncation);
	tcase_add_test(tc, test_mandatory_members);
	tcase_add_test(tc, test_garbage);
	tcase_add_test(tc, test_oversize);
	tcase_add_test(tc, test_source_claims_are_dropped);
}

/* shows: NFR-MAINT-AUDIT-SCHEMA (in part), NFR-SEC-51 */
int main(void)
{
	return af_main("auditd_event", add);
}
