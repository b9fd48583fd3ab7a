/*
 * http_reply: making an answer and passing it to MHD, at once when the handler still runs, else by waking the
 * suspended connection. Error bodies carry the closed vocabulary and the correlation id, never the internal
 * text.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/httpd_internal.h"

#define ERROR_BODY_MAX 2048
#define JSON_TYPE      "application/json"

void ocu_http_set_header(struct ocu_http_req *r, const char *name, const char *value)
{
	char *n, *v;

	if (r->n_out == HTTP_HEADERS_OUT)
		return;
	n = strdup(name);
	v = strdup(value);
	if (!n || !v) {
		free(n);
		free(v);
		return;
	}
	r->out[r->n_out++] = (struct http_header){.name = n, .value = v};
}

static bool has_header(const struct ocu_http_req *r, const char *name)
{
	for (unsigned i = 0; i < r->n_out; i++)
		if (strcasecmp(r->out[i].name, name) == 0)
			return true;
	return false;
}

/* MHD refuses names and values with line ends, so nothing here can split a response. */
static void add_headers(const struct ocu_http_req *r, int status, struct MHD_Response *m,
                        const char *content_type)
{
	MHD_add_response_header(m, "X-Correlation-Id", r->trace);
	if (content_type)
		MHD_add_response_header(m, "Content-Type", content_type);
	/* RFC 9110 11.6.1 wants a challenge with every 401; the daemon may have set a more telling one. */
	if (status == 401 && !has_header(r, "WWW-Authenticate"))
		MHD_add_response_header(m, "WWW-Authenticate", "Bearer");
	for (unsigned i = 0; i < r->n_out; i++)
		MHD_add_response_header(m, r->out[i].name, r->out[i].value);
}

static struct MHD_Response *text_response(const void *body, size_t len)
{
	if (len == 0)
		return MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
	return MHD_create_response_from_buffer(len, (void *)body, MHD_RESPMEM_MUST_COPY);
}

void ocu_http_answer(struct ocu_http_req *r, int status, struct MHD_Response *response, bool keep)
{
	struct MHD_Response *surplus = NULL;
	bool first, unpin;

	pthread_mutex_lock(&r->lock);
	first = !r->answered;
	unpin = first && r->pinned;
	if (first) {
		r->answered = true;
		r->pinned = false;
		r->status = r->force_status ? r->force_status : status;
		r->response = response;
		if (r->phase == HTTP_SUSPENDED)
			ocu_http_resume(r);
	} else {
		surplus = response;
	}
	pthread_mutex_unlock(&r->lock);
	if (surplus)
		MHD_destroy_response(surplus);
	if (unpin)
		ocu_http_unpin(r->h);
	if (first && !keep)
		ocu_http_req_unref(r, 1);
}

/* No memory for an answer: what is left is a bare status, and if not even that, a closed connection. */
static void answer_or_bare(struct ocu_http_req *r, int status, struct MHD_Response *m,
                           const char *content_type)
{
	if (!m) {
		status = 503;
		content_type = NULL;
		m = text_response(NULL, 0);
	}
	if (m)
		add_headers(r, r->force_status ? r->force_status : status, m, content_type);
	ocu_http_answer(r, status, m, false);
}

void ocu_http_reply(struct ocu_http_req *r, int status, const char *content_type, const void *body,
                    size_t len)
{
	r->answer_size = len;
	answer_or_bare(r, status, text_response(body, len), content_type);
}

void ocu_http_reply_json(struct ocu_http_req *r, int status, json_t *steal)
{
	char *text = json_dumps(steal, JSON_COMPACT | JSON_ENCODE_ANY);
	struct MHD_Response *m = NULL;

	json_decref(steal);
	r->answer_size = text ? strlen(text) : 0;
	if (text)
		m = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
	if (text && !m)
		free(text);
	answer_or_bare(r, status, m, JSON_TYPE);
}

/* Texts of schema failures are made for clients (schema.h); every other text may name what they must not see.
 */
static const char *client_text(const struct ocu_error *err)
{
	bool told = err->code == OCU_E_PARAMS || err->code == OCU_E_UNKNOWN_FIELD;

	return told && err->text[0] ? err->text : ocu_err_text(err->code);
}

static void default_error_body(struct ocu_http_req *r, const struct ocu_error *err)
{
	OCU_BUF struct ocu_buf b = OCU_BUF_INIT(ERROR_BODY_MAX);
	const char *text = client_text(err);

	ocu_buf_puts(&b, "{\"error\":{\"code\":");
	ocu_buf_json_string(&b, ocu_err_reason(err->code), strlen(ocu_err_reason(err->code)));
	ocu_buf_puts(&b, ",\"message\":");
	ocu_buf_json_string(&b, text, strlen(text));
	ocu_buf_printf(&b, ",\"correlation_id\":\"%s\"}}", r->trace);
	if (b.failed)
		ocu_http_reply(r, ocu_err_http(err->code), NULL, NULL, 0);
	else
		ocu_http_reply(r, ocu_err_http(err->code), JSON_TYPE, b.data, b.len);
}

void ocu_http_reply_error(struct ocu_http_req *r, const struct ocu_error *err)
{
	if (!r->h->opts.error_body || r->in_error_body || atomic_load(&r->h->stopping) == HTTP_ABANDONED) {
		default_error_body(r, err);
		return;
	}
	r->in_error_body = true; /* an error body that fails falls back to the default one */
	r->h->opts.error_body(r, err, r->h->opts.arg);
}

void ocu_http_reply_fd(struct ocu_http_req *r, int status, const char *content_type, int fd, uint64_t offset,
                       uint64_t size)
{
	struct MHD_Response *m =
	    size ? MHD_create_response_from_fd_at_offset64(size, fd, offset) : text_response(NULL, 0);

	r->answer_size = size;
	if (!size || !m)
		close(fd);
	answer_or_bare(r, status, m, content_type);
}
