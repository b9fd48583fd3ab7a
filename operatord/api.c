/* api: listeners, authentication and dispatch; see api.h. */
#include "operatord/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/audit.h"
#include "libocu/err.h"
#include "libocu/httpd.h"
#include "libocu/json.h"
#include "libocu/log.h"
#include "libocu/metrics.h"
#include "libocu/ocsf.h"
#include "libocu/pki.h"
#include "libocu/schema.h"
#include "operatord/api_call.h"
#include "operatord/control.h"
#include "operatord/pool.h"

enum { DRAIN_MS = 2500 };

enum endpoint_id {
#define X(handler, method, route, pool, schema) ENDPOINT_##handler,
	API_ENDPOINTS(X)
#undef X
	    ENDPOINT_COUNT
};

enum pool_id { POOL_api, POOL_revoke };

static const struct endpoint {
	void (*handler)(struct api_call *a);
	const char *schema;
	enum pool_id pool;
} endpoints[] = {
#define X(handler, method, route, pool, schema) {api_##handler, schema, POOL_##pool},
    API_ENDPOINTS(X)
#undef X
};

struct api {
	struct control *control;
	struct assertions *assertions;
	struct ocu_schema *schema[ENDPOINT_COUNT]; /* NULL: no body */
	struct ocu_httpd *all, *revoke;
};

/* A request between the headers and its handler. */
struct pending {
	struct api_call call;
	struct api *api;
	const struct endpoint *endpoint;
};

/* Refusing ----------------------------------------------------------------------------------------------- */

static struct ocu_counter *refused_total(void)
{
	return ocu_counter("ocu_operator_refused_total", NULL, "Operator requests without a valid assertion");
}

/* A flood of bad requests is counted in full, and leaves a bounded number of events in the trail. */
static void report(struct api *api, struct ocu_http_req *r, const struct ocu_error *why)
{
	const struct ocu_event ev = {.class_uid = OCU_OCSF_AUTHENTICATION,
	                             .activity_id = 1,
	                             .action = "operator.authenticate",
	                             .resource = ocu_http_path(r),
	                             .actor_id = ocu_http_peer_ip(r),
	                             .session_id = "",
	                             .trace_id = ocu_http_trace(r),
	                             .outcome = OCU_OUTCOME_DENIED,
	                             .reason = why->code};

	ocu_counter_add(refused_total(), 1);
	ocu_audit_refused(api->control->audit, &ev);
}

static void pending_free(void *arg)
{
	struct pending *p = arg;

	json_decref(p->call.body);
	free(p);
}

static int admit(struct ocu_http_req *r, struct api *api, const struct endpoint *e, struct ocu_error *err)
{
	char operator[OPERATOR_MAX + 1];
	struct pending *p;
	int rc = assertions_use(api->assertions, ocu_http_bearer(r), e->pool == POOL_api, operator, err);

	if (rc) {
		if (ocu_err_http(rc) == 401)
			report(api, r, err);
		return rc;
	}
	p = calloc(1, sizeof *p);
	if (!p)
		return ocu_error_set(err, OCU_E_NOMEM, "request");
	p->api = api;
	p->endpoint = e;
	p->call.control = api->control;
	p->call.http = r;
	p->call.trace = ocu_http_trace(r);
	snprintf(p->call.actor, sizeof p->call.actor, "operator:%s", operator);
	ocu_http_set_user(r, p, pending_free);
	return 0;
}

/* Running ------------------------------------------------------------------------------------------------ */

static int read_body(struct pending *p, struct ocu_error *err)
{
	const struct ocu_schema *schema = p->api->schema[p->endpoint - endpoints];
	const char *data;
	size_t len;
	int rc;

	ocu_http_body(p->call.http, &data, &len);
	if (!schema)
		return 0; /* the route's limit let no byte in */
	if (len == 0)
		p->call.body = json_object();
	else if ((rc = ocu_json_parse(data, len, BODY_MAX, &p->call.body, err)))
		return rc;
	return ocu_schema_check(schema, p->call.body, err);
}

static void work(void *arg)
{
	struct pending *p = arg;
	struct ocu_error err = {0};

	if (read_body(p, &err))
		api_fail(&p->call, &err);
	else
		p->endpoint->handler(&p->call);
}

