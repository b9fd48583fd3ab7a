/* session_rpc: see session_rpc.h. */
#include "operatord/session_rpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/audit.h"
#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/log.h"
#include "libocu/metrics.h"
#include "libocu/rpc.h"
#include "operatord/control.h"
#include "operatord/creates.h"
#include "operatord/ends.h"
#include "operatord/mint.h"
#include "operatord/pool.h"
#include "proto/methods.h"
#include "proto/session.pb-c.h"

/* The code travels; the text may reach a client of the gateway and names nothing of ours. */
static void refuse(struct ocu_rpc_call *call, const char *what, const struct ocu_error *err)
{
	struct ocu_error clean = {0};

	ocu_log_error(ocu_err_http(err->code) >= 500 ? OCU_LOG_WARN : OCU_LOG_INFO, what,
	              ocu_rpc_call_trace(call), err);
	ocu_error_set(&clean, err->code, "%s", ocu_err_text(err->code));
	ocu_rpc_fail(call, &clean);
}

/* Fills `to`; *ret_grant must stay until the reply is packed and is freed by the caller. */
static int route_fill(struct control *c, const struct session *s, Ocu__Session__Route *to, char **ret_grant,
                      struct ocu_error *err)
{
	char instance[NODE_TEXT_MAX + 1];
	struct node *n;
	int rc = nodes_of(&c->nodes, s, &n, err);

	if (rc)
		return rc;
	node_instance(n, instance);
	rc = mint_grant(c->mint, s, instance, c->cfg.grant_ttl_ms, ret_grant, &to->grant_ttl_ms, err);
	to->sandboxd_url = (char *)n->conf.sandboxd_exec_url;
	to->files_url = (char *)n->conf.files_url;
	to->grant = *ret_grant;
	return rc;
}

/* Create ------------------------------------------------------------------------------------------------ */

struct asked {
	struct ocu_rpc_call *call;
	struct control *control;
};

static void create_reply(struct ocu_rpc_call *call, struct control *c, const struct session *s, bool created)
{
	Ocu__Session__CreateReply reply = OCU__SESSION__CREATE_REPLY__INIT;
	Ocu__Session__Route route = OCU__SESSION__ROUTE__INIT;
	OCU_FREE char *grant = NULL;
	struct ocu_error err = {0};

	if (route_fill(c, s, &route, &grant, &err)) {
		refuse(call, "session.create", &err);
		return;
	}
	reply.session_id = (char *)s->session_id;
	reply.filesystem_id = (char *)s->filesystem_id;
	reply.created = created;
	reply.route = &route;
	ocu_rpc_reply(call, &reply.base);
}

static void created(void *arg, const struct session *s, bool made, const struct ocu_error *err)
{
	struct asked *a = arg;

	if (err)
		refuse(a->call, "session.create", err);
	else
		create_reply(a->call, a->control, s, made);
	free(a);
}

static void on_create(struct ocu_rpc_call *call, const ProtobufCMessage *req, void *arg)
{
	const Ocu__Session__CreateRequest *q = (const Ocu__Session__CreateRequest *)req;
	struct control *c = arg;
	struct asked *a = malloc(sizeof *a);
	struct ocu_error err = {0};

	heard_of(&c->heard, OCU_COMP_GATEWAY);
	if (!a || q->hint[0] == '\0') {
		ocu_error_set(&err, a ? OCU_E_PARAMS : OCU_E_NOMEM, "a hint is required");
		free(a);
		refuse(call, "session.create", &err);
		return;
	}
	*a = (struct asked){.call = call, .control = c};
	const struct create_want want = {.caller = q->caller,
	                                 .token_id = q->token_id,
	                                 .hint = q->hint,
	                                 .label = q->label,
	                                 .actor = q->caller,
	                                 .trace = ocu_rpc_call_trace(call),
	                                 .action = ACTION_SESSION_CREATE};
	create_session(c, &want, created, a);
}

/* Route, Status ------------------------------------------------------------------------------------------ */

/* The session when it is this caller's; of others nothing is said, not even that they exist. */
static int own(struct control *c, const char *caller, const char *session_id, struct session *ret,
               struct ocu_error *err)
{
	int rc = registry_session_get(c->registry, session_id, ret, err);

	if (rc == 0 && strcmp(ret->caller, caller) != 0)
		rc = ocu_error_set(err, OCU_E_NOT_FOUND, "no such session");
	return rc;
}

static int routable(struct control *c, const struct session *s, struct ocu_error *err)
{
	int rc = registry_deny_check(c->registry, OCU_DENY_SESSION, s->session_id, err);

	if (rc == 0)
		rc = registry_deny_check(c->registry, OCU_DENY_CALLER, s->caller, err);
	if (rc == 0 && s->token_id[0])
		rc = registry_deny_check(c->registry, OCU_DENY_TOKEN, s->token_id, err);
	if (rc == 0 && s->state == SESSION_STARTING)
		rc = ocu_error_set(err, OCU_E_BUSY, "the session starts");
	if (rc == 0 && s->state != SESSION_ACTIVE)
		rc =
		    ocu_error_set(err, OCU_E_SESSION_GONE, "the session is %s", session_state_name(s->state));
	return rc;
}

