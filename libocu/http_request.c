/*
 * http_request: the life of one request, from its first line to its completion. MHD calls on_target once the
 * request line is in, on_request when the headers are, for each piece of body, when the body is complete, and
 * again after a resume; on_completed ends it. Every refusal before the handler runs is made here.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "libocu/clock.h"
#include "libocu/httpd_internal.h"

#define MIN_BYTES_PER_MS 16 /* slower than that on average, either way, and over the time-out, is cut off */

struct ocu_http_req *ocu_http_req_new(struct ocu_httpd *h, struct MHD_Connection *conn,
                                      const char *raw_target)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct ocu_http_req *r = info && info->socket_context ? calloc(1, sizeof *r) : NULL;
	struct ocu_error err = {0};

	if (!r)
		return NULL;
	r->h = h;
	atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
	r->conn = conn;
	r->link = info->socket_context;
	r->body_fd = -1;
	r->start_ns = ocu_mono_ns();
	atomic_init(&r->refs, 2); /* MHD's, and that of whoever owes the answer */
	pthread_mutex_init(&r->lock, NULL);
	r->refused = ocu_http_target_parse(&r->target, raw_target ? raw_target : "", &err);
	return r;
}

void ocu_http_req_unref(struct ocu_http_req *r, unsigned n)
{
	if (atomic_fetch_sub_explicit(&r->refs, n, memory_order_acq_rel) != n)
		return;
	if (r->drop)
		r->drop(r->user);
	if (r->response)
		MHD_destroy_response(r->response);
	if (r->body_fd >= 0)
		close(r->body_fd);
	for (unsigned i = 0; i < r->n_out; i++) {
		free(r->out[i].name);
		free(r->out[i].value);
	}
	ocu_http_target_done(&r->target);
	ocu_http_match_done(&r->match);
	free(r->stream.data);
	free(r->body);
	free(r->ip);
	pthread_mutex_destroy(&r->lock);
	ocu_httpd_unref(r->h);
	free(r);
}

void *ocu_http_on_target(void *cls, const char *raw_target, struct MHD_Connection *conn)
{
	return ocu_http_req_new(cls, conn, raw_target);
}

/* --- headers --- */

struct shape {
	struct ocu_http_req *r;
	unsigned n_length, n_transfer, n_host;
	const char *length, *transfer, *trace;
};

static enum MHD_Result look(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct shape *s = cls;

	(void)kind;
	switch (name[0] | 0x20) {
	case 'c':
		if (strcasecmp(name, "Content-Length") == 0) {
			s->n_length++;
			s->length = value;
		}
		break;
	case 't':
		if (strcasecmp(name, "Transfer-Encoding") == 0) {
			s->n_transfer++;
			s->transfer = value;
		}
		break;
	case 'h':
		if (strcasecmp(name, "Host") == 0)
			s->n_host++;
		break;
	case 'a':
		if (strcasecmp(name, "Authorization") == 0)
			s->r->n_auth++;
		break;
	case 'x':
		if (strcasecmp(name, "X-Correlation-Id") == 0)
			s->trace = value;
		break;
	}
	return MHD_YES;
}

/* Digits only; what does not fit is read as the largest number, which is over every limit. */
static bool parse_length(const char *s, uint64_t *ret)
{
	uint64_t v = 0;

	if (!s || !*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		v = v > (UINT64_MAX - 9) / 10 ? UINT64_MAX : v * 10 + (uint64_t)(*s - '0');
	}
	*ret = v;
	return true;
}

/* Message framing that two parsers could read in two ways is refused (RFC 9112 sections 6.1, 6.3, 3.2): MHD
 * would take the first of two lengths, and the transfer coding over a length. */
