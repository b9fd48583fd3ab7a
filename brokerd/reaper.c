/* reaper: a clock tick, the trash, the abandoned. */
#include "brokerd/reaper.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "brokerd/broker.h"
#include "brokerd/evidence.h"
#include "brokerd/meter.h"
#include "brokerd/registry.h"
#include "brokerd/session.h"
#include "brokerd/store.h"
#include "brokerd/volume.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/log.h"
#include "libocu/waiting.h"

#define TICK_MS      1000
#define SLICE_MS     100 /* removal at a stretch, and then as long a rest; a release waits its turn no longer */
#define EXPIRE_EVERY UINT64_C(60000) /* at most; a tenth of abandoned_after */
#define HOUR_MS      UINT64_C(3600000)
#define STAMP_MAX_S  INT64_C(604800) /* seven days */

struct reaper {
	struct broker *broker;
	uint64_t started, expired, stamped, abandoned_ms, expire_every;
	bool left; /* in the trash, when its turn was over */
	int said;  /* why the trash is not empty */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool stop;
	pthread_t thread;
};

/* True when it is time to go. */
static bool wait_tick(struct reaper *r)
{
	struct timespec until = ocu_after_ms(r->left ? SLICE_MS : TICK_MS);
	pthread_mutex_lock(&r->lock);
	while (!r->stop && ocu_cond_wait_until(&r->cond, &r->lock, &until))
		;
	bool stop = r->stop;
	pthread_mutex_unlock(&r->lock);
	return stop;
}

static void empty_trash(struct reaper *r)
{
	struct ocu_error err = {0};
	uint64_t removed = 0;
	int rc = session_scrub_rest(r->broker, ocu_mono_ms() + SLICE_MS, &removed, &err);
	r->left = rc == OCU_E_TIMEOUT;
	/* Once per change: what cannot be removed is not a line a second. */
	if (rc != r->said && rc < 0 && !r->left)
		ocu_log_error(OCU_LOG_WARN, "reaper.trash", NULL, &err);
	r->said = rc;
	meter_scrubbed(removed);
}

static bool registered(struct broker *b, const char *filesystem_id)
{
	struct volume *v = registry_filesystem(b->registry, filesystem_id);
	volume_unref(v);
	return v != NULL;
}

/* A session may have come for it since it was looked at. */
static int discard(struct broker *b, const char *filesystem_id, struct ocu_error *err)
{
	char trash[STORE_TRASH_MAX];
	pthread_mutex_lock(&b->coming);
	int rc = registered(b, filesystem_id) ? 0 : store_discard(b->store, filesystem_id, trash, err);
	pthread_mutex_unlock(&b->coming);
	return rc;
}

static void expire(void *arg, const char *filesystem_id, int64_t age_s)
{
	struct reaper *r = arg;
	struct broker *b = r->broker;
	uint64_t up = ocu_mono_ms() - r->started;
	struct ocu_error err = {0};
	if (up < r->abandoned_ms && (up < HOUR_MS || age_s < STAMP_MAX_S))
		return;
	if (registered(b, filesystem_id))
		return;
	struct file_event e = {
	    .op = FILE_OP_EXPIRE,
	    .face = FACE_CONTROL,
	    .filesystem_id = filesystem_id,
	    .bytes = BYTES_UNKNOWN,
	    .downloadable = b->downloadable,
	};
	if (evidence_commit(b->audit, &e, &err) < 0 || discard(b, filesystem_id, &err) < 0)
		ocu_log_error(OCU_LOG_WARN, "reaper.expire", NULL, &err);
}

static void stamp_registered(struct reaper *r)
{
	size_t count;
	struct volume **all = registry_all(r->broker->registry, &count);
	for (size_t i = 0; i < count; i++) {
		store_touch(r->broker->store, all[i]->filesystem_id);
		volume_unref(all[i]);
	}
	free(all);
}

static void look_around(struct reaper *r)
{
	uint64_t now = ocu_mono_ms();
	struct ocu_error err = {0};
	meter_volumes((int64_t)registry_count(r->broker->registry));
	empty_trash(r);
	if (now - r->stamped >= HOUR_MS) {
		stamp_registered(r);
		r->stamped = now;
	}
	if (now - r->expired >= r->expire_every) {
		if (store_each(r->broker->store, expire, r, &err) < 0)
			ocu_log_error(OCU_LOG_WARN, "reaper.expire", NULL, &err);
		r->expired = now;
	}
}

static void *run(void *arg)
{
	struct reaper *r = arg;
	do
		look_around(r);
	while (!wait_tick(r));
	return NULL;
}

int reaper_start(struct reaper **ret, struct broker *b, uint64_t abandoned_ms, struct ocu_error *err)
{
	struct reaper *r = calloc(1, sizeof *r);
	if (!r)
		return ocu_error_set(err, OCU_E_NOMEM, "reaper");
	pthread_mutex_init(&r->lock, NULL);
	ocu_cond_init(&r->cond);
	r->broker = b;
	r->abandoned_ms = abandoned_ms;
	r->expire_every = abandoned_ms / 10 < EXPIRE_EVERY ? abandoned_ms / 10 : EXPIRE_EVERY;
	r->started = r->stamped = r->expired = ocu_mono_ms();
	int e = pthread_create(&r->thread, NULL, run, r);
	if (e) {
		free(r);
		return ocu_error_errno(err, OCU_E_NOMEM, e, "reaper thread");
	}
	*ret = r;
	return 0;
}

void reaper_stop(struct reaper *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_cond_signal(&r->cond);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	pthread_mutex_destroy(&r->lock);
	pthread_cond_destroy(&r->cond);
	free(r);
}
