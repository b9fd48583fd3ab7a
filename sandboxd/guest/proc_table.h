/* proc_table: what one program is to the agent; shared by the proc_*.c files only. */
#ifndef OCU_GUEST_PROC_TABLE_H
#define OCU_GUEST_PROC_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/agent.pb-c.h"
#include "sandboxd/guest/input.h"
#include "sandboxd/guest/stream.h"

struct fail;

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

/* proc_begin.c. argv of a request as execve wants it, in room for PROC_ARGV_MAX + 1; false when it is none.
 */
#define PROC_ARGV_MAX 64
bool proc_make_argv(char **to, char *const *argv, size_t n, struct fail *f);
const char *proc_cwd(const char *cwd);
int proc_begin_piped(struct proc *p, char *const *argv, const char *cwd, bool input, bool ring, size_t max,
                     struct fail *f);
int proc_begin_terminal(struct proc *p, char *const *argv, const Ocu__Agent__Start *r, struct fail *f);

/* proc.c */
void proc_changed(void *owner);       /* a stream's owner hears of it */
struct proc *proc_by_id(uint32_t id); /* background programs only */
/* proc_wait.c. Answers the reads and waits that have their answer by now. */
void proc_waits_check(struct proc *p);
void proc_waits_drop(struct proc *p);
uint64_t proc_waits_tick(uint64_t now);
void proc_exit_status(const struct proc *p, uint32_t *code, uint32_t *signal);

#endif
