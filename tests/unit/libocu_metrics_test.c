/* metrics: the text format to the letter, the edges of the buckets, and counts that threads do not lose. */
#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libocu/buf.h"
#include "libocu/err.h"
#include "libocu/metrics.h"

static char *render(void)
{
	struct ocu_buf b = OCU_BUF_INIT(1 << 20);
	ck_assert_int_eq(ocu_metrics_render(&b), 0);
	char *s = ocu_buf_steal(&b);
	ck_assert_ptr_nonnull(s);
	return s;
}

START_TEST(counters_and_gauges)
{
	ocu_counter_add(ocu_counter("ocu_calls_total", "tool=\"view\",outcome=\"ok\"", "Calls."), 2);
	ocu_gauge_set(ocu_gauge("ocu_sessions", NULL, "Live\nsessions \\ all."), 5);
	ocu_counter_add(ocu_counter("ocu_calls_total", "tool=\"bash\",outcome=\"ok\"", "ignored"), 1);
	ocu_gauge_add(ocu_gauge("ocu_sessions", NULL, ""), -8);
	char *s = render();
	ck_assert_str_eq(s, "# HELP ocu_calls_total Calls.\n"
	                    "# TYPE ocu_calls_total counter\n"
	                    "ocu_calls_total{tool=\"view\",outcome=\"ok\"} 2\n"
	                    "ocu_calls_total{tool=\"bash\",outcome=\"ok\"} 1\n"
	                    "# HELP ocu_sessions Live\\nsessions \\\\ all.\n"
	                    "# TYPE ocu_sessions gauge\n"
	                    "ocu_sessions -3\n");
	free(s);
}
END_TEST

START_TEST(histogram_buckets_are_cumulative)
{
	struct ocu_histogram *h = ocu_histogram("ocu_seconds", NULL, "Time.");
	/* On the edge, just over it, far over, in between. */
	static const uint64_t us[] = {0, 100, 101, 250, 1500000, 60000000, 60000001};
	for (size_t i = 0; i < sizeof us / sizeof *us; i++)
		ocu_histogram_us(h, us[i]);
	char *s = render();
	ck_assert_str_eq(s, "# HELP ocu_seconds Time.\n"
	                    "# TYPE ocu_seconds histogram\n"
	                    "ocu_seconds_bucket{le=\"0.0001\"} 2\n"
	                    "ocu_seconds_bucket{le=\"0.00025\"} 4\n"
	                    "ocu_seconds_bucket{le=\"0.0005\"} 4\n"
	                    "ocu_seconds_bucket{le=\"0.001\"} 4\n"
	                    "ocu_seconds_bucket{le=\"0.0025\"} 4\n"
	                    "ocu_seconds_bucket{le=\"0.005\"} 4\n"
	                    "ocu_seconds_bucket{le=\"0.01\"} 4\n"
	                    "ocu_seconds_bucket{le=\"0.025\"} 4\n"
	                    "ocu_seconds_bucket{le=\"0.05\"} 4\n"
	                    "ocu_seconds_bucket{le=\"0.1\"} 4\n"
	                    "ocu_seconds_bucket{le=\"0.25\"} 4\n"
	                    "ocu_seconds_bucket{le=\"0.5\"} 4\n"
	                    "ocu_seconds_bucket{le=\"1\"} 4\n"
	                    "ocu_seconds_bucket{le=\"2.5\"} 5\n"
	                    "ocu_seconds_bucket{le=\"5\"} 5\n"
	                    "ocu_seconds_bucket{le=\"10\"} 5\n"
	                    "ocu_seconds_bucket{le=\"30\"} 5\n"
	                    "ocu_seconds_bucket{le=\"60\"} 6\n"
	                    "ocu_seconds_bucket{le=\"+Inf\"} 7\n"
	                    "ocu_seconds_sum 121.500452\n"
	                    "ocu_seconds_count 7\n");
	free(s);
}
END_TEST

START_TEST(labels_of_a_histogram_come_before_le)
{
	ocu_histogram_us(ocu_histogram("h", "m=\"GET\"", NULL), 42);
	char *s = render();
	ck_assert_ptr_nonnull(strstr(s, "\nh_bucket{m=\"GET\",le=\"0.0001\"} 1\n"));
	ck_assert_ptr_nonnull(strstr(s, "\nh_sum{m=\"GET\"} 0.000042\n"));
	ck_assert_ptr_nonnull(strstr(s, "\nh_count{m=\"GET\"} 1\n"));
	free(s);
}
END_TEST

