/* ends: see ends.h. */
#include "operatord/ends.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "libocu/err.h"
#include "libocu/log.h"
#include "operatord/control.h"
#include "operatord/evidence.h"
#include "operatord/hands.h"
#include "operatord/pool.h"

static int record(struct control *c, enum action_id action, const struct session *s,
                  const struct end_want *want, struct ocu_error *err)
{
	const struct fact f = {.actor = want->actor,
	                       .resource = s->session_id,
	                       .session_id = s->session_id,
	                       .trace_id = want->trace,
	                       .reason = want->code,
	                       .detail = json_pack("{ss ss ss}", "reason", want->reason, "caller", s->caller,
	                                           "container_name", s->container_name)};

	/* Files that take long to remove hold nothing up: they are out of reach, and brokerd records when the
	 * last is gone. */
	if (f.detail && action == ACTION_SESSION_ENDED)
		json_object_set_new(f.detail, "files_scrubbed", json_boolean(want->scrubbed));
	if (f.detail && s->node[0])
		json_object_set_new(f.detail, "node", json_string(s->node));
	return evidence_commit(c->audit, action, &f, err);
}

static int stop(struct peers *p, const struct session *s, const char *reason, const char *trace,
                struct ocu_error *err)
{
	struct ocu_error edge = {0};
	int rc = peers_edge_drop(p, s->session_id, reason, trace, &edge);
	int stopped = peers_sandbox_stop(p, s->session_id, reason, trace, err);

	/* An edge that cannot be reached does not keep a guest alive, but the step stays open. */
	if (stopped == 0 && rc) {
		if (err)
			*err = edge;
		return rc;
	}
	return stopped;
}

/* Of a node that is not configured any more nothing can be asked; should it come back, what it still holds
 * belongs to nobody (orphans.h). */
static int take_down(struct control *c, const struct session *s, bool stopped, const char *trace,
                     bool *ret_scrubbed, struct ocu_error *err)
{
	struct node *n = nodes_find(&c->nodes, s->node);
	int rc = !n || stopped ? 0 : stop(&n->peers, s, s->reason, trace, err);

	return rc || !n ? rc : peers_mount_release(&n->peers, s->session_id, true, trace, ret_scrubbed, err);
}

int end_finish(struct control *c, const struct session *s, bool stopped, const char *trace,
               struct ocu_error *err)
{
	struct end_want done = {.reason = s->reason, .trace = trace};
	int rc = take_down(c, s, stopped, trace, &done.scrubbed, err);
	struct session now;

	/* Somebody else may have finished it meanwhile. */
	if (rc == 0)
		rc = registry_session_get(c->registry, s->session_id, &now, err);
	if (rc || now.state == SESSION_ENDED)
		return rc;
	rc = record(c, ACTION_SESSION_ENDED, s, &done, err);
	if (rc == 0)
		rc = registry_session_ended(c->registry, s->session_id, err);
	if (rc == OCU_E_STATE)
		rc = 0;
	if (rc == 0)
		ocu_log(OCU_LOG_INFO, "session.ended", trace, "reason", s->reason, NULL);
	return rc;
}

static int end_in_hand(struct control *c, const struct session *s, const struct end_want *want,
                       struct ocu_error *err)
{
	struct session now;
	int rc = registry_session_get(c->registry, s->session_id, &now, err);

	if (rc == 0 && now.state < SESSION_ENDING) {
		rc = record(c, want->action, s, want, err);
		if (rc == 0)
			rc = registry_session_ending(c->registry, s->session_id, want->reason, err);
		snprintf(now.reason, sizeof now.reason, "%s", want->reason);
		if (rc == OCU_E_STATE)
			rc = registry_session_get(c->registry, s->session_id, &now, err);
	}
	if (rc == 0 && now.state == SESSION_ENDED && !want->always)
		return 0;
	return rc ? rc : end_finish(c, &now, false, want->trace, err);
}

int end_session(struct control *c, const struct session *s, const struct end_want *want,
                struct ocu_error *err)
{
	/* From before the row says ENDING until it says ENDED, or the reconciler would do the same steps. */
	bool taken = hands_take(c->hands, s->session_id);
	int rc = end_in_hand(c, s, want, err);

	if (taken)
		hands_drop(c->hands, s->session_id);
	return rc;
}

/* Later ------------------------------------------------------------------------------------------------- */

struct later {
	struct control *control;
	struct session session;
	struct end_want want;
	char reason[TEXT_MAX + 1];
	bool finish, stopped;
};

static void later_run(void *arg)
{
	struct later *l = arg;
	struct control *c = l->control;
	struct ocu_error err = {0};
	char trace[OCU_ID_MAX];
	int rc;

	ocu_id_new(OCU_ID_TRACE, trace);
	l->want.trace = trace;
	if (l->finish)
		rc = end_finish(c, &l->session, l->stopped, trace, &err);
	else
		rc = end_session(c, &l->session, &l->want, &err);
	if (rc)
		ocu_log_error(OCU_LOG_WARN, "session.end_incomplete", trace, &err);
	hands_drop(c->hands, l->session.session_id);
	free(l);
}

static void submit(struct control *c, struct later *l)
{
	struct ocu_error err = {0};
	int rc = l ? 0 : ocu_error_set(&err, OCU_E_NOMEM, "end");

	if (rc == 0 && !hands_take(c->hands, l->session.session_id))
		rc = ocu_error_set(&err, OCU_E_NOMEM, "end");
	if (rc == 0 && (rc = pool_submit(c->ends, later_run, l, &err)))
		hands_drop(c->hands, l->session.session_id);
	if (rc) {
		ocu_log_error(OCU_LOG_WARN, "session.end_postponed", NULL, &err);
		free(l);
	}
}

static struct later *later_new(struct control *c, const struct session *s)
{
	struct later *l = calloc(1, sizeof *l);

	if (l) {
		l->control = c;
		l->session = *s;
	}
	return l;
}

void end_later(struct control *c, const struct session *s, const struct end_want *want)
{
	struct later *l = later_new(c, s);

	if (l) {
		snprintf(l->reason, sizeof l->reason, "%s", want->reason);
		l->want = (struct end_want){.action = want->action, .reason = l->reason, .code = want->code};
	}
	submit(c, l);
}

void end_finish_later(struct control *c, const struct session *s, bool stopped)
{
	struct later *l = later_new(c, s);

	if (l) {
		l->finish = true;
		l->stopped = stopped;
	}
	submit(c, l);
}
