/* runtime: see runtime.h. */
#include "sandboxd/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/err.h"

#define MESSAGE_MAX 300

static const char *const folders[] = {"/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"};
static char *const environment[] = {
    (char *)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};

static int find(struct runtime *rt, const char *name)
{
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		snprintf(rt->path, sizeof rt->path, "%s/%s", folders[i], name);
		if (access(rt->path, X_OK) == 0) {
			snprintf(rt->name, sizeof rt->name, "%s", name);
			return 0;
		}
	}
	return -1;
}

int runtime_find(struct runtime *rt, const char *choice, const char *root, struct ocu_error *err)
{
	snprintf(rt->root, sizeof rt->root, "%s", root);
	pthread_mutex_init(&rt->lock, NULL);
	rt->nawaited = 0;
	if (strcmp(choice, "auto") != 0)
		return find(rt, choice) == 0
		           ? 0
		           : ocu_error_set(err, OCU_E_CONFIG, "%s is not installed", choice);
	if (find(rt, "crun") == 0 || find(rt, "runc") == 0)
		return 0;
	return ocu_error_set(err, OCU_E_CONFIG, "neither crun nor runc is installed");
}

/* Under the lock from before it exists, so that nobody else reaps it. */
static int spawn_awaited(struct runtime *rt, pid_t *pid, posix_spawn_file_actions_t *fa,
                         posix_spawnattr_t *attr, char *const *argv)
{
	int rc = EAGAIN;

	pthread_mutex_lock(&rt->lock);
	if (rt->nawaited < RUNTIME_MAX)
		rc = posix_spawn(pid, rt->path, fa, attr, argv, environment);
	if (rc == 0)
		rt->awaited[rt->nawaited++] = *pid;
	pthread_mutex_unlock(&rt->lock);
	return rc;
}

/* With the lock. */
static bool is_awaited(const struct runtime *rt, pid_t pid)
{
	for (unsigned i = 0; i < rt->nawaited; i++)
		if (rt->awaited[i] == pid)
			return true;
	return false;
}

static int wait_awaited(struct runtime *rt, pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	pthread_mutex_lock(&rt->lock);
	for (unsigned i = 0; i < rt->nawaited; i++) {
		if (rt->awaited[i] == pid) {
			rt->awaited[i] = rt->awaited[--rt->nawaited];
			break;
		}
	}
	pthread_mutex_unlock(&rt->lock);
	return status;
}

void runtime_reap(struct runtime *rt)
{
	siginfo_t si;

	pthread_mutex_lock(&rt->lock);
	for (;;) {
		si.si_pid = 0;
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid == 0 ||
		    is_awaited(rt, si.si_pid))
			break;
		waitpid(si.si_pid, NULL, WNOHANG);
	}
	pthread_mutex_unlock(&rt->lock);
}

static int start(struct runtime *rt, char *const *argv, const int stdio[3], pid_t *pid, struct ocu_error *err)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t set;
	int rc;

	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&attr);
	for (int i = 0; i < 3; i++)
		posix_spawn_file_actions_adddup2(&fa, stdio[i], i);
	posix_spawn_file_actions_addclosefrom_np(&fa, 3);
	sigemptyset(&set);
	posix_spawnattr_setsigmask(&attr, &set);
	sigaddset(&set, SIGPIPE);
	posix_spawnattr_setsigdefault(&attr, &set);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	rc = spawn_awaited(rt, pid, &fa, &attr, argv);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&fa);
	return rc == 0 ? 0 : ocu_error_errno(err, OCU_E_IO, rc, "starting %s", rt->name);
}

/* The runtime's stderr. The container's init inherits it, too: a file of fixed size, which nobody has to read
 * and nobody can make larger. */
static int message_file(struct ocu_error *err)
{
	int fd = memfd_create("runtime-stderr", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, 4096) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) < 0) {
		ocu_error_errno(err, OCU_E_IO, errno, "memfd_create");
		if (fd >= 0)
			close(fd);
		return OCU_E_IO;
	}
	return fd;
}

static void read_message(int fd, char out[MESSAGE_MAX])
{
	ssize_t n = pread(fd, out, MESSAGE_MAX - 1, 0);

	out[n > 0 ? n : 0] = 0;
	for (char *p = out; *p; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
			*p = ' ';
}

/* 0 when it ended with status 0. */
static int await(struct runtime *rt, const char *verb, pid_t pid, unsigned timeout_ms, int messages,
                 struct ocu_error *err)
{
	OCU_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	uint64_t until = ocu_mono_ms() + timeout_ms;
	char said[MESSAGE_MAX];
	int status = 0, n;

	do {
		uint64_t now = ocu_mono_ms();

		n = poll(&p, 1, now < until ? (int)(until - now) : 0);
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		kill(pid, SIGKILL);
	status = wait_awaited(rt, pid);
	runtime_reap(rt);
	if (n == 0)
		return ocu_error_set(err, OCU_E_TIMEOUT, "%s %s did not end in %u ms", rt->name, verb,
		                     timeout_ms);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	read_message(messages, said);
	return ocu_error_set(err, OCU_E_IO, "%s %s: status 0x%x: %s", rt->name, verb, (unsigned)status, said);
}

static int read_pid(const char *path, pid_t *pid, struct ocu_error *err)
{
	OCU_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[32] = "";
	long n;

	if (fd < 0 || read(fd, text, sizeof text - 1) <= 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "reading the runtime's pid file");
	n = strtol(text, NULL, 10);
	if (n <= 1)
		return ocu_error_set(err, OCU_E_IO, "the runtime's pid file holds no pid");
	*pid = (pid_t)n;
	return 0;
}

int runtime_run(struct runtime *rt, const char *container, const char *bundle_dir, int in, int out,
                pid_t *pid, unsigned timeout_ms, struct ocu_error *err)
{
	OCU_CLOSE int messages = message_file(err);
	char pid_file[700];
	char *argv[] = {
	    (char *)rt->name, "--root", (char *)rt->root,  "run", "--detach", "--bundle", (char *)bundle_dir,
	    "--pid-file",     pid_file, (char *)container, NULL};
	pid_t child = -1;
	int rc;

	if (messages < 0)
		return messages;
	snprintf(pid_file, sizeof pid_file, "%s/pid", bundle_dir);
	if ((rc = start(rt, argv, (const int[]){in, out, messages}, &child, err)) ||
	    (rc = await(rt, "run", child, timeout_ms, messages, err)))
		return rc;
	return read_pid(pid_file, pid, err);
}

int runtime_delete(struct runtime *rt, const char *container, unsigned timeout_ms, struct ocu_error *err)
{
	OCU_CLOSE int messages = message_file(err);
	OCU_CLOSE int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
	char state[800];
	char *argv[] = {(char *)rt->name,  "--root", (char *)rt->root, "delete", "--force",
	                (char *)container, NULL};
	pid_t child = -1;
	int rc;

	if (messages < 0)
		return messages;
	snprintf(state, sizeof state, "%s/%s", rt->root, container);
	if (access(state, F_OK) < 0)
		return 0;
	if ((rc = start(rt, argv, (const int[]){nothing, nothing, messages}, &child, err)))
		return rc;
	return await(rt, "delete", child, timeout_ms, messages, err);
}
