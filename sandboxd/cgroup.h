/*
 * cgroup: the control groups of this node's sandboxes, <parent>/<container> in every hierarchy, of version 1
 * (also the hybrid kind) or version 2. The runtime makes them; here they are frozen, killed, counted and
 * removed, without the runtime's help and without the guest's. The parent's name is derived from run_dir's
 * path and from which folder state_dir is, so that several deployments on one host never touch each other's.
 */
#ifndef OCU_SANDBOXD_CGROUP_H
#define OCU_SANDBOXD_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ocu_error;

#define CGROUP_ROOTS_MAX 32
#define CGROUP_PATH_MAX  512

struct cgroups {
	bool v2;
	char parent[32];                   /* "/ocu.<8 hex digits>" */
	char roots[CGROUP_ROOTS_MAX][128]; /* mount points of the hierarchies */
	char names[CGROUP_ROOTS_MAX][64];  /* version 1: their options, "cpu,cpuacct" */
	size_t nroots;
};

/* Reads this process's mounts. OCU_E_UNSUPPORTED when there is no usable hierarchy. */
int cgroups_init(struct cgroups *cg, const char *run_dir, const char *state_dir, struct ocu_error *err);
/* Index in roots of the hierarchy with this controller ("memory"), or -1; of version 2 there is one for all.
 */
int cgroups_root(const struct cgroups *cg, const char *controller);
/* Makes a group, puts a process in, ends it by way of the group and removes the group: OCU_E_UNSUPPORTED with
 * the step that is not possible here, also when memory or pids cannot be limited. */
int cgroups_try(const struct cgroups *cg, struct ocu_error *err);
/* For config.json: the container's path as runtimes take it. */
void cgroups_path(const struct cgroups *cg, const char *container, char out[CGROUP_PATH_MAX]);
/* Calls each for every container that has a group; a non-zero return stops and is returned. */
int cgroups_each(const struct cgroups *cg, int (*each)(void *arg, const char *container), void *arg);
/* Removes the parent; only when nothing is in it. */
void cgroups_remove_parent(const struct cgroups *cg);

/* Stops (or lets go) everything in the group; waits at most wait_ms for it to stand still. A process in the
 * middle of a system call that cannot be interrupted may still be moving: OCU_E_TIMEOUT, which is no reason
 * not to go on. */
int cgroup_freeze(const struct cgroups *cg, const char *container, bool frozen, unsigned wait_ms,
                  struct ocu_error *err);
/* Whether what sockets hold is counted apart from a group's memory, and can be bounded. */
bool cgroups_bound_tcp(const struct cgroups *cg);
/* No ceiling on its CPU time any more, so that what dies does so at the host's pace. */
void cgroup_unbound_cpu(const struct cgroups *cg, const char *container);
/* SIGKILL to every process in the group, and lets go what was frozen so that it can die. Returns how many
 * were there. */
int cgroup_kill(const struct cgroups *cg, const char *container);
/* No process is in it, or it is gone. One that cannot be read is not empty. */
bool cgroup_empty(const struct cgroups *cg, const char *container);
/* How often the kernel killed something in it for want of memory. */
uint64_t cgroup_oom_kills(const struct cgroups *cg, const char *container);
/* Is the process in this container's group? */
bool cgroup_has(const struct cgroups *cg, const char *container, int pid);
/* Removes the group in every hierarchy; what is not there is fine. */
int cgroup_remove(const struct cgroups *cg, const char *container, struct ocu_error *err);

#endif
