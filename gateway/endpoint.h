/*
 * endpoint: the HTTP side of MCP (Streamable HTTP): what is checked before a body byte is read, which headers
 * count, and the RFC 9728 metadata that tells a client where to get a token.
 */
#ifndef GATEWAY_ENDPOINT_H
#define GATEWAY_ENDPOINT_H

#include "gateway/gateway.h"

/* Shapes an error body: JSON-RPC for /mcp. */
void endpoint_error(struct ocu_http_req *r, const struct ocu_error *err, void *arg);

#endif
