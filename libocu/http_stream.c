/*
 * http_stream: an answer of unknown length, written piece by piece. MHD's thread pulls what is there; when
 * nothing is, the connection sleeps until the next write, the end, or the client's going away.
 */
#include <stdlib.h>
#include <string.h>

#include "libocu/httpd_internal.h"

#define BLOCK     16384
#define FIRST_CAP 4096

/* MHD's thread. */
static ssize_t pull(void *cls, uint64_t pos, char *out, size_t max)
{
	struct ocu_http_req *r = cls;
	struct http_stream *s = &r->stream;
	ssize_t n;

	(void)pos;
	pthread_mutex_lock(&r->lock);
	if (r->gone) {
		n = MHD_CONTENT_READER_END_WITH_ERROR;
	} else if (s->len > 0) {
		n = (ssize_t)(s->len < max ? s->len : max);
		memcpy(out, s->data + s->head, (size_t)n);
		s->head += (size_t)n;
		s->len -= (size_t)n;
		if (s->len == 0)
			s->head = 0;
	} else if (s->ended) {
		n = MHD_CONTENT_READER_END_OF_STREAM;
	} else {
		/* Counted before the check: a stopping server either sees this stream or is seen by it. */
		atomic_fetch_add(&r->h->pinning, 1);
		if (atomic_load(&r->h->stopping) >= HTTP_CLOSING) {
			ocu_http_unpin(r->h);
			n = MHD_CONTENT_READER_END_WITH_ERROR;
		} else {
			r->pinned = true;
			ocu_http_suspend(r);
			n = 0;
		}
	}
	pthread_mutex_unlock(&r->lock);
	return n;
}

/* r->lock is held. */
static void wake(struct ocu_http_req *r)
{
	if (r->phase != HTTP_SUSPENDED)
		return;
	ocu_http_resume(r);
	r->pinned = false;
	ocu_http_unpin(r->h);
}

int ocu_http_stream_start(struct ocu_http_req *r, int status, const char *content_type)
{
	struct MHD_Response *m = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, pull, r, NULL);

	if (!m)
		return OCU_E_NOMEM;
	MHD_add_response_header(m, "X-Correlation-Id", r->trace);
	if (content_type)
		MHD_add_response_header(m, "Content-Type", content_type);
	for (unsigned i = 0; i < r->n_out; i++)
		MHD_add_response_header(m, r->out[i].name, r->out[i].value);
	r->stream.on = true;
	ocu_http_answer(r, status, m, true);
	return 0;
}

static int append(struct http_stream *s, const void *data, size_t len)
{
	size_t cap = s->cap ? s->cap : FIRST_CAP;

	if (s->head > 0 && s->head + s->len + len > s->cap) {
		memmove(s->data, s->data + s->head, s->len);
		s->head = 0;
	}
	while (cap < s->len + len)
		cap *= 2;
	if (cap > s->cap) {
		char *p = realloc(s->data, cap);
		if (!p)
			return OCU_E_NOMEM;
		s->data = p;
		s->cap = cap;
	}
	memcpy(s->data + s->head + s->len, data, len);
	s->len += len;
	return 0;
}

int ocu_http_stream_write(struct ocu_http_req *r, const void *data, size_t len)
{
	int rc;

	if (len > HTTP_WRITE_MAX)
		return OCU_E_TOO_LARGE;
	pthread_mutex_lock(&r->lock);
	if (r->gone || r->phase == HTTP_DONE)
		rc = OCU_E_CANCELLED;
	else if (!r->stream.on || r->stream.ended)
		rc = OCU_E_STATE;
	else if (r->stream.len > HTTP_STREAM_MAX)
		rc = OCU_E_BUSY;
	else
		rc = len ? append(&r->stream, data, len) : 0;
	if (!rc && len)
		wake(r);
	pthread_mutex_unlock(&r->lock);
	return rc;
}

void ocu_http_stream_end(struct ocu_http_req *r)
{
	pthread_mutex_lock(&r->lock);
	r->stream.ended = true;
	wake(r);
	pthread_mutex_unlock(&r->lock);
	ocu_http_req_unref(r, 1);
}

/* MHD has ended the request; if the stream was not at its end, the client went away while being sent to. */
void ocu_http_stream_lost(struct ocu_http_req *r)
{
	void (*gone)(struct ocu_http_req *, void *) = NULL;

	pthread_mutex_lock(&r->lock);
	if (r->stream.on && !r->stream.ended && !r->gone) {
		r->gone = true;
		gone = r->on_gone;
	}
	pthread_mutex_unlock(&r->lock);
	if (gone)
		gone(r, r->user);
}
