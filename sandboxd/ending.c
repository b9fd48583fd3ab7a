/* ending: see ending.h. */
#include "sandboxd/ending.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libocu/clock.h"
#include "libocu/denylist.h"
#include "libocu/log.h"
#include "libocu/metrics.h"
#include "sandboxd/agent.h"
#include "sandboxd/evidence.h"
#include "sandboxd/jobs.h"
#include "sandboxd/node.h"
#include "sandboxd/scrubber.h"
#include "sandboxd/session.h"
#include "sandboxd/tool.h"

#define FREEZE_MS        20  /* then on: what cannot be frozen cannot do anything either */
#define SCRUB_MS         100 /* what is left of the scratch goes with its mount */
#define KILL_MS          3000
#define DELETE_MS        10000
#define ANY_BUT_STARTING (1u << SESSION_RUNNING | 1u << SESSION_ENDING | 1u << SESSION_ENDED)

/* --- steps --- */

/* What the steps leave in the record: microseconds each, and the first thing that went wrong. */
struct steps {
	json_t *detail;
	uint64_t began;
	struct ocu_error err;
};

static void step_done(struct steps *st, const char *name, const struct ocu_error *err)
{
	uint64_t now = ocu_mono_ns();

	json_object_set_new(st->detail, name, json_integer((json_int_t)((now - st->began) / 1000)));
	st->began = now;
	if (err->code && !st->err.code) {
		st->err = *err;
		json_object_set_new(st->detail, "failed_step", json_string(name));
	}
}

static void freeze(struct session *s, struct steps *st)
{
	struct ocu_error err = {0};

	/* Not standing still in time is not a failure: the sandbox is killed in any case. */
	if (s->contained)
		cgroup_unbound_cpu(&s->node->cgroups, s->container);
	if (s->contained &&
	    cgroup_freeze(&s->node->cgroups, s->container, true, FREEZE_MS, &err) == OCU_E_TIMEOUT)
		err.code = 0;
	step_done(st, "freeze_us", &err);
}

static void scrub(struct session *s, struct steps *st)
{
	struct ocu_error err = {0};
	long files = s->staged ? scrubber_run(&s->node->stage, s->container, SCRUB_MS, &err) : 0;

	if (files >= 0)
		json_object_set_new(st->detail, "scrubbed_files", json_integer(files));
	/* What is left of it goes with its mount, and nobody's kill waits for that. */
	if (files == OCU_E_TIMEOUT)
		err.code = 0;
	step_done(st, "scrub_us", &err);
}

static void unmount(struct session *s, struct steps *st)
{
	struct ocu_error err = {0};

	if (s->files_mounted)
		stage_unmount_fuse(&s->node->stage, s->container);
	step_done(st, "unmount_us", &err);
}

