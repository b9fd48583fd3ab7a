/* node: everything of this process that more than one module needs. Made by main, constant afterwards. */
#ifndef OCU_SANDBOXD_NODE_H
#define OCU_SANDBOXD_NODE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "libocu/daemon.h"
#include "libocu/id.h"
#include "sandboxd/cgroup.h"
#include "sandboxd/runtime.h"
#include "sandboxd/stage.h"

/* A container of runc or crun shares the host's kernel: that is what the word says in policies. */
#define NODE_TIER "runc"

struct agents;
struct custodian;
struct grants;
struct jobs;
struct netpool;
struct ocu_audit;
struct ocu_denylist;
struct sessions;

struct node {
	struct ocu_daemon daemon;
	char boot_id[OCU_ID_MAX];
	struct stage stage;
	struct cgroups cgroups;
	struct runtime runtime;
	json_t *seccomp;
	bool limit_swap, limit_tcp;
	struct ocu_audit *audit;
	struct ocu_denylist *denylist;
	struct grants *grants;
	struct sessions *sessions;
	struct agents *agents;
	struct netpool *network;
	struct custodian *files, *edge;
	struct jobs *starts; /* sandboxes coming up */
	struct jobs *ends;   /* sandboxes cleaned up without anybody asking */
};

#endif
