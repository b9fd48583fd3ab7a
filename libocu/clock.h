/*
 * clock: time for decisions and time for records. Every TTL, deadline and revocation decision uses the
 * monotonic clocks; wall time is for records and for the exp/iat of tokens, and there it is floored: once
 * this process has seen a wall time it never accepts an earlier one (NFR-SEC-48).
 */
#ifndef OCU_CLOCK_H
#define OCU_CLOCK_H

#include <stdint.h>

uint64_t ocu_mono_ms(void); /* CLOCK_BOOTTIME in milliseconds */
uint64_t ocu_mono_ns(void); /* CLOCK_BOOTTIME in nanoseconds */
/* Wall clock in milliseconds since 1970 (UTC), never going back within the process: anchored at start to
 * the monotonic clock, moves forward with it, jumps forward when the wall clock does. */
int64_t ocu_wall_ms(void);
int64_t ocu_wall_s(void);
/* RFC 3339 UTC with milliseconds, "2026-11-23T20:51:00.123Z"; out must hold 32 bytes. */
void ocu_time_rfc3339(int64_t wall_ms, char out[32]);
/* Persist/restore the floor across restarts (state_dir/clock-floor). Missing file is not an error; anything
 * but one number of milliseconds in it is (OCU_E_PARSE). A floor saved while the machine's clock was far
 * ahead holds until the file is removed. */
struct ocu_error;
int ocu_clock_floor_load(const char *path, struct ocu_error *err);
int ocu_clock_floor_save(const char *path, struct ocu_error *err);

#endif
