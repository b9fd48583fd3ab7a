/* waiting: condition variables on the monotonic clock, so that no wait depends on the wall clock
 * (NFR-SEC-48). */
#ifndef OCU_WAITING_H
#define OCU_WAITING_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

static inline void ocu_cond_init(pthread_cond_t *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
}

/* A point in time for ocu_cond_wait_until(). */
static inline struct timespec ocu_after_ms(uint64_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += (time_t)(ms / 1000);
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

/* False once the time has passed. */
static inline bool ocu_cond_wait_until(pthread_cond_t *c, pthread_mutex_t *lock, const struct timespec *end)
{
	return pthread_cond_timedwait(c, lock, end) == 0;
}

#endif
