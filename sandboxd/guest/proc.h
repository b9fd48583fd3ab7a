/*
 * proc: the programs of the sandbox that a request started: what they write, what they are sent, how long
 * they may take, how they end. Also PID 1's duty to everything else: whatever is orphaned in the sandbox is
 * reaped here.
 */
#ifndef OCU_GUEST_PROC_H
#define OCU_GUEST_PROC_H

#include <stdint.h>

#include "proto/agent.pb-c.h"

struct fail;

#define PROC_RUNS_MAX   64           /* runs under way */
#define PROC_TABLE_MAX  64           /* background programs known, ended ones included */
#define PROC_WAITS_MAX  128          /* reads and waits under way */
#define PROC_RING       (1u << 20)   /* bytes kept per background stream */
#define PROC_INPUT_MAX  (256u << 10) /* bytes of input not yet taken by a program */
#define PROC_OUTPUT_MAX (8u << 20)
#define PROC_KILL_MS    5000 /* from SIGTERM to SIGKILL */

int proc_init(void);

/* Each returns 0 when the answer is on its way or will come, else a negative code with *f set. */
int proc_run(uint64_t request, const Ocu__Agent__Run *r, struct fail *f);
int proc_start(uint64_t request, const Ocu__Agent__Start *r, struct fail *f);
int proc_read(uint64_t request, const Ocu__Agent__Read *r, struct fail *f);
int proc_write(uint64_t request, const Ocu__Agent__Write *r, struct fail *f);
int proc_signal(uint64_t request, const Ocu__Agent__Signal *r, struct fail *f);
int proc_resize(uint64_t request, const Ocu__Agent__Resize *r, struct fail *f);
int proc_wait(uint64_t request, const Ocu__Agent__Wait *r, struct fail *f);
int proc_cancel(uint64_t request, const Ocu__Agent__Cancel *r, struct fail *f);

/* Does what is due; returns when to be called again (ms), 0: not before something happens. */
uint64_t proc_tick(void);

#endif
