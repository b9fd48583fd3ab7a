/*
 * forward: the process and its keeper. The keeper is a second process, made at the same time, that holds
 * nothing and starts the first again when it dies: auditd itself, once in its jail, makes no process.
 */
#include "auditd/forward.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auditd/forbid.h"
#include "auditd/forward_page.h"
#include "auditd/metrics.h"
#include "auditd/own.h"
#include "auditd/store.h"
#include "auditd/syslog.h"
#include "libocu/clock.h"
#include "libocu/daemon.h"
#include "libocu/err.h"
#include "libocu/jail.h"
#include "libocu/json.h"
#include "libocu/log.h"
#include "libocu/pki.h"
#include "libocu/waiting.h"

#define PATH_LENGTH   1024
#define AGAIN_MS      1000  /* after the process died */
#define EVENT_MS      10000 /* its state becomes an event at most so often, whatever the collector does */
#define DNS_PORT      53
#define STOP_GRACE_MS 500 /* beyond what the process gives itself */

struct forward {
	pid_t keeper;
	struct forward_page *page;
	struct store *store;
	struct own *own;
	const char *address;
	pthread_t thread;
	bool watched;
	bool stopping;
	pthread_mutex_t lock;
	pthread_cond_t cond;
};

/* --- configuration --- */

static int port_of(const char *address)
{
	char *end;
	const char *colon = strrchr(address, ':');
	if (!colon || colon == address || colon[1] < '1' || colon[1] > '9')
		return -1;
	long port = strtol(colon + 1, &end, 10);
	return *end || port > 65535 ? -1 : (int)port;
}

int forward_check(const struct ocu_conf *c, struct ocu_error *err)
{
	const char *address = ocu_conf_str(c, "syslog_address");
	bool cert = *ocu_conf_str(c, "syslog_cert"), key = *ocu_conf_str(c, "syslog_key");
	if (*address && (port_of(address) < 0 || strpbrk(address, "/@ ?#")))
		return ocu_error_set(err, OCU_E_CONFIG, "syslog_address: want host:port");
	if (*address && !*ocu_conf_str(c, "syslog_ca"))
		return ocu_error_set(err, OCU_E_CONFIG,
		                     "syslog_ca: name the file of the authority that signed the collector's "
		                     "certificate; there is no syslog without TLS");
	if (cert != key)
		return ocu_error_set(err, OCU_E_CONFIG, "syslog_cert and syslog_key: set both or neither");
	return 0;
}

static struct link_opts link_opts(const struct ocu_conf *c)
{
	return (struct link_opts){
	    .address = ocu_conf_str(c, "syslog_address"),
	    .name = ocu_conf_str(c, "syslog_server_name"),
	    .ca = ocu_conf_str(c, "syslog_ca"),
	    .cert = ocu_conf_str(c, "syslog_cert"),
	    .key = ocu_conf_str(c, "syslog_key"),
	};
}

/* --- the two processes --- */

static int enter_jail(const struct ocu_daemon *d, const struct link_opts *link, const char *folder,
                      struct ocu_error *err)
{
	const struct ocu_jail_path paths[] = {{d->state_dir, false}, {folder, true},     {link->ca, false},
	                                      {link->cert, false},   {link->key, false}, {NULL, false}};
	const uint16_t ports[] = {(uint16_t)port_of(link->address), DNS_PORT, 0};
	const struct ocu_jail jail = {
	    .run_as = ocu_conf_str(d->conf, "run_as"),
	    .paths = paths,
	    .allow_exec = true, /* for fork; execve is forbidden right after */
	    .no_inet_connect = true,
	    .connect_ports = ports,
	};
	static const int programs[] = {SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(listen), -1};
	int rc = ocu_jail_enter(&jail, NULL, err);
	return rc ? rc : forbid_calls(programs, err);
}

static void forward_and_exit(const struct forward_opts *o, struct forward_page *page)
{
	static const int processes[] = {SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(kill), -1};
	struct ocu_error err = {0};
	if (forbid_calls(processes, &err))
		ocu_log_error(OCU_LOG_ERROR, "forward.jail", NULL, &err);
	else
		forward_run(o, page);
	_exit(0);
}

