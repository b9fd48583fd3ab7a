/* proc_table: what one program is to the agent; shared by the proc_*.c files only. */
#ifndef OCU_GUEST_PROC_TABLE_H
#define OCU_GUEST_PROC_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sandboxd/guest/input.h"
#include "sandboxd/guest/stream.h"

struct proc {
	struct proc *next;
	uint64_t run; /* the request that waits for the end; 0: a background program */
	uint32_t id;  /* of a background program */
	pid_t pid;    /* its process group, too; -1 once reaped */
	bool exited, timed_out, cancelled;
	int status;   /* wait(2)'s */
	int terminal; /* master side, or -1 */
	struct stream *out, *err;
	struct input *input;
	uint64_t started_us;
	uint64_t term_at;   /* ms: when to send SIGTERM, 0: never */
	uint64_t kill_at;   /* ms: when to send SIGKILL, 0: never */
	uint64_t finish_at; /* ms: the program ended, but something still holds its outputs: answer then */
};

struct proc *proc_by_id(uint32_t id); /* background programs only */
/* Answers the reads and waits that have their answer by now. */
void proc_waits_check(struct proc *p);
void proc_waits_drop(struct proc *p);
uint64_t proc_waits_tick(uint64_t now);
void proc_exit_status(const struct proc *p, uint32_t *code, uint32_t *signal);

#endif
