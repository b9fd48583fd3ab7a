/*
 * id: shape, order and uniqueness. clock_gettime() and getrandom() are replaced in this program, so that
 * "within one millisecond" and "the random part overflows" happen on purpose.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "libocu/id.h"

#define COUNT   100000
#define THREADS ((size_t)4)
#define EACH    ((size_t)5000)

static atomic_int frozen;
static atomic_int fill = -1; /* byte that getrandom gives, -1: real randomness */
static atomic_int interrupts;

int clock_gettime(clockid_t id, struct timespec *ts)
{
	if (atomic_load(&frozen) && (id == CLOCK_REALTIME || id == CLOCK_BOOTTIME)) {
		*ts = (struct timespec){.tv_sec = 1469918176, .tv_nsec = 385000000};
		return 0;
	}
	return (int)syscall(SYS_clock_gettime, id, ts);
}

ssize_t getrandom(void *buf, size_t len, unsigned flags)
{
	if (atomic_load(&interrupts) > 0) {
		atomic_fetch_sub(&interrupts, 1);
		if (atomic_load(&interrupts) % 2) {
			errno = EINTR;
			return -1;
		}
		*(char *)buf = 0x11;
		return 1;
	}
	int byte = atomic_load(&fill);
	if (byte < 0)
		return syscall(SYS_getrandom, buf, len, flags);
	memset(buf, byte, len);
	return (ssize_t)len;
}

START_TEST(an_id_is_a_prefix_and_a_ulid)
{
	char id[OCU_ID_MAX];
	ocu_id_new(OCU_ID_SESSION, id);
	ck_assert_uint_eq(strlen(id), 30);
	ck_assert_int_eq(strncmp(id, "ses_", 4), 0);
	ck_assert_uint_eq(strspn(id + 4, "0123456789ABCDEFGHJKMNPQRSTVWXYZ"), 26);
	ck_assert(ocu_id_valid(OCU_ID_SESSION, id));
	ck_assert(!ocu_id_valid(OCU_ID_CONTAINER, id));
	ocu_id_new("", id);
	ck_assert_uint_eq(strlen(id), 26);
	ck_assert(ocu_id_valid("", id));
}
END_TEST

/* The example of the specification: 1469918176385 ms is 01ARYZ6S41. */
START_TEST(the_time_is_in_front)
{
	char id[OCU_ID_MAX];
	frozen = 1;
	ocu_id_new("", id);
	ck_assert_int_eq(strncmp(id, "01ARYZ6S41", 10), 0);
}
END_TEST

START_TEST(ids_are_ordered_and_unique)
{
	static char last[OCU_ID_MAX], id[OCU_ID_MAX];
	for (int freeze = 0; freeze < 2; freeze++) {
		frozen = freeze;
		for (int i = 0; i < COUNT; i++) {
			ocu_id_new("fs_", id);
			if (strcmp(last, id) >= 0)
				ck_abort_msg("%s after %s", id, last);
			memcpy(last, id, sizeof id);
		}
	}
}
END_TEST

/* The largest steps there can be, in one millisecond, past the end of the random part: the order still holds.
 */
START_TEST(overflow_moves_to_the_next_millisecond)
{
	char last[OCU_ID_MAX] = "", id[OCU_ID_MAX];
	frozen = 1;
	fill = 0xff;
	for (int i = 0; i < COUNT; i++) {
		ocu_id_new("", id);
		if (strcmp(last, id) >= 0)
			ck_abort_msg("%s after %s", id, last);
		memcpy(last, id, sizeof id);
		/* The first has half of the range before it, whatever the randomness: 32768 steps. */
		if ((strncmp(id, "01ARYZ6S41", 10) == 0) != (i <= 32768))
			ck_abort_msg("%s after %d ids", id, i);
	}
}
END_TEST

/* With no randomness at all ids still differ. */
START_TEST(zero_randomness_still_steps)
{
	char a[OCU_ID_MAX], b[OCU_ID_MAX];
	frozen = 1;
	fill = 0;
	ocu_id_new("", a);
	ocu_id_new("", b);
	ck_assert_str_lt(a, b);
}
END_TEST

/* One id must not tell the next: the step between two of the same millisecond is random. */
START_TEST(steps_within_a_millisecond_are_random)
{
	char a[OCU_ID_MAX], b[OCU_ID_MAX];
	frozen = 1;
	ocu_id_new("", a);
	int close = 0;
	for (int i = 0; i < 1000; i++) {
		ocu_id_new("", b);
		/* The last eight characters hold 40 bits: equal ones before them mean a step under 2^40. */
		close += strncmp(a, b, 18) == 0;
		memcpy(a, b, sizeof a);
	}
	ck_assert_int_lt(close, 10);
}
END_TEST

