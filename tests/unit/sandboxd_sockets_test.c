/* How many sockets a sandbox may have, also where they cannot be counted.
 * shows: NFR-SEC-46, NFR-SEC-74 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandboxd/sockets.h"

static char process[32];
static char net[64], file[96];
static unsigned uncounted;

static void setup(void)
{
	uncounted = 0;
	snprintf(process, sizeof process, "/tmp/ocu-sockets-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(process));
	snprintf(net, sizeof net, "%s/net", process);
	snprintf(file, sizeof file, "%s/sockstat", net);
	ck_assert_int_eq(mkdir(net, 0700), 0);
}

static void teardown(void)
{
	if (unlink(file) < 0)
		rmdir(file);
	rmdir(net);
	rmdir(process);
}

static void says(const char *text)
{
	FILE *f = fopen(file, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

START_TEST(many_are_too_many)
{
	char text[64];

	says("sockets: used 12\nTCP: inuse 1\n");
	ck_assert_ptr_null(sockets_look(process, &uncounted));
	snprintf(text, sizeof text, "sockets: used %d\n", SOCKETS_MAX);
	says(text);
	ck_assert_ptr_null(sockets_look(process, &uncounted));
	snprintf(text, sizeof text, "sockets: used %d\n", SOCKETS_MAX + 1);
	says(text);
	ck_assert_ptr_nonnull(strstr(sockets_look(process, &uncounted), "more sockets"));
}
END_TEST

static void ends_at_last(void)
{
	for (int i = 1; i < SOCKETS_UNCOUNTED; i++)
		ck_assert_ptr_null(sockets_look(process, &uncounted));
	ck_assert_ptr_nonnull(strstr(sockets_look(process, &uncounted), "counted"));
}

START_TEST(what_cannot_be_read_is_not_none)
{
	/* A folder can be opened and not be read. */
	ck_assert_int_eq(mkdir(file, 0700), 0);
	ends_at_last();
}
END_TEST

START_TEST(what_makes_no_sense_is_not_none)
{
	static const char *const odd[] = {"", "sockets: none\n", "sockets: used \n", "sockets: used many\n"};

	says(odd[_i]);
	ends_at_last();
}
END_TEST

START_TEST(a_count_in_between_begins_anew)
{
	says("");
	for (int i = 0; i < 3 * SOCKETS_UNCOUNTED; i++) {
		says(i % SOCKETS_UNCOUNTED == SOCKETS_UNCOUNTED - 1 ? "sockets: used 1\n" : "");
		ck_assert_ptr_null(sockets_look(process, &uncounted));
	}
}
END_TEST

START_TEST(one_that_has_ended_has_none)
{
	for (int i = 0; i < 2 * SOCKETS_UNCOUNTED; i++)
		ck_assert_ptr_null(sockets_look(process, &uncounted));
	ck_assert_uint_eq(uncounted, 0);
}
END_TEST

START_TEST(of_a_process_that_is_there_they_are_counted)
{
	ck_assert_ptr_null(sockets_look("/proc/self", &uncounted));
	ck_assert_uint_eq(uncounted, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sandboxd_sockets");
	TCase *t = tcase_create("sockets");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, many_are_too_many);
	tcase_add_test(t, what_cannot_be_read_is_not_none);
	tcase_add_loop_test(t, what_makes_no_sense_is_not_none, 0, 4);
	tcase_add_test(t, a_count_in_between_begins_anew);
	tcase_add_test(t, one_that_has_ended_has_none);
	tcase_add_test(t, of_a_process_that_is_there_they_are_counted);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
