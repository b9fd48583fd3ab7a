/* spawn: from argv to a running process; see spawn.h. */
#include "sandboxd/guest/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandboxd/guest/fail.h"

#define GUEST_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define ENV_PATH   "PATH=" GUEST_PATH

/* The whole environment of every program: an allow-list of constants (NFR-SEC-75). Nothing is inherited. */
static char *const env_piped[] = {(ENV_PATH), "HOME=/root", "USER=root", "LANG=C.UTF-8", "TERM=dumb", NULL};
static char *const env_terminal[] = {(ENV_PATH),     "HOME=/root",          "USER=root",
                                     "LANG=C.UTF-8", "TERM=xterm-256color", NULL};

struct child {
	const struct spawn *s;
	const char *file;   /* with a slash, or a name to look up */
	int error;          /* errno of the step that failed */
	const char *failed; /* that step */
};

/* The program, not the agent, is what the kernel should end when the sandbox runs out of memory. */
static void prefer_as_victim(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "500", 3) < 0) {
		/* Without /proc the kernel's own choice has to do. */
	}
	close(fd);
}

static void exec_in_path(const char *name, char *const *argv, char *const *env)
{
	char path[PATH_MAX];
	int denied = 0;

	for (const char *p = GUEST_PATH; *p;) {
		size_t n = strcspn(p, ":");
		int len = snprintf(path, sizeof path, "%.*s/%s", (int)n, p, name);

		if (len > 0 && (size_t)len < sizeof path) {
			execve(path, argv, env);
			if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
				return;
			denied |= errno == EACCES;
		}
		p += n + (p[n] == ':');
	}
	errno = denied ? EACCES : ENOENT;
}

/* Runs on the agent's memory with a stack of its own: touches nothing but *arg, calls nothing that allocates.
 */
static int child_main(void *arg)
{
	struct child *c = arg;
	const struct spawn *s = c->s;
	sigset_t none;

	/* The agent blocks every signal and handles none, so the mask is all there is to undo. */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prefer_as_victim();
	c->failed = "setting up";
	if (setsid() < 0 || (s->terminal && ioctl(s->in, TIOCSCTTY, 0) < 0))
		goto failed;
	if (dup2(s->in, 0) < 0 || dup2(s->out, 1) < 0 || dup2(s->err, 2) < 0)
		goto failed;
	if (syscall(SYS_close_range, 3, ~0u, 0) < 0)
		goto failed;
	c->failed = "working directory";
	if (chdir(s->cwd) < 0)
		goto failed;
	c->failed = "program";
	if (strchr(c->file, '/'))
		execve(c->file, s->argv, s->terminal ? env_terminal : env_piped);
	else
		exec_in_path(c->file, s->argv, s->terminal ? env_terminal : env_piped);
failed:
	c->error = errno;
	_exit(127);
}

pid_t spawn_program(const struct spawn *s, struct fail *f)
{
	static char stack[64 << 10] __attribute__((aligned(64)));
	struct child c = {.s = s, .file = s->argv[0]};
	pid_t pid;

	pid = clone(child_main, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &c);
	if (pid < 0)
		return fail_errno(f, errno, "starting", s->argv[0]);
	if (c.error == 0)
		return pid;
	/* The child is gone already; its exit is collected by the loop like any orphan's. */
	return fail_errno(f, c.error, c.failed, strcmp(c.failed, "program") == 0 ? s->argv[0] : s->cwd);
}

int spawn_resize(int master, uint32_t rows, uint32_t cols)
{
	struct winsize w = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols};

	return ioctl(master, TIOCSWINSZ, &w) < 0 ? -errno : 0;
}

int spawn_terminal(int *master, int *slave, uint32_t rows, uint32_t cols, struct fail *f)
{
	int unlock = 0;
	int m = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	int s;

	if (m < 0)
		return fail_errno(f, errno, "opening", "/dev/ptmx");
	if (ioctl(m, TIOCSPTLCK, &unlock) < 0 ||
	    (s = ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0) {
		fail_errno(f, errno, "opening", "a terminal");
		close(m);
		return f->code;
	}
	spawn_resize(m, rows ? rows : 24, cols ? cols : 80);
	*master = m;
	*slave = s;
	return 0;
}
