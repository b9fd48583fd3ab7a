/*
 * mount: one FUSE connection: the /dev/fuse descriptor sandboxd made for a session, served on that session's
 * volume. The descriptor is the identity: whatever arrives on it is that session and nothing else. A mount
 * ends when the kernel's side is gone or when it is aborted: nothing is done for it any more from that moment
 * on. Operations under way finish first, then everything it held is freed.
 */
#ifndef BROKERD_MOUNT_H
#define BROKERD_MOUNT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "brokerd/content.h"
#include "brokerd/handle.h"
#include "brokerd/node.h"
#include "brokerd/pool.h"

struct broker;
struct fuse_session;
struct notifier;
struct ocu_error;
struct volume;

#define MOUNT_MAX_WRITE (1u << 20)
#define MOUNT_BUFFER_IN                                                                                      \
	(MOUNT_MAX_WRITE + (64u << 10)) /* the kernel wants room for headers beside max_write */
#define MOUNT_BUFFER_OUT MOUNT_MAX_WRITE

struct mount {
	struct broker *broker;
	struct volume *volume; /* referenced */
	struct fuse_session *session;
	int fd; /* owned by the session */
	struct lane *lane;
	struct nodes nodes;
	struct handles handles;
	struct content content;
	uid_t uid; /* host id of the guest's root: owner of every file it sees; its group, too */
	atomic_bool dead;
	atomic_uint refs;
	struct notifier
	    *notifier; /* made when the north face first changes something; guarded by the volume's lock */
};

/* Serves fd, a /dev/fuse descriptor, which is taken in every case. The volume must be active and without a
 * mount. */
int mount_start(struct broker *b, struct volume *v, int fd, uid_t guest_uid, struct ocu_error *err);
struct mount *mount_ref(struct mount *m);
void mount_unref(struct mount *m); /* NULL is fine */
/* Every request from here on fails with ENOTCONN, and the connection is cut, which fails those in the kernel
 * with ECONNABORTED: at once, or when the notification under way has returned. That one waits for a folder's
 * lock, whose holder waits for an answer; without one neither would ever go on. Idempotent, does not wait. */
void mount_abort(struct mount *m);
/* The cut itself; the lane is held. */
void mount_cut(struct mount *m);
/* Nothing was heard of the denylist for too long: whether the session is denied is not known. Content is then
 * neither read nor written, and nothing opened or changed: EIO, until it is heard again. It is not waited
 * for: the sandbox's agent opens files itself and starts programs from them, and one that has not answered
 * for some 10 seconds is taken for dead, and its session with it. */
bool mount_deaf(const struct mount *m);
/* Waits until nothing of it is under way, at most ms. */
void mount_wait(struct mount *m, unsigned ms);
/* The memory of the worker this thread is. */
struct pool_buffer *mount_buffer(void);

#endif
