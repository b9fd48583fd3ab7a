/* events: one way from a record to the emitter. */
#include "egressd/events.h"

#include "egressd/egress.h"
#include "egressd/registry.h"
#include "libocu/audit.h"
#include "libocu/err.h"

static struct ocu_event event_of(const struct session *s, const struct record *r)
{
	return (struct ocu_event){
	    .class_uid = r->class_uid,
	    .activity_id = r->activity,
	    .action = r->action,
	    .resource = r->resource,
	    .actor_id = s->caller,
	    .session_id = s->id,
	    .trace_id = r->trace ? r->trace : "",
	    .outcome = r->outcome,
	    .reason = r->reason,
	    .detail = r->detail,
	};
}

void events_report(struct egress *e, const struct session *s, const struct record *r)
{
	struct ocu_event ev = event_of(s, r);

	ocu_audit_report(e->audit, &ev);
	json_decref(r->detail);
}

static void run_verdict(struct worker *w, struct task *t)
{
	struct verdict *v = (struct verdict *)t;

	(void)w;
	v->done(v);
}

static void on_committed(void *arg, const struct ocu_error *err)
{
	struct verdict *v = arg;

	v->code = err ? OCU_E_AUDIT : 0;
	worker_post(v->worker, &v->task);
}

void events_commit(struct worker *w, const struct session *s, const struct record *r, struct verdict *v)
{
	struct ocu_event ev = event_of(s, r);

	v->worker = w;
	v->task.run = run_verdict;
	if (ocu_audit_commit_async(w->egress->audit, &ev, on_committed, v, NULL)) {
		v->code = OCU_E_AUDIT;
		worker_post(w, &v->task);
	}
	json_decref(r->detail);
}

int events_commit_wait(struct egress *e, const struct session *s, const struct record *r,
                       struct ocu_error *err)
{
	struct ocu_event ev = event_of(s, r);
	int rc = ocu_audit_commit(e->audit, &ev, err);

	json_decref(r->detail);
	return rc;
}

struct summary {
	struct egress *egress;
	const struct session *session;
};

static void report_suppressed(void *arg, enum shape_kind kind, int code, uint32_t count)
{
	const struct summary *s = arg;
	struct record r = {
	    .class_uid = kind == SHAPE_DNS ? OCU_OCSF_DNS_ACTIVITY : OCU_OCSF_NETWORK_ACTIVITY,
	    .activity = NET_OTHER,
	    .action = kind == SHAPE_DNS ? "dns.denied" : "net.denied",
	    .resource = "several",
	    .outcome = OCU_OUTCOME_DENIED,
	    .reason = code,
	    .detail = json_pack("{s:I}", "count", (json_int_t)count),
	};

	events_report(s->egress, s->session, &r);
}

void events_summary(struct egress *e, const struct session *s, struct shape *shape)
{
	shape_summary(shape, report_suppressed, &(struct summary){e, s});
}
