/* refusals: a shaper with a lock, and a thread that looks at what it has hidden. */
#include "libocu/refusals.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/waiting.h"

struct ocu_refusals {
	struct ocu_shaper shaper;
	unsigned tell_ms;
	bool (*tell)(void *arg, const struct ocu_event *ev);
	void *arg;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool stop;
};

bool ocu_refusals_take(struct ocu_refusals *r, const char *action, const char *actor, unsigned each_s,
                       unsigned *hidden)
{
	char key[OCU_SHAPER_KEY_MAX];

	snprintf(key, sizeof key, "%.63s %s", action, actor);
	pthread_mutex_lock(&r->lock);
	bool due = ocu_shaper_take(&r->shaper, key, each_s, ocu_mono_ms(), hidden);
	pthread_mutex_unlock(&r->lock);
	return due;
}

static bool tell_one(struct ocu_refusals *r, struct ocu_shaper_hidden *h)
{
	OCU_JSON json_t *detail = json_pack("{s:I}", "unreported_before", (json_int_t)h->n);
	char *actor = strchr(h->key, ' ');
	const struct ocu_event ev = {
	    .class_uid = OCU_OCSF_API_ACTIVITY,
	    .activity_id = 99,
	    .action = h->several ? "refusals.unreported" : h->key,
	    .resource = "several",
	    .actor_id = h->several ? "several" : actor + 1,
	    .session_id = "",
	    .trace_id = "",
	    .outcome = OCU_OUTCOME_DENIED,
	    .reason = OCU_E_DENIED,
	    .detail = detail,
	};

	*actor = '\0';
	bool told = r->tell(r->arg, &ev);
	*actor = ' ';
	return told;
}

/* Those that are hidden for longer would have been told with the next of their kind, had it come. */
static void tell_left(struct ocu_refusals *r, uint64_t before_ms)
{
	struct ocu_shaper_hidden h;

	for (unsigned i = 0; i < OCU_SHAPER_SLOTS; i++) {
		pthread_mutex_lock(&r->lock);
		bool left = ocu_shaper_left(&r->shaper, i, before_ms, &h);
		pthread_mutex_unlock(&r->lock);
		if (!left || tell_one(r, &h))
			continue;
		pthread_mutex_lock(&r->lock);
		ocu_shaper_give_back(&r->shaper, i, &h);
		pthread_mutex_unlock(&r->lock);
	}
}

static void *run(void *arg)
{
	struct ocu_refusals *r = arg;

	pthread_mutex_lock(&r->lock);
	while (!r->stop) {
		struct timespec end = ocu_after_ms(r->tell_ms);
		while (!r->stop && ocu_cond_wait_until(&r->cond, &r->lock, &end))
			;
		pthread_mutex_unlock(&r->lock);
		uint64_t now = ocu_mono_ms();
		tell_left(r, now > r->tell_ms ? now - r->tell_ms : 0);
		pthread_mutex_lock(&r->lock);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

int ocu_refusals_start(struct ocu_refusals **ret, unsigned tell_ms,
                       bool (*tell)(void *arg, const struct ocu_event *ev), void *arg, struct ocu_error *err)
{
	struct ocu_refusals *r = calloc(1, sizeof *r);

	if (!r)
		return ocu_error_set(err, OCU_E_NOMEM, "refusals");
	r->tell_ms = tell_ms;
	r->tell = tell;
	r->arg = arg;
	pthread_mutex_init(&r->lock, NULL);
	ocu_cond_init(&r->cond);
	int rc = pthread_create(&r->thread, NULL, run, r);
	if (rc) {
		free(r);
		return ocu_error_errno(err, OCU_E_INTERNAL, rc, "the thread of the refusals");
	}
	*ret = r;
	return 0;
}

void ocu_refusals_stop(struct ocu_refusals *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_cond_signal(&r->cond);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	tell_left(r, UINT64_MAX);
	pthread_cond_destroy(&r->cond);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