START_TEST(short_reads_of_randomness_are_completed)
{
	char a[OCU_ID_MAX], b[OCU_ID_MAX];
	frozen = 1;
	interrupts = 5;
	ocu_id_new("", a);
	ck_assert(ocu_id_valid("", a));
	ocu_id_new("", b);
	ck_assert_str_lt(a, b);
}
END_TEST

static char made[THREADS * EACH][OCU_ID_MAX];

static void *maker(void *arg)
{
	char(*out)[OCU_ID_MAX] = arg;
	for (size_t i = 0; i < EACH; i++)
		ocu_id_new(OCU_ID_TRACE, out[i]);
	return NULL;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

START_TEST(threads_do_not_share_ids)
{
	pthread_t t[THREADS];
	for (size_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, maker, made[i * EACH]), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	for (size_t i = 0; i < THREADS; i++)
		for (size_t k = 1; k < EACH; k++)
			ck_assert_int_lt(strcmp(made[i * EACH + k - 1], made[i * EACH + k]), 0);
	qsort(made, THREADS * EACH, OCU_ID_MAX, by_text);
	for (size_t i = 1; i < THREADS * EACH; i++)
		ck_assert_str_ne(made[i - 1], made[i]);
}
END_TEST

START_TEST(the_longest_prefix)
{
	char id[OCU_ID_MAX];
	ocu_id_new("thirteen_____", id);
	ck_assert_uint_eq(strlen(id), OCU_ID_MAX - 1);
	ck_assert(ocu_id_valid("thirteen_____", id));
}
END_TEST

START_TEST(a_longer_prefix_aborts)
{
	char id[OCU_ID_MAX * 2];
	ocu_id_new("fourteen______", id);
}
END_TEST

START_TEST(only_the_exact_form_is_valid)
{
	static const char *const bad[] = {
	    "",
	    "ses_",
	    "01ARZ3NDEKTSV4RRFFQ69G5FAV",
	    "ses_01ARZ3NDEKTSV4RRFFQ69G5FA",
	    "ses_01ARZ3NDEKTSV4RRFFQ69G5FAVX",
	    "ses_01ARZ3NDEKTSV4RRFFQ69G5FAU",
	    "ses_01ARZ3NDEKTSV4RRFFQ69G5FAI",
	    "ses_01ARZ3NDEKTSV4RRFFQ69G5FAL",
	    "ses_01ARZ3NDEKTSV4RRFFQ69G5FAO",
	    "ses_01arz3ndektsv4rrffq69g5fav",
	    "ses_81ARZ3NDEKTSV4RRFFQ69G5FAV",
	    "ses-01ARZ3NDEKTSV4RRFFQ69G5FAV",
	    "SES_01ARZ3NDEKTSV4RRFFQ69G5FAV",
	    "ses_01ARZ3NDEKTSV4RRFFQ69G5FA\n",
	    "ses_../../../../etc/passwd....",
	};
	ck_assert(ocu_id_valid(OCU_ID_SESSION, "ses_01ARZ3NDEKTSV4RRFFQ69G5FAV"));
	ck_assert(ocu_id_valid(OCU_ID_SESSION, "ses_7ZZZZZZZZZZZZZZZZZZZZZZZZZ"));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (ocu_id_valid(OCU_ID_SESSION, bad[i]))
			ck_abort_msg("taken: %s", bad[i]);
	ck_assert(!ocu_id_valid(OCU_ID_SESSION, NULL));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libocu_id");
	TCase *c = tcase_create("id");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, an_id_is_a_prefix_and_a_ulid);
	tcase_add_test(c, the_time_is_in_front);
	tcase_add_test(c, ids_are_ordered_and_unique);
	tcase_add_test(c, overflow_moves_to_the_next_millisecond);
	tcase_add_test(c, zero_randomness_still_steps);
	tcase_add_test(c, steps_within_a_millisecond_are_random);
	tcase_add_test(c, short_reads_of_randomness_are_completed);
	tcase_add_test(c, threads_do_not_share_ids);
	tcase_add_test(c, the_longest_prefix);
	tcase_add_test_raise_signal(c, a_longer_prefix_aborts, SIGABRT);
	tcase_add_test(c, only_the_exact_form_is_valid);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
