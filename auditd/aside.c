/*
 * aside: the process and its keeper. The keeper is a second process, made at the same time, that holds
 * nothing and starts the first again when it dies: auditd itself, once in its jail, makes no process.
 */
#include "auditd/aside.h"

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

#include "auditd/aside_page.h"
#include "auditd/forbid.h"
#include "auditd/own.h"
#include "auditd/store.h"
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
#define ASK_MS        60000
#define DNS_PORT      53
#define STOP_GRACE_MS 500 /* beyond what the process gives itself */

struct aside {
	pid_t keeper;
	uint16_t port;
	struct aside_page *page;
	const struct aside_kind *kind;
	struct store *store;
	struct own *own;
	const char *where;
	pthread_t thread;
	bool watched;
	bool stopping;
	pthread_mutex_t lock;
	pthread_cond_t cond;
};

static void folder_of(const struct aside_kind *k, const struct ocu_daemon *d, char out[PATH_LENGTH])
{
	snprintf(out, PATH_LENGTH, "%s/%s", d->state_dir, k->name);
}

/* --- the two processes --- */

static int enter_jail(const struct aside *a, const struct ocu_daemon *d, const char *folder,
                      struct ocu_error *err)
{
	struct ocu_jail_path paths[ASIDE_FILES_MAX + 3] = {{d->state_dir, false}, {folder, true}};
	const uint16_t ports[] = {a->port, DNS_PORT, 0};
	const struct ocu_jail jail = {
	    .run_as = ocu_conf_str(d->conf, "run_as"),
	    .paths = paths,
	    .allow_exec = true, /* for fork; execve is forbidden right after */
	    .no_inet_connect = true,
	    .connect_ports = ports,
	};
	static const int programs[] = {SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(listen), -1};
	size_t n = 2;
	for (const char *const *f = a->kind->files; *f; f++)
		if (*ocu_conf_str(d->conf, *f))
			paths[n++] = (struct ocu_jail_path){ocu_conf_str(d->conf, *f), false};
	int rc = ocu_jail_enter(&jail, NULL, err);
	return rc ? rc : forbid_calls(programs, err);
}

