/*
 * timers: deadlines of one worker thread, as a heap of intrusive entries. Moving a deadline further away is
 * lazy: timers_extend() only stores the new time, and the entry is put back when it comes up early, so that a
 * busy connection pays nothing for its idle timeout.
 */
#ifndef EGRESSD_TIMERS_H
#define EGRESSD_TIMERS_H

#include <stddef.h>
#include <stdint.h>

struct timer {
	uint64_t due_ms; /* when it should fire */
	uint64_t key_ms; /* what the heap is ordered by: never later than due_ms */
	size_t slot;     /* 1 + index in the heap; 0: not armed */
	void (*fire)(struct timer *t);
};

struct timers {
	struct timer **heap;
	size_t count, cap;
};

void timers_done(struct timers *ts); /* the entries belong to their owners */
/* Arms or re-arms. Fails (-1) only when memory is out; the caller then ends what it wanted to time. */
int timers_set(struct timers *ts, struct timer *t, uint64_t due_ms);
/* Later only; cheap. Arms when not armed. */
int timers_extend(struct timers *ts, struct timer *t, uint64_t due_ms);
void timers_cancel(struct timers *ts, struct timer *t);
/* Milliseconds until the next one, at most max_ms. */
int timers_wait(const struct timers *ts, uint64_t now_ms, int max_ms);
/* Fires what is due. fire() may arm and cancel any timer, its own too. */
void timers_run(struct timers *ts, uint64_t now_ms);

#endif
