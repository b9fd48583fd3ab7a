/*
 * confine: what the agent gives up before it reads its first request, for itself and for every program after
 * it: being read or traced by the programs of the sandbox, and writing anywhere but where a sandbox has room
 * to write. The runtime has already taken everything else (capabilities, system calls, a writable root).
 */
#ifndef OCU_GUEST_CONFINE_H
#define OCU_GUEST_CONFINE_H

/* Returns the Landlock ABI in force, 0 where the kernel has none, a negative errno when a step failed. */
int confine(void);

#endif
