/*
 * volume: one session's file system in memory: whose it is, where it lies, how full it is, and who is using
 * it now: at most one mount, and operations of the north face. Referenced; the last reference closes its
 * descriptors.
 */
#ifndef BROKERD_VOLUME_H
#define BROKERD_VOLUME_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "brokerd/fds.h"
#include "brokerd/quota.h"
#include "brokerd/readers.h"
#include "brokerd/store.h"
#include "libocu/id.h"

struct mount;
struct ocu_error;

#define VOLUME_CALLER_MAX 256

enum volume_state {
	VOLUME_ACTIVE,
	VOLUME_DENIED, /* on the denylist: mount cut, north face closed; the data waits for Release */
	VOLUME_ENDED,  /* released */
};

struct volume_id {
	const char *session_id, *filesystem_id, *caller;
	uint64_t quota_bytes, quota_files;
};

struct volume {
	char session_id[OCU_ID_MAX];
	char filesystem_id[OCU_ID_MAX];
	char caller[VOLUME_CALLER_MAX];
	struct store_volume disk;
	struct quota quota;
	struct readers readers;
	struct fd_share fds;
	/* Names and file system in step: shared to resolve a name, exclusive to rename or remove one. */
	pthread_rwlock_t tree;
	atomic_uint refs;
	/* Guarded by lock. */
	pthread_mutex_t lock;
	pthread_cond_t left;
	enum volume_state state;
	struct mount *mount; /* referenced */
	unsigned north;      /* operations of the north face under way */
};

/* Opens or makes the data on disk; what is there already is counted. OCU_E_QUOTA when there are no
 * descriptors for another one. */
int volume_new(struct volume **ret, struct store *s, const struct volume_id *id, struct fd_budget *fds,
               struct ocu_error *err);
struct volume *volume_ref(struct volume *v);
void volume_unref(struct volume *v); /* NULL is fine */
/* Whether a repeated Register asks for the same thing. */
bool volume_is(const struct volume *v, const struct volume_id *id);

/* The mount pointer: attach takes a reference of the mount; OCU_E_STATE when there is one already or the
 * volume is not active. detach gives that reference back to the caller, NULL when m is not attached. */
int volume_attach(struct volume *v, struct mount *m, struct ocu_error *err);
struct mount *volume_detach(struct volume *v, struct mount *m);
struct mount *volume_mount(struct volume *v); /* referenced, or NULL */
enum volume_state volume_state(struct volume *v);

/* 0, or OCU_E_SESSION_DENIED or OCU_E_NOT_FOUND. */
int volume_active(struct volume *v, struct ocu_error *err);
/* A north-face operation begins, unless the volume is not active. */
int volume_enter(struct volume *v, struct ocu_error *err);
void volume_leave(struct volume *v);
/* Lets nobody in any more. Never goes back to a milder state. */
void volume_close(struct volume *v, enum volume_state state);
/* Waits for those inside to leave, at most ms. */
void volume_drain(struct volume *v, unsigned ms);

#endif
