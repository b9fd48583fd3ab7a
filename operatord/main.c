/*
 * ocu-operatord: the control plane. What an attacker who owns this process gets: sessions, their list and
 * their end, grants and caller tokens for as long as the keys stand. Not: a byte of any tool call, file or
 * connection (none passes here), an upstream or backend credential, a way to act without an audit record at
 * auditd, another daemon's key. The agent path reaches one listener of it, whose schema has no kill, denylist
 * or quota message.
 */
#include <stdio.h>
#include <string.h>

#include "libocu/audit.h"
#include "libocu/daemon.h"
#include "libocu/err.h"
#include "libocu/jail.h"
#include "libocu/log.h"
#include "libocu/rpc.h"
#include "operatord/api.h"
#include "operatord/assertion.h"
#include "operatord/control.h"
#include "operatord/feed.h"
#include "operatord/housekeeping.h"
#include "operatord/reconcile.h"
#include "operatord/session_rpc.h"

enum { RPC_DRAIN_MS = 1500 };

struct operatord {
	struct ocu_daemon d;
	struct control control;
	struct assertions *assertions;
	struct reconcilers *reconcile;
	struct ocu_rpc_server *sessions;
	struct api *api;
};

/* No capability, no program, no new right; writes to its own state, reads keys and what name resolution
 * needs. */
static int drop_rights(struct operatord *o, struct ocu_error *err)
{
	const struct ocu_jail_path paths[] = {
	    {o->d.state_dir, true}, {ocu_conf_str(o->d.conf, "pki_dir"), false},
	    {"/etc", false},        {"/usr", false},
	    {"/lib", false},        {"/lib64", false},
	    {"/proc", false},       {"/dev/urandom", false},
	    {NULL, false}};
	const struct ocu_jail jail = {.run_as = ocu_conf_str(o->d.conf, "run_as"), .paths = paths};
	int abi;
	int rc = ocu_jail_enter(&jail, &abi, err);

	if (rc == 0 && abi == 0)
		ocu_log(OCU_LOG_WARN, "jail.no_landlock", NULL, NULL);
	return rc;
}

static int open_state(struct operatord *o, struct ocu_error *err)
{
	struct settings cfg;
	int rc;

	settings_read(&cfg, o->d.conf);
	rc = control_open(&o->control, &cfg, o->d.state_dir, o->d.identity, err);
	return rc ? rc : assertions_open(&o->assertions, cfg.pki_dir, o->d.state_dir, err);
}

/* A pairing of profile and tier that is not permitted stops the daemon, whenever sandboxd first tells its
 * tier. */
static void not_permitted(void *arg, const struct ocu_error *err)
{
	struct operatord *o = arg;
	struct ocu_error fatal = *err;

	fatal.code = OCU_E_CONFIG;
	ocu_daemon_fatal(&o->d, &fatal);
}

static int serve(struct operatord *o, struct ocu_error *err)
{
	int rc = feed_start(&o->control.feed, &o->control, err);

	if (rc == 0)
		rc = reconcile_start(&o->reconcile, &o->control, not_permitted, o, err);
	if (rc == 0)
		rc = api_start(&o->api, &o->control, o->assertions, err);
	return rc ? rc : session_rpc_start(&o->sessions, &o->control, err);
}

static int ready(void *arg, char *why, size_t size)
{
	struct operatord *o = arg;
	const char *missing = !ocu_audit_healthy(o->control.audit)        ? "auditd"
	                      : !nodes_some_reconciled(&o->control.nodes) ? "sandboxd"
	                                                                  : NULL;

	snprintf(why, size, "%s", missing ? missing : "");
	return missing == NULL;
}

/* Listeners first, then the work they left, then what that work uses. */
static void stop(struct operatord *o)
{
	ocu_rpc_server_stop(o->sessions, RPC_DRAIN_MS);
	api_stop(o->api);
	reconcile_stop(o->reconcile);
	control_close(&o->control);
	assertions_close(o->assertions);
}

int main(int argc, char **argv)
{
	static struct operatord o;
	struct ocu_error err = {0};

	ocu_daemon_init(&o.d, argc, argv, &operatord_spec);
	if (drop_rights(&o, &err) || open_state(&o, &err) || control_connect(&o.control, &err) ||
	    serve(&o, &err) || ocu_daemon_metrics(&o.d, ready, &o, &err))
		ocu_daemon_fatal(&o.d, &err);
	ocu_daemon_ready(&o.d);
	ocu_daemon_wait(&o.d);
	stop(&o);
	ocu_daemon_done(&o.d);
	return 0;
}
