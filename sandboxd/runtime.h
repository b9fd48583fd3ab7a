/*
 * runtime: the OCI runtime (crun or runc) as a program that is run and waited for. Its state lives in the
 * stage, its messages go into the error. It inherits descriptor 0 when a container is started (the guest's
 * end of the control channel) and otherwise nothing, and an environment that holds PATH alone.
 */
#ifndef OCU_SANDBOXD_RUNTIME_H
#define OCU_SANDBOXD_RUNTIME_H

#include <sys/types.h>

struct ocu_error;

struct runtime {
	char name[8]; /* "crun", "runc" */
	char path[128];
	char root[640]; /* --root */
};

/* choice: auto, crun or runc. OCU_E_CONFIG when it is not installed. */
int runtime_find(struct runtime *rt, const char *choice, const char *root, struct ocu_error *err);
/* Makes and starts the container with control as its descriptor 0; its init's pid in *pid. Blocks until the
 * runtime is done, at most timeout_ms. `run --detach` does in one program what `create` and `start` do in
 * two, and lets the descriptor through just the same. */
int runtime_run(const struct runtime *rt, const char *container, const char *bundle_dir, int control,
                pid_t *pid, unsigned timeout_ms, struct ocu_error *err);
/* Forgets the container, killing what is left of it. One that is not known is fine. */
int runtime_delete(const struct runtime *rt, const char *container, unsigned timeout_ms,
                   struct ocu_error *err);

#endif
