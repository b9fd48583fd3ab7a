/*
 * ocu-sandboxd: execution. The one daemon that keeps privileges, because sandboxes are made of what only
 * privileges can make; in exchange it holds no signing key but its own identity, no credential, no policy,
 * and no payload for longer than a call takes. What an attacker who owns this process gets: every live
 * sandbox of this node, and root on it. So what a guest sends is read by one thread with bounded buffers
 * (agent.h), what the gateway sends is checked before it is acted on (tool.h), and everything else of a
 * sandbox is handed away: files to brokerd, network to egressd.
 */
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "libocu/audit.h"
#include "libocu/cleanup.h"
#include "libocu/denylist.h"
#include "libocu/err.h"
#include "libocu/jail.h"
#include "libocu/log.h"
#include "libocu/rpc.h"
#include "sandboxd/agent.h"
#include "sandboxd/bundle.h"
#include "sandboxd/conf.h"
#include "sandboxd/control.h"
#include "sandboxd/custodian.h"
#include "sandboxd/ending.h"
#include "sandboxd/evidence.h"
#include "sandboxd/exec.h"
#include "sandboxd/grant.h"
#include "sandboxd/jobs.h"
#include "sandboxd/netpool.h"
#include "sandboxd/node.h"
#include "sandboxd/probe.h"
#include "sandboxd/session.h"
#include "sandboxd/start.h"
#include "sandboxd/watch.h"

#define START_THREADS    4
#define START_QUEUE      256
#define END_THREADS      4
#define EXEC_WORKERS     4 /* no handler there blocks */
#define EXEC_INFLIGHT    1024
#define EXEC_REQUEST_MAX (2u << 20) /* the guest's frame has half of it */
#define DRAIN_MS         1000
#define DENYLIST_MS      3000

#define CAP(c) (UINT64_C(1) << (c))

/*
 * What is kept, and why each is needed. All of it is inherited by the runtimes, which do most of what needs
 * it. SYS_ADMIN     mount and network namespaces, mounts of scratch and FUSE, setns into a sandbox's network
 * NET_ADMIN     addresses, routes and nftables in those namespaces
 * SETUID/GID    the runtime writes uid maps to ranges that are not its own
 * CHOWN         scratch folders belong to the guest's root, a uid of its range
 * DAC_OVERRIDE  truncating a guest's scratch files; control groups; the custodians' sockets
 * KILL          ending processes of the guests' uids
 * Not kept, among others: MKNOD, SYS_MODULE, SYS_RAWIO, FOWNER, SETPCAP, SYS_RESOURCE. No-new-privileges is
 * set: nothing started from here gains any of them by executing a file.
 */
#define KEPT                                                                                                 \
	(CAP(CAP_SYS_ADMIN) | CAP(CAP_NET_ADMIN) | CAP(CAP_SETUID) | CAP(CAP_SETGID) | CAP(CAP_CHOWN) |      \
	 CAP(CAP_DAC_OVERRIDE) | CAP(CAP_KILL))
/*
 * runc alone opens bind mounts from within the mount namespace of the container it is making, by its name in
 * /proc and setns: SYS_PTRACE lets it see that name, SYS_CHROOT enter. With crun neither is kept.
 */
#define KEPT_FOR_RUNC (CAP(CAP_SYS_PTRACE) | CAP(CAP_SYS_CHROOT))

static const struct ocu_daemon_spec spec = {
    .component = OCU_COMP_SANDBOXD,
    .summary = "makes, runs and ends sandboxes, and executes tool calls in them",
    .options = sandboxd_options,
    .check = sandboxd_conf_check,
    .probe = probe_host,
};

struct servers {
	struct ocu_rpc_server *exec, *control;
	struct watch *watch;
};

/* Every sandbox takes a few descriptors; the hard limit stays as it is. */
static void raise_soft_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

static bool host_swaps(void)
{
	OCU_FILE FILE *f = fopen("/proc/swaps", "re");
	char line[256];
	int n = 0;

	while (f && fgets(line, sizeof line, f))
		n++;
	return n > 1;
}

/* With every right still there: the private mount namespace, what stands in it, and what is read from the
 * host. */
