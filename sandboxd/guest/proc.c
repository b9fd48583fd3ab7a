/* proc: starting, timing out and ending programs; see proc.h. Reads and waits are in proc_wait.c. */
#include "sandboxd/guest/proc.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandboxd/guest/channel.h"
#include "sandboxd/guest/fail.h"
#include "sandboxd/guest/frame.h"
#include "sandboxd/guest/proc_table.h"

#define FINISH_MS 200 /* how long the end of a program waits for the end of its outputs */

static struct proc *procs;
static struct watch child_watch;
static unsigned runs, known;
static uint32_t last_id;

static void free_proc(struct proc *p)
{
	for (struct proc **at = &procs; *at; at = &(*at)->next) {
		if (*at == p) {
			*at = p->next;
			break;
		}
	}
	if (p->run)
		runs--;
	else
		known--;
	proc_waits_drop(p);
	stream_release(p->out);
	stream_release(p->err);
	input_free(p->input);
	if (p->terminal >= 0)
		close(p->terminal);
	free(p);
}

struct proc *proc_by_id(uint32_t id)
{
	for (struct proc *p = procs; p; p = p->next)
		if (!p->run && p->id == id)
			return p;
	return NULL;
}

void proc_exit_status(const struct proc *p, uint32_t *code, uint32_t *signal)
{
	*signal = WIFSIGNALED(p->status) ? (uint32_t)WTERMSIG(p->status) : 0;
	*code = *signal ? 128 + *signal : (uint32_t)WEXITSTATUS(p->status);
}

static void finish_run(struct proc *p)
{
	Ocu__Agent__Reply r = OCU__AGENT__REPLY__INIT;
	Ocu__Agent__RunResult res = OCU__AGENT__RUN_RESULT__INIT;
	size_t room = FRAME_REPLY_MAX - 4096;

	proc_exit_status(p, &res.exit_code, &res.signal);
	res.timed_out = p->timed_out;
	res.stdout.data = p->out->data;
	res.stdout.len = p->out->len;
	res.stdout_dropped = stream_dropped(p->out);
	/* Both at their bound do not fit one reply: the error stream gives way, and says so. */
	res.stderr.data = p->err->data;
	res.stderr.len = p->err->len < room - p->out->len ? p->err->len : room - p->out->len;
	res.stderr_dropped = stream_dropped(p->err) + (p->err->len - res.stderr.len);
	res.duration_us = now_us() - p->started_us;
	r.id = p->run;
	r.code = p->cancelled ? OCU__AGENT__CODE__CANCELLED : OCU__AGENT__CODE__DONE;
	r.text = p->cancelled ? (char *)"the call was cancelled" : (char *)protobuf_c_empty_string;
	r.result_case = OCU__AGENT__REPLY__RESULT_RUN;
	r.run = &res;
	channel_reply(&r);
	free_proc(p);
}

/* A run is answered when the program has ended and so have its outputs; what it left running in the
 * background may hold those open, so after a moment the answer goes out with what there is. */
static void check_run(struct proc *p)
{
	if (!p->exited)
		return;
	if ((p->out->eof && p->err->eof) || (p->finish_at && now_ms() >= p->finish_at))
		finish_run(p);
	else if (!p->finish_at)
		p->finish_at = now_ms() + FINISH_MS;
}

void proc_changed(void *owner)
{
	struct proc *p = owner;

	if (p->run)
		check_run(p);
	else
		proc_waits_check(p);
}

static void signal_group(struct proc *p, int sig)
{
	/* Not after the reaping: the number may be another's by then. */
	if (!p->exited && p->pid > 0)
		kill(-p->pid, sig);
}

static void begin_end(struct proc *p)
{
	signal_group(p, SIGTERM);
	p->term_at = 0;
	if (!p->kill_at)
		p->kill_at = now_ms() + PROC_KILL_MS;
}

static void ended(struct proc *p, int status)
{
	p->exited = true;
	p->status = status;
	p->pid = -1;
	p->term_at = p->kill_at = 0;
	/* What the pipes hold now was written before the end. */
	stream_drain(p->out, PROC_RING);
	if (p->err)
		stream_drain(p->err, PROC_RING);
	proc_changed(p);
}

static struct proc *proc_by_pid(pid_t pid)
{
	for (struct proc *p = procs; p; p = p->next)
		if (p->pid == pid)
			return p;
	return NULL;
}

static void reap(struct watch *w, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	while (read(w->fd, &info, sizeof info) > 0) {
		/* Signals coalesce: the children are asked instead. */
	}
	for (;;) {
		siginfo_t si = {0};
		struct proc *p;
		int status;

		/* Look before reaping: while the leader is a zombie its group's number is surely its own. */
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid == 0)
			return;
		p = proc_by_pid(si.si_pid);
		if (p && (p->timed_out || p->cancelled))
			kill(-p->pid, SIGKILL);
		if (waitpid(si.si_pid, &status, WNOHANG) == si.si_pid && p)
			ended(p, status);
	}
}