static void handle(struct ocu_http_req *r)
{
	struct pending *p = ocu_http_user(r);
	struct control *c = p->api->control;
	struct ocu_error err = {0};

	if (pool_submit(p->endpoint->pool == POOL_revoke ? c->revoke : c->api, work, p, &err))
		ocu_http_reply_error(r, &err);
}

/* One pair of functions per endpoint: the route table has room for functions only. */
#define X(name, method, route, pool, schema)                                                                 \
	static int admit_##name(struct ocu_http_req *r, void *arg, struct ocu_error *err)                    \
	{                                                                                                    \
		return admit(r, arg, &endpoints[ENDPOINT_##name], err);                                      \
	}                                                                                                    \
	static void handle_##name(struct ocu_http_req *r, void *arg)                                         \
	{                                                                                                    \
		(void)arg;                                                                                   \
		handle(r);                                                                                   \
	}
API_ENDPOINTS(X)
#undef X

#define X(name, method, route, pool, schema)                                                                 \
	{method, route, sizeof(schema) > 1 ? BODY_MAX : 0, 0, handle_##name, admit_##name},
static const struct ocu_http_route all_routes[] = {API_ENDPOINTS(X){0}};
#undef X

/* The rows of the revoke pool. */
static const struct ocu_http_route *revoke_routes(void)
{
	static struct ocu_http_route routes[ENDPOINT_COUNT + 1];
	size_t n = 0;

	for (size_t i = 0; i < ENDPOINT_COUNT; i++)
		if (endpoints[i].pool == POOL_revoke)
			routes[n++] = all_routes[i];
	routes[n] = (struct ocu_http_route){0};
	return routes;
}

/* Starting ----------------------------------------------------------------------------------------------- */

static int listen_on(struct api *api, struct ocu_httpd **ret, const char *address,
                     const struct ocu_http_route *routes, unsigned threads, struct ocu_error *err)
{
	const struct ocu_identity *id = api->control->identity;
	const struct ocu_httpd_opts o = {.listen = address,
	                                 .cert_path = id->cert_path,
	                                 .key_path = id->key_path,
	                                 .routes = routes,
	                                 .arg = api,
	                                 .threads = threads,
	                                 .max_conns = 256,
	                                 .max_conns_per_ip = 64,
	                                 .timeout_s = 10};

	return ocu_httpd_start(ret, &o, err);
}

static int compile(struct api *api, struct ocu_error *err)
{
	for (size_t i = 0; i < ENDPOINT_COUNT; i++) {
		if (!endpoints[i].schema[0])
			continue;
		int rc = ocu_schema_new_text(&api->schema[i], endpoints[i].schema, err);
		if (rc)
			return rc;
	}
	return 0;
}

int api_start(struct api **ret, struct control *c, struct assertions *a, struct ocu_error *err)
{
	struct api *api = calloc(1, sizeof *api);
	int rc;

	if (!api)
		return ocu_error_set(err, OCU_E_NOMEM, "api");
	api->control = c;
	api->assertions = a;
	rc = compile(api, err);
	if (rc == 0 && c->cfg.revoke_listen[0])
		rc = listen_on(api, &api->revoke, c->cfg.revoke_listen, revoke_routes(), 2, err);
	if (rc == 0)
		rc = listen_on(api, &api->all, c->cfg.api_listen, all_routes, 2, err);
	if (rc) {
		api_stop(api);
		return rc;
	}
	*ret = api;
	return 0;
}

void api_stop(struct api *api)
{
	if (!api)
		return;
	if (api->all)
		ocu_httpd_stop(api->all, DRAIN_MS);
	if (api->revoke)
		ocu_httpd_stop(api->revoke, DRAIN_MS);
	for (size_t i = 0; i < ENDPOINT_COUNT; i++)
		ocu_schema_free(api->schema[i]);
	free(api);
}

int api_port(const struct api *api)
{
	return ocu_httpd_port(api->all);
}

int api_revoke_port(const struct api *api)
{
	return api->revoke ? ocu_httpd_port(api->revoke) : 0;
}
