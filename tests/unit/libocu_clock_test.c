/*
 * clock: against clocks of our own. clock_gettime() is replaced in this program for the two clocks that
 * libocu reads, so that the wall clock can be set back without touching the machine's.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "libocu/clock.h"
#include "libocu/err.h"

#define MINUTE INT64_C(60000)
#define HOUR   INT64_C(3600000)
/* 2026-11-23T20:51:00.123Z */
#define NOW INT64_C(1795467060123)

static int64_t fake_wall_ms = NOW;
static int64_t fake_boot_ms = 5000;

int clock_gettime(clockid_t id, struct timespec *ts)
{
	int64_t ms = id == CLOCK_REALTIME ? fake_wall_ms : fake_boot_ms;
	if (id != CLOCK_REALTIME && id != CLOCK_BOOTTIME)
		return (int)syscall(SYS_clock_gettime, id, ts);
	*ts = (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	return 0;
}

static void pass(int64_t ms)
{
	fake_wall_ms += ms;
	fake_boot_ms += ms;
}

START_TEST(monotonic_is_boottime)
{
	ck_assert_uint_eq(ocu_mono_ms(), 5000);
	ck_assert_uint_eq(ocu_mono_ns(), 5000000000u);
	fake_wall_ms += HOUR;
	ck_assert_uint_eq(ocu_mono_ms(), 5000);
	fake_boot_ms += 7;
	ck_assert_uint_eq(ocu_mono_ms(), 5007);
}
END_TEST

START_TEST(wall_follows_the_wall_clock)
{
	ck_assert_int_eq(ocu_wall_ms(), NOW);
	ck_assert_int_eq(ocu_wall_s(), NOW / 1000);
	pass(1500);
	ck_assert_int_eq(ocu_wall_ms(), NOW + 1500);
}
END_TEST

/* shows: NFR-SEC-48 (in part) */
START_TEST(setting_the_wall_clock_back_extends_nothing)
{
	ck_assert_int_eq(ocu_wall_ms(), NOW);
	fake_wall_ms -= HOUR;
	ck_assert_int_eq(ocu_wall_ms(), NOW);
	pass(MINUTE);
	ck_assert_int_eq(ocu_wall_ms(), NOW + MINUTE);
	fake_wall_ms = 0;
	pass(MINUTE);
	ck_assert_int_eq(ocu_wall_ms(), NOW + 2 * MINUTE);
	ck_assert_int_eq(ocu_wall_s(), (NOW + 2 * MINUTE) / 1000);
}
END_TEST

START_TEST(setting_it_forward_counts_and_stays)
{
	ocu_wall_ms();
	fake_wall_ms += HOUR;
	ck_assert_int_eq(ocu_wall_ms(), NOW + HOUR);
	fake_wall_ms -= HOUR;
	pass(MINUTE);
	ck_assert_int_eq(ocu_wall_ms(), NOW + HOUR + MINUTE);
}
END_TEST

static const struct {
	int64_t ms;
	const char *text;
} instants[] = {
    {0, "1970-01-01T00:00:00.000Z"},
    {NOW, "2026-11-23T20:51:00.123Z"},
    {951782399999, "2000-02-28T23:59:59.999Z"},
    {951782400000, "2000-02-29T00:00:00.000Z"},
    {951868800000, "2000-03-01T00:00:00.000Z"},
    {4107542399999, "2100-02-28T23:59:59.999Z"},
    {4107542400000, "2100-03-01T00:00:00.000Z"},
    {253402300799999, "9999-12-31T23:59:59.999Z"},
    /* Out of what RFC 3339 can say: the nearest instant that it can. */
    {253402300800000, "9999-12-31T23:59:59.999Z"},
    {INT64_MAX, "9999-12-31T23:59:59.999Z"},
    {-1, "1970-01-01T00:00:00.000Z"},
    {INT64_MIN, "1970-01-01T00:00:00.000Z"},
};

START_TEST(rfc3339_instants)
{
	for (size_t i = 0; i < sizeof instants / sizeof *instants; i++) {
		char out[32];
		ocu_time_rfc3339(instants[i].ms, out);
		ck_assert_str_eq(out, instants[i].text);
	}
}
END_TEST

START_TEST(rfc3339_agrees_with_gmtime)
{
	for (int64_t s = 0; s < INT64_C(16725225600); s += 259197) {
		time_t t = (time_t)s;
		struct tm tm;
		char want[40], got[32];
		gmtime_r(&t, &tm);
		strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%S.042Z", &tm);
		ocu_time_rfc3339(s * 1000 + 42, got);
		if (strcmp(want, got) != 0)
			ck_abort_msg("%s is not %s", got, want);
	}
}
END_TEST

static char dir[] = "/tmp/ocu-clock-XXXXXX";
static char path[64];

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/clock-floor", dir);
}