static int check_framing(const struct shape *s, struct ocu_error *err)
{
	struct ocu_http_req *r = s->r;

	if (s->n_length > 1 || s->n_transfer > 1 || (s->n_length && s->n_transfer) || s->n_host > 1)
		return ocu_error_set(err, OCU_E_PARSE, "ambiguous message framing");
	if (s->n_transfer && (!s->transfer || strcasecmp(s->transfer, "chunked") != 0))
		return ocu_error_set(err, OCU_E_PARSE, "transfer coding not accepted");
	r->has_body = s->n_transfer > 0;
	if (s->n_length) {
		if (!parse_length(s->length, &r->content_length))
			return ocu_error_set(err, OCU_E_PARSE, "malformed Content-Length");
		r->has_length = true;
		r->has_body = r->content_length > 0;
	}
	r->framed = true;
	return 0;
}

/* Everything that can be decided before a byte of the body is taken. */
static int admit(struct ocu_http_req *r, const char *method, struct ocu_error *err)
{
	struct shape s = {.r = r};
	const struct ocu_http_route *route;
	int rc;

	MHD_get_connection_values(r->conn, MHD_HEADER_KIND, look, &s);
	if (s.trace && ocu_id_valid(OCU_ID_TRACE, s.trace))
		memcpy(r->trace, s.trace, strlen(s.trace) + 1);
	else
		ocu_id_new(OCU_ID_TRACE, r->trace);
	rc = check_framing(&s, err);
	if (rc)
		return rc;
	if (r->refused)
		return ocu_error_set(err, r->refused, "malformed request target");
	rc = ocu_http_route_find(r->h->opts.routes, method, r->target.path, &r->match, err);
	if (rc)
		return rc;
	route = r->match.route;
	r->body_max = route->max_body;
	r->body_over = OCU_E_TOO_LARGE;
	if (r->has_length && r->content_length > route->max_body)
		return ocu_error_set(err, OCU_E_TOO_LARGE, "body over %zu bytes", route->max_body);
	rc = route->admit ? route->admit(r, r->h->opts.arg, err) : 0;
	return rc ? rc : ocu_http_body_open(r, err);
}

static void set_deadline(struct ocu_http_req *r, uint64_t from_ms, uint64_t bytes)
{
	atomic_store_explicit(&r->link->deadline_ms,
	                      from_ms + r->h->opts.timeout_s * UINT64_C(1000) + bytes / MIN_BYTES_PER_MS,
	                      memory_order_relaxed);
}

/* --- passing the answer on --- */

static enum MHD_Result queue_answer(struct ocu_http_req *r)
{
	struct MHD_Response *response;
	enum MHD_Result ok;
	int status;

	pthread_mutex_lock(&r->lock);
	response = r->response;
	r->response = NULL;
	status = r->status;
	pthread_mutex_unlock(&r->lock);
	/* An answer is memory until it has been taken. */
	if (!r->stream.on)
		set_deadline(r, ocu_mono_ms(), r->answer_size);
	ok = response ? MHD_queue_response(r->conn, (unsigned)status, response) : MHD_NO;
	if (response)
		MHD_destroy_response(response);
	return ok;
}

/* Who may not ask does not keep a connection either, which others wait for. */
static bool nobody(const struct ocu_error *err)
{
	int status = ocu_err_http(err->code);

	return status == 401 || status == 403;
}

static void refuse(struct ocu_http_req *r, const struct ocu_error *err)
{
	char allow[128];

	r->handed = true; /* answered here: nobody else owes one */
	/* Whatever of the body is still to come, or was not understood, must not be read as a next request.
	 */
	if (!r->framed || r->has_body || nobody(err))
		ocu_http_set_header(r, "Connection", "close");
	if (err->code == OCU_E_UNKNOWN_METHOD && !r->match.route) {
		ocu_http_route_allow(r->h->opts.routes, r->target.path, allow, sizeof allow);
		ocu_http_set_header(r, "Allow", allow);
		r->force_status = 405;
	}
	ocu_http_reply_error(r, err);
}

static enum MHD_Result begin(struct ocu_http_req *r, const char *method)
{
	struct ocu_error err = {0};
	int rc;

	if (!ocu_http_enter(r->h))
		return MHD_NO;
	r->begun = true;
	r->method = method;
	r->phase = HTTP_RUNNING_R;
	rc = admit(r, method, &err);
	err.code = rc;
	if (rc)
		refuse(r, &err);
	ocu_http_exit(r->h);
	if (!rc)
		return MHD_YES;
	/* MHD closes after an answer given this early. Without a body on its way it asks once more, and then
	 * keeps the connection. */
	return !r->framed || r->has_body ? queue_answer(r) : MHD_YES;
}

