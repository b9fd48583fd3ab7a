/*
 * proc_begin: from a request to a running program whose ends of pipes or terminal are looked after; see
 * proc_table.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "sandboxd/guest/fail.h"
#include "sandboxd/guest/proc.h"
#include "sandboxd/guest/proc_table.h"
#include "sandboxd/guest/spawn.h"

/* Makes the three descriptors of a child. fds: child's 0 1 2; ours: the other ends, -1 where there is none.
 */
static int make_pipes(int fds[3], int ours[3], bool input, struct fail *f)
{
	int p[2];

	for (int i = 0; i < 3; i++)
		fds[i] = ours[i] = -1;
	if (!input && (fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0)
		return fail_errno(f, errno, "opening", "/dev/null");
	for (int i = input ? 0 : 1; i < 3; i++) {
		if (pipe2(p, O_CLOEXEC) < 0)
			return fail_errno(f, errno, "making", "a pipe");
		fds[i] = i == 0 ? p[0] : p[1];
		ours[i] = i == 0 ? p[1] : p[0];
		if (fcntl(ours[i], F_SETFL, O_NONBLOCK) < 0)
			return fail_errno(f, errno, "making", "a pipe");
	}
	return 0;
}

static void close_fds(const int *fds)
{
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0 && (i == 0 || fds[i] != fds[i - 1]))
			close(fds[i]);
}

/* argv of a request as execve wants it; false when it is none. */
bool proc_make_argv(char **to, char *const *argv, size_t n, struct fail *f)
{
	if (n == 0 || n > PROC_ARGV_MAX || argv[0][0] == 0) {
		fail_set(f, FAIL_PARAMS, "a program needs 1 to %d arguments", PROC_ARGV_MAX);
		return false;
	}
	memcpy(to, argv, n * sizeof *to);
	to[n] = NULL;
	return true;
}

const char *proc_cwd(const char *cwd)
{
	return cwd[0] ? cwd : "/workspace";
}

/* Adopts our ends of the child's descriptors; the descriptors are taken over also on failure. */
static int adopt(struct proc *p, const int ours[3], bool ring, size_t max)
{
	p->out = stream_new(ours[1], ring, max, proc_changed, p);
	if (ours[2] >= 0)
		p->err = stream_new(ours[2], ring, max, proc_changed, p);
	if (ours[0] >= 0)
		p->input = input_new(ours[0], PROC_INPUT_MAX, p->terminal >= 0);
	return p->out && (p->err || ours[2] < 0) && (p->input || ours[0] < 0) ? 0 : FAIL_NO_MEMORY;
}

int proc_begin_piped(struct proc *p, char *const *argv, const char *cwd, bool input, bool ring, size_t max,
                     struct fail *f)
{
	int fds[3], ours[3];
	int rc = make_pipes(fds, ours, input, f);

	if (rc == 0) {
		p->pid = spawn_program(
		    &(struct spawn){.argv = argv, .cwd = cwd, .in = fds[0], .out = fds[1], .err = fds[2]}, f);
		rc = p->pid < 0 ? p->pid : 0;
	}
	close_fds(fds);
	if (rc < 0) {
		close_fds(ours);
		return rc;
	}
	return adopt(p, ours, ring, max) < 0 ? fail_set(f, FAIL_NO_MEMORY, "out of memory") : 0;
}

int proc_begin_terminal(struct proc *p, char *const *argv, const Ocu__Agent__Start *r, struct fail *f)
{
	int master, slave, ours[3] = {-1, -1, -1};
	int rc = spawn_terminal(&master, &slave, r->rows, r->cols, f);

	if (rc < 0)
		return rc;
	p->pid = spawn_program(&(struct spawn){.argv = argv,
	                                       .cwd = proc_cwd(r->cwd),
	                                       .in = slave,
	                                       .out = slave,
	                                       .err = slave,
	                                       .terminal = 1},
	                       f);
	close(slave);
	p->terminal = master;
	if (p->pid < 0)
		return p->pid;
	ours[0] = fcntl(master, F_DUPFD_CLOEXEC, 3);
	ours[1] = fcntl(master, F_DUPFD_CLOEXEC, 3);
	if (ours[0] < 0 || ours[1] < 0) {
		close_fds(ours);
		return fail_errno(f, errno, "opening", "a terminal");
	}
	return adopt(p, ours, true, PROC_RING) < 0 ? fail_set(f, FAIL_NO_MEMORY, "out of memory") : 0;
}
