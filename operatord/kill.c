/* kill: see kill.h. */
#include "operatord/kill.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/log.h"
#include "libocu/metrics.h"
#include "operatord/control.h"
#include "operatord/cut.h"
#include "operatord/ends.h"
#include "operatord/evidence.h"
#include "operatord/feed.h"
#include "operatord/hands.h"
#include "operatord/registry.h"
#include "operatord/text.h"

#define KILL_MAX 10000 /* sessions_total's upper bound */

/* The order itself is durable before the first of its sessions: events of one moment may be written in any
 * order. */
static int record_order(struct control *c, size_t n, const struct kill_want *want, struct ocu_error *err)
{
	const struct fact f = {.actor = want->actor,
	                       .resource = "*",
	                       .trace_id = want->trace,
	                       .detail =
	                           json_pack("{ss sI}", "reason", want->reason, "sessions", (json_int_t)n)};

	return evidence_commit(c->audit, ACTION_SESSION_KILL_ALL, &f, err);
}

/* What the trail says before anything happens: one event for every session that ends. */
static int record_sessions(struct control *c, const struct session *list, size_t n,
                           const struct kill_want *want, struct ocu_error *err)
{
	struct evidence_item *items = calloc(n ? n : 1, sizeof *items);
	int rc;

	if (!items)
		return ocu_error_set(err, OCU_E_NOMEM, "kill");
	for (size_t i = 0; i < n; i++)
		items[i] = (struct evidence_item){
		    ACTION_SESSION_KILL,
		    {.actor = want->actor,
		     .resource = list[i].session_id,
		     .session_id = list[i].session_id,
		     .trace_id = want->trace,
		     .detail = json_pack("{ss ss ss}", "reason", want->reason, "caller", list[i].caller,
		                         "container_name", list[i].container_name)}};
	rc = evidence_commit_all(c->audit, items, n, err);
	free(items);
	return rc;
}

static struct deny_entry entry(enum ocu_deny_kind kind, const char *value, const struct kill_want *want)
{
	struct deny_entry e = {.kind = kind, .added_ms = ocu_wall_ms()};

	snprintf(e.value, sizeof e.value, "%s", value);
	text_copy(e.reason, sizeof e.reason,
	          want->reason[0] || kind != OCU_DENY_SESSION ? want->reason : "killed");
	snprintf(e.added_by, sizeof e.added_by, "%.128s", want->actor);
	return e;
}

/* Sessions on the denylist, and so ENDING, in one change. */
static int deny_all(struct control *c, struct session *list, size_t n, const struct kill_want *want,
                    uint64_t *epoch, struct ocu_error *err)
{
	struct deny_entry *entries = calloc(n ? n : 1, sizeof *entries);
	bool changed;
	int rc;

	if (!entries)
		return ocu_error_set(err, OCU_E_NOMEM, "kill");
	for (size_t i = 0; i < n; i++) {
		entries[i] = entry(OCU_DENY_SESSION, list[i].session_id, want);
		if (list[i].state != SESSION_ENDING)
			snprintf(list[i].reason, sizeof list[i].reason, "%s", entries[i].reason);
	}
	rc = feed_deny(c->feed, entries, n, epoch, &changed, err);
	free(entries);
	return rc;
}

static void first_of(struct ocu_error *err, int *rc, const struct ocu_error *failure)
{
	if (failure->code && *rc == 0) {
		*rc = failure->code;
		if (err)
			*err = *failure;
	}
}

/* The sessions are recorded as to be killed. */
static int kill_recorded(struct control *c, struct session *list, size_t n, const struct kill_want *want,
                         struct kill_result *ret, struct ocu_error *err)
{
	struct cut *cuts = calloc(n ? n : 1, sizeof *cuts);
	struct ocu_error failure = {0};
	int rc = 0;

	if (!cuts)
		return ocu_error_set(err, OCU_E_NOMEM, "kill");
	ret->sessions = n;
	for (size_t i = 0; i < n; i++)
		hands_take(c->hands, list[i].session_id);
	/* Not being able to write it down does not keep the guest alive. */
	deny_all(c, list, n, want, &ret->epoch, &failure);
	first_of(err, &rc, &failure);
	cut_all(c, list, n, want->trace, cuts);
	for (size_t i = 0; i < n; i++) {
		bool both = cuts[i].drop.code == 0 && cuts[i].stop.code == 0;
		ret->dropped += cuts[i].drop.code == 0;
		ret->stopped += cuts[i].stop.code == 0;
		first_of(err, &rc, &cuts[i].stop);
		first_of(err, &rc, &cuts[i].drop);
		if (both)
			end_finish_later(c, &list[i], true);
		hands_drop(c->hands, list[i].session_id);
	}
	free(cuts);
	return rc;
}