static int prepare(struct node *n, struct ocu_error *err)
{
	const struct ocu_conf *c = n->daemon.conf;
	int rc;

	ocu_id_new("boot_", n->boot_id);
	raise_soft_limit();
	n->limit_swap = host_swaps();
	/* The runtime ends once a sandbox runs; the sandbox's init is then ours to reap. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return ocu_error_set(err, OCU_E_IO, "becoming a subreaper");
	if ((rc = bundle_seccomp(ocu_conf_str(c, "seccomp_profile"), &n->seccomp, err)) ||
	    (rc = stage_enter(&n->stage, n->daemon.run_dir, c, err)) ||
	    (rc = cgroups_init(&n->cgroups, n->daemon.run_dir, n->daemon.state_dir, err)) ||
	    (rc = runtime_find(&n->runtime, ocu_conf_str(c, "runtime"), n->stage.runtime, err)) ||
	    (rc = grants_new(&n->grants, ocu_conf_str(c, "pki_dir"), ocu_conf_str(c, "trust_domain"),
	                     ocu_conf_str(c, "instance"), err)))
		return rc;
	n->limit_tcp = cgroups_bound_tcp(&n->cgroups);
	return sessions_new(&n->sessions, n, (unsigned)ocu_conf_int(c, "max_sandboxes"),
	                    (uid_t)ocu_conf_int(c, "guest_uid_base"), err);
}

static int drop_rights(struct node *n, struct ocu_error *err)
{
	const uint64_t kept = KEPT | (strcmp(n->runtime.name, "runc") == 0 ? KEPT_FOR_RUNC : 0);
	const struct ocu_jail jail = {
	    .run_as = ocu_conf_str(n->daemon.conf, "run_as"),
	    .keep_caps = &kept,
	    /* No Landlock: it would forbid every mount, also those of the runtimes. */
	    .allow_exec = true,
	    .allow_mount = true,
	};

	return ocu_jail_enter(&jail, NULL, err);
}

/* --- the others --- */

static int deny_caller(void *arg, struct session *s)
{
	if (strcmp(s->caller, arg) == 0)
		ending_deny(s);
	return 0;
}

static void denied(enum ocu_deny_kind kind, const char *value, void *arg)
{
	struct node *n = arg;
	struct session *s;

	if (kind == OCU_DENY_CALLER)
		sessions_each(n->sessions, deny_caller, (void *)value);
	if (kind != OCU_DENY_SESSION)
		return;
	s = session_find(n->sessions, value);
	if (s)
		ending_deny(s);
	session_unref(s);
}

static int lose_files(void *arg, struct session *s)
{
	(void)arg;
	pthread_mutex_lock(&s->lock);
	s->files_lost |= s->files_mounted;
	pthread_mutex_unlock(&s->lock);
	if (s->files_lost)
		ending_crash(s, "its files went away with brokerd");
	return 0;
}

static void files_lost(void *arg)
{
	sessions_each(((struct node *)arg)->sessions, lose_files, NULL);
}

