/* evidence: see evidence.h. */
#include "operatord/evidence.h"

#include <pthread.h>
#include <stdio.h>

#include "libocu/audit.h"
#include "libocu/err.h"

const struct action actions[ACTION_COUNT] = {
#define X(symbol, name, class, activity, who, method, route)                                                 \
	[ACTION_##symbol] = {name, OCU_OCSF_##class, activity, ACTOR_##who, method, route},
    ACTION_TABLE(X)
#undef X
};

static enum ocu_outcome outcome_of(int reason)
{
	if (reason == 0)
		return OCU_OUTCOME_SUCCESS;
	switch (ocu_err_http(reason)) {
	case 401:
	case 403:
	case 429:
		return OCU_OUTCOME_DENIED;
	default:
		return OCU_OUTCOME_FAILURE;
	}
}

static struct ocu_event event_of(enum action_id action, const struct fact *f)
{
	return (struct ocu_event){
	    .class_uid = actions[action].class_uid,
	    .activity_id = actions[action].activity_id,
	    .action = actions[action].name,
	    .resource = f->resource ? f->resource : "",
	    .actor_id = f->actor ? f->actor : "system:operatord",
	    .session_id = f->session_id ? f->session_id : "",
	    .trace_id = f->trace_id ? f->trace_id : "",
	    .outcome = outcome_of(f->reason),
	    .reason = f->reason,
	    .detail = f->detail,
	};
}

int evidence_commit(struct ocu_audit *a, enum action_id action, const struct fact *f, struct ocu_error *err)
{
	struct ocu_event ev = event_of(action, f);
	int rc = ocu_audit_commit(a, &ev, err);

	json_decref(f->detail);
	return rc;
}

void evidence_report(struct ocu_audit *a, enum action_id action, const struct fact *f)
{
	struct ocu_event ev = event_of(action, f);

	ocu_audit_report(a, &ev);
	json_decref(f->detail);
}

struct pending {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t left;
	struct ocu_error first;
};

static void settle(struct pending *p, const struct ocu_error *failure)
{
	pthread_mutex_lock(&p->lock);
	if (failure && p->first.code == 0)
		p->first = *failure;
	if (--p->left == 0)
		pthread_cond_signal(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

static void committed(void *arg, const struct ocu_error *failure)
{
	settle(arg, failure);
}

int evidence_commit_all(struct ocu_audit *a, const struct evidence_item *items, size_t n,
                        struct ocu_error *err)
{
	struct pending p = {
	    .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .left = n};

	for (size_t i = 0; i < n; i++) {
		struct ocu_event ev = event_of(items[i].action, &items[i].fact);
		struct ocu_error failure = {0};
		if (ocu_audit_commit_async(a, &ev, committed, &p, &failure))
			settle(&p, &failure);
		json_decref(items[i].fact.detail);
	}
	pthread_mutex_lock(&p.lock);
	while (p.left > 0)
		pthread_cond_wait(&p.changed, &p.lock);
	pthread_mutex_unlock(&p.lock);
	if (p.first.code == 0)
		return 0;
	if (err)
		*err = p.first;
	return p.first.code;
}
