/*
 * auth: from a bearer token to a caller. Verifies signature, issuer, audience and expiry; asks the denylist
 * about the token and the caller on every request. Verified tokens are remembered by their SHA-256 only.
 */
#ifndef GATEWAY_AUTH_H
#define GATEWAY_AUTH_H

#include "gateway/gateway.h"

int auth_new(struct auth **ret, struct gateway *g, struct ocu_error *err);
void auth_free(struct auth *a);
/* 0 with *ret filled; UNAUTHENTICATED when token is NULL, a TOKEN_* code, CALLER_DENIED, STALE_DENYLIST.
 * Thread-safe; blocks for one signature check at most. */
int auth_check(struct auth *a, const char *token, struct caller *ret, struct ocu_error *err);

#endif
