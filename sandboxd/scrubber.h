/*
 * scrubber: overwriting the scratch of a sandbox that ends, on a thread of its own. Cutting one file short
 * takes as long as the guest's mappings of it make it; nobody waits for more than his budget.
 */
#ifndef OCU_SANDBOXD_SCRUBBER_H
#define OCU_SANDBOXD_SCRUBBER_H

struct ocu_error;
struct stage;

/* Files emptied within budget_ms, or OCU_E_IO, or OCU_E_TIMEOUT when it goes on meanwhile: it needs nobody,
 * and ends at the latest with the file it is at, whose memory goes with the processes that map it. */
long scrubber_run(const struct stage *st, const char *container, unsigned budget_ms, struct ocu_error *err);

#endif
