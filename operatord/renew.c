/* renew: see renew.h. */
#include "operatord/renew.h"

#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/log.h"
#include "operatord/control.h"
#include "operatord/evidence.h"
#include "operatord/mint.h"

#define AGAIN_MS 30000

static int record(struct control *c, enum action_id action, const struct session *s, const char *trace,
                  struct ocu_error *err)
{
	const struct fact f = {.resource = s->session_id, .session_id = s->session_id, .trace_id = trace};

	return evidence_commit(c->audit, action, &f, err);
}

/* The token counts as made so long ago that it is due again only after a while. */
static void put_off(struct control *c, const struct session *s, int64_t now_mono)
{
	const int64_t due = c->cfg.session_token_ttl_ms / 2, again = c->cfg.session_token_ttl_ms / 4;
	struct ocu_error err = {0};

	if (registry_session_token_minted(c->registry, s->session_id,
	                                  now_mono - due + (again < AGAIN_MS ? again : AGAIN_MS), &err))
		ocu_log_error(OCU_LOG_WARN, "session.token_not_renewed", NULL, &err);
}

int renew_token(struct control *c, const struct session *s, int64_t now_mono)
{
	OCU_FREE char *jwt = NULL;
	struct ocu_error err = {0};
	char trace[OCU_ID_MAX];
	struct node *n;
	int rc;

	ocu_id_new(OCU_ID_TRACE, trace);
	rc = nodes_of(&c->nodes, s, &n, &err);
	if (rc == 0)
		rc = record(c, ACTION_SESSION_TOKEN, s, trace, &err);
	if (rc == 0)
		rc = mint_session_jwt(c->mint, s, c->cfg.session_token_ttl_ms, &jwt, &err);
	if (rc == 0)
		rc = peers_sandbox_token(&n->peers, s->session_id, jwt, &err);
	if (rc == 0)
		rc = registry_session_token_minted(c->registry, s->session_id, now_mono, &err);
	if (rc) {
		ocu_log_error(OCU_LOG_WARN, "session.token_not_renewed", trace, &err);
		put_off(c, s, now_mono);
	}
	return rc;
}

void renew_edge(struct control *c, const struct session *s)
{
	struct ocu_error err = {0};
	char trace[OCU_ID_MAX];
	struct node *n;
	int rc;

	ocu_id_new(OCU_ID_TRACE, trace);
	rc = nodes_of(&c->nodes, s, &n, &err);
	if (rc == 0)
		rc = record(c, ACTION_EDGE_REREGISTER, s, trace, &err);
	if (rc == 0)
		rc = peers_edge_register(&n->peers, &c->cfg, s, trace, &err);
	if (rc)
		ocu_log_error(OCU_LOG_WARN, "session.edge_not_registered", trace, &err);
}
