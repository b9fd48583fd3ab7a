/* reconcile: the thread, and what it compares; see reconcile.h. */
#include "operatord/reconcile.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/log.h"
#include "libocu/metrics.h"
#include "operatord/control.h"
#include "operatord/ends.h"
#include "operatord/evidence.h"
#include "operatord/hands.h"
#include "operatord/housekeeping.h"
#include "operatord/orphans.h"
#include "operatord/renew.h"
#include "operatord/view.h"

#define SESSIONS_MAX 20000

struct reconcile {
	struct control *control;
	struct node *node;
	bool first;        /* of the nodes */
	int64_t seen_mono; /* sandboxd answered last */
	struct housekeeping keep;
	struct view view;
	bool tier_seen;
	bool silent; /* a guest has not taken its token in this round */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stopping;
	void (*fatal)(void *arg, const struct ocu_error *err);
	void *fatal_arg;
};

static void end_as(struct control *c, const struct session *s, enum action_id action, const char *reason,
                   int code)
{
	const struct end_want want = {.action = action, .reason = reason, .code = code};

	end_later(c, s, &want);
}

/* Why a session that should run does not, or NULL. */
static const char *lost(const struct view *v, const struct session *s)
{
	if (v->sandboxes && !view_sandbox(v, s->session_id))
		return "sandbox_gone";
	if (v->mounts && !view_mount(v, s->session_id))
		return "mount_gone";
	return NULL;
}

/* Whoever waits for a long command is not idle, though nothing is asked for meanwhile. */
static void mark_busy(const struct reconcile *r, struct session *s, int64_t now)
{
	struct control *c = r->control;
	struct ocu_error err = {0};

	if (!view_busy(&r->view, s->session_id))
		return;
	if (now - s->active_mono >= c->cfg.session_idle_ms / 8 &&
	    registry_session_touch(c->registry, s->session_id, now, &err))
		ocu_log_error(OCU_LOG_WARN, "session.touch", NULL, &err);
	s->active_mono = now;
}

static const char *over_limit(const struct control *c, const struct session *s, int64_t now)
{
	if (now - s->active_mono >= c->cfg.session_idle_ms)
		return "idle";
	if (c->cfg.session_max_ms > 0 && now - s->created_mono >= c->cfg.session_max_ms)
		return "age";
	return NULL;
}

/* Nobody knows what a node that is away still runs. Its sandboxd takes no call without operatord's denylist;
 * what it holds of the session is taken down when it is back. */
static bool node_lost(const struct reconcile *r, int64_t now)
{
	const struct control *c = r->control;

	return c->nodes.n > 1 && c->cfg.node_lost_ms > 0 && now - r->seen_mono >= c->cfg.node_lost_ms;
}

static void look_at_active(struct reconcile *r, struct session *s, int64_t now)
{
	struct control *c = r->control;
	const char *why = node_lost(r, now) ? "node_lost" : lost(&r->view, s);

	if (why) {
		end_as(c, s, ACTION_SESSION_LOST, why, OCU_E_SESSION_GONE);
		return;
	}
	mark_busy(r, s, now);
	why = over_limit(c, s, now);
	if (why) {
		end_as(c, s, ACTION_SESSION_EXPIRE, why, 0);
		return;
	}
	if (r->view.edges && !view_edge(&r->view, s->session_id))
		renew_edge(c, s);
	/* One guest that does not answer in each round: a caller's silent ones must not hold up everybody's
	 * limits. It is asked again after a while, so the others have their turn. */
	if (!r->silent && now - s->token_mono >= c->cfg.session_token_ttl_ms / 2)
		r->silent = renew_token(c, s, now) != 0;
}

/* The row as it is now. Whoever held it when the rows were read may have finished with it since. */
static bool still(struct control *c, struct session *s)
{
	enum session_state before = s->state;
	struct ocu_error err = {0};

	return registry_session_get(c->registry, s->session_id, s, &err) == 0 && s->state == before;
}

/* Its node was taken out of the configuration. */
static void look_at_homeless(struct reconcile *r, struct session *s)
{
	struct control *c = r->control;

	if (nodes_find(&c->nodes, s->node) || hands_taken(c->hands, s->session_id) || !still(c, s))
		return;
	if (s->state == SESSION_ENDING)
		end_finish_later(c, s, false);
	else if (s->state != SESSION_ENDED)
		end_as(c, s, ACTION_SESSION_LOST, "node_gone", OCU_E_SESSION_GONE);
}

static void look_at(struct reconcile *r, struct session *s, int64_t now)
{
	struct control *c = r->control;

	if (strcmp(s->node, r->node->conf.name) != 0) {
		look_at_homeless(r, s);
		return;
	}
	if (hands_taken(c->hands, s->session_id) || (s->state != SESSION_ACTIVE && !still(c, s)))
		return;
	switch (s->state) {
	case SESSION_STARTING:
		/* Nobody starts it: operatord ended in the middle, and nobody was told of it. */
		end_as(c, s, ACTION_SESSION_ROLLBACK, "start_interrupted", OCU_E_CANCELLED);
		break;
	case SESSION_ACTIVE:
		look_at_active(r, s, now);
		break;
	case SESSION_ENDING:
		if (view_all_reachable(&r->view))
			end_finish_later(c, s, false);
		break;
	case SESSION_ENDED:
		break;
	}
}

/* The first time decides whether this deployment may run at all; later changes are recorded, and admission
 * refuses. */