static void teardown(void)
{
	unlink(path);
	rmdir(dir);
}

static void write_floor(const char *text)
{
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

/* shows: NFR-SEC-48 (in part) */
START_TEST(the_floor_survives_a_restart)
{
	struct ocu_error err = {0};
	char text[64];
	ck_assert_int_eq(ocu_clock_floor_load(path, &err), 0);
	ck_assert_int_eq(ocu_clock_floor_save(path, &err), 0);
	snprintf(text, sizeof text, "%lld\n", (long long)(NOW + HOUR));
	write_floor(text);
	/* As a new process would find it: the wall clock an hour before the floor. */
	ck_assert_int_eq(ocu_clock_floor_load(path, &err), 0);
	ck_assert_int_eq(ocu_wall_ms(), NOW + HOUR);
	pass(MINUTE);
	ck_assert_int_eq(ocu_wall_ms(), NOW + HOUR + MINUTE);
	ck_assert_int_eq(ocu_clock_floor_save(path, &err), 0);
	char back[64] = "";
	FILE *f = fopen(path, "r");
	ck_assert_ptr_nonnull(fgets(back, sizeof back, f));
	fclose(f);
	snprintf(text, sizeof text, "%lld\n", (long long)(NOW + HOUR + MINUTE));
	ck_assert_str_eq(back, text);
	/* An older floor lowers nothing. */
	write_floor("1000\n");
	ck_assert_int_eq(ocu_clock_floor_load(path, &err), 0);
	ck_assert_int_eq(ocu_wall_ms(), NOW + HOUR + MINUTE);
}
END_TEST

START_TEST(saving_leaves_nothing_behind)
{
	struct ocu_error err = {0};
	char draft[80];
	snprintf(draft, sizeof draft, "%s.new", path);
	ck_assert_int_eq(ocu_clock_floor_save(path, &err), 0);
	ck_assert_int_ne(access(draft, F_OK), 0);
	/* A folder in its place cannot be replaced by a file. */
	unlink(path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(ocu_clock_floor_save(path, &err), OCU_E_IO);
	ck_assert_int_ne(access(draft, F_OK), 0);
	ck_assert_int_eq(ocu_clock_floor_load(path, &err), OCU_E_IO);
	rmdir(path);
	/* An existing draft that is a link is not written through. */
	ck_assert_int_eq(symlink("/dev/null", draft), 0);
	ck_assert_int_eq(ocu_clock_floor_save(path, &err), OCU_E_IO);
}
END_TEST

START_TEST(a_bad_floor_file_is_an_error)
{
	static const char *const texts[] = {"",
	                                    "\n",
	                                    "12",
	                                    "12 \n",
	                                    "-1\n",
	                                    "x\n",
	                                    "99999999999999999999\n",
	                                    "9223372036854775807\n",
	                                    "12\n13\n",
	                                    "12345678901234567890123456789012345\n"};
	struct ocu_error err = {0};
	write_floor("0\n");
	ck_assert_int_eq(ocu_clock_floor_load(path, &err), 0);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		write_floor(texts[i]);
		ck_assert_int_eq(ocu_clock_floor_load(path, &err), OCU_E_PARSE);
		ck_assert_int_eq(ocu_wall_ms(), NOW);
	}
	unlink(path);
	ck_assert_int_eq(symlink("/dev/null", path), 0);
	ck_assert_int_eq(ocu_clock_floor_load(path, &err), OCU_E_IO);
	ck_assert_int_eq(ocu_clock_floor_save("/nonexistent/floor", &err), OCU_E_IO);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libocu_clock");
	TCase *c = tcase_create("clock");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, monotonic_is_boottime);
	tcase_add_test(c, wall_follows_the_wall_clock);
	tcase_add_test(c, setting_the_wall_clock_back_extends_nothing);
	tcase_add_test(c, setting_it_forward_counts_and_stays);
	tcase_add_test(c, rfc3339_instants);
	tcase_add_test(c, rfc3339_agrees_with_gmtime);
	tcase_add_test(c, the_floor_survives_a_restart);
	tcase_add_test(c, saving_leaves_nothing_behind);
	tcase_add_test(c, a_bad_floor_file_is_an_error);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
