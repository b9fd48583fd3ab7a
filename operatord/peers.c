/* peers: see peers.h. */
#include "operatord/peers.h"

#include <stdio.h>
#include <stdlib.h>

#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/rpc.h"
#include "operatord/conf.h"
#include "operatord/node.h"
#include "operatord/registry.h"
#include "proto/methods.h"

enum {
	REGISTER_MS = 3000,
	START_MS = 20000,
	DROP_MS = 3000,
	STOP_MS = 10000,
	RELEASE_MS = 10000,
	TOKEN_MS = 3000,
	LIST_MS = 3000,
	RULES_MAX = 1024,
	PORTS_MAX = 64,
};

int peers_open(struct peers *p, const struct node_conf *conf, const struct ocu_identity *id,
               struct ocu_error *err)
{
	const struct {
		struct ocu_rpc_client **client;
		const char *url;
		enum ocu_component peer;
		unsigned inflight;
	} list[] = {
	    {&p->sandboxd, conf->sandboxd_control_url, OCU_COMP_SANDBOXD, 64},
	    {&p->brokerd, conf->brokerd_url, OCU_COMP_BROKERD, 64},
	    {&p->egressd, conf->egressd_url, OCU_COMP_EGRESSD, 64},
	    {&p->sandboxd_revoke, conf->sandboxd_control_url, OCU_COMP_SANDBOXD, REVOKE_INFLIGHT},
	    {&p->egressd_revoke, conf->egressd_url, OCU_COMP_EGRESSD, REVOKE_INFLIGHT},
	};

	*p = (struct peers){0};
	for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
		const struct ocu_rpc_client_opts o = {
		    .url = list[i].url, .identity = id, .peer = list[i].peer, .inflight = list[i].inflight};
		if (ocu_rpc_client_new(list[i].client, &o, err)) {
			peers_close(p);
			return ocu_error_add(err, "dialling %s", list[i].url);
		}
	}
	return 0;
}

void peers_end(struct peers *p)
{
	struct ocu_rpc_client *const all[] = {p->sandboxd, p->brokerd, p->egressd, p->sandboxd_revoke,
	                                      p->egressd_revoke};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (all[i])
			ocu_rpc_client_end(all[i]);
}

void peers_close(struct peers *p)
{
	struct ocu_rpc_client **all[] = {&p->sandboxd, &p->brokerd, &p->egressd, &p->sandboxd_revoke,
	                                 &p->egressd_revoke};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (*all[i])
			ocu_rpc_client_free(ocu_steal(all[i]));
}

int peers_mount_register(struct peers *p, const struct settings *cfg, const struct session *s,
                         const char *trace, struct ocu_error *err)
{
	Ocu__Mount__RegisterRequest q = OCU__MOUNT__REGISTER_REQUEST__INIT;

	q.session_id = (char *)s->session_id;
	q.filesystem_id = (char *)s->filesystem_id;
	q.caller = (char *)s->caller;
	q.quota_bytes = cfg->quota_bytes;
	q.quota_files = cfg->quota_files;
	return ocu_rpc_call(p->brokerd, &ocu_m_mount_register, &q.base, NULL, REGISTER_MS, trace, err);
}

int peers_mount_release(struct peers *p, const char *session_id, bool scrub, const char *trace,
                        bool *ret_scrubbed, struct ocu_error *err)
{
	Ocu__Mount__ReleaseRequest q = OCU__MOUNT__RELEASE_REQUEST__INIT;
	ProtobufCMessage *reply = NULL;

	q.session_id = (char *)session_id;
	q.scrub = scrub;
	int rc = ocu_rpc_call(p->brokerd, &ocu_m_mount_release, &q.base, &reply, RELEASE_MS, trace, err);
	if (rc == 0 && ret_scrubbed)
		*ret_scrubbed = scrub && !((Ocu__Mount__ReleaseReply *)reply)->scrub_pending;
	protobuf_c_message_free_unpacked(reply, NULL);
	return rc;
}

/* The rule list of the configuration, in one allocation: rules, pointers to them, ports. */
struct rules {
	Ocu__Edge__Rule rule[RULES_MAX];
	Ocu__Edge__Rule *list[RULES_MAX];
	uint32_t ports[RULES_MAX][PORTS_MAX];
};

static size_t rules_fill(struct rules *r, const json_t *allow)
{
	const json_t *item, *port;
	size_t i, k;

	json_array_foreach(allow, i, item)
	{
		ocu__edge__rule__init(&r->rule[i]);
		r->rule[i].host = (char *)ocu_json_str(item, "host", "");
		r->rule[i].ports = r->ports[i];
		json_array_foreach(json_object_get(item, "ports"), k, port)
		{
			r->ports[i][k] = (uint32_t)json_integer_value(port);
		}
		r->rule[i].n_ports = json_array_size(json_object_get(item, "ports"));
		r->list[i] = &r->rule[i];
	}
	return json_array_size(allow);
}

