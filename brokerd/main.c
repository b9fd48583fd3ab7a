/*
 * ocu-brokerd: the sessions' files. What an attacker who owns this process gets: the files of the sessions
 * served here, and the power to answer their file operations. Not: root on the host (own user, no capability,
 * no program can be run), a way to another daemon's state, a connection to anywhere but auditd and
 * operatord's denylist, or a session it was not handed. It holds its own TLS key and the public halves of
 * others.
 *
 * Order: sockets and folders that need rights are made; rights are dropped; only then does a peer's byte come
 * in.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "brokerd/broker.h"
#include "brokerd/conf.h"
#include "brokerd/control.h"
#include "brokerd/fuse_version.h"
#include "brokerd/handover.h"
#include "brokerd/meter.h"
#include "brokerd/mount.h"
#include "brokerd/north.h"
#include "brokerd/path.h"
#include "brokerd/pool.h"
#include "brokerd/reaper.h"
#include "brokerd/registry.h"
#include "brokerd/session.h"
#include "brokerd/store.h"
#include "libocu/audit.h"
#include "libocu/cleanup.h"
#include "libocu/daemon.h"
#include "libocu/denylist.h"
#include "libocu/err.h"
#include "libocu/jail.h"
#include "libocu/log.h"
#include "libocu/ocsf.h"
#include "libocu/pki.h"

#define DRAIN_MS       2000
#define RPC_WORKERS    8
#define NORTH_INFLIGHT 32  /* requests of one caller under way */
#define OWN_FDS        256 /* listeners, their half-open handshakes, peers */
#define THREAD_FDS     8   /* of an operation under way */
#define CONNECT_PORTS  4

struct brokerd {
	struct ocu_daemon d;
	struct conf_names names;
	struct broker b;
	int handover_fd;
	unsigned connections, connections_per_address; /* of the files API */
	struct ocu_rpc_server *rpc;
	struct handover *handover;
	struct north *north;
	struct reaper *reaper;
};

static unsigned worker_count(const struct ocu_conf *c)
{
	unsigned workers = (unsigned)ocu_conf_int(c, "workers");
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	return workers ? workers : cpus > 14 ? 32 : 4 + 2 * (unsigned)(cpus > 0 ? cpus : 1);
}

/* As many descriptors as the host allows without asking for more. What no session may take: the daemon's own,
 * those of the files API's connections (one each, and one of the file that is sent or comes in), of the
 * threads, and of the deepest tree that is counted. Where there are few, the files API has fewer connections,
 * and the rest is for sessions by half. */
static void take_descriptors(struct brokerd *a)
{
	const struct ocu_conf *c = a->d.conf;
	struct rlimit r;
	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		r.rlim_cur = 1024;
	if (r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &r) < 0)
			getrlimit(RLIMIT_NOFILE, &r);
	}
	long n = r.rlim_cur > 1 << 20 ? 1 << 20 : (long)r.rlim_cur;
	long connections = ocu_conf_int(c, "north_connections");
	long per_address = ocu_conf_int(c, "north_connections_per_address");
	if (connections > n / 8) {
		connections = n / 8;
		per_address = per_address > connections / 2 ? connections / 2 : per_address;
		ocu_log(OCU_LOG_WARN, "descriptors.few", NULL, "fewer", "north_connections", NULL);
	}
	long threads = worker_count(c) + RPC_WORKERS + ocu_conf_int(c, "north_workers");
	long own = OWN_FDS + PATH_DEPTH_MAX + 2 * connections + THREAD_FDS * threads;
	a->connections = (unsigned)connections;
	a->connections_per_address = (unsigned)per_address;
	fds_init(&a->b.fds, n - (own < n / 2 ? own : n / 2), (unsigned)ocu_conf_int(c, "sessions_max"));
}

static int make_places(struct brokerd *a, struct ocu_error *err)
{
	uid_t uid = 0;
	gid_t gid = 0;
	int r = conf_names(&a->d, &a->names, err);
	if (r == 0)
		r = ocu_jail_ids(ocu_conf_str(a->d.conf, "run_as"), &uid, &gid, err);
	if (r == 0)
		r = ocu_jail_mkdir(a->names.volume_dir, uid, gid, 0700, err);
	if (r == 0)
		r = ocu_jail_mkdir(a->names.spool_dir, uid, gid, 0700, err);
	if (r == 0)
		r = ocu_daemon_folder(a->names.handover_dir,
		                      &(struct ocu_daemon_owner){getuid(), getgid(), 0755},
		                      (uint64_t)ocu_conf_ms(a->d.conf, "handover_wait"), err);
	if (r < 0)
		return r;
	a->handover_fd = handover_listen(a->names.handover_socket, uid, err);
	pthread_mutex_init(&a->b.coming, NULL);
	a->b.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	take_descriptors(a);
	return a->handover_fd < 0 ? a->handover_fd : 0;
}

