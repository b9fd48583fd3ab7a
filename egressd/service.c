/* service: the request table and its handlers. */
#include "egressd/service.h"

#include <stdlib.h>
#include <string.h>

#include "egressd/edge.h"
#include "egressd/events.h"
#include "egressd/policy.h"
#include "egressd/registry.h"
#include "libocu/audit.h"
#include "libocu/err.h"
#include "libocu/id.h"
#include "proto/edge.pb-c.h"
#include "proto/methods.h"

void service_init(struct service *s, struct egress *e)
{
	s->egress = e;
	ocu_id_new("boot_", s->boot_id);
}

/* ---- edge.Register ---- */

/* On the worker, where the registry's policy of the moment is the newest there is: two requests at once
 * cannot end with the older one in force. */
static int apply_policy(struct worker *w, void *arg)
{
	struct session *s = arg;
	struct edge *e = edge_find(w, s);
	struct policy *policy = NULL;
	struct session *current = registry_find(w->egress->registry, s->id, &policy);

	if (e && current == s)
		edge_set_policy(e, policy);
	else
		policy_unref(policy);
	session_unref(current);
	return 0;
}

static int read_policy(const Ocu__Edge__RegisterRequest *req, struct policy **ret, struct ocu_error *err)
{
	struct policy_rule *rules = calloc(req->n_allow ? req->n_allow : 1, sizeof *rules);

	if (!rules)
		return ocu_error_set(err, OCU_E_NOMEM, "rules");
	for (size_t i = 0; i < req->n_allow; i++)
		rules[i] =
		    (struct policy_rule){req->allow[i]->host, req->allow[i]->ports, req->allow[i]->n_ports};
	int rc = policy_new(ret, req->rung, rules, req->n_allow, err);
	free(rules);
	return rc;
}

static int check_register(const struct egress *e, const Ocu__Edge__RegisterRequest *req,
                          struct ocu_error *err)
{
	if (!ocu_id_valid(OCU_ID_SESSION, req->session_id))
		return ocu_error_set(err, OCU_E_PARAMS, "session_id is no session id");
	if (!req->caller[0] || strlen(req->caller) > REGISTRY_CALLER_MAX)
		return ocu_error_set(err, OCU_E_PARAMS, "caller has 1 to %d bytes", REGISTRY_CALLER_MAX);
	int rc = ocu_denylist_check(e->denylist, OCU_DENY_SESSION, req->session_id, err);
	return rc ? rc : ocu_denylist_check(e->denylist, OCU_DENY_CALLER, req->caller, err);
}

static int commit_register(struct egress *e, const struct session *s, const struct policy *p,
                           const char *trace, struct ocu_error *err)
{
	struct record r = {
	    .class_uid = OCU_OCSF_ENTITY_MANAGEMENT,
	    .activity = 3, /* Update */
	    .action = "edge.register",
	    .resource = s->id,
	    .trace = trace,
	    .outcome = OCU_OUTCOME_SUCCESS,
	    .detail =
	        json_pack("{s:s, s:I}", "rung", policy_rung_name(p), "rules", (json_int_t)policy_rules(p)),
	};

	return events_commit_wait(e, s, &r, err);
}

static int register_session(struct egress *e, const Ocu__Edge__RegisterRequest *req, const char *trace,
                            struct ocu_error *err)
{
	struct policy *policy = NULL;
	struct session *s = NULL;
	int rc = check_register(e, req, err);

	if (rc || (rc = read_policy(req, &policy, err)))
		return rc;
	struct session as = {0};
	memcpy(as.id, req->session_id, strlen(req->session_id) + 1);
	memcpy(as.caller, req->caller, strlen(req->caller) + 1);
	rc = commit_register(e, &as, policy, trace, err);
	if (rc == 0)
		rc = registry_put(e->registry, req->session_id, req->caller, policy, e->workers, e->nworkers,
		                  &s, err);
	if (rc == 0 && worker_call(s->worker, apply_policy, s))
		rc = ocu_error_set(err, OCU_E_CANCELLED, "stopping");
	session_unref(s);
	policy_unref(policy);
	return rc;
}

static void on_register(struct ocu_rpc_call *call, const ProtobufCMessage *m, void *arg)
{
	const struct service *s = arg;
	struct ocu_error err = {0};
	Ocu__Edge__RegisterReply reply = OCU__EDGE__REGISTER_REPLY__INIT;

	if (register_session(s->egress, (const Ocu__Edge__RegisterRequest *)m, ocu_rpc_call_trace(call),
	                     &err))
		ocu_rpc_fail(call, &err);
	else
		ocu_rpc_reply(call, &reply.base);
}

/* ---- edge.Drop ---- */

static int close_edge(struct worker *w, void *arg)
{
	struct edge *e = edge_find(w, arg);

	return e ? (int)edge_close(e, OCU_E_SESSION_DENIED) : 0;
}

/* A session that is out of the registry. */
struct dropped {
	struct session *session;
	int connections;
	struct dropped *next;
};

static int close_edges(struct worker *w, void *arg)
{
	for (struct dropped *d = arg; d; d = d->next)
		if (d->session->worker == w)
			d->connections = close_edge(w, d->session);
	return 0;
}

