/* north: routes, admission, workers. */
#include "brokerd/north.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "brokerd/broker.h"
#include "brokerd/meter.h"
#include "brokerd/north_gate.h"
#include "brokerd/north_job.h"
#include "brokerd/north_sending.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/httpd.h"
#include "libocu/log.h"
#include "libocu/pki.h"

#define WORKERS_MAX 64
#define IDLE_S      30
#define ROUTES      7

struct north {
	struct north_opts o;
	struct gate gate;
	struct sending *sending;
	struct ocu_http_route routes[ROUTES];
	struct ocu_httpd *httpd;
	struct turns *turns;
	pthread_t thread[WORKERS_MAX];
	unsigned threads;
};

/* --- a job's life --- */

void job_leave(struct job *j)
{
	if (j->inside)
		volume_leave(j->volume);
	j->inside = false;
}

static void job_free(void *user)
{
	struct job *j = user;
	sending_remove(j->north->sending, j);
	job_leave(j);
	if (j->volume)
		reader_leave(&j->volume->readers, &j->reading);
	if (j->counted)
		rate_leave(j->north->gate.rate, j->caller);
	volume_unref(j->volume);
	free(j);
}

static struct file_event event_of(const struct job *j)
{
	return (struct file_event){
	    .op = j->op,
	    .face = FACE_NORTH,
	    .volume = j->volume,
	    .filesystem_id = "",
	    .actor = *j->caller ? j->caller : "unauthenticated",
	    .handle = *j->path ? j->handle : NULL,
	    .trace = ocu_http_trace(j->req),
	    .bytes = j->bytes,
	    .downloadable = j->broker->downloadable,
	};
}

/* What a decision said no to is denied; the rest failed. */
static enum ocu_outcome outcome_of(int code)
{
	int http = ocu_err_http(code);
	return http == 401 || http == 403 || http == 429 ? OCU_OUTCOME_DENIED : OCU_OUTCOME_FAILURE;
}

static void report(const struct job *j, enum ocu_outcome outcome, int code, int sys_errno)
{
	struct file_event e = event_of(j);
	e.outcome = outcome;
	e.reason = code;
	e.sys_errno = sys_errno;
	evidence_report(j->broker->audit, &e);
}

int job_allowed(struct job *j, struct ocu_error *err)
{
	j->denied = gate_recheck(j, err);
	return j->denied;
}

int job_commit(struct job *j, struct ocu_error *err)
{
	struct file_event e = event_of(j);
	int r = job_allowed(j, err);
	if (r < 0) {
		report(j, outcome_of(r), r, 0);
		return r;
	}
	if (evidence_commit(j->broker->audit, &e, err) == 0)
		return 0;
	meter_audit_refused();
	err->code = OCU_E_AUDIT;
	return OCU_E_AUDIT;
}

int job_record(struct job *j)
{
	struct ocu_error err = {0};
	int r = job_commit(j, &err);
	if (r < 0)
		ocu_http_reply_error(j->req, &err);
	return r;
}

/* 0, or answered: without the record nothing else is told. */
static int record_failure(struct job *j, int code, int sys_errno)
{
	struct file_event e = event_of(j);
	struct ocu_error err = {0};
	e.outcome = OCU_OUTCOME_FAILURE;
	e.reason = code;
	e.sys_errno = sys_errno;
	if (evidence_commit(j->broker->audit, &e, &err) == 0)
		return 0;
	meter_audit_refused();
	err.code = OCU_E_AUDIT;
	ocu_http_reply_error(j->req, &err);
	return OCU_E_AUDIT;
}

void job_refuse(struct job *j, struct ocu_error *err)
{
	enum ocu_outcome outcome = outcome_of(err->code);
	if (outcome == OCU_OUTCOME_DENIED)
		report(j, outcome, err->code, 0);
	else if (record_failure(j, err->code, 0) < 0)
		return;
	ocu_http_reply_error(j->req, err);
}

