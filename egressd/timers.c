/* timers: a binary heap whose entries know their place. */
#include "egressd/timers.h"

#include <stdlib.h>

void timers_done(struct timers *ts)
{
	free(ts->heap);
	*ts = (struct timers){0};
}

static void place(struct timers *ts, size_t i, struct timer *t)
{
	ts->heap[i] = t;
	t->slot = i + 1;
}

static void sift_up(struct timers *ts, size_t i, struct timer *t)
{
	while (i > 0) {
		size_t parent = (i - 1) / 2;
		if (ts->heap[parent]->key_ms <= t->key_ms)
			break;
		place(ts, i, ts->heap[parent]);
		i = parent;
	}
	place(ts, i, t);
}

static void sift_down(struct timers *ts, size_t i, struct timer *t)
{
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= ts->count)
			break;
		if (child + 1 < ts->count && ts->heap[child + 1]->key_ms < ts->heap[child]->key_ms)
			child++;
		if (t->key_ms <= ts->heap[child]->key_ms)
			break;
		place(ts, i, ts->heap[child]);
		i = child;
	}
	place(ts, i, t);
}

static int grow(struct timers *ts)
{
	size_t cap = ts->cap ? ts->cap * 2 : 64;
	struct timer **heap = reallocarray(ts->heap, cap, sizeof(struct timer *));

	if (!heap)
		return -1;
	ts->heap = heap;
	ts->cap = cap;
	return 0;
}

int timers_set(struct timers *ts, struct timer *t, uint64_t due_ms)
{
	timers_cancel(ts, t);
	if (ts->count == ts->cap && grow(ts))
		return -1;
	t->due_ms = t->key_ms = due_ms;
	sift_up(ts, ts->count++, t);
	return 0;
}

int timers_extend(struct timers *ts, struct timer *t, uint64_t due_ms)
{
	if (t->slot == 0 || due_ms < t->key_ms)
		return timers_set(ts, t, due_ms);
	t->due_ms = due_ms;
	return 0;
}

void timers_cancel(struct timers *ts, struct timer *t)
{
	if (t->slot == 0)
		return;
	size_t i = t->slot - 1;
	struct timer *last = ts->heap[--ts->count];

	t->slot = 0;
	if (last == t)
		return;
	if (i > 0 && last->key_ms < ts->heap[(i - 1) / 2]->key_ms)
		sift_up(ts, i, last);
	else
		sift_down(ts, i, last);
}

int timers_wait(const struct timers *ts, uint64_t now_ms, int max_ms)
{
	if (ts->count == 0)
		return max_ms;
	uint64_t key = ts->heap[0]->key_ms;
	if (key <= now_ms)
		return 0;
	return key - now_ms < (uint64_t)max_ms ? (int)(key - now_ms) : max_ms;
}

void timers_run(struct timers *ts, uint64_t now_ms)
{
	while (ts->count && ts->heap[0]->key_ms <= now_ms) {
		struct timer *t = ts->heap[0];
		if (t->due_ms > now_ms) {
			t->key_ms = t->due_ms;
			sift_down(ts, 0, t);
			continue;
		}
		timers_cancel(ts, t);
		t->fire(t);
	}
}
