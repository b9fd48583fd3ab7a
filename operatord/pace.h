/*
 * pace: how fast one caller may start sessions. Each start costs a sandbox, rows and records, whatever the
 * limit on live ones. Kept in memory for the callers who started one last; thread-safe.
 */
#ifndef OPERATORD_PACE_H
#define OPERATORD_PACE_H

#include <stdint.h>

struct ocu_error;
struct pace;

/* per_minute: starts of one caller, as many at once. NULL without memory. */
struct pace *pace_new(unsigned per_minute);
void pace_free(struct pace *p); /* takes NULL */
/* OCU_E_RATE when the caller's minute is used up. */
int pace_take(struct pace *p, const char *caller, uint64_t now_mono, struct ocu_error *err);

#endif
