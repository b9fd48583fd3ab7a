/*
 * exchange: one HTTP request to /mcp and the JSON-RPC calls in it. It is answered once, when its last call
 * has answered: as JSON, or as an SSE stream when the client asked for progress. Calls answer from any
 * thread.
 */
#ifndef GATEWAY_EXCHANGE_H
#define GATEWAY_EXCHANGE_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>

#include "gateway/gateway.h"
#include "gateway/inflight.h"
#include "gateway/mcp_session.h"
#include "libocu/buf.h"

#define BATCH_MAX 32

/* Who asks, and what is kept for as long as the HTTP request lasts. */
struct visitor {
	struct caller caller;
	struct untaken untaken;
};

struct exchange {
	struct gateway *g;
	struct ocu_http_req *http;
	struct caller caller;
	const char *session_id; /* the valid Mcp-Session-Id, or NULL; lives as long as http */
	char hint[HINT_MAX];    /* "" when the request names neither MCP session nor chat */
	bool batch, stream;
	pthread_mutex_t lock;
	unsigned pending; /* calls to answer, plus one while they are being dispatched */
	unsigned answers;
	struct ocu_buf out;
};

/* One JSON-RPC request. Freed when answered. */
struct call {
	struct exchange *ex;
	json_t *id;
	json_t *progress_token; /* NULL: none asked */
	const char *trace;
	const struct tool *tool;
	char call_id[40];
	char session[40]; /* ours, set once routed; never leaves the process outward */
	char filesystem_id[40];
	char files_url[256]; /* where that file system is reached; "" when clients are not told */
	char url[256];       /* sandboxd that runs it */
	char grant[4097];
	json_t *arguments;
	bool cancelled; /* under inflight's lock */
	bool regranted; /* once a call: sandboxd found its grant expired, and another was asked for */
	uint64_t started_ms, reported_ms; /* monotonic; of the last progress */
	struct call *prev, *next;         /* inflight's list */
};

/* Of the visitor of http. */
int exchange_new(struct exchange **ret, struct gateway *g, struct ocu_http_req *http, struct ocu_error *err);
/* Frees an exchange in which nothing was dispatched; the HTTP request is the caller's again. */
void exchange_abandon(struct exchange *ex);
/* Releases the dispatcher's hold; answers when no call is left. */
void exchange_dispatched(struct exchange *ex);

/* progress_token: NULL for none. */
struct call *call_new(struct exchange *ex, const json_t *id, const json_t *progress_token);
/* Each answers the call and frees it. result: JSON text. */
void call_result(struct call *c, const struct ocu_buf *result);
void call_result_text(struct call *c, const char *json);
/* A JSON-RPC error; message NULL: the code's own text. data carries the reason word and correlation id. */
void call_error(struct call *c, int code, const char *message);
/* SSE only: a notification in the same stream; quietly nothing on a JSON exchange. */
void call_progress(struct call *c, double progress, const char *message);

/* Renders a JSON-RPC error object with the given id (NULL: null). */
void jsonrpc_error(struct ocu_buf *out, const json_t *id, int code, const char *message, const char *trace);

#endif