static enum MHD_Result take_body(struct ocu_http_req *r, const char *data, size_t *size)
{
	size_t len = *size;

	if (!r->refused) {
		r->refused = ocu_http_body_add(r, data, len);
		set_deadline(r, r->start_ns / 1000000, r->body_len);
	}
	if (r->refused) {
		/* MHD cannot answer in the middle of a body: a little more is read, then the connection is
		 * cut. */
		r->discarded += len;
		if (r->discarded > HTTP_DISCARD_MAX)
			return MHD_NO;
	}
	*size = 0;
	return MHD_YES;
}

/* Runs the handler; true when it is to be answered now. */
static bool hand_over(struct ocu_http_req *r)
{
	struct ocu_httpd *h = r->h;
	struct ocu_error err = {0};

	atomic_fetch_add(&h->active, 1);
	atomic_fetch_add(&h->pinning, 1);
	r->handed = r->counted = r->pinned = true;
	atomic_store_explicit(&r->link->deadline_ms, 0, memory_order_relaxed);
	if (atomic_load(&h->stopping) != HTTP_RUNNING) {
		ocu_error_set(&err, OCU_E_UNAVAILABLE, "stopping");
		ocu_http_set_header(r, "Connection", "close");
		ocu_http_reply_error(r, &err);
	} else if (r->refused) {
		ocu_error_set(&err, r->refused, "request body");
		ocu_http_set_header(r, "Connection", "close");
		ocu_http_reply_error(r, &err);
	} else {
		if (r->body_fd >= 0)
			lseek(r->body_fd, 0, SEEK_SET);
		r->match.route->handler(r, h->opts.arg);
	}
	pthread_mutex_lock(&r->lock);
	bool now = r->answered;
	if (!now)
		ocu_http_suspend(r);
	pthread_mutex_unlock(&r->lock);
	return now;
}

enum MHD_Result ocu_http_on_request(void *cls, struct MHD_Connection *conn, const char *url,
                                    const char *method, const char *version, const char *data, size_t *size,
                                    void **req)
{
	struct ocu_http_req *r = *req;

	(void)cls;
	(void)conn;
	(void)url;
	(void)version;
	if (!r)
		return MHD_NO;
	if (!r->begun)
		return begin(r, method);
	if (*size)
		return take_body(r, data, size);
	if (!r->handed) {
		if (!ocu_http_enter(r->h))
			return MHD_NO;
		bool now = hand_over(r);
		ocu_http_exit(r->h);
		if (!now)
			return MHD_YES;
	}
	return queue_answer(r);
}

void ocu_http_on_completed(void *cls, struct MHD_Connection *conn, void **req,
                           enum MHD_RequestTerminationCode code)
{
	struct ocu_http_req *r = *req;
	struct ocu_httpd *h = cls;
	bool counted;

	(void)conn;
	(void)code;
	if (!r)
		return;
	*req = NULL;
	pthread_mutex_lock(&r->lock);
	r->phase = HTTP_DONE;
	pthread_mutex_unlock(&r->lock);
	ocu_http_stream_lost(r);
	counted = r->counted;
	if (h->opts.finished && r->begun && ocu_http_enter(h)) {
		h->opts.finished(r, r->status ? r->status : ocu_err_http(OCU_E_CANCELLED),
		                 (ocu_mono_ns() - r->start_ns) / 1000, h->opts.arg);
		ocu_http_exit(h);
	}
	/* The next request on this connection starts now; idling counts against it. */
	atomic_store_explicit(&r->link->deadline_ms, ocu_mono_ms() + h->opts.timeout_s * UINT64_C(1000),
	                      memory_order_relaxed);
	/* One that never got as far as owing an answer gives the answerer's reference back as well. */
	ocu_http_req_unref(r, r->handed ? 1 : 2);
	if (counted)
		ocu_http_leave(h);
}
