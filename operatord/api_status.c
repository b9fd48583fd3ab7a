/* api_status: the deployment at a glance: who is connected, what they hold of the denylist, the trail's head.
 */
#include <stdio.h>
#include <string.h>

#include "libocu/audit.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/rpc.h"
#include "operatord/actions.h"
#include "operatord/api_call.h"
#include "operatord/control.h"
#include "proto/audit.pb-c.h"
#include "proto/methods.h"

enum { HEAD_MS = 3000, STATUS_HEAD_MS = 500, HEARD_MS = 10000 };

/* Whom we dial is connected when the connection stands; who dials us, when it was heard of lately. */
static int connected(struct control *c, enum ocu_component who, const struct node_peer *p)
{
	switch (who) {
	case OCU_COMP_SANDBOXD:
		return ocu_rpc_client_connected(c->peers.sandboxd);
	case OCU_COMP_BROKERD:
		return ocu_rpc_client_connected(c->peers.brokerd);
	case OCU_COMP_EGRESSD:
		return ocu_rpc_client_connected(c->peers.egressd);
	case OCU_COMP_AUDITD:
		return ocu_audit_healthy(c->audit);
	default:
		return p->heard_mono != 0 && ocu_mono_ms() - p->heard_mono < HEARD_MS;
	}
}

static json_t *component_json(struct control *c, enum ocu_component who)
{
	const struct node_peer p = node_peer(&c->node, who);
	json_t *j = json_pack("{sb}", "connected", connected(c, who, &p));

	if (j && p.version[0])
		json_object_set_new(j, "version", json_string(p.version));
	if (j && p.boot_id[0])
		json_object_set_new(j, "boot_id", json_string(p.boot_id));
	if (j && p.subscribed)
		json_object_set_new(j, "denylist_epoch", json_integer((json_int_t)p.epoch));
	if (j && p.heard_mono)
		json_object_set_new(j, "heard_ms_ago",
		                    json_integer((json_int_t)(ocu_mono_ms() - p.heard_mono)));
	return j;
}

static int ask_head(struct api_call *a, uint32_t deadline_ms, Ocu__Audit__HeadReply **ret,
                    struct ocu_error *err)
{
	struct control *c = a->control;
	Ocu__Audit__HeadRequest q = OCU__AUDIT__HEAD_REQUEST__INIT;
	int rc = ocu_rpc_call(c->peers.auditd, &ocu_m_audit_head, &q.base, (ProtobufCMessage **)ret,
	                      deadline_ms, a->trace, err);

	if (rc == 0) {
		node_heard(&c->node, OCU_COMP_AUDITD, NULL);
		node_version(&c->node, OCU_COMP_AUDITD, (*ret)->version);
	}
	return rc;
}

static json_t *components_json(struct control *c)
{
	json_t *out = json_object();

	for (int i = OCU_COMP_NONE + 1; out && i < OCU_COMP_COUNT; i++) {
		enum ocu_component who = (enum ocu_component)i;
		if (who != OCU_COMP_OPERATORD)
			json_object_set_new(out, ocu_component_name(who), component_json(c, who));
	}
	return out;
}

void api_status(struct api_call *a)
{
	struct control *c = a->control;
	Ocu__Audit__HeadReply *head = NULL;
	struct ocu_error err = {0};
	char tier[17], instance[NODE_TEXT_MAX + 1];
	unsigned live = 0;

	if (registry_session_count(c->registry, &live, &err)) {
		api_fail(a, &err);
		return;
	}
	/* auditd subscribes to nothing; it is asked. */
	if (ocu_rpc_client_connected(c->peers.auditd) && ask_head(a, STATUS_HEAD_MS, &head, &err) == 0)
		ocu__audit__head_reply__free_unpacked(head, NULL);
	node_tier(&c->node, tier);
	node_instance(&c->node, instance);
	api_reply(a, 200,
	          json_pack("{ss ss ss ss ss ss sb s{sI sI sI} s{ss sI} so}", "version", OCU_VERSION,
	                    "actions", ACTIONS_VERSION, "trust_domain", c->cfg.trust_domain, "profile",
	                    admission_profile_name(c->cfg.profile), "tier", tier, "instance", instance,
	                    "reconciled", (int)node_reconciled(&c->node), "sessions", "live",
	                    (json_int_t)live, "per_caller", (json_int_t)c->cfg.limits.per_caller, "total",
	                    (json_int_t)c->cfg.limits.total, "denylist", "history",
	                    registry_history(c->registry), "epoch", (json_int_t)registry_epoch(c->registry),
	                    "components", components_json(c)));
}

void api_audit_head(struct api_call *a)
{
	Ocu__Audit__HeadReply *head = NULL;
	struct ocu_error err = {0};
	char hex[129] = "";

	if (ask_head(a, HEAD_MS, &head, &err)) {
		api_fail(a, &err);
		return;
	}
	for (size_t i = 0; i < head->head.len && i < sizeof hex / 2; i++)
		snprintf(hex + 2 * i, 3, "%02x", head->head.data[i]);
	api_reply(a, 200, json_pack("{sI ss}", "records", (json_int_t)head->records, "head", hex));
	ocu__audit__head_reply__free_unpacked(head, NULL);
}
