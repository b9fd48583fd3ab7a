/*
 * auditor: reading a trail takes longer than an HTTP thread may, so one thread of its own does the reading,
 * one request after another, and what waits for it is bounded.
 */
#include "auditd/auditor.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auditd/own.h"
#include "auditd/query.h"
#include "auditd/store.h"
#include "libocu/buf.h"
#include "libocu/err.h"
#include "libocu/httpd.h"
#include "libocu/json.h"
#include "libocu/jwt.h"
#include "libocu/pki.h"

#define WAITING_MAX     16
#define ASSERTION_TTL_S 60
#define SUBJECT_MAX     128

struct job {
	struct ocu_http_req *http;
	struct query query;
	char actor[SUBJECT_MAX + 16];
};

struct auditor {
	struct auditor_opts opts;
	struct ocu_jwks *keys;
	struct ocu_httpd *http;
	pthread_t thread;
	bool running;
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct job *waiting[WAITING_MAX];
	unsigned n;
	bool stop;
};

static void report_denied(struct auditor *a, struct ocu_http_req *r, const struct ocu_error *why)
{
	unsigned suppressed;
	if (!own_may_report(a->opts.own, "auditor.denied", "unknown", &suppressed))
		return;
	OCU_JSON json_t *d = json_pack("{s:s, s:I}", "peer_ip", ocu_http_peer_ip(r), "unreported_before",
	                               (json_int_t)suppressed);
	struct ocu_event ev = {
	    .class_uid = OCU_OCSF_AUTHENTICATION,
	    .activity_id = 1,
	    .action = "auditor.denied",
	    .resource = ocu_http_path(r),
	    .actor_id = "unknown",
	    .trace_id = ocu_http_trace(r),
	    .outcome = OCU_OUTCOME_DENIED,
	    .reason = why->code,
	    .detail = d,
	};
	own_report(a->opts.own, &ev);
}

static int authenticate(struct auditor *a, struct ocu_http_req *r, char **ret_subject, struct ocu_error *err)
{
	static const struct ocu_jwt_expect expect = {"occ", "ocu-auditor", ASSERTION_TTL_S};
	OCU_JSON json_t *claims = NULL;
	const char *token = ocu_http_bearer(r);
	if (!token)
		return ocu_error_set(err, OCU_E_UNAUTHENTICATED, "%s", ocu_err_text(OCU_E_UNAUTHENTICATED));
	int rc = ocu_jwt_verify(a->keys, token, strlen(token), &expect, &claims, err);
	if (rc)
		return rc;
	const char *sub = ocu_json_str(claims, "sub", "");
	if (!sub[0] || strlen(sub) >= SUBJECT_MAX)
		return ocu_error_set(err, OCU_E_TOKEN_CLAIM, "sub");
	*ret_subject = strdup(sub);
	return *ret_subject ? 0 : ocu_error_set(err, OCU_E_NOMEM, "token");
}

static int admit(struct ocu_http_req *r, void *arg, struct ocu_error *err)
{
	struct auditor *a = arg;
	char *subject = NULL;
	int rc = authenticate(a, r, &subject, err);
	if (rc)
		report_denied(a, r, err);
	else
		ocu_http_set_user(r, subject, free);
	return rc;
}

static void get_head(struct ocu_http_req *r, void *arg)
{
	struct auditor *a = arg;
	struct store_head h;
	store_head(a->opts.store, &h);
	const char *end = memchr(h.slot, ' ', sizeof h.slot);
	ocu_http_reply(r, 200, "application/json", h.slot, end ? (size_t)(end - h.slot) : 0);
}

static int query_number(struct ocu_http_req *r, const char *name, uint64_t min, uint64_t max, uint64_t dflt,
                        uint64_t *ret, struct ocu_error *err)
{
	const char *text = ocu_http_query(r, name);
	*ret = dflt;
	if (!text)
		return 0;
	size_t len = strlen(text);
	if (len == 0 || len > 18 || strspn(text, "0123456789") != len)
		return ocu_error_set(err, OCU_E_PARAMS, "%s is a number", name);
	*ret = strtoull(text, NULL, 10);
	if (*ret < min || *ret > max)
		return ocu_error_set(err, OCU_E_PARAMS, "%s is from %" PRIu64 " to %" PRIu64, name, min, max);
	return 0;
}

