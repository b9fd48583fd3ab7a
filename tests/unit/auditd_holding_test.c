/* What a store must say of an object for the local copy to go, and every way in which it may lie.
 * shows: NFR-COMP-01 (in part) */
#include <check.h>
#include <string.h>

#include "auditd/holding.h"
#include "libocu/err.h"

#define SHA    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
#define PUT    "Mon, 05 Jan 2026 10:00:00 GMT"
#define NOW    "Sun, 05 Apr 2026 10:00:00 GMT" /* 90 days later */
#define SEALED 1767607140                      /* a minute before it was put */

static struct holding h;
static struct holding_want w;
static struct ocu_error err;

static void setup(void)
{
	h = (struct holding){.size = 1000,
	                     .sha256 = SHA,
	                     .lock_mode = "COMPLIANCE",
	                     .lock_until = "2026-12-31T10:00:00Z", /* 360 days */
	                     .put = PUT,
	                     .now = NOW};
	w = (struct holding_want){.size = 1000,
	                          .sha256 = SHA,
	                          .lock = "compliance",
	                          .lock_days = 360,
	                          .hot_days = 90,
	                          .sealed = SEALED};
}

static void teardown(void)
{
}

static void must_not(int code, const char *why)
{
	ck_assert_int_eq(holding_check(&h, &w, &err), code);
	ck_assert_msg(strstr(err.text, why) != NULL, "%s", err.text);
	setup();
	ck_assert_int_eq(holding_check(&h, &w, &err), 0);
}

START_TEST(test_other_bytes)
{
	h.size = 999;
	must_not(OCU_E_EXISTS, "other bytes");
	h.size = -1;
	must_not(OCU_E_EXISTS, "other bytes");
	h.sha256 = "";
	must_not(OCU_E_EXISTS, "other bytes");
	h.sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a09";
	must_not(OCU_E_EXISTS, "other bytes");
}
END_TEST

START_TEST(test_lock)
{
	h.lock_mode = "";
	must_not(OCU_E_STATE, "not locked");
	h.lock_mode = "OFF";
	must_not(OCU_E_STATE, "not locked");
	h.lock_mode = "GOVERNANCE";
	must_not(OCU_E_STATE, "governance");
	w.lock = "governance";
	ck_assert_int_eq(holding_check(&h, &w, &err), 0);
	h.lock_mode = "GOVERNANCE";
	ck_assert_int_eq(holding_check(&h, &w, &err), 0);
	h.lock_mode = "";
	must_not(OCU_E_STATE, "not locked");
}
END_TEST

START_TEST(test_lock_is_long_enough)
{
	static const char *const never[] = {"",
	                                    "2026-12-31",
	                                    "2026-12-31T10:00:00+02:00",
	                                    "never",
	                                    "2026-12-31T10:00:00Zz",
	                                    "2026-13-31T10:00:00Z"};
	for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
		h.lock_until = never[i];
		must_not(OCU_E_STATE, "not locked for archive_days");
	}
	h.lock_until = "2026-12-31T10:00:00.000000000Z";
	ck_assert_int_eq(holding_check(&h, &w, &err), 0);
	h.lock_until = "2026-12-31T09:58:00Z"; /* before 360 days from the seal are over */
	must_not(OCU_E_STATE, "not locked for archive_days");
	w.lock_days = 3653; /* raised since */
	must_not(OCU_E_STATE, "not locked for archive_days");
	/* It is of the seal that a store cannot say anything: an object of 1990 does not shorten it. */
	h.put = "Mon, 01 Jan 1990 10:00:00 GMT";
	h.lock_until = "2026-06-01T10:00:00Z";
	must_not(OCU_E_STATE, "not locked for archive_days");
	/* Put late, and locked from the seal only. */
	h.put = "Sun, 25 Jan 2026 10:00:00 GMT";
	must_not(OCU_E_STATE, "not locked for archive_days");
}
END_TEST

START_TEST(test_lock_is_not_over)
{
	w.lock_days = 30;
	h.lock_until = "2026-02-05T10:00:00Z";
	must_not(OCU_E_STATE, "is over");
}
END_TEST

START_TEST(test_without_a_lock_of_ours)
{
	w.lock = "none";
	h.lock_mode = h.lock_until = "";
	ck_assert_int_eq(holding_check(&h, &w, &err), 0);
	h.sha256 = "";
	must_not(OCU_E_EXISTS, "other bytes");
	w.lock = "none";
	h.now = PUT;
	must_not(OCU_E_STATE, "store's clock");
}
END_TEST

/* The store's own clock, whatever ours says. */
START_TEST(test_not_there_for_long_enough)
{
	h.now = "Sun, 05 Apr 2026 09:59:59 GMT";
	must_not(OCU_E_STATE, "store's clock");
	h.put = NOW;
	w.lock_days = 1;
	must_not(OCU_E_STATE, "store's clock");
	h.now = "";
	must_not(OCU_E_STATE, "does not say");
	h.put = "yesterday";
	must_not(OCU_E_STATE, "does not say");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("auditd_holding");
	TCase *tc = tcase_create("holding");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_other_bytes);
	tcase_add_test(tc, test_lock);
	tcase_add_test(tc, test_lock_is_long_enough);
	tcase_add_test(tc, test_lock_is_not_over);
	tcase_add_test(tc, test_without_a_lock_of_ours);
	tcase_add_test(tc, test_not_there_for_long_enough);
	suite_add_tcase(s, tc);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