static void kill_all(struct session *s, struct steps *st)
{
	struct pollfd p = {.fd = s->pidfd, .events = POLLIN};
	struct ocu_error err = {0};
	siginfo_t si;
	int n = 0;

	if (s->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
	if (s->contained)
		n = cgroup_kill(&s->node->cgroups, s->container);
	/* The end of its init is the end of every process in its namespace. */
	if (s->pidfd >= 0 && poll(&p, 1, KILL_MS) != 1)
		ocu_error_set(&err, OCU_E_TIMEOUT, "its first process does not end");
	/* Its parent, the runtime, is gone, and we are the one who inherits. */
	if (s->pidfd >= 0)
		waitid(P_PIDFD, (id_t)s->pidfd, &si, WEXITED | WNOHANG);
	json_object_set_new(st->detail, "killed", json_integer(n));
	step_done(st, "kill_us", &err);
}

static void close_channel(struct session *s)
{
	struct agent *a;

	pthread_mutex_lock(&s->lock);
	a = s->agent;
	s->agent = NULL;
	pthread_mutex_unlock(&s->lock);
	agent_close(a);
}

static void destroy(struct session *s, struct steps *st)
{
	struct node *n = s->node;
	struct ocu_error err = {0}, first = {0};

	if (s->contained) {
		runtime_delete(&n->runtime, s->container, DELETE_MS, &first);
		if (cgroup_remove(&n->cgroups, s->container, &err) && !first.code)
			first = err;
		/* Its uids are not another's before its last process is gone. */
		s->contained = !cgroup_empty(&n->cgroups, s->container);
	}
	netns_done(&s->net);
	if (s->staged && stage_remove(&n->stage, s->container, &err) && !first.code)
		first = err;
	if (s->pidfd >= 0)
		close(s->pidfd);
	s->pidfd = -1;
	s->staged = s->files_mounted = false;
	step_done(st, "destroy_us", &first);
}

/* The whole order. The session is ENDING and the caller's own. */
static struct steps run_steps(struct session *s)
{
	struct steps st = {.detail = json_object(), .began = ocu_mono_ns()};

	freeze(s, &st);
	scrub(s, &st);
	unmount(s, &st);
	kill_all(s, &st);
	close_channel(s);
	destroy(s, &st);
	return st;
}

/* --- who ends, and why --- */

/* Something of it still dies: it keeps its slot and its name, lets nobody in, and is ended again by the
 * watch, or by who asks. */
static int not_over(struct session *s, struct ocu_error *err)
{
	pthread_mutex_lock(&s->lock);
	s->denied = true;
	s->denied_at = ocu_mono_ms();
	pthread_mutex_unlock(&s->lock);
	session_set_state(s, SESSION_RUNNING);
	return ocu_error_set(err, OCU_E_TIMEOUT, "its processes have been killed and do not end yet");
}

/* The slot is free, unless something of the sandbox is still there: OCU_E_TIMEOUT. */
static int finish(struct session *s, const char *why, bool forget, struct ocu_error *err)
{
	if (s->contained)
		return not_over(s, err);
	pthread_mutex_lock(&s->lock);
	snprintf(s->why, sizeof s->why, "%s", why);
	pthread_mutex_unlock(&s->lock);
	session_release_slot(s);
	session_set_state(s, SESSION_ENDED);
	if (forget)
		session_forget(s);
	return 0;
}

static bool was_killed(struct session *s)
{
	pthread_mutex_lock(&s->lock);
	bool yes = s->killed;
	pthread_mutex_unlock(&s->lock);
	return yes;
}

/* What callers under way are told: that an operator did it, when one did. The order to stop may be here
 * before the denylist's word. */
static int code_for_calls(struct session *s)
{
	struct ocu_error err = {0};
	int rc = ocu_denylist_check(s->node->denylist, OCU_DENY_SESSION, s->id, &err);

	if (rc != OCU_E_SESSION_DENIED)
		rc = ocu_denylist_check(s->node->denylist, OCU_DENY_CALLER, s->caller, &err);
	if (rc == OCU_E_SESSION_DENIED || rc == OCU_E_CALLER_DENIED)
		return rc;
	return was_killed(s) ? OCU_E_SESSION_DENIED : OCU_E_SESSION_GONE;
}

static void end_calls(struct session *s)
{
	int code = code_for_calls(s);

	tool_end_all(s, code, ocu_err_text(code));
}

static void count_end(const char *labels)
{
	ocu_counter_add(ocu_counter("ocu_sandboxd_ends_total", labels, "Sandboxes that ended"), 1);
}

static int stop_running(struct session *s, const char *reason, const char *trace, struct ocu_error *err)
{
	uint64_t begin = ocu_mono_ns();
	struct ocu_error unfinished = {0};
	struct steps st;
	int rc;

	end_calls(s);
	st = run_steps(s);
	json_object_set_new(st.detail, "reason", evidence_text(reason, strlen(reason), 256, NULL));
	if (st.err.code)
		ocu_log_error(OCU_LOG_ERROR, "sandbox.stop", trace, &st.err);
	ocu_histogram_us(ocu_histogram("ocu_sandboxd_stop_seconds", NULL, "End of a sandbox, all steps"),
	                 (ocu_mono_ns() - begin) / 1000);
	count_end("cause=\"stopped\"");
	finish(s, "stopped", true, &unfinished);
	rc = evidence_commit(
	    s,
	    &(struct evidence){
	        .action = EVIDENCE_STOPPED, .trace = trace, .code = st.err.code, .detail = st.detail},
	    err);
	return rc || !unfinished.code ? rc : ocu_error_set(err, unfinished.code, "%s", unfinished.text);
}

static int stop_session(struct session *s, const char *reason, bool by_operator, const char *trace,
                        struct ocu_error *err)
{
	json_t *detail = json_pack("{s:o}", "reason", evidence_text(reason, strlen(reason), 256, NULL));
	int rc = evidence_commit(
	    s, &(struct evidence){.action = EVIDENCE_STOP, .trace = trace, .detail = detail}, err);

	if (rc)
		return rc;
	session_ask_stop(s, by_operator);
	session_wait(s, ANY_BUT_STARTING);
	if (session_claim_end(s, SESSION_RUNNING))
		return stop_running(s, reason, trace, err);
	session_wait(s, 1u << SESSION_ENDED);
	session_forget(s);
	return 0;
}

int ending_stop(struct node *n, const char *session_id, const char *reason, bool killed, const char *trace,
                struct ocu_error *err)
{
	struct session *s = session_find(n->sessions, session_id);
	int rc = s ? stop_session(s, reason, killed, trace, err) : 0;

	session_unref(s);
	return rc;
}

void ending_take_back(struct session *s, const struct ocu_error *why, const char *trace)
{
	struct steps st;

	ocu_log_error(OCU_LOG_WARN, "sandbox.start", trace, why);
	session_claim_end(s, SESSION_STARTING);
	st = run_steps(s);
	json_object_set_new(st.detail, "why", evidence_text(why->text, strlen(why->text), 512, NULL));
	if (st.err.code)
		ocu_log_error(OCU_LOG_ERROR, "sandbox.take_back", trace, &st.err);
	count_end("cause=\"not_started\"");
	evidence_report(
	    s, &(struct evidence){
	           .action = EVIDENCE_FAILED, .trace = trace, .code = why->code, .detail = st.detail});
	finish(s, "not started", true, NULL);
}

/* --- by itself --- */

static int commit_patiently(struct session *s, const char *action, const char *why)
{
	struct pollfd stop = {.fd = s->node->daemon.stop_fd, .events = POLLIN};
	struct ocu_error err = {0};

	/* Nothing is cleaned up unrecorded; what is left meanwhile holds still, and holds nobody up. */
	for (;;) {
		json_t *detail = json_pack("{s:s, s:I}", "why", why, "oom_kills",
		                           (json_int_t)cgroup_oom_kills(&s->node->cgroups, s->container));

		if (evidence_commit(
		        s, &(struct evidence){.action = action, .code = OCU_E_SESSION_GONE, .detail = detail},
		        &err) == 0)
			return 0;
		if (poll(&stop, 1, 500) > 0)
			return -1;
	}
}

static void crash_job(void *arg)
{
	struct session *s = arg;
	struct steps st;
	char why[128];

	pthread_mutex_lock(&s->lock);
	snprintf(why, sizeof why, "%s", s->why);
	pthread_mutex_unlock(&s->lock);
	cgroup_freeze(&s->node->cgroups, s->container, true, 0, NULL);
	end_calls(s);
	/* At the end of the process ending_all() waits for this one, too. */
	commit_patiently(s, EVIDENCE_CRASH, why);
	st = run_steps(s);
	if (st.err.code)
		ocu_log_error(OCU_LOG_ERROR, "sandbox.clean_up", NULL, &st.err);
	count_end("cause=\"by_itself\"");
	evidence_report(
	    s, &(struct evidence){.action = EVIDENCE_STOPPED, .code = st.err.code, .detail = st.detail});
	finish(s, why, false, NULL);
	session_unref(s);
}

void ending_crash(struct session *s, const char *why)
{
	struct ocu_error err = {0};

	pthread_mutex_lock(&s->lock);
	if (s->state != SESSION_RUNNING) {
		s->lost |= s->state == SESSION_STARTING;
		pthread_mutex_unlock(&s->lock);
		return;
	}
	s->state = SESSION_ENDING;
	snprintf(s->why, sizeof s->why, "%s", why);
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	ocu_log(OCU_LOG_WARN, "sandbox.lost", NULL, "container", s->container, "why", why, NULL);
	/* Its turn may come late; until then nothing in it moves. */
	cgroup_freeze(&s->node->cgroups, s->container, true, 0, NULL);
	session_ref(s);
	if (jobs_add(s->node->ends, crash_job, s, &err)) {
		/* As many jobs as there are slots fit: this is the end of the process, which ends this one,
		 * too. */
		ocu_log_error(OCU_LOG_ERROR, "sandbox.lost", NULL, &err);
		session_set_state(s, SESSION_RUNNING);
		session_unref(s);
	}
}

void ending_lost(void *owner, const char *why)
{
	/* While it starts, the starter sees it and takes everything back. */
	ending_crash(owner, why);
}

/* --- by an operator --- */

void ending_deny(struct session *s)
{
	bool running;

	pthread_mutex_lock(&s->lock);
	running = !s->denied && s->state == SESSION_RUNNING;
	if (!s->denied)
		s->denied_at = ocu_mono_ms();
	s->denied = true;
	pthread_mutex_unlock(&s->lock);
	/* One that is still starting is taken back by its starter; a frozen one would only hold the runtime
	 * up. */
	if (!running)
		return;
	cgroup_freeze(&s->node->cgroups, s->container, true, 0, NULL);
	end_calls(s);
}

/* --- all --- */

static void end_job(void *arg)
{
	struct session *s = arg;
	struct steps st;

	session_ask_stop(s, false);
	session_wait(s, ANY_BUT_STARTING);
	if (session_claim_end(s, SESSION_RUNNING)) {
		end_calls(s);
		st = run_steps(s);
		json_object_set_new(st.detail, "reason", json_string("sandboxd ends"));
		/* Its channel closes with this process in any case, so this end could not be refused. */
		evidence_report(s, &(struct evidence){
		                       .action = EVIDENCE_STOPPED, .code = st.err.code, .detail = st.detail});
		finish(s, "stopped", true, NULL);
	} else {
		session_wait(s, 1u << SESSION_ENDED);
	}
	session_unref(s);
}

static int add_end_job(void *arg, struct session *s)
{
	struct ocu_error err = {0};

	if (jobs_add(arg, end_job, session_ref(s), &err))
		session_unref(s);
	return 0;
}

void ending_all(struct node *n)
{
	struct jobs *jobs = NULL;
	struct ocu_error err = {0};

	if (jobs_start(&jobs, 8, SESSION_SLOTS_MAX + SESSION_ENDED_MAX, &err)) {
		ocu_log_error(OCU_LOG_ERROR, "sandbox.end_all", NULL, &err);
		return;
	}
	sessions_each(n->sessions, add_end_job, jobs);
	jobs_stop(jobs);
}