static void on_route(struct ocu_rpc_call *call, const ProtobufCMessage *req, void *arg)
{
	const Ocu__Session__RouteRequest *q = (const Ocu__Session__RouteRequest *)req;
	struct control *c = arg;
	Ocu__Session__RouteReply reply = OCU__SESSION__ROUTE_REPLY__INIT;
	Ocu__Session__Route route = OCU__SESSION__ROUTE__INIT;
	OCU_FREE char *grant = NULL;
	struct ocu_error err = {0};
	struct session s;
	int rc = own(c, q->caller, q->session_id, &s, &err);

	heard_of(&c->heard, OCU_COMP_GATEWAY);
	if (rc == 0)
		rc = routable(c, &s, &err);
	if (rc == 0)
		rc = registry_session_touch(c->registry, s.session_id, (int64_t)ocu_mono_ms(), &err);
	if (rc == 0)
		rc = route_fill(c, &s, &route, &grant, &err);
	if (rc) {
		refuse(call, "session.route", &err);
		return;
	}
	reply.route = &route;
	ocu_rpc_reply(call, &reply.base);
}

static void on_status(struct ocu_rpc_call *call, const ProtobufCMessage *req, void *arg)
{
	const Ocu__Session__StatusRequest *q = (const Ocu__Session__StatusRequest *)req;
	Ocu__Session__StatusReply reply = OCU__SESSION__STATUS_REPLY__INIT;
	struct ocu_error err = {0};
	struct session s;

	if (own(arg, q->caller, q->session_id, &s, &err)) {
		refuse(call, "session.status", &err);
		return;
	}
	reply.session_id = s.session_id;
	reply.filesystem_id = s.filesystem_id;
	reply.state = (char *)session_state_name(s.state == SESSION_STARTING ? SESSION_ACTIVE : s.state);
	reply.created_ms = (uint64_t)s.created_ms;
	ocu_rpc_reply(call, &reply.base);
}

/* Destroy ------------------------------------------------------------------------------------------------ */

struct destroying {
	struct ocu_rpc_call *call;
	struct control *control;
	struct session session;
};

static void destroy_run(void *arg)
{
	struct destroying *d = arg;
	Ocu__Session__DestroyReply reply = OCU__SESSION__DESTROY_REPLY__INIT;
	const struct end_want want = {.action = ACTION_SESSION_DESTROY,
	                              .actor = d->session.caller,
	                              .reason = "destroyed",
	                              .trace = ocu_rpc_call_trace(d->call)};
	struct ocu_error err = {0};

	if (end_session(d->control, &d->session, &want, &err))
		refuse(d->call, "session.destroy", &err);
	else
		ocu_rpc_reply(d->call, &reply.base);
	free(d);
}

/* By id, or by the hint it was created with; then no such session is the state that was wanted. */
static int to_destroy(struct control *c, const Ocu__Session__DestroyRequest *q, struct session *ret,
                      struct ocu_error *err)
{
	if (q->session_id[0])
		return own(c, q->caller, q->session_id, ret, err);
	if (!q->hint[0] || !q->caller[0])
		return ocu_error_set(err, OCU_E_PARAMS, "a session id or a hint is required");
	return registry_session_find(c->registry, q->caller, q->hint, ret, err);
}

static void on_destroy(struct ocu_rpc_call *call, const ProtobufCMessage *req, void *arg)
{
	const Ocu__Session__DestroyRequest *q = (const Ocu__Session__DestroyRequest *)req;
	Ocu__Session__DestroyReply reply = OCU__SESSION__DESTROY_REPLY__INIT;
	struct control *c = arg;
	struct destroying *d;
	struct ocu_error err = {0};
	struct session s;
	int rc = to_destroy(c, q, &s, &err);

	if (!q->session_id[0] && (rc == OCU_E_NOT_FOUND || rc == OCU_E_SESSION_DENIED)) {
		ocu_rpc_reply(call, &reply.base);
		return;
	}
	d = rc ? NULL : malloc(sizeof *d);
	if (d) {
		*d = (struct destroying){.call = call, .control = c, .session = s};
		rc = pool_submit(c->ends, destroy_run, d, &err);
	} else if (rc == 0) {
		rc = ocu_error_set(&err, OCU_E_NOMEM, "destroy");
	}
	if (rc == 0)
		return;
	free(d);
	refuse(call, "session.destroy", &err);
}

static const struct ocu_rpc_entry table[] = {{&ocu_m_session_create, on_create},
                                             {&ocu_m_session_route, on_route},
                                             {&ocu_m_session_status, on_status},
                                             {&ocu_m_session_destroy, on_destroy},
                                             {NULL, NULL}};

static void refused(const struct ocu_peer *peer, uint32_t method, const struct ocu_error *why, void *arg)
{
	struct control *c = arg;

	ocu_counter_add(ocu_counter("ocu_rpc_refused_total", NULL, "Requests refused before a handler ran"),
	                1);
	ocu_audit_rpc_refused(c->audit, peer, method, why);
}

int session_rpc_start(struct ocu_rpc_server **ret, struct control *c, struct ocu_error *err)
{
	const struct ocu_rpc_server_opts o = {.url = c->cfg.rpc_listen,
	                                      .identity = c->identity,
	                                      .table = table,
	                                      .arg = c,
	                                      .workers = 4,
	                                      .inflight = 1024,
	                                      .refused = refused};

	return ocu_rpc_server_start(ret, &o, err);
}