START_TEST(the_same_name_and_labels_are_one_series)
{
	struct ocu_counter *a = ocu_counter("a_total", "x=\"1\"", "h");
	ck_assert_ptr_eq(a, ocu_counter("a_total", "x=\"1\"", "h"));
	ck_assert_ptr_ne(a, ocu_counter("a_total", "x=\"2\"", "h"));
	ck_assert_ptr_ne(a, ocu_counter("a_total", NULL, "h"));
	ck_assert_ptr_eq(ocu_counter("a_total", NULL, "h"), ocu_counter("a_total", "", "h"));
	ocu_counter_add(a, UINT32_MAX);
	ocu_counter_add(a, 2);
	ck_assert_uint_eq(ocu_counter_value(a), UINT64_C(4294967297));
	ck_assert_uint_eq(ocu_counter_value(ocu_counter("a_total", "x=\"2\"", "h")), 0);
}
END_TEST

START_TEST(rendering_into_too_little_room_says_so)
{
	ocu_counter("a_total", NULL, "h");
	struct ocu_buf b = OCU_BUF_INIT(10);
	ck_assert_int_eq(ocu_metrics_render(&b), OCU_E_TOO_LARGE);
	ocu_buf_done(&b);
}
END_TEST

static void quiet(void)
{
	dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
}

START_TEST(a_name_of_two_kinds_aborts)
{
	quiet();
	ocu_counter("a_total", NULL, "h");
	ocu_gauge("a_total", NULL, "h");
}
END_TEST

START_TEST(a_bad_name_aborts)
{
	static const char *const names[] = {"", "1a", "a-b", "a b", "a{b", "\xc3\xa9"};
	quiet();
	ocu_counter(names[_i], NULL, "h");
}
END_TEST

START_TEST(a_runaway_of_series_aborts)
{
	quiet();
	for (int i = 0; i < 5000; i++) {
		char label[32];
		snprintf(label, sizeof label, "i=\"%d\"", i);
		ocu_counter("a_total", label, "h");
	}
}
END_TEST

static void *adder(void *arg)
{
	(void)arg;
	/* Registered from every thread as well: all must get the same one. */
	struct ocu_counter *c = ocu_counter("threads_total", NULL, "h");
	struct ocu_gauge *g = ocu_gauge("threads", NULL, "h");
	struct ocu_histogram *h = ocu_histogram("threads_seconds", NULL, "h");
	for (int i = 0; i < 20000; i++) {
		ocu_counter_add(c, 1);
		ocu_gauge_add(g, i % 2 ? 1 : -1);
		ocu_histogram_us(h, 7);
	}
	return NULL;
}

START_TEST(threads_lose_nothing)
{
	pthread_t t[4];
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, adder, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	char *s = render();
	ck_assert_ptr_nonnull(strstr(s, "\nthreads_total 80000\n"));
	ck_assert_ptr_nonnull(strstr(s, "\nthreads 0\n"));
	ck_assert_ptr_nonnull(strstr(s, "\nthreads_seconds_count 80000\n"));
	ck_assert_ptr_nonnull(strstr(s, "\nthreads_seconds_sum 0.560000\n"));
	free(s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libocu_metrics");
	TCase *c = tcase_create("metrics");

	tcase_add_test(c, counters_and_gauges);
	tcase_add_test(c, histogram_buckets_are_cumulative);
	tcase_add_test(c, labels_of_a_histogram_come_before_le);
	tcase_add_test(c, the_same_name_and_labels_are_one_series);
	tcase_add_test(c, rendering_into_too_little_room_says_so);
	tcase_add_test_raise_signal(c, a_name_of_two_kinds_aborts, SIGABRT);
	tcase_add_loop_test_raise_signal(c, a_bad_name_aborts, SIGABRT, 0, 6);
	tcase_add_test_raise_signal(c, a_runaway_of_series_aborts, SIGABRT);
	tcase_add_test(c, threads_lose_nothing);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
