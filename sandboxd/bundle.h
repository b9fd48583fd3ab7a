/*
 * bundle: the OCI configuration of a sandbox (runtime-spec 1.0, config.json), the one place that says what a
 * sandbox may and may not (NFR-SEC-14): no new privileges, no capability, a system-call allow-list, a
 * read-only root, one bounded scratch, user, pid, mount, ipc, uts and cgroup namespaces of its own and a
 * prepared network one, its own range of host uids, limits on memory, CPU and processes, an environment that
 * holds nothing.
 */
#ifndef OCU_SANDBOXD_BUNDLE_H
#define OCU_SANDBOXD_BUNDLE_H

#include <jansson.h>
#include <stdint.h>

struct ocu_error;

/* Paths are as runtimes see them, in sandboxd's mount namespace. */
struct bundle {
	const char *rootfs;
	const char *agent;
	const char *resolv_conf;
	const char *workspace;
	const char *scratch; /* holds tmp, root, run, shm */
	const char *netns;   /* path of the prepared network namespace */
	const char *cgroups_path;
	uint32_t guest_uid; /* first of 65536 host ids */
	uint64_t memory_bytes;
	int limit_swap; /* the host swaps: memory_bytes bounds both together */
	int limit_tcp;  /* the host counts what sockets hold apart: that is bounded, too */
	uint32_t cpu_percent;
	uint32_t pids;
	json_t *seccomp; /* borrowed: linux.seccomp */
};

#define BUNDLE_IDS 65536

/* New reference. */
int bundle_config(const struct bundle *b, json_t **ret, struct ocu_error *err);
/* Writes it to path, mode 0600. */
int bundle_write(const struct bundle *b, const char *path, struct ocu_error *err);
/* The seccomp profile: the file, or the built-in one when path is "". New reference. Refuses one that allows
 * by default. */
int bundle_seccomp(const char *path, json_t **ret, struct ocu_error *err);

#endif
