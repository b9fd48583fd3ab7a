/*
 * gateway: what the MCP gateway's parts share. The gateway terminates MCP over HTTP, authenticates the caller
 * and forwards tool calls. It holds in-flight requests and short-lived grants, no upstream credential, no
 * lifecycle or kill route, no session registry, and no caller token beyond the request that carried it.
 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include <stdbool.h>
#include <stdint.h>

#include "libocu/audit.h"
#include "libocu/daemon.h"
#include "libocu/denylist.h"
#include "libocu/err.h"
#include "libocu/httpd.h"
#include "libocu/rpc.h"

#define CALLER_MAX        128
#define MCP_ARGUMENTS_MAX (256u << 10) /* tool arguments, bytes of JSON */
#define MCP_RESULT_MAX    (1u << 20)   /* one tool result, bytes of JSON */
#define MCP_BODY_MAX      (MCP_ARGUMENTS_MAX + (64u << 10))

struct auth;
struct hosts;
struct policy;
struct routes;
struct sandboxes;
struct inflight;
struct mcp_sessions;

struct gateway {
	struct ocu_daemon d;
	struct ocu_audit *audit;
	struct ocu_denylist *denylist;
	struct ocu_rpc_client *operatord;
	struct ocu_httpd *http;
	struct auth *auth;
	struct hosts *hosts;
	struct policy *policy;
	struct mcp_sessions *sessions;
	struct routes *routes;
	struct sandboxes *sandboxes;
	struct inflight *inflight;
	char resource_url[512]; /* <public_url>/mcp */
	char metadata_url[512];
	uint32_t tool_timeout_ms;
};

/* The validated principal of one request. */
struct caller {
	char sub[CALLER_MAX];
	char token_id[64];
};

extern const struct ocu_daemon_spec gateway_spec;    /* conf.c */
extern const struct ocu_http_route gateway_routes[]; /* endpoint.c */

#endif
