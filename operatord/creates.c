/* creates: see creates.h. */
#include "operatord/creates.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/clock.h"
#include "libocu/err.h"
#include "operatord/control.h"
#include "operatord/pool.h"
#include "operatord/start.h"
#include "operatord/text.h"

#define WAITERS_MAX 256 /* of one pair */

struct waiter {
	create_done_fn *done;
	void *arg;
	struct waiter *next;
};

/* One start under way, and everybody who waits for it. */
struct creation {
	struct control *control;
	char caller[CALLER_MAX + 1];
	char token_id[TEXT_MAX + 1];
	char hint[TEXT_MAX + 1];
	char label[TEXT_MAX + 1];
	char actor[CALLER_MAX + 16];
	char trace[OCU_ID_MAX];
	enum action_id action;
	struct waiter *waiters;
	unsigned nwaiters;
	struct creation *next;
};

struct creates {
	pthread_mutex_t lock;
	struct creation *running;
};

struct creates *creates_new(void)
{
	struct creates *k = calloc(1, sizeof *k);

	if (k)
		pthread_mutex_init(&k->lock, NULL);
	return k;
}

void creates_free(struct creates *k)
{
	if (!k)
		return;
	pthread_mutex_destroy(&k->lock);
	free(k);
}

static void fail(create_done_fn *done, void *arg, int code, const char *text)
{
	struct ocu_error err = {0};

	ocu_error_set(&err, code, "%s", text);
	done(arg, NULL, false, &err);
}

/* From here on nobody can join this creation: the next to ask finds the session, or starts anew. */
static struct waiter *finish(struct creation *p)
{
	struct creates *k = p->control->creates;
	struct creation **at = &k->running;

	pthread_mutex_lock(&k->lock);
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	struct waiter *list = p->waiters;
	pthread_mutex_unlock(&k->lock);
	return list;
}

static void answer(struct creation *p, const struct session *s, bool created, const struct ocu_error *err)
{
	struct waiter *w = finish(p);

	while (w) {
		struct waiter *next = w->next;
		w->done(w->arg, s, created, err);
		free(w);
		created = false; /* only one of them made it */
		w = next;
	}
	free(p);
}

static void run(void *arg)
{
	struct creation *p = arg;
	struct control *c = p->control;
	struct ocu_error err = {0};
	struct session s;
	int rc = registry_session_find(c->registry, p->caller, p->hint, &s, &err);

	if (rc == 0 && s.state == SESSION_ACTIVE) {
		answer(p, &s, false, NULL);
		return;
	}
	if (rc == 0)
		rc = ocu_error_set(&err, OCU_E_BUSY, "the session of this pair is being taken back");
	if (rc == OCU_E_NOT_FOUND) {
		const struct start_want want = {.caller = p->caller,
		                                .token_id = p->token_id,
		                                .hint = p->hint,
		                                .label = p->label,
		                                .actor = p->actor,
		                                .trace = p->trace,
		                                .action = p->action};
		rc = start_session(c, &want, &s, &err);
	}
	answer(p, rc ? NULL : &s, true, rc ? &err : NULL);
}

static struct creation *creation_new(struct control *c, const struct create_want *want)
{
	struct creation *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	p->control = c;
	p->action = want->action;
	snprintf(p->caller, sizeof p->caller, "%s", want->caller);
	snprintf(p->token_id, sizeof p->token_id, "%s", want->token_id);
	snprintf(p->hint, sizeof p->hint, "%s", want->hint);
	text_copy(p->label, sizeof p->label, want->label);
	snprintf(p->actor, sizeof p->actor, "%s", want->actor);
	snprintf(p->trace, sizeof p->trace, "%s", want->trace ? want->trace : "");
	return p;
}

static struct creation *running(struct creates *k, const struct create_want *want)
{
	struct creation *p = k->running;

	while (p && (strcmp(p->caller, want->caller) != 0 || strcmp(p->hint, want->hint) != 0))
		p = p->next;
	return p;
}

/* Joins the pair's creation, or makes one that *ret_new tells to submit. 0 or an OCU_E code. */
static int join(struct control *c, const struct create_want *want, struct waiter *w,
                struct creation **ret_new)
{
	struct creates *k = c->creates;
	int rc = 0;

	pthread_mutex_lock(&k->lock);
	struct creation *p = running(k, want);
	if (!p && (p = creation_new(c, want))) {
		p->next = k->running;
		k->running = p;
		*ret_new = p;
	}
	if (!p) {
		rc = OCU_E_NOMEM;
	} else if (p->nwaiters == WAITERS_MAX) {
		rc = OCU_E_BUSY;
	} else {
		p->nwaiters++;
		w->next = p->waiters;
		p->waiters = w;
	}
	pthread_mutex_unlock(&k->lock);
	return rc;
}

static int check_want(struct control *c, const struct create_want *want, struct ocu_error *err)
{
	int rc;

	if (!want->caller[0] || !text_ok(want->caller, CALLER_MAX) || !text_ok(want->hint, TEXT_MAX) ||
	    !text_ok(want->token_id, TEXT_MAX))
		return ocu_error_set(err, OCU_E_PARAMS,
		                     "caller, hint or token id is empty, too long or not text");
	if (!nodes_some_reconciled(&c->nodes))
		return ocu_error_set(err, OCU_E_UNAVAILABLE, "not yet compared with what sandboxd runs");
	rc = registry_deny_check(c->registry, OCU_DENY_CALLER, want->caller, err);
	if (rc == 0 && want->token_id[0])
		rc = registry_deny_check(c->registry, OCU_DENY_TOKEN, want->token_id, err);
	return rc;
}

/* The pair's session that runs already. After a restart it is only a row until its node was compared with. */
static int use_running(struct control *c, const struct session *s, struct ocu_error *err)
{
	struct node *n;
	int rc = nodes_of(&c->nodes, s, &n, err);

	if (rc == 0 && !node_reconciled(n))
		rc = ocu_error_set(err, OCU_E_UNAVAILABLE,
		                   "not yet compared with what the session's node runs");
	return rc ? rc : registry_session_touch(c->registry, s->session_id, (int64_t)ocu_mono_ms(), err);
}

void create_session(struct control *c, const struct create_want *want, create_done_fn *done, void *arg)
{
	struct ocu_error err = {0};
	struct session s;
	struct creation *made = NULL;
	struct waiter *w;
	int rc = check_want(c, want, &err);

	if (rc == 0)
		rc = registry_session_find(c->registry, want->caller, want->hint, &s, &err);
	if (rc == 0 && s.state == SESSION_ACTIVE)
		rc = use_running(c, &s, &err);
	if (rc && rc != OCU_E_NOT_FOUND) {
		done(arg, NULL, false, &err);
		return;
	}
	if (rc == 0 && s.state == SESSION_ACTIVE) {
		done(arg, &s, false, NULL);
		return;
	}
	w = calloc(1, sizeof *w);
	if (!w) {
		fail(done, arg, OCU_E_NOMEM, "create");
		return;
	}
	*w = (struct waiter){.done = done, .arg = arg};
	rc = join(c, want, w, &made);
	if (rc) {
		free(w);
		fail(done, arg, rc, "create");
	} else if (made && pool_submit(c->starts, run, made, &err)) {
		answer(made, NULL, false, &err);
	}
}
