#include "gateway/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/inflight.h"
#include "libocu/clock.h"
#include "libocu/id.h"
#include "libocu/json.h"

#define BATCH_OUT_MAX ((size_t)4 << 20) /* what the answers of a batch may have together */
#define OUT_MAX       (BATCH_OUT_MAX + (size_t)BATCH_MAX * 16384)

int exchange_new(struct exchange **ret, struct gateway *g, struct ocu_http_req *http, struct ocu_error *err)
{
	struct exchange *ex = calloc(1, sizeof *ex);
	if (!ex)
		return ocu_error_set(err, OCU_E_NOMEM, "exchange");
	ex->g = g;
	ex->http = http;
	ex->caller = ((const struct visitor *)ocu_http_user(http))->caller;
	ex->pending = 1;
	ocu_buf_init(&ex->out, OUT_MAX);
	pthread_mutex_init(&ex->lock, NULL);
	*ret = ex;
	return 0;
}

void exchange_abandon(struct exchange *ex)
{
	ocu_buf_done(&ex->out);
	pthread_mutex_destroy(&ex->lock);
	free(ex);
}

static void exchange_answer(struct exchange *ex)
{
	struct ocu_http_req *http = ex->http;
	struct visitor *v = ocu_http_user(http);
	inflight_hold(ex->g->inflight, &v->untaken, ex->caller.sub, ex->answers);
	if (ex->stream) {
		ocu_http_stream_end(http);
	} else if (ex->answers == 0) {
		ocu_http_reply(http, 202, NULL, "", 0);
	} else if (ex->out.failed) {
		struct ocu_error err = {.code = OCU_E_TOO_LARGE};
		ocu_http_reply_error(http, &err);
	} else {
		if (ex->batch)
			ocu_buf_putc(&ex->out, ']');
		ocu_http_reply(http, 200, "application/json", ex->out.data, ex->out.len);
	}
	exchange_abandon(ex);
}

static void release(struct exchange *ex)
{
	pthread_mutex_lock(&ex->lock);
	bool last = --ex->pending == 0;
	pthread_mutex_unlock(&ex->lock);
	if (last)
		exchange_answer(ex);
}

void exchange_dispatched(struct exchange *ex)
{
	release(ex);
}

/* Called with the lock held. */
static void stream_event(struct exchange *ex, const struct ocu_buf *json)
{
	OCU_BUF struct ocu_buf b = OCU_BUF_INIT(OUT_MAX);
	ocu_buf_puts(&b, "event: message\ndata: ");
	ocu_buf_put(&b, json->data, json->len);
	ocu_buf_puts(&b, "\n\n");
	if (!b.failed)
		ocu_http_stream_write(ex->http, b.data, b.len);
}

/* Called with the lock held. */
static void add_answer(struct exchange *ex, const struct call *c, const struct ocu_buf *json)
{
	OCU_BUF struct ocu_buf instead = OCU_BUF_INIT(16384);
	if (ex->batch &&
	    json->len > BATCH_OUT_MAX - (ex->out.len < BATCH_OUT_MAX ? ex->out.len : BATCH_OUT_MAX)) {
		jsonrpc_error(&instead, c->id, OCU_E_TOO_LARGE,
		              "the answers of this batch are too large together; call by itself", c->trace);
		json = &instead;
	}
	if (ex->batch)
		ocu_buf_putc(&ex->out, ex->answers ? ',' : '[');
	ocu_buf_put(&ex->out, json->data, json->len);
}

static void answer(struct call *c, const struct ocu_buf *json)
{
	struct exchange *ex = c->ex;
	inflight_remove(ex->g->inflight, c);
	pthread_mutex_lock(&ex->lock);
	if (ex->stream)
		stream_event(ex, json);
	else
		add_answer(ex, c, json);
	ex->answers++;
	pthread_mutex_unlock(&ex->lock);
	json_decref(c->id);
	json_decref(c->progress_token);
	json_decref(c->arguments);
	free(c);
	release(ex);
}

struct call *call_new(struct exchange *ex, const json_t *id, const json_t *progress_token)
{
	struct call *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->ex = ex;
	c->id = json_incref((json_t *)id);
	c->progress_token = json_incref((json_t *)progress_token);
	c->trace = ocu_http_trace(ex->http);
	c->started_ms = c->reported_ms = ocu_mono_ms();
	ocu_id_new("call_", c->call_id);
	pthread_mutex_lock(&ex->lock);
	ex->pending++;
	pthread_mutex_unlock(&ex->lock);
	inflight_add(ex->g->inflight, c);
	return c;
}

static void head(struct ocu_buf *b, const json_t *id)
{
	ocu_buf_puts(b, "{\"jsonrpc\":\"2.0\",\"id\":");
	if (json_is_string(id))
		ocu_buf_json_string(b, json_string_value(id), json_string_length(id));
	else if (json_is_integer(id))
		ocu_buf_printf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
	else
		ocu_buf_puts(b, "null");
}

void jsonrpc_error(struct ocu_buf *b, const json_t *id, int code, const char *message, const char *trace)
{
	const char *text = message && *message ? message : ocu_err_text(code);
	size_t len = strnlen(text, 1024);
	head(b, id);
	ocu_buf_printf(b, ",\"error\":{\"code\":%d,\"message\":", ocu_err_jsonrpc(code));
	ocu_buf_json_string(b, text, len);
	ocu_buf_printf(b, ",\"data\":{\"reason\":\"%s\",\"correlation_id\":\"%s\"}}}", ocu_err_reason(code),
	               trace);
}

void call_result_text(struct call *c, const char *json)
{
	OCU_BUF struct ocu_buf b = OCU_BUF_INIT(MCP_RESULT_MAX + 4096);
	head(&b, c->id);
	ocu_buf_puts(&b, ",\"result\":");
	ocu_buf_puts(&b, json);
	ocu_buf_putc(&b, '}');
	answer(c, &b);
}

void call_result(struct call *c, const struct ocu_buf *result)
{
	if (result->failed) {
		call_error(c, OCU_E_TOO_LARGE, "the result is too large");
		return;
	}
	call_result_text(c, result->data);
}

void call_error(struct call *c, int code, const char *message)
{
	OCU_BUF struct ocu_buf b = OCU_BUF_INIT(16384);
	jsonrpc_error(&b, c->id, code, message, c->trace);
	answer(c, &b);
}

void call_progress(struct call *c, double progress, const char *message)
{
	struct exchange *ex = c->ex;
	OCU_BUF struct ocu_buf b = OCU_BUF_INIT(8192);
	if (!ex->stream || !c->progress_token)
		return;
	ocu_buf_puts(
	    &b, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":");
	if (json_is_string(c->progress_token))
		ocu_buf_json_string(&b, json_string_value(c->progress_token),
		                    json_string_length(c->progress_token));
	else
		ocu_buf_printf(&b, "%" JSON_INTEGER_FORMAT, json_integer_value(c->progress_token));
	ocu_buf_printf(&b, ",\"progress\":%.1f,\"message\":", progress);
	ocu_buf_json_string(&b, message, strlen(message));
	ocu_buf_puts(&b, "}}");
	pthread_mutex_lock(&ex->lock);
	if (!b.failed)
		stream_event(ex, &b);
	pthread_mutex_unlock(&ex->lock);
}
