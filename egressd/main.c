/*
 * ocu-egressd: the only way out of a sandbox. What an attacker who owns this process gets: the traffic of the
 * sessions it relays, which for TLS is ciphertext, and a way to connect to the network as the edge could.
 * Not: a file, a key but its own identity, another process, or a session's descriptors before sandboxd hands
 * them over.
 *
 * Peers, in the order in which they are met: sandboxd over a unix socket (checked by uid), operatord and
 * auditd over RPC (checked by certificate and token), guests over the descriptors of their session,
 * upstreams. Only operatord says what is allowed; a guest says nothing about itself that is believed.
 */
#include <ares.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "egressd/conf.h"
#include "egressd/egress.h"
#include "egressd/handover.h"
#include "egressd/registry.h"
#include "egressd/service.h"
#include "egressd/stats.h"
#include "egressd/worker.h"
#include "libocu/audit.h"
#include "libocu/cleanup.h"
#include "libocu/daemon.h"
#include "libocu/denylist.h"
#include "libocu/err.h"
#include "libocu/fdpass.h"
#include "libocu/jail.h"
#include "libocu/log.h"
#include "libocu/rpc.h"

#define DRAIN_MS         2000
#define HANDOVER_BACKLOG 8

struct egressd {
	struct ocu_daemon d;
	struct egress egress;
	struct service service;
	struct handover *handover;
	struct ocu_rpc_server *rpc;
	int handover_fd;
	uid_t sandboxd_uid;
};

/* Up to the hard limit, which is not ours to raise. */
static unsigned long raise_descriptors(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return 1024;
	r.rlim_cur = r.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &r) < 0)
		getrlimit(RLIMIT_NOFILE, &r);
	return r.rlim_cur == RLIM_INFINITY ? 1ul << 20 : r.rlim_cur;
}

/* The folder is shared with brokerd's socket; who may connect is decided by each socket's mode and owner. */
static int open_handover(struct egressd *g, struct ocu_error *err)
{
	char path[512], dir[512];

	conf_handover_path(g->d.conf, g->d.run_dir, path, sizeof path);
	snprintf(dir, sizeof dir, "%s", path);
	char *slash = strrchr(dir, '/');
	if (slash && slash != dir) {
		*slash = '\0';
		int rc = ocu_daemon_folder(dir, &(struct ocu_daemon_owner){(uid_t)-1, (gid_t)-1, 0755},
		                           (uint64_t)ocu_conf_ms(g->d.conf, "handover_wait"), err);
		if (rc)
			return rc;
	}
	g->sandboxd_uid = (uid_t)ocu_conf_int(g->d.conf, "sandboxd_uid");
	/* Root needs no ownership to connect, and in a container nobody here could give it. */
	g->handover_fd = ocu_fdpass_listen(path, g->sandboxd_uid ? g->sandboxd_uid : (uid_t)-1, err);
	return g->handover_fd < 0 ? g->handover_fd : 0;
}

/* No capability, no program, no file to write but the clock floor in its own state folder. Connecting to
 * anything is its job, so that stays; what it connects to is decided in dial.c and nowhere else. */
static int drop_rights(struct egressd *g, struct ocu_error *err)
{
	const struct ocu_jail_path paths[] = {{g->d.state_dir, true}, {NULL, false}};
	const struct ocu_jail jail = {.run_as = ocu_conf_str(g->d.conf, "run_as"), .paths = paths};
	int abi = 0;
	int rc = ocu_jail_enter(&jail, &abi, err);

	if (rc)
		return rc;
	if (abi == 0)
		ocu_log(OCU_LOG_WARN, "jail.no_landlock", NULL, NULL);
	/* A peer sees the credentials of the last listen(): sandboxd expects those without rights. */
	if (listen(g->handover_fd, HANDOVER_BACKLOG) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "handover socket");
	return 0;
}

