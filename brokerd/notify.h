/*
 * notify: telling the guest's kernel that the north face changed a name. The kernel takes the folder's lock
 * for it, and a guest that is frozen inside that folder holds the lock, so the call may block for as long as
 * the guest likes: one thread a mount does it, made on first need, and callers wait a little and no more
 * (entry timeouts catch what is late).
 */
#ifndef BROKERD_NOTIFY_H
#define BROKERD_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

struct mount;

#define NOTIFY_QUEUE 256 /* more are dropped; the entry timeout ends what the kernel then still believes */

/* name in the folder node `parent` was added, replaced or removed. Waits at most wait_ms for the kernel. */
void notify_entry(struct mount *m, uint64_t parent, const char *name, unsigned wait_ms);
/* The mount is dead: the thread ends by itself. True when the kernel is being told something at this moment:
 * then it calls mount_cut() first. */
bool notify_stop(struct mount *m);

#endif
