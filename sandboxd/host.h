/*
 * host: what the host, or the container this daemon runs in, has put in the way of sandboxes, and its removal
 * in a mount namespace of our own. Nobody else's view changes.
 */
#ifndef OCU_SANDBOXD_HOST_H
#define OCU_SANDBOXD_HOST_H

struct ocu_error;

/* Once, before any thread. Enters the namespace; there
 * - the version 2 half of a hybrid hierarchy of control groups is gone, on which crun would refuse to run;
 * - a container's masks over /proc are gone: the kernel refuses a guest a /proc of its own where the one it
 *   came from is masked;
 * - a container's control group (version 2) is ours to divide: this process stands in a group of its own
 *   below, beside which the sandboxes' will be. */
int host_enter(struct ocu_error *err);

#endif
