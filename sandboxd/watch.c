/* watch: see watch.h. */
#include "sandboxd/watch.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/log.h"
#include "sandboxd/ending.h"
#include "sandboxd/evidence.h"
#include "sandboxd/jobs.h"
#include "sandboxd/node.h"
#include "sandboxd/session.h"
#include "sandboxd/sockets.h"

#define TICK_MS   1000
#define STRAYS_MS 10000
#define DEATH_MS  3000

struct watch {
	struct node *node;
	pthread_t thread;
	int stop; /* eventfd */
};

/* --- what was left behind --- */

static int wait_for_end(struct node *n, const char *container, struct ocu_error *err)
{
	uint64_t until = ocu_mono_ms() + DEATH_MS;

	while (!cgroup_empty(&n->cgroups, container)) {
		if (ocu_mono_ms() > until)
			return ocu_error_set(err, OCU_E_TIMEOUT, "%s: its processes do not end", container);
		cgroup_kill(&n->cgroups, container);
		poll(NULL, 0, 2);
	}
	return 0;
}

/* Namespaces, mounts and interfaces of it ended with the namespace of the process that made them; the
 * processes and their control groups are what can be left. */
static int remove_stray(void *arg, const char *container)
{
	struct node *n = arg;
	struct ocu_error err = {0};
	int rc;

	if (n->sessions && sessions_know(n->sessions, container))
		return 0;
	rc = evidence_commit_container(n, container, &(struct evidence){.action = EVIDENCE_SWEEP}, &err);
	if (rc)
		return rc;
	cgroup_kill(&n->cgroups, container);
	if ((rc = wait_for_end(n, container, &err)) == 0)
		rc = cgroup_remove(&n->cgroups, container, &err);
	if (rc)
		ocu_log_error(OCU_LOG_ERROR, "sandbox.sweep", NULL, &err);
	else
		ocu_log(OCU_LOG_INFO, "sandbox.swept", NULL, "container", container, NULL);
	return 0;
}

int watch_sweep(struct node *n, struct ocu_error *err)
{
	struct pollfd stop = {.fd = n->daemon.stop_fd, .events = POLLIN};
	int said = 0;

	while (cgroups_each(&n->cgroups, remove_stray, n) == OCU_E_AUDIT) {
		if (!said++)
			ocu_log(OCU_LOG_WARN, "sandbox.sweep_waits", NULL, "for", "auditd", NULL);
		if (poll(&stop, 1, 200) > 0)
			return ocu_error_set(err, OCU_E_CANCELLED, "stopped before everything was clean");
	}
	return 0;
}

/* --- while serving --- */

static void stop_denied(void *arg)
{
	struct session *s = arg;
	struct ocu_error err = {0};

	if (ending_stop(s->node, s->id, "denylisted", true, NULL, &err))
		ocu_log_error(OCU_LOG_WARN, "sandbox.stop", NULL, &err);
	session_unref(s);
}

static void bound_sockets(struct session *s)
{
	const char *why;
	char process[32];
	pid_t pid;

	pthread_mutex_lock(&s->lock);
	pid = s->state == SESSION_RUNNING && !s->denied ? s->pid : 0;
	pthread_mutex_unlock(&s->lock);
	if (pid <= 0)
		return;
	snprintf(process, sizeof process, "/proc/%d", (int)pid);
	why = sockets_look(process, &s->uncounted);
	if (why)
		ending_crash(s, why);
}

static int look_at(void *arg, struct session *s)
{
	struct node *n = arg;
	struct ocu_error err = {0};
	bool overdue;

	pthread_mutex_lock(&s->lock);
	overdue = s->denied && s->state == SESSION_RUNNING && ocu_mono_ms() - s->denied_at > ENDING_DENIED_MS;
	/* Not again before the same time has passed. */
	if (overdue)
		s->denied_at = ocu_mono_ms();
	pthread_mutex_unlock(&s->lock);
	if (overdue && jobs_add(n->ends, stop_denied, session_ref(s), &err))
		session_unref(s);
	bound_sockets(s);
	return 0;
}

static void *run(void *arg)
{
	struct watch *w = arg;
	struct pollfd stop = {.fd = w->stop, .events = POLLIN};
	uint64_t strays = ocu_mono_ms();

	while (poll(&stop, 1, TICK_MS) <= 0) {
		runtime_reap(&w->node->runtime);
		sessions_each(w->node->sessions, look_at, w->node);
		if (ocu_mono_ms() - strays < STRAYS_MS)
			continue;
		cgroups_each(&w->node->cgroups, remove_stray, w->node);
		strays = ocu_mono_ms();
	}
	return NULL;
}

int watch_start(struct watch **ret, struct node *n, struct ocu_error *err)
{
	struct watch *w = calloc(1, sizeof *w);
	int rc;

	if (!w)
		return ocu_error_set(err, OCU_E_NOMEM, "watch");
	w->node = n;
	w->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = pthread_create(&w->thread, NULL, run, w);
	if (rc) {
		close(w->stop);
		free(w);
		return ocu_error_errno(err, OCU_E_NOMEM, rc, "starting a thread");
	}
	*ret = w;
	return 0;
}

void watch_stop(struct watch *w)
{
	if (!w)
		return;
	eventfd_write(w->stop, 1);
	pthread_join(w->thread, NULL);
	close(w->stop);
	free(w);
}