static int start_workers(struct egressd *g, struct ocu_error *err)
{
	struct egress *e = &g->egress;
	unsigned n = conf_workers(g->d.conf);

	e->registry = registry_new();
	if (!e->registry || ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		return ocu_error_set(err, OCU_E_NOMEM, "starting");
	for (; e->nworkers < n; e->nworkers++) {
		int rc = worker_new(&e->workers[e->nworkers], e, err);
		if (rc)
			return rc;
	}
	for (unsigned i = 0; i < n; i++) {
		int rc = worker_start(e->workers[i], err);
		if (rc)
			return rc;
	}
	return 0;
}

static int connect_peers(struct egressd *g, struct ocu_error *err)
{
	const struct ocu_denylist_opts denylist = {
	    .feed_url = ocu_conf_str(g->d.conf, "denylist_feed_url"),
	    .pull_url = ocu_conf_str(g->d.conf, "denylist_pull_url"),
	    .identity = g->d.identity,
	    .added = service_denied,
	    .arg = &g->service,
	};
	int rc = ocu_audit_start(&g->egress.audit, ocu_conf_str(g->d.conf, "audit_url"), g->d.identity, err);

	if (rc == 0)
		rc = start_workers(g, err);
	service_init(&g->service, &g->egress);
	return rc ? rc : ocu_denylist_start(&g->egress.denylist, &denylist, err);
}

static int ready(void *arg, char *why, size_t size)
{
	struct egressd *g = arg;
	const char *word = !ocu_audit_healthy(g->egress.audit)       ? "audit"
	                   : !ocu_denylist_fresh(g->egress.denylist) ? "denylist"
	                                                             : "";

	snprintf(why, size, "%s", word);
	return *word == '\0';
}

static int serve(struct egressd *g, struct ocu_error *err)
{
	const struct ocu_rpc_server_opts rpc = {
	    .url = ocu_conf_str(g->d.conf, "rpc_listen"),
	    .identity = g->d.identity,
	    .table = service_table,
	    .arg = &g->service,
	    .refused = service_refused,
	    .request_max = 1u << 20, /* a rule for each of 1024 hosts */
	};
	int rc = ocu_rpc_server_start(&g->rpc, &rpc, err);

	if (rc == 0)
		rc = handover_start(&g->handover, &g->egress, ocu_steal_fd(&g->handover_fd), g->sandboxd_uid,
		                    err);
	return rc ? rc : ocu_daemon_metrics(&g->d, ready, g, err);
}

/* Who asks first, then who relays, then the trail: the close events of the last connections are still on it.
 */
static void stop(struct egressd *g)
{
	struct egress *e = &g->egress;

	ocu_rpc_server_stop(g->rpc, DRAIN_MS);
	handover_stop(g->handover);
	for (unsigned i = 0; i < e->nworkers; i++)
		worker_stop_begin(e->workers[i], DRAIN_MS);
	for (unsigned i = 0; i < e->nworkers; i++)
		worker_stop_wait(e->workers[i]);
	ocu_denylist_stop(e->denylist);
	ocu_audit_stop(e->audit);
	for (unsigned i = 0; i < e->nworkers; i++)
		worker_free(e->workers[i]);
	registry_free(e->registry);
	ares_library_cleanup();
	free(e->resolvers);
}

static const struct ocu_daemon_spec spec = {
    .component = OCU_COMP_EGRESSD,
    .summary = "the one way out of a sandbox: what is not allowed by name does not leave",
    .options = egressd_options,
    .check = conf_check,
};

int main(int argc, char **argv)
{
	static struct egressd g = {.handover_fd = -1};
	struct ocu_error err = {0};

	ocu_daemon_init(&g.d, argc, argv, &spec);
	stats_init();
	if (conf_apply(g.d.conf, raise_descriptors(), &g.egress, &err) || open_handover(&g, &err) ||
	    drop_rights(&g, &err) || connect_peers(&g, &err) || serve(&g, &err))
		ocu_daemon_fatal(&g.d, &err);
	ocu_daemon_ready(&g.d);
	ocu_daemon_wait(&g.d);
	stop(&g);
	ocu_daemon_done(&g.d);
	return 0;
}
