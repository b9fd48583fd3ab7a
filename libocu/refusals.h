/*
 * refusals: which refusals become events of their own, and one event in bounded time for those that do not,
 * also when whoever was refused never comes back. Any thread.
 */
#ifndef OCU_REFUSALS_H
#define OCU_REFUSALS_H

#include <stdbool.h>

#include "libocu/ocsf.h"
#include "libocu/shaper.h"

struct ocu_error;
struct ocu_refusals;

#define OCU_REFUSALS_TELL_MS 5000 /* what is not told with another one is told after one to two of these */

/* tell gets an event that says how many were not recorded (unreported_before), with the action and the actor
 * of all of them, or "refusals.unreported" and "several". At most OCU_SHAPER_SLOTS of them each tell_ms. When
 * it returns false they are counted on. It runs on a thread of its own, and in ocu_refusals_stop(). */
int ocu_refusals_start(struct ocu_refusals **ret, unsigned tell_ms,
                       bool (*tell)(void *arg, const struct ocu_event *ev), void *arg, struct ocu_error *err);
/* Tells what is left and ends. r may be NULL. */
void ocu_refusals_stop(struct ocu_refusals *r);
/* True when this one is to be recorded, at most each_s a second of its action and actor; *hidden: how many of
 * them before it were not. */
bool ocu_refusals_take(struct ocu_refusals *r, const char *action, const char *actor, unsigned each_s,
                       unsigned *hidden);

#endif
