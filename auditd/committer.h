/*
 * committer: the one thread that writes. It takes everything that is ready, makes one batch of it, and
 * answers only when the batch is durable, or refused as a whole. While it waits for the disk the next batch
 * gathers.
 */
#ifndef AUDITD_COMMITTER_H
#define AUDITD_COMMITTER_H

#include <stddef.h>

struct committer;
struct ocu_error;
struct request;
struct store;

#define COMMITTER_READY_MAX (1u << 20) /* bytes ready beyond which committer_put() waits */
#define COMMITTER_OWN_MAX   1024       /* own requests ready beyond which more are refused */

int committer_start(struct committer **ret, struct store *store, struct ocu_error *err);
/* Writes what is ready, ends the thread, frees. No put may be under way or come. */
void committer_stop(struct committer *c);
/* Takes a checked request; blocks while too much is ready. */
void committer_put(struct committer *c, struct request *r);
/* The same for own events: never blocks, but refuses with OCU_E_BUSY and leaves r with the caller. */
int committer_put_own(struct committer *c, struct request *r, struct ocu_error *err);
/* 1 while the last batch could be written. */
int committer_healthy(struct committer *c);

#endif