/* The port of "scheme://host:port"; what has none is refused where it is used. */
static uint16_t port_of(const char *url)
{
	const char *colon = strrchr(url, ':');
	long port = colon ? strtol(colon + 1, NULL, 10) : 0;
	return port > 0 && port < 65536 ? (uint16_t)port : 0;
}

static int drop_rights(struct brokerd *a, struct ocu_error *err)
{
	const struct ocu_conf *c = a->d.conf;
	const struct ocu_jail_path paths[] = {
	    {a->d.state_dir, true},
	    {a->names.volume_dir, true},
	    {ocu_conf_str(c, "pki_dir"), false},
	    {a->names.caller_jwks, false},
	    {NULL, false},
	};
	const uint16_t ports[CONNECT_PORTS] = {
	    port_of(ocu_conf_str(c, "audit_url")),
	    port_of(ocu_conf_str(c, "denylist_feed_url")),
	    port_of(ocu_conf_str(c, "denylist_pull_url")),
	};
	const struct ocu_jail jail = {
	    .run_as = ocu_conf_str(c, "run_as"),
	    .paths = paths,
	    .no_inet_connect = true,
	    .connect_ports = ports,
	};
	int abi = 0;
	int r = ocu_jail_enter(&jail, &abi, err);
	if (r == 0 && abi == 0)
		ocu_log(OCU_LOG_WARN, "jail.no_landlock", NULL, NULL);
	/* Guests decide the modes of their files. Everything this daemon makes stands in folders of mode
	 * 0700. */
	umask(0);
	return r;
}

static int open_engine(struct brokerd *a, struct ocu_error *err)
{
	const struct ocu_conf *c = a->d.conf;
	struct broker *b = &a->b;
	unsigned workers = worker_count(c);
	double entry = (double)ocu_conf_ms(c, "entry_timeout") / 1000;
	b->limits = (struct limits){
	    .open_files = (unsigned)ocu_conf_int(c, "open_files"),
	    .open_dirs = (unsigned)ocu_conf_int(c, "open_folders"),
	    .nodes = (unsigned)ocu_conf_int(c, "known_names"),
	    .entry_timeout = entry,
	    .negative_timeout = entry < 1 ? entry : 1,
	};
	b->downloadable = ocu_conf_bool(c, "downloadable");
	ocu_id_new("boot_", b->boot_id);
	const struct pool_opts pool = {
	    .workers = workers,
	    .lane_workers = (workers + 1) / 2,
	    .lane_inflight = (unsigned)ocu_conf_int(c, "session_inflight"),
	    .lane_rate = (unsigned)ocu_conf_int(c, "session_ops"),
	    .lanes = (unsigned)ocu_conf_int(c, "sessions_max"),
	    .in_size = MOUNT_BUFFER_IN,
	    .out_size = MOUNT_BUFFER_OUT,
	};
	int r = store_open(&b->store, a->names.volume_dir, err);
	if (r == 0)
		r = registry_new(&b->registry, (size_t)ocu_conf_int(c, "sessions_max"), err);
	return r ? r : pool_start(&b->pool, &pool, err);
}

static int connect_peers(struct brokerd *a, struct ocu_error *err)
{
	const struct ocu_conf *c = a->d.conf;
	const struct ocu_denylist_opts deny = {
	    .feed_url = ocu_conf_str(c, "denylist_feed_url"),
	    .pull_url = ocu_conf_str(c, "denylist_pull_url"),
	    .identity = a->d.identity,
	    .added = session_denied,
	    .arg = &a->b,
	};
	int r = ocu_audit_start(&a->b.audit, ocu_conf_str(c, "audit_url"), a->d.identity, err);
	return r ? r : ocu_denylist_start(&a->b.denylist, &deny, err);
}

