/* orphans: see orphans.h. */
#include "operatord/orphans.h"

#include <stdbool.h>
#include <string.h>

#include "libocu/err.h"
#include "libocu/log.h"
#include "operatord/control.h"
#include "operatord/evidence.h"
#include "operatord/hands.h"
#include "operatord/view.h"

enum owner { OWNER_LIVE, OWNER_ENDED, OWNER_NONE };

/* The registry is asked after the list was made: a session that started meanwhile has its row by now. One
 * that ended meanwhile may be in the list for that; the next list tells. */
static enum owner owner_of(struct control *c, const struct node *n, const struct view *v,
                           const char *session_id)
{
	struct ocu_error err = {0};
	struct session s;
	int rc;

	if (hands_taken(c->hands, session_id))
		return OWNER_LIVE;
	rc = registry_session_get(c->registry, session_id, &s, &err);
	if (rc == OCU_E_NOT_FOUND)
		return OWNER_NONE;
	/* What cannot be read is left alone. A session has one node; elsewhere its name is not its own. */
	if (rc == 0 && strcmp(s.node, n->conf.name) != 0)
		return OWNER_NONE;
	return rc == 0 && s.state == SESSION_ENDED && s.ended_ms <= v->asked_ms ? OWNER_ENDED : OWNER_LIVE;
}

static int record(struct control *c, enum action_id action, const char *session_id, const char *trace)
{
	const struct fact f = {.resource = session_id, .session_id = session_id, .trace_id = trace};
	struct ocu_error err = {0};
	int rc = evidence_commit(c->audit, action, &f, &err);

	if (rc)
		ocu_log_error(OCU_LOG_WARN, "orphan.kept", trace, &err);
	return rc;
}

static void stop_sandbox(struct control *c, struct node *n, const struct view *v, const char *session_id)
{
	struct ocu_error err = {0};
	char trace[OCU_ID_MAX];

	if (owner_of(c, n, v, session_id) == OWNER_LIVE)
		return;
	ocu_id_new(OCU_ID_TRACE, trace);
	if (record(c, ACTION_SANDBOX_ORPHAN, session_id, trace) == 0 &&
	    peers_sandbox_stop(&n->peers, session_id, "orphan", trace, &err))
		ocu_log_error(OCU_LOG_WARN, "orphan.sandbox", trace, &err);
}

static void release_mount(struct control *c, struct node *n, const struct view *v, const char *session_id)
{
	enum owner owner = owner_of(c, n, v, session_id);
	struct ocu_error err = {0};
	char trace[OCU_ID_MAX];

	if (owner == OWNER_LIVE)
		return;
	ocu_id_new(OCU_ID_TRACE, trace);
	/* Files of a session this registry never knew are cut off, not deleted: that may be a wrong database.
	 */
	if (record(c, ACTION_MOUNT_ORPHAN, session_id, trace) == 0 &&
	    peers_mount_release(&n->peers, session_id, owner == OWNER_ENDED, trace, NULL, &err))
		ocu_log_error(OCU_LOG_WARN, "orphan.mount", trace, &err);
}

static void drop_edge(struct control *c, struct node *n, const struct view *v, const char *session_id)
{
	struct ocu_error err = {0};
	char trace[OCU_ID_MAX];

	if (owner_of(c, n, v, session_id) == OWNER_LIVE)
		return;
	ocu_id_new(OCU_ID_TRACE, trace);
	if (record(c, ACTION_EDGE_ORPHAN, session_id, trace) == 0 &&
	    peers_edge_drop(&n->peers, session_id, "orphan", trace, &err))
		ocu_log_error(OCU_LOG_WARN, "orphan.edge", trace, &err);
}

void orphans_stop(struct control *c, struct node *n, const struct view *v)
{
	for (size_t i = 0; v->edges && i < v->edges->n_sessions; i++)
		drop_edge(c, n, v, v->edges->sessions[i]->session_id);
	for (size_t i = 0; v->sandboxes && i < v->sandboxes->n_sandboxes; i++)
		stop_sandbox(c, n, v, v->sandboxes->sandboxes[i]->session_id);
	for (size_t i = 0; v->mounts && i < v->mounts->n_mounts; i++)
		release_mount(c, n, v, v->mounts->mounts[i]->session_id);
}
