/* Who ends a sandbox waits for its scrub no longer than his budget, however long one file takes. The scrub
 * here is the test's own, and lasts until it is told to end. shows: NFR-SEC-65 (in part) */
#include <check.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/err.h"
#include "sandboxd/scrubber.h"
#include "sandboxd/stage.h"

static sem_t begun, go_on, over;
static const struct stage stage;

long stage_scrub(const struct stage *st, const char *container, unsigned budget_ms, struct ocu_error *err)
{
	ck_assert_ptr_eq(st, &stage);
	ck_assert_uint_eq(budget_ms, 50);
	if (strcmp(container, "fails") == 0)
		return ocu_error_set(err, OCU_E_IO, "it does not open");
	if (strcmp(container, "hangs") == 0) {
		sem_post(&begun);
		sem_wait(&go_on);
		sem_post(&over);
	}
	return 7;
}

static void setup(void)
{
	sem_init(&begun, 0, 0);
	sem_init(&go_on, 0, 0);
	sem_init(&over, 0, 0);
}

/* It would wait for ever. */
START_TEST(an_end_goes_on_while_its_scrub_is_under_way)
{
	struct ocu_error err = {0};

	ck_assert_int_eq(scrubber_run(&stage, "hangs", 50, &err), OCU_E_TIMEOUT);
	sem_wait(&begun);
	ck_assert_int_eq(sem_trywait(&over), -1);
	/* Another's meanwhile. */
	ck_assert_int_eq(scrubber_run(&stage, "another", 50, &err), 7);
	ck_assert_int_eq(sem_trywait(&over), -1);
	/* It needs nobody to end. */
	sem_post(&go_on);
	sem_wait(&over);
}
END_TEST

START_TEST(what_went_wrong_is_said)
{
	struct ocu_error err = {0};

	ck_assert_int_eq(scrubber_run(&stage, "fails", 50, &err), OCU_E_IO);
	ck_assert_str_eq(err.text, "it does not open");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sandboxd_scrubber");
	TCase *t = tcase_create("scrubber");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, an_end_goes_on_while_its_scrub_is_under_way);
	tcase_add_test(t, what_went_wrong_is_said);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
