/* housekeeping: see housekeeping.h. */
#include "operatord/housekeeping.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/audit.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/log.h"
#include "operatord/control.h"
#include "operatord/evidence.h"
#include "operatord/feed.h"
#include "operatord/text.h"

#define EVERY_MS   (10ll * 60 * 1000)
#define DAY_MS     (24ll * 3600 * 1000)
#define IMPORT_MAX 65536

static void lift_spent(struct control *c)
{
	int64_t now = ocu_wall_ms();
	struct deny_entry *spent = NULL;
	struct ocu_error err = {0};
	size_t n = 0;
	int rc = registry_deny_spent(c->registry, now - DAY_MS, now - DAY_MS, &spent, &n, &err);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		const struct fact f = {.resource = spent[i].value,
		                       .session_id =
		                           spent[i].kind == OCU_DENY_SESSION ? spent[i].value : NULL};
		uint64_t epoch;
		rc = evidence_commit(c->audit, ACTION_DENYLIST_EXPIRE, &f, &err);
		if (rc == 0)
			rc = feed_lift(c->feed, spent[i].kind, spent[i].value, &epoch, &err);
		if (rc == OCU_E_NOT_FOUND)
			rc = 0;
	}
	if (rc)
		ocu_log_error(OCU_LOG_WARN, "denylist.expire", NULL, &err);
	free(spent);
}

static void prune(struct control *c)
{
	const struct fact f = {.resource = "registry"};
	int64_t ended = ocu_wall_ms() - DAY_MS, expired = ocu_wall_ms() - 30 * DAY_MS;
	struct ocu_error err = {0};
	int rc = registry_prunable(c->registry, ended, expired, &err);

	if (rc == 1)
		rc = evidence_commit(c->audit, ACTION_REGISTRY_PRUNE, &f, &err);
	if (rc == 0)
		rc = registry_prune(c->registry, ended, expired, &err);
	if (rc < 0)
		ocu_log_error(OCU_LOG_WARN, "registry.prune", NULL, &err);
}

/* Until auditd has taken it: these are the first things a start writes down. */
static void first(struct housekeeping *k, struct control *c)
{
	struct ocu_error err = {0};

	if (!ocu_audit_healthy(c->audit))
		return;
	k->started = housekeeping_profile(c, &err) == 0 && housekeeping_import(c, &err) == 0;
	if (!k->started)
		ocu_log_error(OCU_LOG_WARN, "housekeeping.start", NULL, &err);
}

void housekeeping_run(struct housekeeping *k, struct control *c, int64_t now_mono)
{
	if (!k->started)
		first(k, c);
	if (now_mono < k->next_mono || !ocu_audit_healthy(c->audit))
		return;
	k->next_mono = now_mono + EVERY_MS;
	lift_spent(c);
	prune(c);
}

static int record_change(struct control *c, enum action_id action, const char *key, const char *now,
                         int downgrade, const char *before, struct ocu_error *err)
{
	const struct fact f = {.resource = now,
	                       .reason = downgrade ? OCU_E_TIER : 0,
	                       .detail = json_pack("{ss ss ss sb}", "what", key, "before", before, "now", now,
	                                           "downgrade", downgrade)};
	int rc = evidence_commit(c->audit, action, &f, err);

	if (rc == 0 && downgrade)
		ocu_log(OCU_LOG_WARN, actions[action].name, NULL, "before", before, "now", now, "downgrade",
		        "yes", NULL);
	return rc ? rc : registry_fact_set(c->registry, key, now, err);
}

int housekeeping_profile(struct control *c, struct ocu_error *err)
{
	const char *now = admission_profile_name(c->cfg.profile);
	char before[64];
	int rc = registry_fact_get(c->registry, "profile", before, sizeof before, err);

	if (rc || strcmp(before, now) == 0)
		return rc;
	return record_change(c, ACTION_PROFILE_CHANGE, "profile", now,
	                     admission_profile_downgrade(before, now), before, err);
}

void housekeeping_tier(struct control *c, const char *node, const char *tier)
{
	struct ocu_error err = {0};
	char before[64], key[NODE_MAX + sizeof "tier:"];
	int rc;

	snprintf(key, sizeof key, "tier%s%s", node[0] ? ":" : "", node);
	rc = registry_fact_get(c->registry, key, before, sizeof before, &err);
	if (rc == 0 && strcmp(before, tier) != 0)
		rc = record_change(c, ACTION_TIER_CHANGE, key, tier, admission_tier_downgrade(before, tier),
		                   before, &err);
	if (rc)
		ocu_log_error(OCU_LOG_WARN, "tier.change", NULL, &err);
}

static int import_one(struct control *c, const json_t *item, struct ocu_error *err)
{
	struct token_record t = {.created_ms = ocu_json_int(item, "created_ms", 0),
	                         .expires_ms = ocu_json_int(item, "expires_ms", 0)},
	                    known;
	int rc;

	text_copy(t.jti, sizeof t.jti, ocu_json_str(item, "jti", ""));
	text_copy(t.caller, sizeof t.caller, ocu_json_str(item, "caller", ""));
	text_copy(t.label, sizeof t.label, ocu_json_str(item, "label", ""));
	if (!t.jti[0] || !t.caller[0] || t.expires_ms <= ocu_wall_ms())
		return 0;
	rc = registry_token_get(c->registry, t.jti, &known, err);
	if (rc != OCU_E_NOT_FOUND)
		return rc;
	const struct fact f = {.resource = t.jti, .detail = json_pack("{ss}", "caller", t.caller)};
	rc = evidence_commit(c->audit, ACTION_TOKEN_IMPORT, &f, err);
	return rc ? rc : registry_token_add(c->registry, &t, err);
}

int housekeeping_import(struct control *c, struct ocu_error *err)
{
	OCU_JSON json_t *list = NULL;
	const json_t *item;
	char path[4096];
	size_t i;
	int rc;

	if (snprintf(path, sizeof path, "%s/operatord/issued-tokens.json", c->cfg.pki_dir) >=
	    (int)sizeof path)
		return ocu_error_set(err, OCU_E_CONFIG, "pki_dir is too long");
	rc = ocu_json_load_file(path, IMPORT_MAX, &list, err);
	if (rc)
		return rc == OCU_E_NOT_FOUND ? 0 : rc;
	json_array_foreach(list, i, item)
	{
		if ((rc = import_one(c, item, err)))
			return rc;
	}
	return 0;
}
