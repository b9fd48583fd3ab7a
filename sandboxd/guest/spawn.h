/*
 * spawn: starts a program in a session and process group of its own, with descriptors 0, 1, 2 and nothing
 * else, the fixed environment of the sandbox, and every signal at its default. The child borrows the agent's
 * memory until it executes (vfork), which is what makes a start cost what an exec costs.
 */
#ifndef OCU_GUEST_SPAWN_H
#define OCU_GUEST_SPAWN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct fail;

struct spawn {
	char *const *argv; /* ends with NULL; argv[0] without a slash is looked up in PATH */
	const char *cwd;
	int in, out, err; /* the child's 0, 1, 2; for a terminal all three are its slave side */
	int terminal;     /* 1: in is a terminal and becomes the controlling one */
};

/* Returns the pid; its process group has the same number. Otherwise a negative OCU_E code. */
pid_t spawn_program(const struct spawn *s, struct fail *f);

/* A new terminal of the given size: *master non-blocking, *slave for the child; both close-on-exec. */
int spawn_terminal(int *master, int *slave, uint32_t rows, uint32_t cols, struct fail *f);
int spawn_resize(int master, uint32_t rows, uint32_t cols);

#endif
