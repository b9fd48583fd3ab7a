/* turns: callers in turn, none with more than its share, nothing lost, and an end. */
/* shows: NFR-SEC-46, NFR-SEC-78 */
#include <pthread.h>
#include <stdatomic.h>

#include "brokerd/north_turns.h"
#include "tests/unit/brokerd_fixture.h"

enum { CALLERS = 5, EACH = 400, WORKERS = 4, INSIDE = 2, ALL = CALLERS * EACH };

struct wait {
	struct turn turn; /* first */
	unsigned caller;
};

static struct turns *turns;
static struct line *line;
static struct wait wait[CALLERS][EACH];

static void setup(void)
{
	ck_assert_int_eq(turns_new(&turns, ALL, INSIDE, NULL), 0);
}

static void teardown(void)
{
	turns_free(turns);
}

static bool put(unsigned caller, unsigned i)
{
	char name[16];
	snprintf(name, sizeof name, "caller-%u", caller);
	wait[caller][i].caller = caller;
	return turns_put(turns, name, &wait[caller][i].turn);
}

START_TEST(callers_take_turns)
{
	struct line *a[2];
	for (unsigned i = 0; i < 3; i++)
		ck_assert(put(0, i));
	ck_assert(put(1, 0));
	ck_assert(put(2, 0));
	ck_assert(put(1, 1));
	const struct wait *const want[] = {&wait[0][0], &wait[1][0], &wait[2][0], &wait[0][1], &wait[1][1]};
	for (unsigned i = 0; i < sizeof want / sizeof *want; i++) {
		ck_assert_ptr_eq(turns_take(turns, &line), &want[i]->turn);
		if (want[i]->caller == 0)
			a[i / 3] = line;
		else
			turns_done(turns, line);
	}
	/* The first one's share is out: a later caller passes it. */
	ck_assert(put(3, 0));
	ck_assert_ptr_eq(turns_take(turns, &line), &wait[3][0].turn);
	turns_done(turns, line);
	turns_done(turns, a[0]);
	ck_assert_ptr_eq(turns_take(turns, &line), &wait[0][2].turn);
	turns_done(turns, line);
	turns_done(turns, a[1]);
}
END_TEST

START_TEST(no_more_than_its_room_and_none_after_the_stop)
{
	struct turns *small;
	char longest[300];
	memset(longest, 'c', sizeof longest - 1);
	longest[sizeof longest - 1] = 0;
	ck_assert_int_eq(turns_new(&small, 2, 1, NULL), 0);
	ck_assert(!turns_put(small, longest, &wait[0][3].turn));
	ck_assert(turns_put(small, "a", &wait[0][0].turn));
	ck_assert(turns_put(small, "b", &wait[0][1].turn));
	ck_assert(!turns_put(small, "c", &wait[0][2].turn));
	turns_stop(small);
	ck_assert_ptr_eq(turns_take(small, &line), &wait[0][0].turn);
	turns_done(small, line);
	ck_assert(!turns_put(small, "c", &wait[0][2].turn));
	ck_assert_ptr_eq(turns_take(small, &line), &wait[0][1].turn);
	turns_done(small, line);
	ck_assert_ptr_null(turns_take(small, &line));
	turns_free(small);
}
END_TEST

static atomic_uint inside[CALLERS], done, over;

static void *work(void *arg)
{
	struct line *l;
	(void)arg;
	for (struct turn *t; (t = turns_take(turns, &l));) {
		unsigned caller = ((struct wait *)(void *)t)->caller;
		if (atomic_fetch_add(&inside[caller], 1) >= INSIDE)
			atomic_fetch_add(&over, 1);
		sched_yield();
		atomic_fetch_sub(&inside[caller], 1);
		atomic_fetch_add(&done, 1);
		turns_done(turns, l);
	}
	return NULL;
}

START_TEST(many_workers_do_everything_once)
{
	pthread_t t[WORKERS];
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_create(&t[i], NULL, work, NULL);
	for (unsigned i = 0; i < EACH; i++)
		for (unsigned c = 0; c < CALLERS; c++)
			ck_assert(put(c, i));
	turns_stop(turns);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(t[i], NULL);
	ck_assert_uint_eq(atomic_load(&done), ALL);
	ck_assert_uint_eq(atomic_load(&over), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("brokerd_turns");
	TCase *c = tcase_create("turns");
	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, callers_take_turns);
	tcase_add_test(c, no_more_than_its_room_and_none_after_the_stop);
	tcase_add_test(c, many_workers_do_everything_once);
	suite_add_tcase(suite, c);
	return run_suite(suite);
}