int peers_edge_register(struct peers *p, const struct settings *cfg, const struct session *s,
                        const char *trace, struct ocu_error *err)
{
	Ocu__Edge__RegisterRequest q = OCU__EDGE__REGISTER_REQUEST__INIT;
	OCU_FREE struct rules *r = NULL;

	q.session_id = (char *)s->session_id;
	q.caller = (char *)s->caller;
	q.rung = (char *)cfg->egress_rung;
	if (json_array_size(cfg->egress_allow) > 0) {
		r = calloc(1, sizeof *r);
		if (!r)
			return ocu_error_set(err, OCU_E_NOMEM, "egress rules");
		q.n_allow = rules_fill(r, cfg->egress_allow);
		q.allow = r->list;
	}
	return ocu_rpc_call(p->egressd, &ocu_m_edge_register, &q.base, NULL, REGISTER_MS, trace, err);
}

int peers_edge_drop(struct peers *p, const char *session_id, const char *reason, const char *trace,
                    struct ocu_error *err)
{
	Ocu__Edge__DropRequest q = OCU__EDGE__DROP_REQUEST__INIT;

	q.session_id = (char *)session_id;
	q.reason = (char *)reason;
	return ocu_rpc_call(p->egressd, &ocu_m_edge_drop, &q.base, NULL, DROP_MS, trace, err);
}

int peers_sandbox_start(struct peers *p, const struct settings *cfg, const struct session *s, const char *jwt,
                        const char *trace, Ocu__Control__StartReply **ret, struct ocu_error *err)
{
	Ocu__Control__StartRequest q = OCU__CONTROL__START_REQUEST__INIT;
	Ocu__Control__Limits limits = OCU__CONTROL__LIMITS__INIT;

	limits.memory_bytes = cfg->memory_bytes;
	limits.cpu_percent = cfg->cpu_percent;
	limits.pids = cfg->pids;
	limits.scratch_bytes = cfg->scratch_bytes;
	q.session_id = (char *)s->session_id;
	q.container_name = (char *)s->container_name;
	q.filesystem_id = (char *)s->filesystem_id;
	q.caller = (char *)s->caller;
	q.image = (char *)cfg->image;
	q.session_jwt = (char *)jwt;
	q.limits = &limits;
	return ocu_rpc_call(p->sandboxd, &ocu_m_control_start, &q.base, (ProtobufCMessage **)ret, START_MS,
	                    trace, err);
}

int peers_sandbox_stop(struct peers *p, const char *session_id, const char *reason, const char *trace,
                       struct ocu_error *err)
{
	Ocu__Control__StopRequest q = OCU__CONTROL__STOP_REQUEST__INIT;

	q.session_id = (char *)session_id;
	q.reason = (char *)reason;
	return ocu_rpc_call(p->sandboxd, &ocu_m_control_stop, &q.base, NULL, STOP_MS, trace, err);
}

int peers_sandbox_token(struct peers *p, const char *session_id, const char *jwt, struct ocu_error *err)
{
	Ocu__Control__TokenRequest q = OCU__CONTROL__TOKEN_REQUEST__INIT;

	q.session_id = (char *)session_id;
	q.session_jwt = (char *)jwt;
	return ocu_rpc_call(p->sandboxd, &ocu_m_control_token, &q.base, NULL, TOKEN_MS, NULL, err);
}

static int list(struct ocu_rpc_client *c, const struct ocu_rpc_method *m, const ProtobufCMessage *q,
                ProtobufCMessage **ret, struct ocu_error *err)
{
	if (!ocu_rpc_client_connected(c))
		return ocu_error_set(err, OCU_E_UNAVAILABLE, "%s: not connected", m->name);
	return ocu_rpc_call(c, m, q, ret, LIST_MS, NULL, err);
}

int peers_sandboxes(struct peers *p, Ocu__Control__ListReply **ret, struct ocu_error *err)
{
	Ocu__Control__ListRequest q = OCU__CONTROL__LIST_REQUEST__INIT;

	return list(p->sandboxd, &ocu_m_control_list, &q.base, (ProtobufCMessage **)ret, err);
}

int peers_mounts(struct peers *p, Ocu__Mount__ListReply **ret, struct ocu_error *err)
{
	Ocu__Mount__ListRequest q = OCU__MOUNT__LIST_REQUEST__INIT;

	return list(p->brokerd, &ocu_m_mount_list, &q.base, (ProtobufCMessage **)ret, err);
}

int peers_edges(struct peers *p, Ocu__Edge__ListReply **ret, struct ocu_error *err)
{
	Ocu__Edge__ListRequest q = OCU__EDGE__LIST_REQUEST__INIT;

	return list(p->egressd, &ocu_m_edge_list, &q.base, (ProtobufCMessage **)ret, err);
}
