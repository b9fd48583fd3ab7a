/*
 * mcp_session: Mcp-Session-Id without a registry. An id is a ULID and a MAC over it and the caller, so that
 * any gateway with the key knows its own ids after a restart, and another caller's id is worth nothing.
 */
#ifndef GATEWAY_MCP_SESSION_H
#define GATEWAY_MCP_SESSION_H

#include "gateway/gateway.h"

#define MCP_SESSION_ID_MAX 80
#define HINT_MAX           65 /* hex SHA-256 and NUL */

int mcp_sessions_new(struct mcp_sessions **ret, const char *key_path, struct ocu_error *err);
void mcp_sessions_free(struct mcp_sessions *m);
void mcp_session_id_new(const struct mcp_sessions *m, const char *caller, char out[MCP_SESSION_ID_MAX]);
bool mcp_session_id_valid(const struct mcp_sessions *m, const char *caller, const char *id);
/* What operatord sees instead of the id or of X-Chat-Id: kind separates the two name spaces. */
void mcp_session_hint(char kind, const char *id, char out[HINT_MAX]);

#endif
