/*
 * ending: how a sandbox ends, always by the same steps in the same order (NFR-SEC-65) and never with the
 * guest's help: freeze its processes, scrub its scratch, unmount its files, kill, destroy. One that is
 * frozen, stopped or full of processes ends no later than another.
 */
#ifndef OCU_SANDBOXD_ENDING_H
#define OCU_SANDBOXD_ENDING_H

#include <stdbool.h>

struct node;
struct ocu_error;
struct session;

/* Asked for; `killed`: by an operator, and calls under way are told so. Blocks until nothing is left; a
 * sandbox that does not exist is fine. OCU_E_AUDIT when that cannot be recorded: then it is as before. */
int ending_stop(struct node *n, const char *session_id, const char *reason, bool killed, const char *trace,
                struct ocu_error *err);
/* A start that failed. The record is forgotten. */
void ending_take_back(struct session *s, const struct ocu_error *why, const char *trace);
/* The agent's `lost` (owner: the session): it ended by itself, or broke the rules. Cleaned up by another
 * thread. */
void ending_lost(void *owner, const char *why);
/* The same for what the host noticed. */
void ending_crash(struct session *s, const char *why);
/* An operator denied the session: nothing in it moves any more and its calls end, at once. What is left is
 * ended by ending_stop(), at the latest ENDING_DENIED_MS later by this process itself. Does not block. */
void ending_deny(struct session *s);
#define ENDING_DENIED_MS 5000
/* All of them, at the end of the process. */
void ending_all(struct node *n);

#endif
