/* exec_run: programs: Run, from start to exit, and Start, which leaves one in the background. */
#include <openssl/evp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "libocu/buf.h"
#include "libocu/ocsf.h"
#include "proto/exec.pb-c.h"
#include "proto/methods.h"
#include "sandboxd/agent.h"
#include "sandboxd/evidence.h"
#include "sandboxd/exec.h"
#include "sandboxd/session.h"

#define OCSF_LAUNCH 1
#define KILL_MS     5000 /* from SIGTERM to SIGKILL in the guest */
#define LATE_MS     5000 /* a guest that has not answered then never will */

/* --- the command, as parameter and as evidence --- */

int exec_check_argv(char *const *argv, size_t n, const char *cwd, struct ocu_error *err)
{
	size_t size = 0;

	if (n == 0 || n > EXEC_ARGV_MAX || !argv[0][0])
		return ocu_error_set(err, OCU_E_PARAMS, "argv must have 1 to %d words", EXEC_ARGV_MAX);
	for (size_t i = 0; i < n; i++)
		size += strlen(argv[i]) + 1;
	if (size > EXEC_COMMAND_MAX)
		return ocu_error_set(err, OCU_E_TOO_LARGE, "the command is longer than 256 KiB");
	if (cwd[0] && (cwd[0] != '/' || strlen(cwd) >= EXEC_PATH_MAX))
		return ocu_error_set(err, OCU_E_PARAMS, "cwd must be an absolute path");
	return 0;
}

static void hex_digest(EVP_MD_CTX *ctx, char out[65])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	out[0] = 0;
	if (EVP_DigestFinal_ex(ctx, hash, &n) != 1)
		return;
	for (unsigned i = 0; i < n && i < 32; i++)
		snprintf(out + (size_t)2 * i, 3, "%02x", hash[i]);
}

void exec_record_argv(json_t *detail, char *const *argv, size_t n)
{
	OCU_BUF struct ocu_buf words = OCU_BUF_INIT(2 * EXEC_EVIDENCE_MAX);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t size = 0;
	char hex[65];
	int cut = 0;

	if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(ctx);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(argv[i]);

		EVP_DigestUpdate(ctx, argv[i], len + 1);
		if (i > 0 && words.len < EXEC_EVIDENCE_MAX)
			ocu_buf_putc(&words, ' ');
		if (words.len < EXEC_EVIDENCE_MAX)
			ocu_buf_put(&words, argv[i], len < EXEC_EVIDENCE_MAX ? len : EXEC_EVIDENCE_MAX);
		size += len + 1;
	}
	hex_digest(ctx, hex);
	EVP_MD_CTX_free(ctx);
	json_object_set_new(detail, "command",
	                    evidence_text(words.data ? words.data : "", words.len, EXEC_EVIDENCE_MAX, &cut));
	if (cut || size > EXEC_EVIDENCE_MAX)
		json_object_set_new(detail, "command_cut", json_true());
	json_object_set_new(detail, "command_bytes", json_integer((json_int_t)size));
	json_object_set_new(detail, "command_sha256", json_string(hex));
}

/* --- Run --- */

static struct tool_head run_head(const ProtobufCMessage *req)
{
	const Ocu__Exec__RunRequest *q = (const Ocu__Exec__RunRequest *)req;

	return (struct tool_head){q->grant, q->call_id, q->tool, q->description};
}

static int run_check(const ProtobufCMessage *req, struct ocu_error *err)
{
	const Ocu__Exec__RunRequest *q = (const Ocu__Exec__RunRequest *)req;

	if (q->stdin.len > EXEC_COMMAND_MAX)
		return ocu_error_set(err, OCU_E_TOO_LARGE, "stdin is longer than 256 KiB");
	if (q->max_output > EXEC_OUTPUT_MAX)
		return ocu_error_set(err, OCU_E_PARAMS, "max_output is at most 8 MiB");
	if (q->timeout_ms > EXEC_TIMEOUT_MAX)
		return ocu_error_set(err, OCU_E_PARAMS, "timeout_ms is at most one hour");
	return exec_check_argv(q->argv, q->n_argv, q->cwd, err);
}

static int run_ask(struct tool *t, struct ocu_error *err)
{
	const Ocu__Exec__RunRequest *q = (const Ocu__Exec__RunRequest *)t->req;
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__Run run = OCU__AGENT__RUN__INIT;

	run.n_argv = q->n_argv;
	run.argv = q->argv;
	run.cwd = q->cwd;
	run.stdin = q->stdin;
	/* Without a limit of its own a program may run as long as somebody waits for its answer. */
	run.timeout_ms = q->timeout_ms ? q->timeout_ms : ocu_rpc_call_remaining_ms(t->call);
	if (run.timeout_ms == 0 || run.timeout_ms > EXEC_TIMEOUT_MAX)
		run.timeout_ms = run.timeout_ms ? EXEC_TIMEOUT_MAX : 1;
	run.max_output = q->max_output ? q->max_output : EXEC_OUTPUT_MAX;
	r.op_case = OCU__AGENT__REQUEST__OP_RUN;
	r.run = &run;
	return tool_ask(t, &r, 2 * run.max_output, run.timeout_ms + KILL_MS + LATE_MS, err);
}

