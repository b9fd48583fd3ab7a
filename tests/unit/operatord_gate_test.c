/* gate: a revocation overtakes ordinary work that waits. */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "operatord/gate.h"

enum { WAITERS = 8 };

struct scene {
	struct gate gate;
	atomic_int order; /* next place in the sequence of entries */
	int urgent_place;
	int inside; /* guarded by the gate */
};

static void *ordinary(void *arg)
{
	struct scene *s = arg;

	gate_enter(&s->gate, GATE_ORDINARY);
	ck_assert_int_eq(s->inside++, 0);
	atomic_fetch_add(&s->order, 1);
	s->inside--;
	gate_leave(&s->gate);
	return NULL;
}

static void *urgent(void *arg)
{
	struct scene *s = arg;

	gate_enter(&s->gate, GATE_URGENT);
	ck_assert_int_eq(s->inside++, 0);
	s->urgent_place = atomic_fetch_add(&s->order, 1);
	s->inside--;
	gate_leave(&s->gate);
	return NULL;
}

static bool urgent_waits(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	bool waits = g->urgent_waiting > 0;
	pthread_mutex_unlock(&g->lock);
	return waits;
}

/* shows: NFR-SEC-55 */
START_TEST(urgent_goes_first)
{
	struct scene s = {.urgent_place = -1};
	pthread_t threads[WAITERS + 1];

	gate_init(&s.gate);
	gate_enter(&s.gate, GATE_ORDINARY);
	for (int i = 0; i < WAITERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, ordinary, &s), 0);
	ck_assert_int_eq(pthread_create(&threads[WAITERS], NULL, urgent, &s), 0);
	while (!urgent_waits(&s.gate))
		sched_yield();
	gate_leave(&s.gate);
	for (int i = 0; i <= WAITERS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(s.urgent_place, 0);
	ck_assert_int_eq(atomic_load(&s.order), WAITERS + 1);
	gate_done(&s.gate);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("operatord_gate");
	TCase *c = tcase_create("gate");

	tcase_add_test(c, urgent_goes_first);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
