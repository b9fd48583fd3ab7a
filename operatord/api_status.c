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

/* Which daemon of a node a component is; NODE_DAEMONS for those that are not of a node. */
static enum node_daemon daemon_of(enum ocu_component who)
{
	return who == OCU_COMP_SANDBOXD  ? NODE_SANDBOXD
	       : who == OCU_COMP_BROKERD ? NODE_BROKERD
	       : who == OCU_COMP_EGRESSD ? NODE_EGRESSD
	                                 : NODE_DAEMONS;
}

static int daemon_connected(const struct node *n, enum node_daemon d)
{
	struct ocu_rpc_client *const of[NODE_DAEMONS] = {n->peers.sandboxd, n->peers.brokerd,
	                                                 n->peers.egressd};

	return ocu_rpc_client_connected(of[d]);
}

static int everywhere_connected(const struct nodes *ns, enum node_daemon d)
{
	for (size_t i = 0; i < ns->n; i++)
		if (!daemon_connected(&ns->list[i], d))
			return 0;
	return 1;
}

/* Whom we dial is connected when the connection stands; who dials us, when it was heard of lately. */
static int connected(struct control *c, enum ocu_component who, const struct heard_peer *p)
{
	if (daemon_of(who) != NODE_DAEMONS)
		return everywhere_connected(&c->nodes, daemon_of(who));
	if (who == OCU_COMP_AUDITD)
		return ocu_audit_healthy(c->audit);
	return p->heard_mono != 0 && ocu_mono_ms() - p->heard_mono < HEARD_MS;
}

/* What only one of a kind can say is left out where there are several. */
static json_t *component_json(struct control *c, enum ocu_component who)
{
	const struct heard_peer p = heard_peer(&c->heard, who);
	const bool several = daemon_of(who) != NODE_DAEMONS && c->nodes.n > 1;
	char boot_id[NODE_TEXT_MAX + 1] = "";
	json_t *j = json_pack("{sb}", "connected", connected(c, who, &p));

	if (daemon_of(who) != NODE_DAEMONS && !several)
		node_boot_id(&c->nodes.list[0], daemon_of(who), boot_id);
	if (j && p.version[0] && !several)
		json_object_set_new(j, "version", json_string(p.version));
	if (j && boot_id[0])
		json_object_set_new(j, "boot_id", json_string(boot_id));
	if (j && p.subscribed && !several)
		json_object_set_new(j, "denylist_epoch", json_integer((json_int_t)p.epoch));
	if (j && p.heard_mono)
		json_object_set_new(j, "heard_ms_ago",
		                    json_integer((json_int_t)(ocu_mono_ms() - p.heard_mono)));
	return j;
}

static json_t *node_json(struct control *c, struct node *n)
{
	char tier[17], instance[NODE_TEXT_MAX + 1];
	struct ocu_error err = {0};
	unsigned live = 0;

	if (registry_session_count_node(c->registry, n->conf.name, &live, &err))
		return NULL;
	node_tier(n, tier);
	node_instance(n, instance);
	return json_pack("{ss ss ss sb sb si sb sb sb}", "name", n->conf.name, "tier", tier, "instance",
	                 instance, "reconciled", (int)node_reconciled(n), "cordoned", (int)n->conf.cordoned,
	                 "sessions", (int)live, "sandboxd", daemon_connected(n, NODE_SANDBOXD), "brokerd",
	                 daemon_connected(n, NODE_BROKERD), "egressd", daemon_connected(n, NODE_EGRESSD));
}

static json_t *nodes_json(struct control *c)
{
	json_t *out = json_array();

	for (size_t i = 0; out && i < c->nodes.n; i++)
		json_array_append_new(out, node_json(c, &c->nodes.list[i]));
	return out;
}

/* The tier of all of them, or that they differ. */
static void common_tier(struct nodes *ns, char out[17])
{
	char tier[17];

	node_tier(&ns->list[0], out);
	for (size_t i = 1; i < ns->n; i++) {
		node_tier(&ns->list[i], tier);
		if (strcmp(tier, out) != 0)
			snprintf(out, 17, "mixed");
	}
}

static int ask_head(struct api_call *a, uint32_t deadline_ms, Ocu__Audit__HeadReply **ret,
                    struct ocu_error *err)
{
	struct control *c = a->control;
	Ocu__Audit__HeadRequest q = OCU__AUDIT__HEAD_REQUEST__INIT;
	int rc = ocu_rpc_call(c->auditd, &ocu_m_audit_head, &q.base, (ProtobufCMessage **)ret, deadline_ms,
	                      a->trace, err);

	if (rc == 0)
		heard_version(&c->heard, OCU_COMP_AUDITD, (*ret)->version);
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
	char tier[17], instance[NODE_TEXT_MAX + 1] = "";
	unsigned live = 0;

	if (registry_session_count(c->registry, &live, &err)) {
		api_fail(a, &err);
		return;
	}
	/* auditd subscribes to nothing; it is asked. */
	if (ocu_rpc_client_connected(c->auditd) && ask_head(a, STATUS_HEAD_MS, &head, &err) == 0)
		ocu__audit__head_reply__free_unpacked(head, NULL);
	common_tier(&c->nodes, tier);
	if (c->nodes.n == 1)
		node_instance(&c->nodes.list[0], instance);
	api_reply(a, 200,
	          json_pack("{ss ss ss ss ss ss sb s{sI sI sI} s{ss sI} so so}", "version", OCU_VERSION,
	                    "actions", ACTIONS_VERSION, "trust_domain", c->cfg.trust_domain, "profile",
	                    admission_profile_name(c->cfg.profile), "tier", tier, "instance", instance,
	                    "reconciled", (int)nodes_all_reconciled(&c->nodes), "sessions", "live",
	                    (json_int_t)live, "per_caller", (json_int_t)c->cfg.limits.per_caller, "total",
	                    (json_int_t)c->cfg.limits.total, "denylist", "history",
	                    registry_history(c->registry), "epoch", (json_int_t)registry_epoch(c->registry),
	                    "components", components_json(c), "nodes", nodes_json(c)));
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