static void run_answer(struct tool *t, const Ocu__Agent__Reply *r)
{
	Ocu__Exec__RunReply reply = OCU__EXEC__RUN_REPLY__INIT;
	const Ocu__Agent__RunResult *res = r->run;

	reply.exit_code = (int32_t)(res->exit_code & 0xff);
	reply.signal = res->signal;
	reply.timed_out = res->timed_out;
	reply.stdout = res->stdout;
	reply.stderr = res->stderr;
	reply.stdout_dropped = res->stdout_dropped;
	reply.stderr_dropped = res->stderr_dropped;
	reply.duration_us = res->duration_us;
	ocu_rpc_reply(t->call, &reply.base);
}

static void run_record(const struct tool *t, const Ocu__Agent__Reply *r, json_t *d)
{
	const Ocu__Exec__RunRequest *q = (const Ocu__Exec__RunRequest *)t->req;

	exec_record_argv(d, q->argv, q->n_argv);
	if (q->stdin.len)
		json_object_set_new(d, "stdin_bytes", json_integer((json_int_t)q->stdin.len));
	if (!r)
		return;
	json_object_set_new(d, "exit_code", json_integer(r->run->exit_code));
	if (r->run->signal)
		json_object_set_new(d, "signal", json_integer(r->run->signal));
	if (r->run->timed_out)
		json_object_set_new(d, "timed_out", json_true());
	json_object_set_new(d, "stdout_bytes", json_integer((json_int_t)r->run->stdout.len));
	json_object_set_new(d, "stderr_bytes", json_integer((json_int_t)r->run->stderr.len));
	if (r->run->stdout_dropped || r->run->stderr_dropped) {
		json_object_set_new(d, "stdout_dropped", json_integer((json_int_t)r->run->stdout_dropped));
		json_object_set_new(d, "stderr_dropped", json_integer((json_int_t)r->run->stderr_dropped));
	}
}

const struct tool_kind exec_run_kind = {
    .method = &ocu_m_exec_run,
    .name = "run",
    .action = "tool.call",
    .class_uid = OCU_OCSF_PROCESS_ACTIVITY,
    .activity_id = OCSF_LAUNCH,
    .takes_turns = true,
    .expect = OCU__AGENT__REPLY__RESULT_RUN,
    .head = run_head,
    .check = run_check,
    .ask = run_ask,
    .answer = run_answer,
    .record = run_record,
};

/* --- Start --- */

static struct tool_head start_head(const ProtobufCMessage *req)
{
	const Ocu__Exec__StartRequest *q = (const Ocu__Exec__StartRequest *)req;

	return (struct tool_head){q->grant, q->call_id, q->tool, q->description};
}

static int start_check(const ProtobufCMessage *req, struct ocu_error *err)
{
	const Ocu__Exec__StartRequest *q = (const Ocu__Exec__StartRequest *)req;

	if (q->rows > 1000 || q->cols > 1000)
		return ocu_error_set(err, OCU_E_PARAMS, "rows and cols are at most 1000");
	return exec_check_argv(q->argv, q->n_argv, q->cwd, err);
}

static int start_ask(struct tool *t, struct ocu_error *err)
{
	const Ocu__Exec__StartRequest *q = (const Ocu__Exec__StartRequest *)t->req;
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__Start start = OCU__AGENT__START__INIT;

	start.n_argv = q->n_argv;
	start.argv = q->argv;
	start.cwd = q->cwd;
	start.pty = q->pty;
	start.rows = q->rows;
	start.cols = q->cols;
	r.op_case = OCU__AGENT__REQUEST__OP_START;
	r.start = &start;
	return tool_ask(t, &r, 0, LATE_MS, err);
}

static void start_answer(struct tool *t, const Ocu__Agent__Reply *r)
{
	Ocu__Exec__StartReply reply = OCU__EXEC__START_REPLY__INIT;

	reply.process_id = r->start->process_id;
	ocu_rpc_reply(t->call, &reply.base);
}

static void start_record(const struct tool *t, const Ocu__Agent__Reply *r, json_t *d)
{
	const Ocu__Exec__StartRequest *q = (const Ocu__Exec__StartRequest *)t->req;

	exec_record_argv(d, q->argv, q->n_argv);
	json_object_set_new(d, "background", json_true());
	if (r)
		json_object_set_new(d, "process_id", json_integer(r->start->process_id));
}

static void killed(void *arg, Ocu__Agent__Reply **r, const struct ocu_error *err)
{
	(void)arg;
	(void)r;
	(void)err;
}

static void start_undo(struct tool *t, const Ocu__Agent__Reply *r)
{
	Ocu__Agent__Request q = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__Signal sig = OCU__AGENT__SIGNAL__INIT;
	struct agent *agent;

	sig.process_id = r->start->process_id;
	sig.signal = SIGKILL;
	q.op_case = OCU__AGENT__REQUEST__OP_SIGNAL;
	q.signal = &sig;
	pthread_mutex_lock(&t->s->lock);
	agent = agent_ref(t->s->agent);
	pthread_mutex_unlock(&t->s->lock);
	if (agent)
		agent_call(agent, &(struct agent_call){.request = &q, .deadline_ms = LATE_MS, .done = killed},
		           NULL, NULL);
	agent_unref(agent);
}

const struct tool_kind exec_start_kind = {
    .method = &ocu_m_exec_start,
    .name = "start",
    .action = "tool.call",
    .class_uid = OCU_OCSF_PROCESS_ACTIVITY,
    .activity_id = OCSF_LAUNCH,
    .takes_turns = true,
    .expect = OCU__AGENT__REPLY__RESULT_START,
    .head = start_head,
    .check = start_check,
    .ask = start_ask,
    .answer = start_answer,
    .record = start_record,
    .undo = start_undo,
};
