/* log: stderr is a datagram socket here, so that each write(2) is seen as one piece. */
#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libocu/err.h"
#include "libocu/log.h"

static int sink = -1;
static int real_stderr = -1;

static void setup(void)
{
	int pair[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	real_stderr = dup(STDERR_FILENO);
	dup2(pair[1], STDERR_FILENO);
	close(pair[1]);
	sink = pair[0];
	ocu_log_init("brokerd", OCU_LOG_INFO);
}

static void teardown(void)
{
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	close(sink);
}

/* The next line, which must be one JSON object in one write; NULL when there is none. */
static json_t *line(void)
{
	char text[16384];
	ssize_t n = recv(sink, text, sizeof text, MSG_DONTWAIT);
	if (n < 0)
		return NULL;
	ck_assert_int_gt(n, 1);
	ck_assert_int_le(n, 4096);
	ck_assert_int_eq(text[n - 1], '\n');
	ck_assert_ptr_null(memchr(text, '\n', (size_t)n - 1));
	json_t *j = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
	ck_assert_ptr_nonnull(j);
	return j;
}

static const char *str(json_t *j, const char *key)
{
	return json_string_value(json_object_get(j, key));
}

START_TEST(a_line_has_the_members_in_order)
{
	ocu_log(OCU_LOG_WARN, "session.created", "trc_1", "profile", "untrusted", "skipped", NULL, "tier",
	        "runc", NULL);
	json_t *j = line();
	static const char *const keys[] = {"time",     "level",   "component", "event",
	                                   "trace_id", "profile", "tier"};
	size_t i = 0;
	const char *key;
	json_t *v;
	json_object_foreach(j, key, v)
	{
		ck_assert_uint_lt(i, sizeof keys / sizeof *keys);
		ck_assert_str_eq(key, keys[i++]);
	}
	ck_assert_uint_eq(i, 7);
	ck_assert_str_eq(str(j, "level"), "warn");
	ck_assert_str_eq(str(j, "component"), "brokerd");
	ck_assert_str_eq(str(j, "event"), "session.created");
	ck_assert_str_eq(str(j, "trace_id"), "trc_1");
	ck_assert_str_eq(str(j, "profile"), "untrusted");
	ck_assert_uint_eq(strlen(str(j, "time")), 24);
	json_decref(j);
	ck_assert_ptr_null(line());
}
END_TEST

START_TEST(what_is_below_the_level_is_not_written)
{
	ocu_log(OCU_LOG_DEBUG, "x", NULL, NULL);
	ck_assert_ptr_null(line());
	ocu_log_init("a", OCU_LOG_ERROR);
	ocu_log(OCU_LOG_WARN, "x", NULL, NULL);
	ck_assert_ptr_null(line());
	ocu_log(OCU_LOG_ERROR, "x", NULL, NULL);
	json_t *j = line();
	ck_assert_str_eq(str(j, "component"), "a");
	ck_assert_ptr_null(json_object_get(j, "trace_id"));
	json_decref(j);
	ocu_log_init("a", OCU_LOG_DEBUG);
	ocu_log(OCU_LOG_DEBUG, "x", "", NULL);
	j = line();
	ck_assert_str_eq(str(j, "level"), "debug");
	ck_assert_ptr_null(json_object_get(j, "trace_id"));
	json_decref(j);
}
END_TEST

/* A value from outside must not end the line or the string, whatever it holds. */
START_TEST(values_cannot_forge_a_line)
{
	const char *evil = "x\"}\n{\"level\":\"info\",\"event\":\"forged\"}\n\x1b[31m\xff\xfe";
	ocu_log(OCU_LOG_INFO, "peer", evil, "value", evil, NULL);
	json_t *j = line();
	ck_assert_str_eq(str(j, "event"), "peer");
	ck_assert_ptr_nonnull(strstr(str(j, "value"), "forged"));
	json_decref(j);
	ck_assert_ptr_null(line());
}
END_TEST

START_TEST(long_lines_stay_whole)
{
	char big[8000];
	memset(big, 'v', sizeof big);
	big[sizeof big - 1] = '\0';
	ocu_log(OCU_LOG_INFO, "one", NULL, "big", big, "after", "kept", NULL);
	json_t *j = line();
	ck_assert_uint_eq(strlen(str(j, "big")), 1024);
	ck_assert_str_eq(str(j, "after"), "kept");
	ck_assert(json_is_true(json_object_get(j, "truncated")));
	json_decref(j);

	ocu_log(OCU_LOG_INFO, "many", NULL, "a", big, "b", big, "c", big, "d", big, "e", "small", NULL);
	j = line();
	ck_assert_ptr_nonnull(str(j, "c"));
	ck_assert_ptr_null(str(j, "d"));
	ck_assert_str_eq(str(j, "e"), "small");
	ck_assert(json_is_true(json_object_get(j, "truncated")));
	json_decref(j);

	/* 1024 control characters become six times as many bytes. */
	memset(big, '\x01', 1024);
	big[1024] = '\0';
	ocu_log(OCU_LOG_INFO, big, big, "a", "kept", NULL);
	j = line();
	ck_assert_ptr_null(str(j, "event"));
	ck_assert_str_eq(str(j, "a"), "kept");
	json_decref(j);
}
END_TEST

START_TEST(a_value_that_just_fits_is_whole)
{
	char text[1026];
	memset(text, 'v', sizeof text);
	for (size_t len = 1023; len <= 1025; len++) {
		text[len] = '\0';
		ocu_log(OCU_LOG_INFO, "fits", NULL, "value", text, NULL);
		text[len] = 'v';
		json_t *j = line();
		ck_assert_uint_eq(strlen(str(j, "value")), len > 1024 ? 1024 : len);
		ck_assert_int_eq(json_is_true(json_object_get(j, "truncated")), len > 1024);
		json_decref(j);
	}
}
END_TEST

START_TEST(a_value_is_cut_between_characters)
{
	for (size_t shift = 0; shift < 4; shift++) {
		char big[3000] = "";
		memset(big, 'v', 1020 + shift);
		big[1020 + shift] = '\0';
		for (int i = 0; i < 100; i++)
			strncat(big, "\xf0\x9f\x98\x80", sizeof big - strlen(big) - 1);
		ocu_log(OCU_LOG_INFO, "cut", NULL, "big", big, NULL);
		json_t *j = line();
		ck_assert_ptr_nonnull(str(j, "big"));
		ck_assert_ptr_null(strstr(str(j, "big"), "\xef\xbf\xbd"));
		ck_assert_uint_eq(strlen(str(j, "big")), shift ? 1020 + shift : 1024);
		json_decref(j);
	}
}
END_TEST

START_TEST(errors_are_logged_with_their_reason)
{
	struct ocu_error e = {0};
	ocu_error_errno(&e, OCU_E_AUDIT, ECONNREFUSED, "append");
	errno = EBADF;
	ocu_log_error(OCU_LOG_ERROR, "audit.failed", "trc_2", &e);
	ck_assert_int_eq(errno, EBADF);
	json_t *j = line();
	ck_assert_str_eq(str(j, "reason_code"), "audit_unavailable");
	ck_assert_str_eq(str(j, "error"), "append: Connection refused");
	ck_assert_str_eq(str(j, "errno"), "ECONNREFUSED");
	ck_assert_str_eq(str(j, "trace_id"), "trc_2");
	json_decref(j);
	ocu_error_set(&e, OCU_E_DENIED, "no");
	ocu_log_error(OCU_LOG_ERROR, "x", NULL, &e);
	j = line();
	ck_assert_str_eq(str(j, "reason_code"), "denied");
	ck_assert_ptr_null(json_object_get(j, "errno"));
	json_decref(j);
}
END_TEST

START_TEST(a_closed_stderr_is_survived)
{
	close(sink);
	signal(SIGPIPE, SIG_IGN);
	ocu_log(OCU_LOG_ERROR, "x", NULL, NULL);
	close(STDERR_FILENO);
	ocu_log(OCU_LOG_ERROR, "x", NULL, NULL);
	sink = -1;
}
END_TEST

START_TEST(levels_by_name)
{
	enum ocu_log_level l = OCU_LOG_WARN;
	ck_assert_int_eq(ocu_log_level_parse("debug", &l), 0);
	ck_assert_int_eq(l, OCU_LOG_DEBUG);
	ck_assert_int_eq(ocu_log_level_parse("error", &l), 0);
	ck_assert_int_eq(l, OCU_LOG_ERROR);
	ck_assert_int_ne(ocu_log_level_parse("ERROR", &l), 0);
	ck_assert_int_ne(ocu_log_level_parse("", &l), 0);
	ck_assert_int_ne(ocu_log_level_parse(NULL, &l), 0);
	ck_assert_int_eq(l, OCU_LOG_ERROR);
}
END_TEST

static void *writer(void *arg)
{
	for (int i = 0; i < 500; i++)
		ocu_log(OCU_LOG_INFO, "thread", NULL, "who", arg, "pad", "0123456789abcdef0123456789abcdef",
		        NULL);
	return NULL;
}

START_TEST(lines_of_threads_do_not_mix)
{
	pthread_t a, b;
	ck_assert_int_eq(pthread_create(&a, NULL, writer, "a"), 0);
	ck_assert_int_eq(pthread_create(&b, NULL, writer, "b"), 0);
	int seen[2] = {0};
	for (int i = 0; i < 1000; i++) {
		char text[4096];
		ssize_t n = recv(sink, text, sizeof text, 0);
		ck_assert_int_gt(n, 0);
		json_t *j = json_loadb(text, (size_t)n, 0, NULL);
		ck_assert_ptr_nonnull(j);
		seen[str(j, "who")[0] - 'a']++;
		json_decref(j);
	}
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	ck_assert_int_eq(seen[0], 500);
	ck_assert_int_eq(seen[1], 500);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libocu_log");
	TCase *c = tcase_create("log");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, a_line_has_the_members_in_order);
	tcase_add_test(c, what_is_below_the_level_is_not_written);
	tcase_add_test(c, values_cannot_forge_a_line);
	tcase_add_test(c, long_lines_stay_whole);
	tcase_add_test(c, a_value_that_just_fits_is_whole);
	tcase_add_test(c, a_value_is_cut_between_characters);
	tcase_add_test(c, errors_are_logged_with_their_reason);
	tcase_add_test(c, a_closed_stderr_is_survived);
	tcase_add_test(c, levels_by_name);
	tcase_add_test(c, lines_of_threads_do_not_mix);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
