/*
 * north_turns: requests of the files API that wait for a worker. Callers in turn, each one's own in the order
 * they came, and at most so many workers busy for one caller at a time: one that asks for much waits behind
 * its own requests, and nobody behind them. All functions are thread-safe.
 */
#ifndef BROKERD_NORTH_TURNS_H
#define BROKERD_NORTH_TURNS_H

#include <stdbool.h>
#include <sys/queue.h>

struct line;
struct ocu_error;
struct turns;

/* Embedded in what waits. */
struct turn {
	STAILQ_ENTRY(turn) next;
};

/* At most max wait, and inside of one caller's are taken and not done. */
int turns_new(struct turns **ret, unsigned max, unsigned inside, struct ocu_error *err);
void turns_free(struct turns *t); /* nobody is in it any more; NULL is fine */
/* caller is shorter than VOLUME_CALLER_MAX. False when it is full, was stopped, or memory is short. */
bool turns_put(struct turns *t, const char *caller, struct turn *turn);
/* Waits for the next one; NULL when it was stopped and everything has been taken. *ret_line is for
 * turns_done(), since the turn itself may be gone by then. */
struct turn *turns_take(struct turns *t, struct line **ret_line);
void turns_done(struct turns *t, struct line *line);
/* Takes no more in; what waits is still taken. */
void turns_stop(struct turns *t);

#endif