static void look_at_tier(struct reconcile *r)
{
	struct control *c = r->control;
	struct ocu_error err = {0};
	char tier[17];

	node_tier(r->node, tier);
	if (!r->tier_seen && admission_check(c->cfg.profile, tier, &err)) {
		if (c->nodes.n == 1 && r->fatal)
			r->fatal(r->fatal_arg, &err);
		ocu_log_error(OCU_LOG_WARN, "node.not_permitted", NULL, &err);
	}
	if (!r->tier_seen && !node_named_right(r->node, c->nodes.n))
		ocu_log(OCU_LOG_WARN, "node.misnamed", NULL, "node", r->node->conf.name, NULL);
	r->tier_seen = true;
	housekeeping_tier(c, r->node->conf.name, tier);
}

int reconcile_once(struct reconcile *r, struct ocu_error *err)
{
	struct control *c = r->control;
	/* The first has all of them before it. */
	const struct session_filter live = {
	    .live = true, .node = r->first ? NULL : r->node->conf.name, .limit = SESSIONS_MAX};
	struct session *list = NULL;
	size_t n = 0;
	int64_t now = (int64_t)ocu_mono_ms();
	/* Rows before lists: a session read as ACTIVE here was started, so a list made later must show it. */
	int rc = registry_activity_flush(c->registry, err);

	if (rc == 0)
		rc = registry_session_list(c->registry, &live, &list, &n, err);
	if (rc)
		return rc;
	if (r->first)
		ocu_gauge_set(ocu_gauge("ocu_sessions_live", NULL, "Sessions that start, run or end"),
		              (int64_t)n);
	rc = view_refresh(&r->view, r->node, err);
	if (r->view.sandboxes) {
		r->seen_mono = now;
		look_at_tier(r);
	}
	/* Before any end is begun below: what ends after the lists were made would look like nobody's. */
	orphans_stop(c, r->node, &r->view);
	r->silent = false;
	for (size_t i = 0; i < n; i++)
		look_at(r, &list[i], now);
	free(list);
	if (r->view.sandboxes)
		node_set_reconciled(r->node);
	if (r->first)
		housekeeping_run(&r->keep, c, now);
	return rc;
}

/* The thread --------------------------------------------------------------------------------------------- */

static void wait_interval(struct reconcile *r, int64_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&r->lock);
	while (!r->stopping && pthread_cond_timedwait(&r->wake, &r->lock, &until) != ETIMEDOUT)
		continue;
	pthread_mutex_unlock(&r->lock);
}

static bool stopping(struct reconcile *r)
{
	pthread_mutex_lock(&r->lock);
	bool yes = r->stopping;
	pthread_mutex_unlock(&r->lock);
	return yes;
}

static void *loop(void *arg)
{
	struct reconcile *r = arg;
	int said = 0;

	while (!stopping(r)) {
		struct ocu_error err = {0};
		int rc = reconcile_once(r, &err);
		/* Once per change: a peer that is away for an hour is not 3600 lines. */
		if (rc && rc != said)
			ocu_log_error(OCU_LOG_WARN, "reconcile.incomplete", NULL, &err);
		said = rc;
		/* Before the first comparison sessions wait for us. */
		wait_interval(r, node_reconciled(r->node) ? r->control->cfg.reconcile_ms : 50);
	}
	return NULL;
}

struct reconcile *reconcile_new(struct control *c, struct node *n)
{
	struct reconcile *r = calloc(1, sizeof *r);
	pthread_condattr_t attr;

	if (!r)
		return NULL;
	r->control = c;
	r->node = n;
	r->first = n == c->nodes.list;
	r->seen_mono = (int64_t)ocu_mono_ms();
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->wake, &attr);
	pthread_condattr_destroy(&attr);
	return r;
}

void reconcile_free(struct reconcile *r)
{
	if (!r)
		return;
	view_done(&r->view);
	pthread_cond_destroy(&r->wake);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

struct reconcilers {
	struct reconcile *of[NODES_MAX];
	size_t n; /* threads that run */
};

static int start_one(struct reconcilers *all, struct reconcile *r, struct ocu_error *err)
{
	int rc = r ? pthread_create(&r->thread, NULL, loop, r) : ENOMEM;

	if (rc) {
		reconcile_free(r);
		return ocu_error_errno(err, OCU_E_NOMEM, rc, "reconciler");
	}
	all->of[all->n++] = r;
	return 0;
}

int reconcile_start(struct reconcilers **ret, struct control *c,
                    void (*fatal)(void *arg, const struct ocu_error *err), void *arg, struct ocu_error *err)
{
	struct reconcilers *all = calloc(1, sizeof *all);

	if (!all)
		return ocu_error_set(err, OCU_E_NOMEM, "reconcilers");
	for (size_t i = 0; i < c->nodes.n; i++) {
		struct reconcile *r = reconcile_new(c, &c->nodes.list[i]);
		if (r) {
			r->fatal = fatal;
			r->fatal_arg = arg;
		}
		int rc = start_one(all, r, err);
		if (rc) {
			reconcile_stop(all);
			return rc;
		}
	}
	*ret = all;
	return 0;
}

static void tell_to_stop(struct reconcile *r)
{
	pthread_mutex_lock(&r->lock);
	r->stopping = true;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
}

void reconcile_stop(struct reconcilers *all)
{
	if (!all)
		return;
	for (size_t i = 0; i < all->n; i++)
		tell_to_stop(all->of[i]);
	for (size_t i = 0; i < all->n; i++) {
		pthread_join(all->of[i]->thread, NULL);
		reconcile_free(all->of[i]);
	}
	free(all);
}
