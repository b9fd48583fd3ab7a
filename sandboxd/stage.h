/*
 * stage: the place where sandboxes are set up: a mount namespace of sandboxd's own, and in it one tmpfs at
 * <run_dir>/sandboxd that holds everything runtimes need to see. Nothing in it is visible to another process
 * of the host, and the kernel takes all of it away with the last process of the namespace: a killed sandboxd
 * leaves no mount, no bundle and no runtime state behind.
 *
 *   <dir>/agent            the guest agent, copied: the program on disk may be replaced at any time
 *   <dir>/resolv.conf      the name server of every sandbox: its edge
 *   <dir>/images           image_dir, bound read-only: its own path need not be passable by guests
 *   <dir>/runtime          the OCI runtime's state
 *   <dir>/s/<container>    one sandbox: config.json, pid, netns (bound), workspace (FUSE), scratch (tmpfs)
 */
#ifndef OCU_SANDBOXD_STAGE_H
#define OCU_SANDBOXD_STAGE_H

#include <stdint.h>
#include <sys/types.h>

struct ocu_conf;
struct ocu_error;

#define STAGE_PATH_MAX 640

struct stage {
	char dir[512];
	char agent[STAGE_PATH_MAX];
	char resolv_conf[STAGE_PATH_MAX];
	char images[STAGE_PATH_MAX];
	char runtime[STAGE_PATH_MAX];
};

/* Once, before any thread: enters the namespace (host.h) and fills the folder. */
int stage_enter(struct stage *st, const char *run_dir, const struct ocu_conf *conf, struct ocu_error *err);

/* <dir>/s/<container> and what is below it; out holds STAGE_PATH_MAX. name "" is the folder itself. */
int stage_path(const struct stage *st, const char *container, const char *name, char *out,
               struct ocu_error *err);
/* The root file system of an installed image, as the stage shows it. OCU_E_NOT_FOUND, or OCU_E_PARAMS for a
 * bad name. */
int stage_image(const struct stage *st, const char *name, char *out, struct ocu_error *err);
/* Makes the folder of one sandbox with an empty workspace, and its scratch: one tmpfs of that many bytes with
 * tmp, root, run and shm inside, owned by uid. */
int stage_add(const struct stage *st, const char *container, uid_t uid, uint64_t scratch_bytes,
              struct ocu_error *err);
/* Gives the network namespace of descriptor ns a path that runtimes can open, <dir>/s/<container>/netns. */
int stage_bind_netns(const struct stage *st, const char *container, int ns, struct ocu_error *err);
/* Mounts an empty FUSE file system at the sandbox's workspace, served by whoever holds the returned
 * descriptor of /dev/fuse; access is checked by the kernel, and open to the guest's uids. Nothing may touch
 * the mount before there is such a server. */
int stage_mount_fuse(const struct stage *st, const char *container, struct ocu_error *err);
/* Ends the file system for everybody, also for a guest in the middle of a call to it. */
void stage_unmount_fuse(const struct stage *st, const char *container);
/* Unmounts and removes all of it; nothing missing is an error. */
int stage_remove(const struct stage *st, const char *container, struct ocu_error *err);
/* Cuts every file in the sandbox's scratch to nothing, for at most budget_ms; the content is gone even for
 * who has a file open. Returns the number of files, or a negative OCU_E code. The rest goes with the unmount.
 */
long stage_scrub(const struct stage *st, const char *container, unsigned budget_ms, struct ocu_error *err);

#endif
