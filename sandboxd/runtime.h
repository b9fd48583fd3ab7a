/*
 * runtime: the OCI runtime (crun or runc) as a program that is run and waited for. Its state lives in the
 * stage, its messages go into the error. It inherits descriptors 0 and 1 when a container is started (the
 * guest's ends of the control channel) and otherwise nothing, and an environment that holds PATH alone.
 */
#ifndef OCU_SANDBOXD_RUNTIME_H
#define OCU_SANDBOXD_RUNTIME_H

#include <pthread.h>
#include <sys/types.h>

struct ocu_error;

#define RUNTIME_MAX 64 /* runs of it at once */

struct runtime {
	char name[8]; /* "crun", "runc" */
	char path[128];
	char root[640];       /* --root */
	pthread_mutex_t lock; /* all below */
	pid_t awaited[RUNTIME_MAX];
	unsigned nawaited;
};

/* choice: auto, crun or runc. OCU_E_CONFIG when it is not installed. */
int runtime_find(struct runtime *rt, const char *choice, const char *root, struct ocu_error *err);
/* Makes and starts the container with in and out as its descriptors 0 and 1; its init's pid in *pid. Blocks
 * until the runtime is done, at most timeout_ms. `run --detach` does in one program what `create` and `start`
 * do in two, and lets the descriptor through just the same. */
int runtime_run(struct runtime *rt, const char *container, const char *bundle_dir, int in, int out,
                pid_t *pid, unsigned timeout_ms, struct ocu_error *err);
/* Runtimes leave processes of their own behind, whose end falls to this process: reaps those that have ended.
 * Never one that somebody waits for. */
void runtime_reap(struct runtime *rt);
/* Forgets the container, killing what is left of it. One that is not known is fine. */
int runtime_delete(struct runtime *rt, const char *container, unsigned timeout_ms, struct ocu_error *err);

#endif
