/*
 * watch: what nobody asks for: before serving, the removal of whatever an earlier process of this deployment
 * left behind; afterwards, once a second, sandboxes whose operator wanted them gone and did not come back,
 * and control groups that belong to nobody.
 */
#ifndef OCU_SANDBOXD_WATCH_H
#define OCU_SANDBOXD_WATCH_H

struct node;
struct ocu_error;
struct watch;

/* Every leftover is recorded before it is removed; while the trail cannot be written this waits. 0 when all
 * is clean, OCU_E_CANCELLED when a stop of the process was asked for first. */
int watch_sweep(struct node *n, struct ocu_error *err);
int watch_start(struct watch **ret, struct node *n, struct ocu_error *err);
void watch_stop(struct watch *w); /* NULL is fine */

#endif