/* The cut comes first and its event after: operatord has recorded the order to cut, and nothing is permitted
 * here. */
static void report_drops(struct egress *e, const struct dropped *all, const char *why, const char *trace)
{
	for (const struct dropped *d = all; d; d = d->next) {
		struct record r = {
		    .class_uid = OCU_OCSF_ENTITY_MANAGEMENT,
		    .activity = 4, /* Delete */
		    .action = "edge.drop",
		    .resource = d->session->id,
		    .trace = trace,
		    .outcome = OCU_OUTCOME_SUCCESS,
		    .detail = json_pack("{s:s%, s:i}", "why", why, strnlen(why, 128), "connections",
		                        d->connections),
		};

		events_report(e, d->session, &r);
		session_unref(d->session);
	}
}

unsigned service_drop(struct egress *e, const char *session_id, const char *why, const char *trace)
{
	struct dropped d = {.session = registry_take(e->registry, session_id)};

	if (!d.session)
		return 0;
	worker_call(d.session->worker, close_edges, &d);
	report_drops(e, &d, why, trace);
	return (unsigned)d.connections;
}

/* On all workers at once, as many as fit here: no session goes on while it waits for another. */
static void drop_caller(struct egress *e, const char *caller)
{
	struct dropped some[256];
	size_t n;

	do {
		for (n = 0; n < sizeof some / sizeof *some; n++) {
			some[n] = (struct dropped){.session = registry_take_caller(e->registry, caller)};
			if (!some[n].session)
				break;
			if (n)
				some[n - 1].next = &some[n];
		}
		if (n == 0)
			break;
		worker_call_all(e->workers, e->nworkers, close_edges, some);
		report_drops(e, some, "denylist: caller", NULL);
	} while (n == sizeof some / sizeof *some);
}

void service_denied(enum ocu_deny_kind kind, const char *value, void *arg)
{
	const struct service *service = arg;

	if (kind == OCU_DENY_SESSION)
		service_drop(service->egress, value, "denylist: session", NULL);
	else if (kind == OCU_DENY_CALLER)
		drop_caller(service->egress, value);
}

static void on_drop(struct ocu_rpc_call *call, const ProtobufCMessage *m, void *arg)
{
	const struct service *s = arg;
	const Ocu__Edge__DropRequest *req = (const Ocu__Edge__DropRequest *)m;
	Ocu__Edge__DropReply reply = OCU__EDGE__DROP_REPLY__INIT;

	reply.connections = service_drop(s->egress, req->session_id, req->reason, ocu_rpc_call_trace(call));
	ocu_rpc_reply(call, &reply.base);
}

/* ---- edge.List ---- */

struct listing {
	struct session **sessions;
	size_t n;
	Ocu__Edge__Session *rows, **refs;
};

static int listing_make(struct listing *l, struct registry *r)
{
	size_t max = REGISTRY_MAX;

	l->sessions = calloc(max, sizeof *l->sessions);
	if (!l->sessions)
		return -1;
	l->n = registry_list(r, l->sessions, max);
	l->rows = calloc(l->n + 1, sizeof *l->rows);
	l->refs = calloc(l->n + 1, sizeof *l->refs);
	if (!l->rows || !l->refs)
		return -1;
	for (size_t i = 0; i < l->n; i++) {
		l->rows[i] = (Ocu__Edge__Session)OCU__EDGE__SESSION__INIT;
		l->rows[i].session_id = l->sessions[i]->id;
		l->rows[i].listening = atomic_load(&l->sessions[i]->listening);
		l->rows[i].connections = atomic_load(&l->sessions[i]->connections);
		l->refs[i] = &l->rows[i];
	}
	return 0;
}

static void listing_done(struct listing *l)
{
	for (size_t i = 0; l->sessions && i < l->n; i++)
		session_unref(l->sessions[i]);
	free(l->sessions);
	free(l->rows);
	free(l->refs);
}

static void on_list(struct ocu_rpc_call *call, const ProtobufCMessage *m, void *arg)
{
	struct service *s = arg;
	struct listing l = {0};
	struct ocu_error err = {0};
	Ocu__Edge__ListReply reply = OCU__EDGE__LIST_REPLY__INIT;

	(void)m;
	if (listing_make(&l, s->egress->registry)) {
		ocu_error_set(&err, OCU_E_NOMEM, "list");
		ocu_rpc_fail(call, &err);
	} else {
		reply.boot_id = s->boot_id;
		reply.sessions = l.refs;
		reply.n_sessions = l.n;
		ocu_rpc_reply(call, &reply.base);
	}
	listing_done(&l);
}

void service_refused(const struct ocu_peer *peer, uint32_t method, const struct ocu_error *why, void *arg)
{
	const struct service *s = arg;

	ocu_audit_rpc_refused(s->egress->audit, peer, method, why);
}

const struct ocu_rpc_entry service_table[] = {
    {&ocu_m_edge_register, on_register},
    {&ocu_m_edge_drop, on_drop},
    {&ocu_m_edge_list, on_list},
    {NULL, NULL},
};
