/*
 * ocu-gateway: MCP over HTTP, for agents. What an attacker who owns this process gets: the tool calls in
 * flight, grants of at most five minutes for sessions that are live, and the right to ask operatord for
 * sessions. Not: a kill, denylist or quota route (they do not exist on the listener it can reach), files,
 * other daemons' keys.
 */
#include <string.h>

#include "gateway/auth.h"
#include "gateway/endpoint.h"
#include "gateway/hosts.h"
#include "gateway/inflight.h"
#include "gateway/mcp_session.h"
#include "gateway/policy.h"
#include "gateway/routes.h"
#include "gateway/sandboxes.h"
#include "gateway/tool.h"
#include "libocu/jail.h"
#include "libocu/log.h"
#include "libocu/pki.h"

#define DRAIN_MS      8000
#define START_WAIT_MS 5000

static int ready(void *arg, char *why, size_t size)
{
	struct gateway *g = arg;
	const char *missing = !ocu_audit_healthy(g->audit)              ? "auditd"
	                      : !ocu_rpc_client_connected(g->operatord) ? "operatord"
	                      : !ocu_denylist_fresh(g->denylist)        ? "denylist"
	                                                                : NULL;
	snprintf(why, size, "%s", missing ? missing : "");
	return missing == NULL;
}

/* Keys and listeners, while files may still be opened freely. */
static int open_resources(struct gateway *g, struct ocu_error *err)
{
	char key[1024], base[400];
	const char *url = ocu_conf_str(g->d.conf, "public_url");
	snprintf(base, sizeof base, "%s%s", *url ? "" : "http://",
	         *url ? url : ocu_conf_str(g->d.conf, "listen"));
	size_t n = strlen(base);
	if (n && base[n - 1] == '/')
		base[n - 1] = 0;
	snprintf(g->resource_url, sizeof g->resource_url, "%s/mcp", base);
	snprintf(g->metadata_url, sizeof g->metadata_url, "%s/.well-known/oauth-protected-resource/mcp",
	         base);
	snprintf(key, sizeof key, "%s/gateway/mcp-session.key", ocu_conf_str(g->d.conf, "pki_dir"));
	g->tool_timeout_ms = (uint32_t)ocu_conf_ms(g->d.conf, "tool_timeout");
	/* What is not an address and port is refused where it is listened on. */
	const char *colon = strrchr(ocu_conf_str(g->d.conf, "listen"), ':');
	int rc = hosts_new(&g->hosts, g->d.conf, base, colon ? (int)strtol(colon + 1, NULL, 10) : 0, err);
	if (rc == 0)
		rc = mcp_sessions_new(&g->sessions, key, err);
	if (rc == 0)
		rc = policy_new(&g->policy, ocu_conf_json(g->d.conf, "tool_policy"), err);
	return rc ? rc : tools_init(err);
}

static int drop_rights(struct gateway *g, struct ocu_error *err)
{
	const struct ocu_jail_path paths[] = {
	    {g->d.state_dir, true},  {ocu_conf_str(g->d.conf, "pki_dir"), false},
	    {"/etc", false},         {"/usr", false},
	    {"/lib", false},         {"/proc/self", false},
	    {"/dev/urandom", false}, {NULL, false}};
	struct ocu_jail jail = {.run_as = ocu_conf_str(g->d.conf, "run_as"), .paths = paths};
	int abi;
	return ocu_jail_enter(&jail, &abi, err);
}

static int connect_peers(struct gateway *g, struct ocu_error *err)
{
	const struct ocu_identity *id = g->d.identity;
	struct ocu_rpc_client_opts operatord = {.url = ocu_conf_str(g->d.conf, "operatord_url"),
	                                        .identity = id,
	                                        .peer = OCU_COMP_OPERATORD,
	                                        .inflight = 1024};
	struct ocu_denylist_opts deny = {.feed_url = ocu_conf_str(g->d.conf, "denylist_feed_url"),
	                                 .pull_url = ocu_conf_str(g->d.conf, "denylist_pull_url"),
	                                 .identity = id};
	int rc = ocu_audit_start(&g->audit, ocu_conf_str(g->d.conf, "audit_url"), id, err);
	if (rc == 0)
		rc = ocu_rpc_client_new(&g->operatord, &operatord, err);
	if (rc == 0)
		rc = ocu_denylist_start(&g->denylist, &deny, err);
	if (rc == 0)
		rc = auth_new(&g->auth, g, err);
	if (rc == 0)
		rc = routes_new(&g->routes, g, err);
	if (rc == 0)
		rc = sandboxes_new(&g->sandboxes, id, err);
	return rc ? rc : inflight_new(&g->inflight, err);
}

static int serve(struct gateway *g, struct ocu_error *err)
{
	struct ocu_httpd_opts o = {.listen = ocu_conf_str(g->d.conf, "listen"),
	                           .routes = gateway_routes,
	                           .arg = g,
	                           .threads = (unsigned)ocu_conf_int(g->d.conf, "threads"),
	                           .max_conns = (unsigned)ocu_conf_int(g->d.conf, "max_connections"),
	                           .max_conns_per_ip =
	                               (unsigned)ocu_conf_int(g->d.conf, "max_connections_per_address"),
	                           .error_body = endpoint_error};
	int rc = ocu_httpd_start(&g->http, &o, err);
	return rc ? rc : ocu_daemon_metrics(&g->d, ready, g, err);
}

static void stop(struct gateway *g)
{
	ocu_httpd_stop(g->http, DRAIN_MS);
	/* A route leads to a call to a sandbox, and such a call's failure to the next route: no route comes
	 * any more, then nothing runs. */
	ocu_rpc_client_end(g->operatord);
	sandboxes_free(g->sandboxes);
	ocu_rpc_client_free(g->operatord);
	inflight_free(g->inflight);
	routes_free(g->routes);
	auth_free(g->auth);
	ocu_denylist_stop(g->denylist);
	ocu_audit_stop(g->audit);
	policy_free(g->policy);
	hosts_free(g->hosts);
	mcp_sessions_free(g->sessions);
	tools_done();
}

int main(int argc, char **argv)
{
	static struct gateway g;
	struct ocu_error err = {0};
	ocu_daemon_init(&g.d, argc, argv, &gateway_spec);
	if (open_resources(&g, &err) || drop_rights(&g, &err) || connect_peers(&g, &err) || serve(&g, &err))
		ocu_daemon_fatal(&g.d, &err);
	/* A gateway without operatord serves too, and refuses; readiness is held back only so that starting
	 * in order works. */
	if (ocu_denylist_wait(g.denylist, START_WAIT_MS, &err))
		ocu_log_error(OCU_LOG_WARN, "gateway.degraded", NULL, &err);
	ocu_daemon_ready(&g.d);
	ocu_daemon_wait(&g.d);
	stop(&g);
	ocu_daemon_done(&g.d);
	return 0;
}