/* Waits for the end of `pid`; when auditd ends first, ends it and this process. */
static int outlive(int auditd, pid_t pid)
{
	int status = 0;
	struct pollfd p[2] = {{.fd = auditd, .events = POLLIN}, {.fd = pidfd_open(pid, 0), .events = POLLIN}};
	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
	close(p[1].fd);
	if (p[0].revents) {
		kill(pid, SIGKILL);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void keep(const struct forward_opts *o, struct forward_page *page, int auditd)
{
	while (!atomic_load(&page->stop)) {
		pid_t pid = fork();
		if (pid == 0)
			forward_and_exit(o, page);
		int status = pid > 0 ? outlive(auditd, pid) : -1;
		if (atomic_load(&page->stop))
			break;
		snprintf(page->why, sizeof page->why, "the process that forwards ended (status %#x)",
		         (unsigned)status);
		atomic_store(&page->state, FORWARD_UNREACHABLE);
		ocu_log(OCU_LOG_ERROR, "forward.ended", NULL, "text", page->why, NULL);
		forward_pause(AGAIN_MS);
	}
}

/* Never returns. What belongs to auditd alone is let go of first. */
static void keeper_main(const struct ocu_daemon *d, struct forward_page *page, pid_t maker)
{
	int auditd = pidfd_open(maker, 0);
	struct ocu_error err = {0};
	char folder[PATH_LENGTH], cursor[PATH_LENGTH + 16], host[SYSLOG_HOST_MAX] = "";
	const int fds[] = {d->ready_fd, d->notify_fd, d->stop_fd};
	for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	ocu_identity_free(d->identity);
	snprintf(folder, sizeof folder, "%s/forward", d->state_dir);
	snprintf(cursor, sizeof cursor, "%s/syslog", folder);
	gethostname(host, sizeof host - 1);
	const char *set = ocu_conf_str(d->conf, "syslog_hostname");
	const struct forward_opts o = {
	    .link = link_opts(d->conf),
	    .trail_dir = d->state_dir,
	    .cursor = cursor,
	    .host = *set ? set : host,
	    .facility = (unsigned)ocu_conf_int(d->conf, "syslog_facility"),
	};
	if (auditd < 0 || getppid() != maker)
		_exit(1);
	if (enter_jail(d, &o.link, folder, &err)) {
		ocu_log_error(OCU_LOG_ERROR, "forward.jail", NULL, &err);
		snprintf(page->why, sizeof page->why, "%s", err.text);
		atomic_store(&page->state, FORWARD_UNREACHABLE);
		_exit(1);
	}
	keep(&o, page, auditd);
	_exit(0);
}

/* A file that is not there now is a mistake; one that is taken away later is a collector out of reach. */
static int check_files(const struct ocu_conf *c, struct ocu_error *err)
{
	static const char *const keys[] = {"syslog_ca", "syslog_cert", "syslog_key"};
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
		const char *path = ocu_conf_str(c, keys[i]);
		if (*path && access(path, R_OK) < 0)
			return ocu_error_errno(err, OCU_E_CONFIG, errno, "%s: %s", keys[i], path);
	}
	return 0;
}

static int make_folder(const struct ocu_daemon *d, struct ocu_error *err)
{
	char folder[PATH_LENGTH];
	uid_t uid;
	gid_t gid;
	snprintf(folder, sizeof folder, "%s/forward", d->state_dir);
	int rc = ocu_jail_ids(ocu_conf_str(d->conf, "run_as"), &uid, &gid, err);
	return rc ? rc : ocu_jail_mkdir(folder, uid, gid, 0700, err);
}

int forward_start(struct forward **ret, const struct ocu_daemon *d, struct ocu_error *err)
{
	*ret = NULL;
	if (!*ocu_conf_str(d->conf, "syslog_address"))
		return 0;
	int rc = check_files(d->conf, err);
	if (!rc)
		rc = make_folder(d, err);
	if (rc)
		return rc;
	struct forward *f = calloc(1, sizeof *f);
	void *page = mmap(NULL, sizeof *f->page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!f || page == MAP_FAILED) {
		free(f);
		return ocu_error_set(err, OCU_E_NOMEM, "forwarding");
	}
	f->page = page;
	f->address = ocu_conf_str(d->conf, "syslog_address");
	pthread_mutex_init(&f->lock, NULL);
	ocu_cond_init(&f->cond);
	pid_t self = getpid();
	f->keeper = fork();
	if (f->keeper == 0)
		keeper_main(d, f->page, self);
	if (f->keeper < 0) {
		rc = ocu_error_errno(err, OCU_E_INTERNAL, errno, "starting the process that forwards");
		munmap(page, sizeof *f->page);
		free(f);
		return rc;
	}
	*ret = f;
	return 0;
}

/* --- what auditd makes of it --- */

static void report(struct forward *f, unsigned state)
{
	char why[sizeof f->page->why];
	bool reached = state == FORWARD_REACHED;
	memcpy(why, f->page->why, sizeof why);
	why[sizeof why - 1] = '\0';
	for (char *c = why; *c; c++)
		if (*c < 32 || *c > 126)
			*c = '?';
	OCU_JSON json_t *d = reached ? NULL : json_pack("{s:s}", "text", why);
	const struct ocu_event ev = {
	    .class_uid = OCU_OCSF_APP_LIFECYCLE,
	    .activity_id = 99,
	    .action = reached ? "collector.reached" : "collector.unreachable",
	    .resource = f->address,
	    .actor_id = "system:auditd",
	    .outcome = reached ? OCU_OUTCOME_SUCCESS : OCU_OUTCOME_FAILURE,
	    .reason = reached ? 0 : OCU_E_UNAVAILABLE,
	    .detail = d,
	};
	own_report(f->own, &ev);
}

static void *watch(void *arg)
{
	struct forward *f = arg;
	struct store_head head;
	unsigned known = FORWARD_TRYING;
	uint64_t event_ms = 0;
	pthread_mutex_lock(&f->lock);
	for (;;) {
		bool last = f->stopping;
		store_head(f->store, &head);
		atomic_store(&f->page->durable, head.records);
		unsigned state = atomic_load(&f->page->state);
		uint64_t sent = atomic_load(&f->page->sent);
		metrics_forward(state == FORWARD_REACHED, sent, head.records);
		if (state != known && ocu_mono_ms() - event_ms >= EVENT_MS) {
			known = state;
			event_ms = ocu_mono_ms();
			report(f, state);
		}
		if (last)
			break;
		struct timespec t = ocu_after_ms(FORWARD_TICK_MS);
		ocu_cond_wait_until(&f->cond, &f->lock, &t);
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

int forward_watch(struct forward *f, struct store *store, struct own *own, struct ocu_error *err)
{
	if (!f)
		return 0;
	f->store = store;
	f->own = own;
	int rc = pthread_create(&f->thread, NULL, watch, f);
	f->watched = rc == 0;
	return rc ? ocu_error_errno(err, OCU_E_INTERNAL, rc, "starting to watch the collector") : 0;
}

void forward_stop(struct forward *f)
{
	if (!f)
		return;
	if (f->watched) {
		pthread_mutex_lock(&f->lock);
		f->stopping = true;
		pthread_cond_signal(&f->cond);
		pthread_mutex_unlock(&f->lock);
		pthread_join(f->thread, NULL);
	}
	atomic_store(&f->page->stop, true);
	struct pollfd ended = {.fd = pidfd_open(f->keeper, 0), .events = POLLIN};
	if (ended.fd >= 0) {
		(void)poll(&ended, 1, FORWARD_STOP_MS + STOP_GRACE_MS);
		close(ended.fd);
	}
	waitpid(f->keeper, NULL, WNOHANG);
	munmap(f->page, sizeof *f->page);
	free(f);
}