static int lose_edge(void *arg, struct session *s)
{
	(void)arg;
	pthread_mutex_lock(&s->lock);
	s->edge_pending = true;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static void edge_lost(void *arg)
{
	sessions_each(((struct node *)arg)->sessions, lose_edge, NULL);
}

static int renew_edge(void *arg, struct session *s)
{
	struct ocu_error err = {0};
	bool due;

	(void)arg;
	pthread_mutex_lock(&s->lock);
	due = s->edge_pending && s->state == SESSION_RUNNING && !s->denied;
	pthread_mutex_unlock(&s->lock);
	if (!due)
		return 0;
	/* Refused until operatord has registered the session again: then comes the next tick. */
	if (evidence_commit(s, &(struct evidence){.action = EVIDENCE_EDGE}, &err) || start_edge(s, &err))
		ocu_log_error(OCU_LOG_INFO, "edge.not_yet", NULL, &err);
	return 0;
}

static void renew_edges(void *arg)
{
	sessions_each(((struct node *)arg)->sessions, renew_edge, NULL);
}

static const char *socket_path(struct node *n, const char *key, const char *name, char *out, size_t size)
{
	const char *path = ocu_conf_str(n->daemon.conf, key);

	if (path[0])
		return path;
	snprintf(out, size, "%s/handover/%s", n->daemon.run_dir, name);
	return out;
}

static int connect_custodians(struct node *n, struct ocu_error *err)
{
	const struct ocu_conf *c = n->daemon.conf;
	char files[600], edge[600];
	int rc =
	    custodian_start(&n->files,
	                    &(struct custodian_opts){
	                        .name = "brokerd",
	                        .path = socket_path(n, "brokerd_socket", "brokerd.sock", files, sizeof files),
	                        .uid = (uid_t)ocu_conf_int(c, "brokerd_uid"),
	                        .make_folder = ocu_conf_str(c, "brokerd_socket")[0] != 0,
	                        .lost = files_lost,
	                        .arg = n},
	                    err);

	return rc ? rc
	          : custodian_start(
	                &n->edge,
	                &(struct custodian_opts){
	                    .name = "egressd",
	                    .path = socket_path(n, "egressd_socket", "egressd.sock", edge, sizeof edge),
	                    .uid = (uid_t)ocu_conf_int(c, "egressd_uid"),
	                    .make_folder = ocu_conf_str(c, "egressd_socket")[0] != 0,
	                    .connected = renew_edges,
	                    .lost = edge_lost,
	                    .tick = renew_edges,
	                    .arg = n},
	                err);
}

static int connect_peers(struct node *n, struct ocu_error *err)
{
	const struct ocu_conf *c = n->daemon.conf;
	const struct ocu_denylist_opts deny = {.feed_url = ocu_conf_str(c, "denylist_feed_url"),
	                                       .pull_url = ocu_conf_str(c, "denylist_pull_url"),
	                                       .identity = n->daemon.identity,
	                                       .added = denied,
	                                       .arg = n};
	int rc;

	if ((rc = ocu_audit_start(&n->audit, ocu_conf_str(c, "audit_url"), n->daemon.identity, err)) ||
	    (rc = watch_sweep(n, err)) || (rc = agents_start(&n->agents, err)) ||
	    (rc = jobs_start(&n->starts, START_THREADS, START_QUEUE, err)) ||
	    (rc = jobs_start(&n->ends, END_THREADS, SESSION_SLOTS_MAX, err)) ||
	    (rc = netpool_start(&n->network, (unsigned)ocu_conf_int(c, "network_pool"), err)) ||
	    (rc = ocu_denylist_start(&n->denylist, &deny, err)))
		return rc;
	return connect_custodians(n, err);
}

/* --- serving --- */

static void refused(const struct ocu_peer *peer, uint32_t method, const struct ocu_error *why, void *arg)
{
	ocu_audit_rpc_refused(((struct node *)arg)->audit, peer, method, why);
}

/* Every call needs a denylist, so who waits for us to be ready need not see the first ones refused. Without
 * operatord this process serves nevertheless: it refuses calls, and ends what it is told to end. */
static void await_denylist(struct node *n)
{
	struct ocu_error err = {0};

	if (ocu_denylist_wait(n->denylist, DENYLIST_MS, &err))
		ocu_log_error(OCU_LOG_WARN, "denylist.not_yet", NULL, &err);
}

static int serve(struct node *n, struct servers *s, struct ocu_error *err)
{
	struct ocu_rpc_server_opts o = {.identity = n->daemon.identity, .arg = n, .refused = refused};
	int rc;

	tool_init();
	o.url = ocu_conf_str(n->daemon.conf, "control_listen");
	o.table = control_table;
	o.workers = CONTROL_WORKERS;
	if ((rc = ocu_rpc_server_start(&s->control, &o, err)))
		return rc;
	o.url = ocu_conf_str(n->daemon.conf, "exec_listen");
	o.table = exec_table;
	o.workers = EXEC_WORKERS;
	o.inflight = EXEC_INFLIGHT;
	o.request_max = EXEC_REQUEST_MAX;
	if ((rc = ocu_rpc_server_start(&s->exec, &o, err)))
		return rc;
	return watch_start(&s->watch, n, err);
}

static int ready(void *arg, char *why, size_t size)
{
	struct node *n = arg;
	const char *missing = !ocu_audit_healthy(n->audit)       ? "auditd"
	                      : !ocu_denylist_fresh(n->denylist) ? "denylist"
	                      : !custodian_connected(n->files)   ? "brokerd"
	                      : !custodian_connected(n->edge)    ? "egressd"
	                                                         : NULL;

	snprintf(why, size, "%s", missing ? missing : "");
	return missing == NULL;
}

static void stop(struct node *n, struct servers *s)
{
	/* No new sandboxes; then the end of those there are, which also ends their calls; then nobody is left
	 * to serve. */
	ocu_rpc_server_stop(s->control, DRAIN_MS);
	watch_stop(s->watch);
	jobs_stop(n->starts);
	ending_all(n);
	jobs_stop(n->ends);
	ocu_rpc_server_stop(s->exec, DRAIN_MS);
	ocu_denylist_stop(n->denylist);
	custodian_stop(n->files);
	custodian_stop(n->edge);
	netpool_stop(n->network);
	agents_stop(n->agents);
	ocu_audit_stop(n->audit);
	cgroups_remove_parent(&n->cgroups);
	sessions_free(n->sessions);
	grants_free(n->grants);
	json_decref(n->seccomp);
}

int main(int argc, char **argv)
{
	static struct node n;
	struct servers s = {0};
	struct ocu_error err = {0};
	int rc;

	ocu_daemon_init(&n.daemon, argc, argv, &spec);
	if ((rc = prepare(&n, &err)) == 0 && (rc = drop_rights(&n, &err)) == 0 &&
	    (rc = connect_peers(&n, &err)) == 0 && (rc = serve(&n, &s, &err)) == 0)
		rc = ocu_daemon_metrics(&n.daemon, ready, &n, &err);
	if (rc && rc != OCU_E_CANCELLED)
		ocu_daemon_fatal(&n.daemon, &err);
	if (rc == 0) {
		await_denylist(&n);
		ocu_daemon_ready(&n.daemon);
		ocu_daemon_wait(&n.daemon);
		stop(&n, &s);
	}
	ocu_daemon_done(&n.daemon);
	return 0;
}
