/* start: see start.h. */
#include "operatord/start.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/log.h"
#include "libocu/metrics.h"
#include "operatord/control.h"
#include "operatord/ends.h"
#include "operatord/evidence.h"
#include "operatord/hands.h"
#include "operatord/mint.h"
#include "operatord/pace.h"
#include "operatord/text.h"

static struct session session_new(const struct start_want *want)
{
	struct session s = {
	    .state = SESSION_STARTING, .created_ms = ocu_wall_ms(), .created_mono = (int64_t)ocu_mono_ms()};

	ocu_id_new(OCU_ID_SESSION, s.session_id);
	ocu_id_new(OCU_ID_CONTAINER, s.container_name);
	ocu_id_new(OCU_ID_FILESYSTEM, s.filesystem_id);
	snprintf(s.caller, sizeof s.caller, "%s", want->caller);
	snprintf(s.token_id, sizeof s.token_id, "%s", want->token_id);
	snprintf(s.hint, sizeof s.hint, "%s", want->hint);
	snprintf(s.label, sizeof s.label, "%s", want->label);
	s.active_mono = s.token_mono = s.created_mono;
	return s;
}

/* n is NULL when no node could be chosen. */
static void report_refusal(struct control *c, const struct start_want *want, struct node *n, int rc)
{
	char tier[17] = "";

	if (n || c->nodes.n == 1)
		node_tier(n ? n : &c->nodes.list[0], tier);
	const struct fact f = {
	    .actor = want->actor,
	    .resource = want->caller,
	    .trace_id = want->trace,
	    .reason = rc,
	    .detail = json_pack("{ss ss}", "profile", admission_profile_name(c->cfg.profile), "tier", tier)};
	evidence_report(c->audit, want->action, &f);
}

/* Node, profile, tier, limits and pace, before anything is written: a refusal leaves one event and nothing
 * else. */
static int admit(struct control *c, struct session *s, struct node **ret, struct ocu_error *err)
{
	int rc = nodes_place(c, ret, err);

	if (rc == 0)
		snprintf(s->node, sizeof s->node, "%s", (*ret)->conf.name);
	if (rc == 0)
		rc = registry_session_admit(c->registry, s, &c->cfg.limits, err);
	return rc ? rc : pace_take(c->pace, s->caller, (uint64_t)s->created_mono, err);
}

static int record(struct control *c, const struct start_want *want, const struct session *s,
                  struct ocu_error *err)
{
	const struct fact f = {.actor = want->actor,
	                       .resource = s->session_id,
	                       .session_id = s->session_id,
	                       .trace_id = want->trace,
	                       .detail = json_pack("{ss ss ss ss ss ss}", "caller", s->caller, "token_id",
	                                           s->token_id, "container_name", s->container_name,
	                                           "filesystem_id", s->filesystem_id, "profile",
	                                           admission_profile_name(c->cfg.profile), "egress_rung",
	                                           c->cfg.egress_rung)};

	if (f.detail && s->node[0])
		json_object_set_new(f.detail, "node", json_string(s->node));
	int rc = evidence_commit(c->audit, want->action, &f, err);

	return rc ? rc : registry_session_add(c->registry, s, &c->cfg.limits, err);
}

static int build(struct control *c, struct peers *p, const struct start_want *want, struct session *s,
                 struct ocu_error *err)
{
	OCU_FREE char *jwt = NULL;
	Ocu__Control__StartReply *started = NULL;
	int rc = mint_session_jwt(c->mint, s, c->cfg.session_token_ttl_ms, &jwt, err);

	if (rc == 0 && (rc = peers_mount_register(p, &c->cfg, s, want->trace, err)))
		ocu_error_add(err, "registering the mount");
	if (rc == 0 && (rc = peers_edge_register(p, &c->cfg, s, want->trace, err)))
		ocu_error_add(err, "registering the edge");
	if (rc == 0 && (rc = peers_sandbox_start(p, &c->cfg, s, jwt, want->trace, &started, err)))
		ocu_error_add(err, "starting the sandbox");
	if (rc)
		return rc;
	text_copy(s->runtime, sizeof s->runtime, started->runtime);
	text_copy(s->tier, sizeof s->tier, started->tier);
	ocu__control__start_reply__free_unpacked(started, NULL);
	/* What really runs decides, not what the last list said. */
	rc = admission_check(c->cfg.profile, s->tier, err);
	s->active_mono = (int64_t)ocu_mono_ms();
	if (rc == 0)
		rc = registry_session_activate(c->registry, s->session_id, s->runtime, s->tier,
		                               s->active_mono, err);
	if (rc == OCU_E_STATE)
		rc = ocu_error_set(err, OCU_E_SESSION_DENIED, "stopped while it started");
	return rc;
}

static void take_back(struct control *c, const struct start_want *want, struct node *n,
                      const struct session *s, const struct ocu_error *why)
{
	const struct end_want end = {.action = ACTION_SESSION_ROLLBACK,
	                             .reason = "start_failed",
	                             .trace = want->trace,
	                             .code = why->code,
	                             .always = true};
	struct ocu_error err = {0};

	/* Stopped by an operator meanwhile says nothing of the node. */
	if (why->code != OCU_E_SESSION_DENIED)
		node_set_failed(n);
	ocu_log_error(OCU_LOG_WARN, "session.start_failed", want->trace, why);
	if (end_session(c, s, &end, &err))
		ocu_log_error(OCU_LOG_WARN, "session.rollback_incomplete", want->trace, &err);
}

int start_session(struct control *c, const struct start_want *want, struct session *ret,
                  struct ocu_error *err)
{
	uint64_t begin = ocu_mono_ns();
	struct session s = session_new(want);
	struct node *n = NULL;
	int rc = admit(c, &s, &n, err);

	if (rc == 0 && !hands_take(c->hands, s.session_id))
		rc = ocu_error_set(err, OCU_E_NOMEM, "start");
	if (rc) {
		report_refusal(c, want, n, rc);
		return rc;
	}
	rc = record(c, want, &s, err);
	if (rc) {
		report_refusal(c, want, n, rc);
	} else {
		rc = build(c, &n->peers, want, &s, err);
		if (rc)
			take_back(c, want, n, &s, err);
	}
	hands_drop(c->hands, s.session_id);
	if (rc)
		return rc;
	s.state = SESSION_ACTIVE;
	ocu_histogram_us(ocu_histogram("ocu_session_start_seconds", NULL, "Cold start of a session, whole"),
	                 (ocu_mono_ns() - begin) / 1000);
	ocu_log(OCU_LOG_INFO, "session.started", want->trace, "runtime", s.runtime, "tier", s.tier, NULL);
	*ret = s;
	return 0;
}
