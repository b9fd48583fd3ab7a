/* volume: life, state and users of one file system. */
#include "brokerd/volume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "brokerd/mount.h"
#include "brokerd/scrub.h"
#include "libocu/err.h"

static int copy_text(char *to, size_t size, const char *from, struct ocu_error *err)
{
	size_t len = strnlen(from, size);
	if (len == 0 || len == size)
		return ocu_error_set(err, OCU_E_PARAMS, "an id is empty or too long");
	memcpy(to, from, len + 1);
	return 0;
}

/* Counts what an earlier life of the daemon left. What cannot be counted counts as full: it can be read and
 * removed, not added to. */
static void count_existing(struct volume *v)
{
	struct usage u;
	if (scrub_usage(v->disk.data, &u) < 0)
		u = (struct usage){.bytes = v->quota.max_bytes, .files = v->quota.max_files};
	atomic_store(&v->quota.bytes, u.bytes);
	atomic_store(&v->quota.files, u.files);
}

static void init_locks(struct volume *v)
{
	pthread_condattr_t monotonic;
	pthread_rwlockattr_t writers_first; /* a stream of lookups must not hold a rename up for ever */
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_rwlockattr_init(&writers_first);
	pthread_rwlockattr_setkind_np(&writers_first, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_mutex_init(&v->lock, NULL);
	pthread_cond_init(&v->left, &monotonic);
	pthread_rwlock_init(&v->tree, &writers_first);
	pthread_condattr_destroy(&monotonic);
	pthread_rwlockattr_destroy(&writers_first);
}

int volume_new(struct volume **ret, struct store *s, const struct volume_id *id, struct fd_budget *fds,
               struct ocu_error *err)
{
	struct volume *v = calloc(1, sizeof *v);
	if (!v)
		return ocu_error_set(err, OCU_E_NOMEM, "volume");
	v->disk = (struct store_volume){.data = -1, .staging = -1};
	atomic_init(&v->refs, 1);
	init_locks(v);
	quota_init(&v->quota, id->quota_bytes, id->quota_files);
	readers_init(&v->readers, &v->quota);
	int r = copy_text(v->session_id, sizeof v->session_id, id->session_id, err);
	if (r == 0)
		r = copy_text(v->filesystem_id, sizeof v->filesystem_id, id->filesystem_id, err);
	if (r == 0)
		r = copy_text(v->caller, sizeof v->caller, id->caller, err);
	if (r == 0 && fds_join(&v->fds, fds) < 0)
		r = ocu_error_set(err, OCU_E_QUOTA, "no descriptors for another session");
	if (r == 0)
		r = store_volume_open(s, id->filesystem_id, id->session_id, &v->disk, err);
	if (r < 0) {
		volume_unref(v);
		return r;
	}
	if (v->disk.existed)
		count_existing(v);
	*ret = v;
	return 0;
}

struct volume *volume_ref(struct volume *v)
{
	atomic_fetch_add(&v->refs, 1);
	return v;
}

void volume_unref(struct volume *v)
{
	if (!v || atomic_fetch_sub(&v->refs, 1) != 1)
		return;
	store_volume_close(&v->disk);
	fds_leave(&v->fds);
	readers_done(&v->readers);
	pthread_rwlock_destroy(&v->tree);
	pthread_mutex_destroy(&v->lock);
	pthread_cond_destroy(&v->left);
	free(v);
}

bool volume_is(const struct volume *v, const struct volume_id *id)
{
	return strcmp(v->session_id, id->session_id) == 0 &&
	       strcmp(v->filesystem_id, id->filesystem_id) == 0 && strcmp(v->caller, id->caller) == 0;
}

int volume_attach(struct volume *v, struct mount *m, struct ocu_error *err)
{
	int r = 0;
	pthread_mutex_lock(&v->lock);
	if (v->state != VOLUME_ACTIVE)
		r = ocu_error_set(err, OCU_E_STATE, "the session has ended");
	else if (v->mount)
		r = ocu_error_set(err, OCU_E_STATE, "the session has a mount already");
	else
		v->mount = mount_ref(m);
	pthread_mutex_unlock(&v->lock);
	return r;
}

struct mount *volume_detach(struct volume *v, struct mount *m)
{
	pthread_mutex_lock(&v->lock);
	bool attached = v->mount == m;
	if (attached)
		v->mount = NULL;
	pthread_mutex_unlock(&v->lock);
	return attached ? m : NULL;
}

struct mount *volume_mount(struct volume *v)
{
	pthread_mutex_lock(&v->lock);
	struct mount *m = v->mount ? mount_ref(v->mount) : NULL;
	pthread_mutex_unlock(&v->lock);
	return m;
}

enum volume_state volume_state(struct volume *v)
{
	pthread_mutex_lock(&v->lock);
	enum volume_state s = v->state;
	pthread_mutex_unlock(&v->lock);
	return s;
}

static int check_active(enum volume_state state, struct ocu_error *err)
{
	if (state == VOLUME_DENIED)
		return ocu_error_set(err, OCU_E_SESSION_DENIED, "session denied");
	return state == VOLUME_ENDED ? ocu_error_set(err, OCU_E_NOT_FOUND, "session ended") : 0;
}

int volume_active(struct volume *v, struct ocu_error *err)
{
	return check_active(volume_state(v), err);
}

int volume_enter(struct volume *v, struct ocu_error *err)
{
	pthread_mutex_lock(&v->lock);
	int r = check_active(v->state, err);
	v->north += r == 0;
	pthread_mutex_unlock(&v->lock);
	return r;
}

void volume_leave(struct volume *v)
{
	pthread_mutex_lock(&v->lock);
	if (--v->north == 0)
		pthread_cond_broadcast(&v->left);
	pthread_mutex_unlock(&v->lock);
}

void volume_close(struct volume *v, enum volume_state state)
{
	pthread_mutex_lock(&v->lock);
	if (state > v->state)
		v->state = state;
	pthread_mutex_unlock(&v->lock);
}

void volume_drain(struct volume *v, unsigned ms)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&v->lock);
	for (int r = 0; v->north > 0 && r == 0;)
		r = pthread_cond_timedwait(&v->left, &v->lock, &until);
	pthread_mutex_unlock(&v->lock);
}
