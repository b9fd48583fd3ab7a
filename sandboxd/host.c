/* host: see host.h. */
#include "sandboxd/host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/err.h"

#define CGROUP "/sys/fs/cgroup"
#define LEAF   CGROUP "/ocu-sandboxd"
#define QUIET  (MS_NOSUID | MS_NODEV | MS_NOEXEC)

/* Version 1 controllers, and an empty version 2 beside them: without the version 2 mount crun 1.8 takes the
 * hierarchy for version 1, which it is. */
static int hide_unified(struct ocu_error *err)
{
	static const char unified[] = CGROUP "/unified";
	struct statfs top, half;

	if (statfs(CGROUP, &top) < 0 || top.f_type != TMPFS_MAGIC)
		return 0;
	if (statfs(unified, &half) < 0 || half.f_type != CGROUP2_SUPER_MAGIC)
		return 0;
	if (umount2(unified, MNT_DETACH) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "unmounting %s", unified);
	return 0;
}

/* Something stands over a part of /proc, but for what systemd mounts there on a host. */
static bool proc_is_masked(void)
{
	OCU_FILE FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[1024], point[256];

	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "%*d %*d %*s %*s %255s", point) == 1 && strncmp(point, "/proc/", 6) == 0 &&
		    strcmp(point, "/proc/sys/fs/binfmt_misc") != 0)
			return true;
	return false;
}

/* The masks keep a container's processes from parts of the kernel that only this one is to reach, with rights
 * that reach there anyhow; what guests may see of their own /proc is decided by bundle.c. */
static int show_proc(struct ocu_error *err)
{
	if (proc_is_masked() && mount("proc", "/proc", "proc", QUIET, NULL) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "mounting a /proc without masks");
	return 0;
}

static int write_text(const char *path, const char *text, struct ocu_error *err)
{
	OCU_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, text, strlen(text)) < 0 ? ocu_error_errno(err, OCU_E_IO, errno, "%s", path)
	                                                   : 0;
}

/* Hands the controllers that sandboxes need on to the groups below; a missing one is for the runtime to say.
 */
static int enable_controllers(struct ocu_error *err)
{
	OCU_FILE FILE *f = fopen(CGROUP "/cgroup.controllers", "re");
	char name[32], text[40];
	int rc = 0;

	while (rc == 0 && f && fscanf(f, "%31s", name) == 1) {
		if (strcmp(name, "cpu") != 0 && strcmp(name, "memory") != 0 && strcmp(name, "pids") != 0)
			continue;
		snprintf(text, sizeof text, "+%s", name);
		rc = write_text(CGROUP "/cgroup.subtree_control", text, err);
	}
	return rc;
}

/* A service manager's own group, inside of a container or not, is not where we see the root. */
static bool in_root_group(void)
{
	OCU_FILE FILE *f = fopen("/proc/self/cgroup", "re");
	char line[256];

	while (f && fgets(line, sizeof line, f))
		if (strcmp(line, "0::/\n") == 0)
			return true;
	return false;
}

/* The root of a host's hierarchy has no type: where there is one, what we see as the root is a container's
 * group. It is made writable here, because a container's view of it is read-only; and emptied, because a
 * group with processes in it cannot hand controllers on. */
static int divide_group(struct ocu_error *err)
{
	struct statfs top;
	int rc;

	if (statfs(CGROUP, &top) < 0 || top.f_type != CGROUP2_SUPER_MAGIC ||
	    access(CGROUP "/cgroup.type", F_OK) < 0 || !in_root_group())
		return 0;
	if (mount(NULL, CGROUP, NULL, MS_REMOUNT | MS_BIND | QUIET, NULL) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno,
		                       "making this container's control group writable");
	if (mkdir(LEAF, 0755) < 0 && errno != EEXIST)
		return ocu_error_errno(err, OCU_E_IO, errno, "making %s", LEAF);
	rc = write_text(LEAF "/cgroup.procs", "0", err);
	return rc ? rc : enable_controllers(err);
}

int host_enter(struct ocu_error *err)
{
	int rc;

	if (unshare(CLONE_NEWNS) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "making a mount namespace");
	/* Slave: what the host unmounts goes away here as well; nothing from here reaches the host. */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "detaching mounts from the host's");
	if ((rc = show_proc(err)) || (rc = hide_unified(err)))
		return rc;
	return divide_group(err);
}
