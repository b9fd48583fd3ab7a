/*
 * reaper: the thread that removes what nobody needs: remains of released volumes, and volumes on disk that no
 * session was registered for (NFR-COST-07). A volume expires when this process has run for `abandoned_after`
 * without seeing it registered, or when its stamp is seven days old and the process has run for an hour, so
 * that neither a clock set forward nor a daemon that restarts every day keeps or loses data wrongly.
 */
#ifndef BROKERD_REAPER_H
#define BROKERD_REAPER_H

#include <stdint.h>

struct broker;
struct ocu_error;
struct reaper;

int reaper_start(struct reaper **ret, struct broker *b, uint64_t abandoned_ms, struct ocu_error *err);
void reaper_stop(struct reaper *r); /* NULL is fine */

#endif