static int start_north(struct brokerd *a, struct ocu_error *err)
{
	const struct ocu_conf *c = a->d.conf;
	const struct north_opts o = {
	    .broker = &a->b,
	    .identity = a->d.identity,
	    .listen = ocu_conf_str(c, "files_listen"),
	    .spool_dir = a->names.spool_dir,
	    .jwks_path = a->names.caller_jwks,
	    .issuer = a->names.issuer,
	    .audience = ocu_conf_str(c, "token_audience"),
	    .rate = {.ops = (uint64_t)ocu_conf_int(c, "north_ops"),
	             .bytes = (uint64_t)ocu_conf_int(c, "north_bytes"),
	             .inflight = NORTH_INFLIGHT},
	    .upload_max = (size_t)ocu_conf_int(c, "upload_max"),
	    .workers = (unsigned)ocu_conf_int(c, "north_workers"),
	    .connections = a->connections,
	    .connections_per_address = a->connections_per_address,
	};
	return *o.listen ? north_start(&a->north, &o, err) : 0;
}

static int ready(void *arg, char *why, size_t size)
{
	struct brokerd *a = arg;
	const char *missing = !ocu_audit_healthy(a->b.audit)       ? "audit"
	                      : !ocu_denylist_fresh(a->b.denylist) ? "denylist"
	                                                           : "";
	snprintf(why, size, "%s", missing);
	return !*missing;
}

static int serve(struct brokerd *a, struct ocu_error *err)
{
	const struct ocu_conf *c = a->d.conf;
	const struct ocu_rpc_server_opts rpc = {
	    .url = ocu_conf_str(c, "rpc_listen"),
	    .identity = a->d.identity,
	    .table = control_table,
	    .arg = &a->b,
	    .workers = RPC_WORKERS,
	    .refused = control_refused,
	};
	int r = ocu_rpc_server_start(&a->rpc, &rpc, err);
	if (r == 0)
		r = handover_start(&a->handover, &a->b, ocu_steal_fd(&a->handover_fd),
		                   (uid_t)ocu_conf_int(c, "sandboxd_uid"), err);
	if (r == 0)
		r = start_north(a, err);
	if (r == 0)
		r = reaper_start(&a->reaper, &a->b, (uint64_t)ocu_conf_ms(c, "abandoned_after"), err);
	return r ? r : ocu_daemon_metrics(&a->d, ready, a, err);
}

static void lifecycle(struct brokerd *a, const char *action, int activity)
{
	struct ocu_event ev = {
	    .class_uid = OCU_OCSF_APP_LIFECYCLE,
	    .activity_id = activity,
	    .action = action,
	    .resource = "brokerd",
	    .actor_id = "system:brokerd",
	    .session_id = "",
	    .trace_id = "",
	    .outcome = OCU_OUTCOME_SUCCESS,
	};
	ocu_audit_report(a->b.audit, &ev);
}

/* The way in first, then what is under way, then what it needs. */
static void stop(struct brokerd *a)
{
	handover_stop(a->handover);
	ocu_rpc_server_stop(a->rpc, DRAIN_MS);
	session_cut_all(&a->b);
	north_stop(a->north, DRAIN_MS);
	reaper_stop(a->reaper);
	ocu_denylist_stop(a->b.denylist);
	lifecycle(a, "brokerd.stop", 2);
	ocu_audit_stop(a->b.audit);
	pool_stop(a->b.pool);
	registry_free(a->b.registry);
	store_close(a->b.store);
}

/* libfuse writes to stderr by itself otherwise. */
static void fuse_said(enum fuse_log_level level, const char *fmt, va_list ap)
{
	char text[256];
	vsnprintf(text, sizeof text, fmt, ap);
	text[strcspn(text, "\n")] = 0;
	ocu_log(level <= FUSE_LOG_ERR ? OCU_LOG_WARN : OCU_LOG_DEBUG, "fuse.said", NULL, "text", text, NULL);
}

int main(int argc, char **argv)
{
	static struct brokerd a = {.handover_fd = -1};
	struct ocu_error err = {0};
	ocu_daemon_init(&a.d, argc, argv, &conf_spec);
	meter_start();
	fuse_set_log_func(fuse_said);
	if (make_places(&a, &err) || drop_rights(&a, &err) || open_engine(&a, &err) ||
	    connect_peers(&a, &err) || serve(&a, &err))
		ocu_daemon_fatal(&a.d, &err);
	lifecycle(&a, "brokerd.start", 1);
	ocu_daemon_ready(&a.d);
	ocu_daemon_wait(&a.d);
	stop(&a);
	ocu_daemon_done(&a.d);
	return 0;
}
