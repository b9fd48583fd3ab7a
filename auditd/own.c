/* own: rendering and queueing of auditd's events. */
#include "auditd/own.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "auditd/committer.h"
#include "auditd/lane.h"
#include "auditd/metrics.h"
#include "auditd/request.h"
#include "libocu/buf.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/refusals.h"
#include "libocu/rpc.h"
#include "proto/methods.h"

#define SHAPED_PER_SECOND 1

struct own {
	struct committer *committer;
	struct lane *lane; /* our name as a source; nothing waits in it */
	struct ocu_refusals *refusals;
};

static bool tell(void *arg, const struct ocu_event *ev)
{
	own_report(arg, ev);
	return true;
}

int own_new(struct own **ret, struct lanes *lanes, struct committer *committer, struct ocu_error *err)
{
	static const struct ocu_peer self = {.component = OCU_COMP_AUDITD};
	struct own *o = calloc(1, sizeof *o);
	if (!o)
		return ocu_error_set(err, OCU_E_NOMEM, "own events");
	o->committer = committer;
	int rc = lanes_get(lanes, &self, &o->lane, err);
	if (!rc)
		rc = ocu_refusals_start(&o->refusals, OCU_REFUSALS_TELL_MS, tell, o, err);
	if (rc)
		own_free(o);
	else
		*ret = o;
	return rc;
}

void own_free(struct own *o)
{
	if (o)
		ocu_refusals_stop(o->refusals);
	free(o);
}

static int render(struct own *o, const struct ocu_event *ev, struct request **ret, struct ocu_error *err)
{
	OCU_BUF struct ocu_buf text = OCU_BUF_INIT(OCU_EVENT_MAX);
	int rc = ocu_event_render(ev, &text, err);
	if (rc)
		return rc;
	struct request *r = request_new(1);
	if (!r) {
		ocu_error_set(err, OCU_E_NOMEM, "own event");
		return OCU_E_NOMEM;
	}
	r->lane = o->lane;
	r->wall_ms = ocu_wall_ms();
	r->bytes = r->events[0].len = text.len;
	r->events[0].data = r->events[0].owned = ocu_buf_steal(&text);
	*ret = r;
	return 0;
}

static int put(struct own *o, struct request *r, struct ocu_error *err)
{
	int rc = committer_put_own(o->committer, r, err);
	if (rc) {
		metrics_suppressed(1);
		r->done = NULL;
		request_finish(r, err);
	}
	return rc;
}

void own_report(struct own *o, const struct ocu_event *ev)
{
	struct ocu_error err = {0};
	struct request *r = NULL;
	if (render(o, ev, &r, &err))
		metrics_suppressed(1);
	else
		put(o, r, &err);
}

struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
	struct ocu_error err;
};

static void wake(void *arg, const struct ocu_error *err)
{
	struct waiter *w = arg;
	pthread_mutex_lock(&w->lock);
	w->done = true;
	if (err)
		w->err = *err;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

int own_commit(struct own *o, const struct ocu_event *ev, struct ocu_error *err)
{
	struct waiter w = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
	struct ocu_error own = {0};
	struct request *r = NULL;
	err = err ? err : &own;
	int rc = render(o, ev, &r, err);
	if (rc)
		return rc;
	r->done = wake;
	r->done_arg = &w;
	rc = put(o, r, err);
	if (rc)
		return rc;
	pthread_mutex_lock(&w.lock);
	while (!w.done)
		pthread_cond_wait(&w.cond, &w.lock);
	pthread_mutex_unlock(&w.lock);
	if (w.err.code)
		*err = w.err;
	return w.err.code;
}

bool own_may_report(struct own *o, const char *action, const char *actor, unsigned *ret_suppressed)
{
	return ocu_refusals_take(o->refusals, action, actor, OCU_SHAPER_EACH_S, ret_suppressed);
}

void own_append_refused(struct own *o, struct lane *lane, const char *trace, long event,
                        const struct ocu_error *why)
{
	unsigned suppressed;
	metrics_refused(lane->component);
	if (!own_may_report(o, "append.refused", lane->name, &suppressed))
		return;
	OCU_JSON json_t *d =
	    json_pack("{s:s%, s:I, s:I}", "text", why->text, strnlen(why->text, 256), "event",
	              (json_int_t)event, "unreported_before", (json_int_t)suppressed);
	struct ocu_event ev = {
	    .class_uid = OCU_OCSF_API_ACTIVITY,
	    .activity_id = 1,
	    .action = "append.refused",
	    .resource = lane->name,
	    .actor_id = "system:auditd",
	    .trace_id = trace,
	    .outcome = OCU_OUTCOME_DENIED,
	    .reason = why->code,
	    .detail = d,
	};
	own_report(o, &ev);
}

void own_source_shaped(struct own *o, struct lane *lane, bool refused)
{
	unsigned suppressed;
	metrics_shaped(lane->component);
	if (!ocu_refusals_take(o->refusals, "source.shaped", lane->name, SHAPED_PER_SECOND, &suppressed))
		return;
	OCU_JSON json_t *d =
	    json_pack("{s:b, s:I}", "refused", (int)refused, "unreported_before", (json_int_t)suppressed);
	struct ocu_event ev = {
	    .class_uid = OCU_OCSF_API_ACTIVITY,
	    .activity_id = 1,
	    .action = "source.shaped",
	    .resource = lane->name,
	    .actor_id = "system:auditd",
	    .outcome = OCU_OUTCOME_DENIED,
	    .reason = OCU_E_RATE,
	    .detail = d,
	};
	own_report(o, &ev);
}

void own_rpc_refused(struct own *o, const struct ocu_peer *peer, uint32_t method, const struct ocu_error *why)
{
	unsigned suppressed;
	const struct ocu_rpc_method *m = ocu_method_find(method);
	const char *actor = peer ? peer->spiffe : "unknown";
	if (!own_may_report(o, "rpc.refused", actor, &suppressed))
		return;
	OCU_JSON json_t *d =
	    json_pack("{s:s%, s:I, s:I}", "text", why->text, strnlen(why->text, 256), "method",
	              (json_int_t)method, "unreported_before", (json_int_t)suppressed);
	struct ocu_event ev = {
	    .class_uid = OCU_OCSF_API_ACTIVITY,
	    .activity_id = 99,
	    .action = "rpc.refused",
	    .resource = m ? m->name : "unknown",
	    .actor_id = actor,
	    .outcome = OCU_OUTCOME_DENIED,
	    .reason = why->code,
	    .detail = d,
	};
	own_report(o, &ev);
}