static struct proc *new_proc(uint64_t run)
{
	struct proc *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	*p = (struct proc){.run = run, .pid = -1, .terminal = -1, .started_us = now_us(), .next = procs};
	procs = p;
	if (run)
		runs++;
	else
		known++;
	return p;
}

/* A program that came to life but cannot be looked after is ended at once. */
static int abandon(struct proc *p, int rc)
{
	signal_group(p, SIGKILL);
	free_proc(p);
	return rc;
}

int proc_run(uint64_t request, const Ocu__Agent__Run *r, struct fail *f)
{
	size_t max = r->max_output > 0 && r->max_output < PROC_OUTPUT_MAX ? r->max_output : PROC_OUTPUT_MAX;
	char *argv[PROC_ARGV_MAX + 1];
	struct proc *p;
	int rc;

	if (runs >= PROC_RUNS_MAX)
		return fail_set(f, FAIL_BUSY, "too many programs");
	if (!proc_make_argv(argv, r->argv, r->n_argv, f))
		return f->code;
	p = new_proc(request);
	if (!p)
		return fail_set(f, FAIL_NO_MEMORY, "out of memory");
	rc = proc_begin_piped(p, argv, proc_cwd(r->cwd), r->stdin.len > 0, false, max, f);
	if (rc < 0)
		return abandon(p, rc);
	if (p->input) {
		input_put(p->input, r->stdin.data, r->stdin.len);
		input_end(p->input);
	}
	if (r->timeout_ms)
		p->term_at = now_ms() + r->timeout_ms;
	return 0;
}

/* The table is full: the program that ended and was made first gives way. */
static void evict(void)
{
	struct proc *oldest = NULL;

	for (struct proc *p = procs; p; p = p->next)
		if (!p->run && p->exited)
			oldest = p;
	if (oldest)
		free_proc(oldest);
}

int proc_start(uint64_t request, const Ocu__Agent__Start *r, struct fail *f)
{
	Ocu__Agent__Reply reply = OCU__AGENT__REPLY__INIT;
	Ocu__Agent__StartResult res = OCU__AGENT__START_RESULT__INIT;
	char *argv[PROC_ARGV_MAX + 1];
	struct proc *p;
	int rc;

	if (known >= PROC_TABLE_MAX)
		evict();
	if (known >= PROC_TABLE_MAX)
		return fail_set(f, FAIL_BUSY, "too many background programs");
	if (!proc_make_argv(argv, r->argv, r->n_argv, f))
		return f->code;
	p = new_proc(0);
	if (!p)
		return fail_set(f, FAIL_NO_MEMORY, "out of memory");
	rc = r->pty ? proc_begin_terminal(p, argv, r, f)
	            : proc_begin_piped(p, argv, proc_cwd(r->cwd), true, true, PROC_RING, f);
	if (rc < 0)
		return abandon(p, rc);
	p->id = ++last_id;
	res.process_id = p->id;
	reply.id = request;
	reply.result_case = OCU__AGENT__REPLY__RESULT_START;
	reply.start = &res;
	channel_reply(&reply);
	return 0;
}

int proc_cancel(uint64_t request, const Ocu__Agent__Cancel *r, struct fail *f)
{
	Ocu__Agent__Reply reply = OCU__AGENT__REPLY__INIT;

	(void)f;
	for (struct proc *p = procs; p; p = p->next) {
		if (p->run && p->run == r->request) {
			p->cancelled = true;
			begin_end(p);
		}
	}
	reply.id = request;
	channel_reply(&reply);
	return 0;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a && (!b || a < b) ? a : b;
}

uint64_t proc_tick(void)
{
	uint64_t now = now_ms(), next = 0;

	for (struct proc *p = procs, *after; p; p = after) {
		after = p->next;
		if (p->term_at && now >= p->term_at) {
			p->timed_out = true;
			begin_end(p);
		}
		if (p->kill_at && now >= p->kill_at) {
			signal_group(p, SIGKILL);
			p->kill_at = 0;
		}
		if (p->finish_at && now >= p->finish_at) {
			check_run(p);
			continue;
		}
		next = sooner(p->term_at, sooner(p->kill_at, sooner(p->finish_at, next)));
	}
	return sooner(proc_waits_tick(now), next);
}

int proc_init(void)
{
	sigset_t all;

	/* Every signal blocked: as init of its namespace the agent must not end, and programs get them
	 * unblocked. */
	sigfillset(&all);
	if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
		return -errno;
	sigemptyset(&all);
	sigaddset(&all, SIGCHLD);
	child_watch = (struct watch){.fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK), .ready = reap};
	return child_watch.fd < 0 ? -errno : loop_add(&child_watch, EPOLLIN);
}