static void measure(struct kill_result *ret, uint64_t begin)
{
	ret->duration_us = (ocu_mono_ns() - begin) / 1000;
	ocu_histogram_us(
	    ocu_histogram("ocu_kill_seconds", NULL, "From the order to the last sandbox confirmed stopped"),
	    ret->duration_us);
	ocu_counter_add(
	    ocu_counter("ocu_killed_sessions_total", NULL, "Sessions ended by an operator's kill"),
	    ret->stopped);
}

int kill_session(struct control *c, const char *session_id, const struct kill_want *want,
                 struct kill_result *ret, struct ocu_error *err)
{
	uint64_t begin = ocu_mono_ns();
	struct session s;
	int rc = registry_session_get(c->registry, session_id, &s, err);

	*ret = (struct kill_result){0};
	if (rc)
		return rc;
	if (s.state == SESSION_ENDED)
		return ocu_error_set(err, OCU_E_SESSION_GONE, "the session has ended already");
	rc = record_sessions(c, &s, 1, want, err);
	if (rc == 0)
		rc = kill_recorded(c, &s, 1, want, ret, err);
	measure(ret, begin);
	return rc;
}

static int live_sessions(struct control *c, const char *caller, struct session **ret, size_t *n,
                         struct ocu_error *err)
{
	const struct session_filter f = {.live = true, .caller = caller, .limit = KILL_MAX};

	return registry_session_list(c->registry, &f, ret, n, err);
}

int kill_all(struct control *c, const struct kill_want *want, struct kill_result *ret, struct ocu_error *err)
{
	uint64_t begin = ocu_mono_ns();
	OCU_FREE struct session *list = NULL;
	size_t n = 0;
	int rc = live_sessions(c, NULL, &list, &n, err);

	*ret = (struct kill_result){0};
	if (rc == 0)
		rc = record_order(c, n, want, err);
	if (rc == 0)
		rc = record_sessions(c, list, n, want, err);
	if (rc == 0)
		rc = kill_recorded(c, list, n, want, ret, err);
	measure(ret, begin);
	return rc;
}

static int denied_sessions(struct control *c, enum ocu_deny_kind kind, const char *value,
                           struct session **list, size_t *n, struct ocu_error *err)
{
	struct session s;
	int rc;

	*n = 0;
	if (kind == OCU_DENY_CALLER)
		return live_sessions(c, value, list, n, err);
	if (kind != OCU_DENY_SESSION)
		return 0;
	rc = registry_session_get(c->registry, value, &s, err);
	if (rc == OCU_E_NOT_FOUND || (rc == 0 && s.state == SESSION_ENDED))
		return 0;
	if (rc)
		return rc;
	struct session *one = malloc(sizeof *one);
	if (!one)
		return ocu_error_set(err, OCU_E_NOMEM, "kill");
	*one = s;
	*list = one;
	*n = 1;
	return 0;
}

/* Listed after the entry is in force: no session of this name can appear any more. */
static int kill_named(struct control *c, enum ocu_deny_kind kind, const char *value,
                      const struct kill_want *want, struct kill_result *ret, struct ocu_error *err)
{
	uint64_t begin = ocu_mono_ns();
	struct session *list = NULL;
	size_t n = 0;
	int rc = denied_sessions(c, kind, value, &list, &n, err);

	if (rc == 0 && n > 0) {
		rc = record_sessions(c, list, n, want, err);
		if (rc == 0)
			rc = kill_recorded(c, list, n, want, ret, err);
		measure(ret, begin);
	}
	free(list);
	return rc;
}

int kill_denied(struct control *c, enum ocu_deny_kind kind, const char *value, const struct kill_want *want,
                struct kill_result *ret, struct ocu_error *err)
{
	const struct deny_entry e = entry(kind, value, want);
	uint64_t epoch;
	bool changed;
	int rc;

	*ret = (struct kill_result){0};
	if (!value[0] || !text_ok(value, CALLER_MAX))
		return ocu_error_set(err, OCU_E_PARAMS, "value: empty, over %d bytes, or not text",
		                     CALLER_MAX);
	const struct fact f = {.actor = want->actor,
	                       .resource = value,
	                       .session_id = kind == OCU_DENY_SESSION ? value : NULL,
	                       .trace_id = want->trace,
	                       .detail = json_pack("{si ss}", "kind", (int)kind, "reason", want->reason)};
	rc = evidence_commit(c->audit, want->action, &f, err);
	if (rc == 0)
		rc = feed_deny(c->feed, &e, 1, &epoch, &changed, err);
	if (rc)
		return rc;
	rc = kill_named(c, kind, value, want, ret, err);
	if (ret->epoch == 0)
		ret->epoch = epoch;
	return rc;
}
