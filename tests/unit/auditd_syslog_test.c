/* A record as a syslog message, byte by byte. */
#include "auditd/syslog.h"
#include "libocu/buf.h"
#include "tests/unit/auditd_fixture.h"

static const char hash[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

static struct ocu_buf message(const char *host, unsigned facility, const char *event)
{
	struct ocu_buf b = OCU_BUF_INIT(1 << 20);
	struct syslog_origin o;
	const struct ocu_trail_record r = {.number = 7,
	                                   .time = "2026-11-23T20:51:00.123Z and more",
	                                   .source = "sandboxd/node-1\",",
	                                   .source_len = 15,
	                                   .event = event,
	                                   .event_len = strlen(event),
	                                   .hash = hash};
	syslog_origin_init(&o, host, facility);
	ck_assert_int_eq(syslog_put(&b, &o, "trl_1", &r), 0);
	return b;
}

/* The frame's length is that of what follows, which is returned. */
static const char *body(const struct ocu_buf *b)
{
	char *rest;
	unsigned long n = strtoul(b->data, &rest, 10);
	ck_assert_int_eq(*rest, ' ');
	ck_assert_uint_eq(n, strlen(rest + 1));
	return rest + 1;
}

START_TEST(test_the_whole_message)
{
	OCU_BUF struct ocu_buf b =
	    message("host.example", 13, "{\"action\":\"tool.call\",\"outcome\":\"success\"}");
	ck_assert_str_eq(body(&b),
	                 "<110>1 2026-11-23T20:51:00.123Z host.example ocu sandboxd/node-1 tool.call "
	                 "[ocu@32473 trail=\"trl_1\" n=\"7\" hash=\"00112233445566778899aabbccddeeff"
	                 "00112233445566778899aabbccddeeff\"] "
	                 "{\"action\":\"tool.call\",\"outcome\":\"success\"}");
}
END_TEST

START_TEST(test_priority_says_the_outcome)
{
	static const struct {
		const char *outcome, *pri;
	} rows[] = {{"success", "<6>1 "}, {"failure", "<4>1 "}, {"denied", "<5>1 "}, {"else", "<6>1 "}};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char event[64];
		snprintf(event, sizeof event, "{\"outcome\":\"%s\"}", rows[i].outcome);
		OCU_BUF struct ocu_buf b = message("h", 0, event);
		ck_assert_int_eq(strncmp(body(&b), rows[i].pri, 5), 0);
	}
}
END_TEST

/* An event's action is a sender's; it cannot begin another field, another message or an element of its own.
 */
START_TEST(test_no_field_from_an_action)
{
	static const char *const actions[] = {"",         "two words", "line\\nbreak",
	                                      "x] [evil", "\\u00fc",   "a-name-of-thirty-three-characters"};
	for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
		char event[128];
		snprintf(event, sizeof event, "{\"action\":\"%s\"}", actions[i]);
		OCU_BUF struct ocu_buf b = message("h", 13, event);
		ck_assert_ptr_nonnull(strstr(body(&b), " sandboxd/node-1 - [ocu@32473 "));
	}
	OCU_BUF struct ocu_buf b = message("h", 13, "[1]");
	ck_assert_ptr_nonnull(strstr(body(&b), " - [ocu@32473 "));
}
END_TEST

START_TEST(test_no_field_from_a_host)
{
	char big[300];
	memset(big, 'h', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	const char *const hosts[] = {"", "a b", "a\nb", "h\xc3\xa4", big};
	for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
		OCU_BUF struct ocu_buf b = message(hosts[i], 13, "{}");
		ck_assert_ptr_nonnull(strstr(body(&b), "Z - ocu "));
	}
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_test(tc, test_the_whole_message);
	tcase_add_test(tc, test_priority_says_the_outcome);
	tcase_add_test(tc, test_no_field_from_an_action);
	tcase_add_test(tc, test_no_field_from_a_host);
}

int main(void)
{
	return af_main("auditd_syslog", add);
}
