/* cgroup_try: whether control groups can do here what sandboxes need of them, tried on one; see cgroup.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/id.h"
#include "sandboxd/cgroup.h"

static const char *const controllers[] = {"freezer", "memory", "pids"};
#define CONTROLLERS (sizeof controllers / sizeof *controllers)

struct trial {
	const struct cgroups *cg;
	char container[OCU_ID_MAX];
	pid_t pid;
};

static int failed(struct ocu_error *err, int e, const char *doing, const char *path)
{
	ocu_error_errno(err, OCU_E_UNSUPPORTED, e, "%s %s", doing, path);
	return OCU_E_UNSUPPORTED;
}

static int write_to(const char *folder, const char *name, const char *text, struct ocu_error *err)
{
	char path[CGROUP_PATH_MAX];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	OCU_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 || write(fd, text, strlen(text)) < 0 ? failed(err, errno, "writing", path) : 0;
}

static int make(const char *path, struct ocu_error *err)
{
	return mkdir(path, 0755) < 0 && errno != EEXIST ? failed(err, errno, "making", path) : 0;
}

/* Version 2: what a group limits is handed to it by each one above, as the runtimes do. */
static int hand_on(const struct cgroups *cg, const char *folder, struct ocu_error *err)
{
	int rc = cg->v2 ? write_to(folder, "cgroup.subtree_control", "+memory", err) : 0;

	return rc || !cg->v2 ? rc : write_to(folder, "cgroup.subtree_control", "+pids", err);
}

static int enter(const struct trial *t, int root, struct ocu_error *err)
{
	const struct cgroups *cg = t->cg;
	char parent[CGROUP_PATH_MAX], group[CGROUP_PATH_MAX], pid[16];
	int rc;

	snprintf(parent, sizeof parent, "%s%s", cg->roots[root], cg->parent);
	snprintf(group, sizeof group, "%.400s/%s", parent, t->container);
	snprintf(pid, sizeof pid, "%d", (int)t->pid);
	if ((rc = make(parent, err)) || (rc = hand_on(cg, cg->roots[root], err)) ||
	    (rc = hand_on(cg, parent, err)) || (rc = make(group, err)))
		return rc;
	return write_to(group, "cgroup.procs", pid, err);
}

/* A process that waits for its end, in every hierarchy that matters. */
static int fill(struct trial *t, struct ocu_error *err)
{
	int rc = 0;

	t->pid = fork();
	if (t->pid < 0)
		return failed(err, errno, "starting", "a process");
	if (t->pid == 0)
		for (;;)
			pause();
	for (size_t i = 0; rc == 0 && i < CONTROLLERS; i++) {
		int root = cgroups_root(t->cg, controllers[i]);

		if (root < 0)
			return ocu_error_set(err, OCU_E_UNSUPPORTED, "no hierarchy with %s", controllers[i]);
		rc = enter(t, root, err);
	}
	return rc;
}

int cgroups_try(const struct cgroups *cg, struct ocu_error *err)
{
	struct trial t = {.cg = cg};
	struct ocu_error later = {0};
	int status = 0, rc;

	ocu_id_new(OCU_ID_CONTAINER, t.container);
	rc = fill(&t, err);
	if (rc == 0 && cgroup_kill(cg, t.container) != 1)
		rc = ocu_error_set(err, OCU_E_UNSUPPORTED, "a group does not show the process in it");
	if (t.pid > 0) {
		kill(t.pid, SIGKILL);
		waitpid(t.pid, &status, 0);
	}
	cgroup_remove(cg, t.container, &later);
	cgroups_remove_parent(cg);
	return rc;
}