void job_failed(struct job *j, int sys_errno)
{
	int code = sys_errno == ENOTDIR ? OCU_E_NOT_FOUND : evidence_code(sys_errno);
	if (sys_errno == EDQUOT) { /* to the files API a full quota is a full disk */
		job_status(j, 507, OCU_E_QUOTA, ocu_err_text(OCU_E_QUOTA));
		return;
	}
	struct ocu_error err = {.code = code};
	if (record_failure(j, code, sys_errno) == 0)
		ocu_http_reply_error(j->req, &err);
}

void job_status(struct job *j, int status, int code, const char *text)
{
	if (record_failure(j, code, 0) < 0)
		return;
	ocu_http_reply_json(j->req, status,
	                    json_pack("{s:{s:s, s:s, s:s}}", "error", "code", ocu_err_reason(code), "message",
	                              text, "correlation_id", ocu_http_trace(j->req)));
}

void job_send(struct job *j)
{
	sending_add(j->north->sending, j);
	job_leave(j);
}

void job_cut(struct job *j, const struct ocu_error *why)
{
	ocu_log_error(OCU_LOG_WARN, "north.cut", ocu_http_trace(j->req), why);
	report(j, outcome_of(why->code), why->code, 0);
	ocu_http_abort(j->req);
}

int job_bytes(struct job *j, uint64_t bytes)
{
	struct ocu_error err = {0};
	int r = rate_bytes(j->north->gate.rate, j->caller, bytes, ocu_mono_ms(), &err);
	if (r < 0)
		job_refuse(j, &err);
	return r;
}

void job_spend(struct job *j, uint64_t bytes)
{
	rate_spend(j->north->gate.rate, j->caller, bytes);
}

/* --- workers --- */

/* It may have taken long to come in, and waited here. */
static void do_job(struct job *j)
{
	struct ocu_error err = {0};
	if (j->refused.code)
		job_refuse(j, &j->refused);
	else if (job_allowed(j, &err) < 0)
		job_refuse(j, &err);
	else
		j->run(j);
}

static void *work(void *arg)
{
	struct north *n = arg;
	struct line *line;
	for (struct turn *t; (t = turns_take(n->turns, &line));) {
		do_job((struct job *)((char *)t - offsetof(struct job, turn)));
		turns_done(n->turns, line);
	}
	return NULL;
}

static void enqueue(struct ocu_http_req *r, void (*run)(struct job *j))
{
	struct job *j = ocu_http_user(r);
	struct ocu_error err = {.code = OCU_E_BUSY};
	j->run = run;
	if (!turns_put(j->north->turns, j->caller, &j->turn))
		ocu_http_reply_error(r, &err);
}

static void on_filesystems(struct ocu_http_req *r, void *arg)
{
	(void)arg;
	enqueue(r, north_filesystems);
}

static void on_list(struct ocu_http_req *r, void *arg)
{
	(void)arg;
	enqueue(r, north_list);
}

static void on_get(struct ocu_http_req *r, void *arg)
{
	(void)arg;
	enqueue(r, north_get);
}

static void on_put(struct ocu_http_req *r, void *arg)
{
	(void)arg;
	enqueue(r, north_put);
}

static void on_delete(struct ocu_http_req *r, void *arg)
{
	(void)arg;
	enqueue(r, north_delete);
}

/* --- admission --- */

static int admit(struct ocu_http_req *r, void *arg, struct ocu_error *err)
{
	struct north *n = arg;
	struct job *j = calloc(1, sizeof *j);
	if (!j)
		return ocu_error_set(err, OCU_E_NOMEM, "job");
	*j = (struct job){
	    .north = n, .broker = n->o.broker, .req = r, .op = gate_op(r), .bytes = BYTES_UNKNOWN};
	ocu_http_set_user(r, j, job_free);
	int e = gate_decide(&n->gate, j, err);
	if (e == 0)
		return 0;
	/* A failure is to be recorded before it is told, for which this thread, which serves many, cannot
	 * wait: a worker does. Not of an upload: its body is not to be taken in meanwhile; that answer
	 * depends on what the caller has, not on what is in it. Nor of what no rate was taken for: that one
	 * depends on the token and the denylist alone. */
	if (outcome_of(e) == OCU_OUTCOME_FAILURE && j->counted && j->op != FILE_OP_PUT) {
		j->refused = *err;
		return 0;
	}
	report(j, outcome_of(e), e, 0);
	return e;
}