static int read_query(struct ocu_http_req *r, struct query *q, struct ocu_error *err)
{
	const char *session = ocu_http_query(r, "session_id");
	int rc = query_number(r, "from", 1, UINT64_MAX, 1, &q->from, err);
	if (!rc)
		rc = query_number(r, "limit", 1, QUERY_LIMIT_MAX, 100, &q->limit, err);
	if (rc || !session)
		return rc;
	size_t len = strlen(session);
	if (len == 0 || len >= sizeof q->session_id ||
	    strspn(session, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") != len)
		return ocu_error_set(err, OCU_E_PARAMS, "session_id is malformed");
	memcpy(q->session_id, session, len + 1);
	return 0;
}

static void get_events(struct ocu_http_req *r, void *arg)
{
	struct auditor *a = arg;
	struct ocu_error err = {0};
	struct job *j = calloc(1, sizeof *j);
	if (!j)
		ocu_error_set(&err, OCU_E_NOMEM, "query");
	if (!j || read_query(r, &j->query, &err)) {
		free(j);
		ocu_http_reply_error(r, &err);
		return;
	}
	j->http = r;
	snprintf(j->actor, sizeof j->actor, "operator:%s", (const char *)ocu_http_user(r));
	pthread_mutex_lock(&a->lock);
	bool room = a->n < WAITING_MAX && !a->stop;
	if (room) {
		a->waiting[a->n++] = j;
		pthread_cond_signal(&a->work);
	}
	pthread_mutex_unlock(&a->lock);
	if (room)
		return;
	free(j);
	ocu_error_set(&err, OCU_E_BUSY, "%s", ocu_err_text(OCU_E_BUSY));
	ocu_http_reply_error(r, &err);
}

/* No audit, no reading. */
static int record_reading(struct auditor *a, const struct job *j, struct ocu_error *err)
{
	OCU_JSON json_t *d =
	    json_pack("{s:I, s:I}", "from", (json_int_t)j->query.from, "limit", (json_int_t)j->query.limit);
	struct ocu_event ev = {
	    .class_uid = OCU_OCSF_API_ACTIVITY,
	    .activity_id = 2,
	    .action = "auditor.read",
	    .resource = "trail.events",
	    .actor_id = j->actor,
	    .trace_id = ocu_http_trace(j->http),
	    .outcome = OCU_OUTCOME_SUCCESS,
	    .detail = d,
	};
	return own_commit(a->opts.own, &ev, err);
}

static void answer(struct auditor *a, struct job *j)
{
	OCU_BUF struct ocu_buf page = OCU_BUF_INIT(QUERY_BYTES_MAX);
	struct ocu_error err = {0};
	struct store_head head;
	uint64_t next = 0;
	/* The reading's own event is not part of what is read. */
	store_read_begin(a->opts.store, &head);
	int rc = record_reading(a, j, &err);
	if (!rc)
		rc = query_run(&j->query, store_dirfd(a->opts.store), &head, &page, &next, &err);
	store_read_end(a->opts.store);
	if (rc) {
		ocu_error_set(&err, rc, "%s", ocu_err_text(rc));
		ocu_http_reply_error(j->http, &err);
		return;
	}
	if (next) {
		char text[24];
		snprintf(text, sizeof text, "%" PRIu64, next);
		ocu_http_set_header(j->http, "X-OCU-Next", text);
	}
	ocu_http_reply(j->http, 200, "application/jsonl", page.data ? page.data : "", page.len);
}

static struct job *next_job(struct auditor *a)
{
	struct job *j = NULL;
	pthread_mutex_lock(&a->lock);
	while (a->n == 0 && !a->stop)
		pthread_cond_wait(&a->work, &a->lock);
	if (a->n) {
		j = a->waiting[0];
		memmove(a->waiting, a->waiting + 1, --a->n * sizeof a->waiting[0]);
	}
	pthread_mutex_unlock(&a->lock);
	return j;
}

static void *read_trail(void *arg)
{
	struct auditor *a = arg;
	for (struct job *j; (j = next_job(a));) {
		answer(a, j);
		free(j);
	}
	return NULL;
}

static const struct ocu_http_route routes[] = {
    {.method = "GET", .pattern = "/v1/trail/head", .handler = get_head, .admit = admit},
    {.method = "GET", .pattern = "/v1/events", .handler = get_events, .admit = admit},
    {0},
};

int auditor_start(struct auditor **ret, const struct auditor_opts *o, struct ocu_error *err)
{
	struct auditor *a = calloc(1, sizeof *a);
	if (!a)
		return ocu_error_set(err, OCU_E_NOMEM, "auditor");
	a->opts = *o;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->work, NULL);
	struct ocu_httpd_opts h = {
	    .listen = o->listen,
	    .cert_path = o->identity->cert_path,
	    .key_path = o->identity->key_path,
	    .routes = routes,
	    .arg = a,
	    .threads = 1,
	    .max_conns = 64,
	};
	int rc = ocu_jwks_load(&a->keys, o->jwks_path, err);
	if (!rc && pthread_create(&a->thread, NULL, read_trail, a))
		rc = ocu_error_set(err, OCU_E_INTERNAL, "auditor thread");
	else
		a->running = rc == 0;
	if (!rc)
		rc = ocu_httpd_start(&a->http, &h, err);
	if (rc) {
		auditor_stop(a, 0);
		return rc;
	}
	*ret = a;
	return 0;
}

void auditor_stop(struct auditor *a, unsigned drain_ms)
{
	if (!a)
		return;
	ocu_httpd_stop(a->http, drain_ms);
	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_cond_signal(&a->work);
	pthread_mutex_unlock(&a->lock);
	if (a->running)
		pthread_join(a->thread, NULL);
	pthread_cond_destroy(&a->work);
	pthread_mutex_destroy(&a->lock);
	ocu_jwks_free(a->keys);
	free(a);
}

int auditor_port(const struct auditor *a)
{
	return ocu_httpd_port(a->http);
}
