/* tool_queue: what tool.c and tool_queue.c share. */
#ifndef OCU_SANDBOXD_TOOL_QUEUE_H
#define OCU_SANDBOXD_TOOL_QUEUE_H

#include "sandboxd/tool.h"

/* Takes the call into its session: it runs, waits for its turn, or has ended by the time this returns 0. */
int tool_enter(struct tool *t, struct ocu_error *err);
/* Takes it out again and lets the next one run. */
void tool_leave(struct tool *t);
/* Out of the session and on to its record. */
void tool_finish(struct tool *t);
int tool_still_allowed(struct tool *t, struct ocu_error *err);

#endif
