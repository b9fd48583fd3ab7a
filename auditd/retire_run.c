/* retire_run: see retire_run.h. What keeps a segment becomes an event when it is news. */
#include "auditd/retire_run.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "auditd/aside.h"
#include "auditd/metrics.h"
#include "auditd/own.h"
#include "auditd/retire.h"
#include "auditd/store.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/log.h"
#include "libocu/trail_segment.h"
#include "libocu/waiting.h"

#define TICK_MS      1000
#define EVERY_MS     5000 /* while nothing is old enough */
#define RETRY_MS     1000 /* while something keeps what is; doubled up to */
#define RETRY_MAX_MS 600000

struct retire_run {
	struct retire_run_opts opts;
	struct retire retire;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	_Atomic bool leave;
	uint64_t again_ms, retry_ms; /* when to look again; how long to wait after the next failure */
	char said[OCU_ERROR_TEXT_MAX];
	uint64_t first, last, sealed_bytes; /* what the metrics were counted from */
};

static int record(void *arg, const struct ocu_event *ev, struct ocu_error *err)
{
	struct retire_run *r = arg;
	return own_commit(r->opts.own, ev, err);
}

static uint64_t archived(void *arg)
{
	const struct retire_run *r = arg;
	return aside_done(r->opts.archive);
}

static int confirm(void *arg, uint64_t segment, struct ocu_error *err)
{
	struct retire_run *r = arg;
	return aside_ask(r->opts.archive, segment, &r->leave, err);
}

static uint64_t given(void *arg)
{
	const struct retire_run *r = arg;
	return r->opts.forward ? aside_done(r->opts.forward) : UINT64_MAX;
}

/* Sealed segments do not change: they are counted again only when one came or went. */
static void observe(struct retire_run *r)
{
	struct store_head head;
	struct stat st;
	char name[OCU_TRAIL_NAME_MAX];
	store_head(r->opts.store, &head);
	if (head.first != r->first || head.segment != r->last) {
		r->sealed_bytes = 0;
		for (uint64_t n = head.first; n < head.segment; n++) {
			ocu_trail_segment_name(n, name);
			if (fstatat(store_dirfd(r->opts.store), name, &st, AT_SYMLINK_NOFOLLOW) == 0)
				r->sealed_bytes += (uint64_t)st.st_size;
		}
		r->first = head.first;
		r->last = head.segment;
	}
	metrics_local(head.segment - head.first + 1, r->sealed_bytes + head.end);
}

static void kept(struct retire_run *r, const struct ocu_error *why)
{
	metrics_kept();
	if (strcmp(r->said, why->text) == 0)
		return;
	memcpy(r->said, why->text, sizeof r->said);
	ocu_log_error(OCU_LOG_WARN, "segment.kept", NULL, why);
	OCU_JSON json_t *d = json_pack("{s:s%}", "text", why->text, strnlen(why->text, 256));
	const struct ocu_event ev = {
	    .class_uid = OCU_OCSF_APP_LIFECYCLE,
	    .activity_id = 99,
	    .action = "segment.kept",
	    .resource = store_trail(r->opts.store),
	    .actor_id = "system:auditd",
	    .outcome = OCU_OUTCOME_FAILURE,
	    .reason = why->code,
	    .detail = d,
	};
	own_report(r->opts.own, &ev);
}

/* True when one went: there may be more. */
static bool attempt(struct retire_run *r)
{
	struct ocu_error err = {0};
	int rc = retire_step(&r->retire, ocu_wall_ms(), &err);
	if (rc > 0) {
		metrics_removed();
		r->said[0] = '\0';
		r->retry_ms = RETRY_MS;
	} else if (rc == 0) {
		r->again_ms = ocu_mono_ms() + EVERY_MS;
	} else if (!atomic_load(&r->leave)) {
		kept(r, &err);
		r->again_ms = ocu_mono_ms() + r->retry_ms;
		r->retry_ms = r->retry_ms * 2 < RETRY_MAX_MS ? r->retry_ms * 2 : RETRY_MAX_MS;
	}
	return rc > 0;
}

static void *run(void *arg)
{
	struct retire_run *r = arg;
	while (!atomic_load(&r->leave)) {
		observe(r);
		if (r->opts.archive && ocu_mono_ms() >= r->again_ms && attempt(r))
			continue;
		struct timespec t = ocu_after_ms(TICK_MS);
		pthread_mutex_lock(&r->lock);
		if (!atomic_load(&r->leave))
			ocu_cond_wait_until(&r->cond, &r->lock, &t);
		pthread_mutex_unlock(&r->lock);
	}
	return NULL;
}

int retire_run_start(struct retire_run **ret, const struct retire_run_opts *o, struct ocu_error *err)
{
	struct retire_run *r = calloc(1, sizeof *r);
	if (!r)
		return ocu_error_set(err, OCU_E_NOMEM, "retiring segments");
	r->opts = *o;
	r->retry_ms = RETRY_MS;
	r->retire = (struct retire){.store = o->store,
	                            .signer = o->signer,
	                            .keys = o->keys,
	                            .hot_ms = (int64_t)o->hot_days * 86400000,
	                            .record = record,
	                            .archived = archived,
	                            .confirm = confirm,
	                            .given = given,
	                            .arg = r};
	pthread_mutex_init(&r->lock, NULL);
	ocu_cond_init(&r->cond);
	int rc = pthread_create(&r->thread, NULL, run, r);
	if (rc) {
		free(r);
		return ocu_error_errno(err, OCU_E_INTERNAL, rc, "starting to retire segments");
	}
	*ret = r;
	return 0;
}

void retire_run_stop(struct retire_run *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	atomic_store(&r->leave, true);
	pthread_cond_signal(&r->cond);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	pthread_cond_destroy(&r->cond);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