static void run_and_exit(const struct aside *a, const struct ocu_daemon *d, const char *folder)
{
	struct ocu_error err = {0};
	if (forbid_processes(&err))
		ocu_log_error(OCU_LOG_ERROR, "aside.jail", NULL, &err);
	else
		a->kind->run(d, folder, a->page);
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

static void keep(const struct aside *a, const struct ocu_daemon *d, const char *folder, int auditd)
{
	struct aside_page *page = a->page;
	while (!atomic_load(&page->stop)) {
		pid_t pid = fork();
		if (pid == 0)
			run_and_exit(a, d, folder);
		int status = pid > 0 ? outlive(auditd, pid) : -1;
		if (atomic_load(&page->stop))
			break;
		snprintf(page->why, sizeof page->why, "the process of the %s ended (status %#x)",
		         a->kind->event, (unsigned)status);
		atomic_store(&page->state, ASIDE_UNREACHABLE);
		ocu_log(OCU_LOG_ERROR, "aside.ended", NULL, "text", page->why, NULL);
		aside_pause(AGAIN_MS);
	}
}

/* Never returns. What belongs to auditd alone is let go of first. */
static void keeper_main(const struct aside *a, const struct ocu_daemon *d, pid_t maker)
{
	int auditd = pidfd_open(maker, 0);
	struct ocu_error err = {0};
	char folder[PATH_LENGTH];
	const int fds[] = {d->ready_fd, d->notify_fd, d->stop_fd};
	for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	ocu_identity_free(d->identity);
	if (auditd < 0 || getppid() != maker)
		_exit(1);
	folder_of(a->kind, d, folder);
	if (enter_jail(a, d, folder, &err)) {
		ocu_log_error(OCU_LOG_ERROR, "aside.jail", NULL, &err);
		snprintf(a->page->why, sizeof a->page->why, "%s", err.text);
		atomic_store(&a->page->state, ASIDE_UNREACHABLE);
		_exit(1);
	}
	keep(a, d, folder, auditd);
	_exit(0);
}

/* A file that is not there now is a mistake; one that is taken away later makes the other side unreachable.
 */
static int check_files(const struct aside_kind *k, const struct ocu_conf *c, struct ocu_error *err)
{
	for (const char *const *f = k->files; *f; f++) {
		const char *path = ocu_conf_str(c, *f);
		if (*path && access(path, R_OK) < 0)
			return ocu_error_errno(err, OCU_E_CONFIG, errno, "%s: %s", *f, path);
	}
	return 0;
}

static int make_folder(const struct aside_kind *k, const struct ocu_daemon *d, struct ocu_error *err)
{
	char folder[PATH_LENGTH];
	uid_t uid;
	gid_t gid;
	folder_of(k, d, folder);
	int rc = ocu_jail_ids(ocu_conf_str(d->conf, "run_as"), &uid, &gid, err);
	return rc ? rc : ocu_jail_mkdir(folder, uid, gid, 0700, err);
}

/* The page is of this pair of processes: another pair, made later, does not get it. */
static int make_pair(struct aside *a, const struct ocu_daemon *d, struct ocu_error *err)
{
	pid_t self = getpid();
	a->keeper = fork();
	if (a->keeper == 0)
		keeper_main(a, d, self);
	if (a->keeper < 0 || madvise(a->page, sizeof *a->page, MADV_DONTFORK))
		return ocu_error_errno(err, OCU_E_INTERNAL, errno, "starting the process of the %s",
		                       a->kind->event);
	return 0;
}

int aside_start(struct aside **ret, const struct ocu_daemon *d, const struct aside_kind *kind,
                const char *where, uint16_t port, struct ocu_error *err)
{
	int rc = check_files(kind, d->conf, err);
	if (!rc)
		rc = make_folder(kind, d, err);
	if (rc)
		return rc;
	struct aside *a = calloc(1, sizeof *a);
	void *page = mmap(NULL, sizeof *a->page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!a || page == MAP_FAILED) {
		free(a);
		return ocu_error_set(err, OCU_E_NOMEM, "a process aside");
	}
	a->page = page;
	a->kind = kind;
	a->where = where;
	a->port = port;
	pthread_mutex_init(&a->lock, NULL);
	ocu_cond_init(&a->cond);
	rc = make_pair(a, d, err);
	if (rc) {
		munmap(page, sizeof *a->page);
		free(a);
		return rc;
	}
	*ret = a;
	return 0;
}

/* --- what auditd makes of it --- */

/* What the process wrote, as text that can stand in a record. */
static void take_text(const char *from, char out[OCU_ERROR_TEXT_MAX])
{
	memcpy(out, from, OCU_ERROR_TEXT_MAX);
	out[OCU_ERROR_TEXT_MAX - 1] = '\0';
	for (char *c = out; *c; c++)
		if (*c < 32 || *c > 126)
			*c = '?';
}

static void report(struct aside *a, unsigned state)
{
	char why[OCU_ERROR_TEXT_MAX];
	char action[64];
	bool reached = state == ASIDE_REACHED;
	snprintf(action, sizeof action, "%s.%s", a->kind->event,
	         reached                  ? "reached"
	         : state == ASIDE_REFUSED ? "refused"
	                                  : "unreachable");
	take_text(a->page->why, why);
	OCU_JSON json_t *d = reached ? NULL : json_pack("{s:s}", "text", why);
	const struct ocu_event ev = {
	    .class_uid = OCU_OCSF_APP_LIFECYCLE,
	    .activity_id = 99,
	    .action = action,
	    .resource = a->where,
	    .actor_id = "system:auditd",
	    .outcome = reached ? OCU_OUTCOME_SUCCESS : OCU_OUTCOME_FAILURE,
	    .reason = reached                  ? 0
	              : state == ASIDE_REFUSED ? OCU_E_EXISTS
	                                       : OCU_E_UNAVAILABLE,
	    .detail = d,
	};
	own_report(a->own, &ev);
}

static void *watch(void *arg)
{
	struct aside *a = arg;
	struct store_head head;
	unsigned known = ASIDE_TRYING;
	uint64_t event_ms = 0;
	pthread_mutex_lock(&a->lock);
	for (;;) {
		bool last = a->stopping;
		store_head(a->store, &head);
		atomic_store(&a->page->durable, head.records);
		unsigned state = atomic_load(&a->page->state);
		a->kind->observe(a->page, head.records);
		if (state != known && ocu_mono_ms() - event_ms >= EVENT_MS) {
			known = state;
			event_ms = ocu_mono_ms();
			report(a, state);
		}
		if (last)
			break;
		struct timespec t = ocu_after_ms(ASIDE_TICK_MS);
		ocu_cond_wait_until(&a->cond, &a->lock, &t);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

int aside_watch(struct aside *a, struct store *store, struct own *own, struct ocu_error *err)
{
	if (!a)
		return 0;
	a->store = store;
	a->own = own;
	int rc = pthread_create(&a->thread, NULL, watch, a);
	a->watched = rc == 0;
	return rc ? ocu_error_errno(err, OCU_E_INTERNAL, rc, "starting to watch a process aside") : 0;
}

uint64_t aside_done(const struct aside *a)
{
	return atomic_load(&a->page->done);
}

int aside_ask(struct aside *a, uint64_t segment, const _Atomic bool *leave, struct ocu_error *err)
{
	char why[OCU_ERROR_TEXT_MAX];
	uint64_t end = ocu_mono_ms() + ASK_MS;
	atomic_store(&a->page->segment, segment);
	uint64_t question = atomic_fetch_add(&a->page->question, 1) + 1;
	while (atomic_load(&a->page->answered) != question) {
		if (atomic_load(leave) || ocu_mono_ms() >= end)
			return ocu_error_set(err, OCU_E_TIMEOUT, "the process of the %s did not answer",
			                     a->kind->event);
		aside_pause(ASIDE_TICK_MS);
	}
	int rc = atomic_load(&a->page->answer);
	if (rc == 0)
		return 0;
	take_text(a->page->answer_why, why);
	/* Whatever it says, it is an error of ours. */
	return ocu_error_set(err, rc < 0 && rc >= OCU_E_CHAIN_BROKEN ? rc : OCU_E_INTERNAL, "%s", why);
}

void aside_stop(struct aside *a)
{
	if (!a)
		return;
	if (a->watched) {
		pthread_mutex_lock(&a->lock);
		a->stopping = true;
		pthread_cond_signal(&a->cond);
		pthread_mutex_unlock(&a->lock);
		pthread_join(a->thread, NULL);
	}
	atomic_store(&a->page->stop, true);
	struct pollfd ended = {.fd = pidfd_open(a->keeper, 0), .events = POLLIN};
	if (ended.fd >= 0) {
		(void)poll(&ended, 1, ASIDE_STOP_MS + STOP_GRACE_MS);
		close(ended.fd);
	}
	waitpid(a->keeper, NULL, WNOHANG);
	munmap(a->page, sizeof *a->page);
	free(a);
}