static void finished(struct ocu_http_req *r, int status, uint64_t duration_us, void *arg)
{
	(void)r;
	(void)arg;
	meter_north(status, duration_us);
}

/* --- start and stop --- */

#define FILE_PATH "/v1/filesystems/{fs}/files/{path...}"

static void fill_routes(struct north *n)
{
	const struct ocu_http_route routes[ROUTES] = {
	    {.method = "GET", .pattern = "/v1/filesystems", .handler = on_filesystems, .admit = admit},
	    {.method = "GET", .pattern = "/v1/filesystems/{fs}/files", .handler = on_list, .admit = admit},
	    {.method = "GET", .pattern = FILE_PATH, .handler = on_get, .admit = admit},
	    {.method = "HEAD", .pattern = FILE_PATH, .handler = on_get, .admit = admit},
	    {.method = "PUT",
	     .pattern = FILE_PATH,
	     .max_body = n->o.upload_max,
	     .flags = OCU_HTTP_BODY_FILE,
	     .handler = on_put,
	     .admit = admit},
	    {.method = "DELETE", .pattern = FILE_PATH, .handler = on_delete, .admit = admit},
	    {0},
	};
	memcpy(n->routes, routes, sizeof routes);
}

static int start_httpd(struct north *n, struct ocu_error *err)
{
	const struct ocu_httpd_opts h = {
	    .listen = n->o.listen,
	    .cert_path = n->o.identity->cert_path,
	    .key_path = n->o.identity->key_path,
	    .routes = n->routes,
	    .arg = n,
	    .max_conns = n->o.connections,
	    .max_conns_per_ip = n->o.connections_per_address,
	    .timeout_s = IDLE_S,
	    .spool_dir = n->o.spool_dir,
	    .finished = finished,
	};
	return ocu_httpd_start(&n->httpd, &h, err);
}

int north_start(struct north **ret, const struct north_opts *o, struct ocu_error *err)
{
	struct north *n = calloc(1, sizeof *n);
	if (!n)
		return ocu_error_set(err, OCU_E_NOMEM, "north face");
	n->o = *o;
	fill_routes(n);
	int r = gate_open(&n->gate, o, err);
	if (r == 0)
		r = sending_start(&n->sending, err);
	if (r == 0) /* a request that waits has a connection */
		r = turns_new(&n->turns, o->connections, (o->workers + 1) / 2, err);
	for (; r == 0 && n->threads < o->workers && n->threads < WORKERS_MAX; n->threads++) {
		int e = pthread_create(&n->thread[n->threads], NULL, work, n);
		if (e) {
			r = ocu_error_errno(err, OCU_E_NOMEM, e, "north-face thread");
			break;
		}
	}
	if (r == 0)
		r = start_httpd(n, err);
	if (r < 0) {
		north_stop(n, 0);
		return r;
	}
	*ret = n;
	return 0;
}

void north_stop(struct north *n, unsigned drain_ms)
{
	if (!n)
		return;
	bool over = ocu_httpd_stop(n->httpd, drain_ms);
	if (n->turns)
		turns_stop(n->turns);
	for (unsigned i = 0; i < n->threads; i++)
		pthread_join(n->thread[i], NULL);
	if (!over)
		return; /* requests that end after this find their place in what is here */
	sending_stop(n->sending);
	turns_free(n->turns);
	gate_close(&n->gate);
	free(n);
}
