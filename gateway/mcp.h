/*
 * mcp: the JSON-RPC side of MCP: which messages there are, in which protocol version, and what each does.
 * Source: modelcontextprotocol.io specification 2025-03-26, 2025-06-18 and 2025-11-25.
 */
#ifndef GATEWAY_MCP_H
#define GATEWAY_MCP_H

#include "gateway/exchange.h"

#define MCP_LATEST "2025-11-25"

bool mcp_version_known(const char *version);
/* Batches exist in 2025-03-26 only, whose clients send no MCP-Protocol-Version header. */
bool mcp_version_batches(const char *header);
/* Dispatches one message of the exchange; what must be answered is answered through calls of ex. A message
 * that is no valid JSON-RPC is answered with an error of id null. */
void mcp_message(struct exchange *ex, const json_t *message);
/* True for an initialize request: the only one that may come without a session. */
bool mcp_is_initialize(const json_t *message);
/* True when a tools/call in it asks for progress. */
bool mcp_wants_progress(const json_t *message);

#endif
