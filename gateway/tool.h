/*
 * tool: one row per MCP tool: what clients are told (name, schemas, annotations) and how a call becomes an
 * RPC to sandboxd and its reply a result.
 */
#ifndef GATEWAY_TOOL_H
#define GATEWAY_TOOL_H

#include <jansson.h>

#include "gateway/exchange.h"
#include "libocu/rpc.h"
#include "libocu/schema.h"

struct tool {
	const char *name;
	const char *title;
	const char *description;
	const char *input;       /* JSON schema, closed */
	const char *output;      /* JSON schema of structuredContent */
	const char *annotations; /* JSON object */
	const struct ocu_rpc_method *method;
	/* Builds the request for checked arguments and hands it to tool_send(). */
	void (*request)(struct call *c, const json_t *args);
	/* Renders content and structuredContent members, starting with "content". limit bounds each text. */
	void (*render)(struct ocu_buf *out, const ProtobufCMessage *reply, size_t limit);
};

/* Compiles the schemas; the texts are the program's own. */
int tools_init(struct ocu_error *err);
void tools_done(void);
/* The whole result of tools/list, JSON text made once. */
const char *tools_list(void);
const struct tool *tool_find(const char *name);
/* Checks arguments against the closed schema. */
int tool_check(const struct tool *t, const json_t *args, struct ocu_error *err);

/* Validates, decides policy, routes and sends; answers the call in every case. args may be NULL (= {}). */
void tool_call(struct call *c, const struct tool *t, const json_t *args);
/* For request(): sends and answers the call with the rendered reply. extra_ms is added to the usual deadline.
 */
void tool_send(struct call *c, const ProtobufCMessage *request, uint32_t extra_ms);
/* Ends the work of the calls with this JSON-RPC id, of the exchange's caller and MCP session or chat, or
 * keeps it from beginning; the calls themselves are answered on their own way. */
void tool_cancel(struct exchange *ex, const json_t *id);

/* tool_bash.c, tool_files.c */
extern const struct tool tool_bash, tool_view, tool_create_file, tool_str_replace;

#endif
