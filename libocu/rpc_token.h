/*
 * rpc_token: the internal token, an EdDSA JWT that repeats inside the message who the certificate says the
 * sender is: iss = sub = the sender's SPIFFE id, aud = the callee's, at most 60 minutes. Private to rpc and
 * denylist.
 */
#ifndef OCU_RPC_TOKEN_H
#define OCU_RPC_TOKEN_H

#include <pthread.h>
#include <stdint.h>

#include "libocu/jwt.h"
#include "libocu/peer.h"

struct ocu_error;
struct ocu_identity;

#define OCU_RPC_TOKEN_TTL_S     1800 /* of a minted token; replaced at half of it */
#define OCU_RPC_TOKEN_TTL_MAX_S 3600 /* of an accepted token */

/* Mints tokens for one callee after the other. Thread-safe. */
struct ocu_rpc_minter {
	pthread_mutex_t lock;
	const struct ocu_identity *identity;
	char audience[OCU_SPIFFE_MAX];
	uint64_t renew_at_ms; /* monotonic */
	char *token;
	size_t len;
};

void ocu_rpc_minter_init(struct ocu_rpc_minter *m, const struct ocu_identity *identity);
void ocu_rpc_minter_done(struct ocu_rpc_minter *m);
/* Copies the current token for this audience into out; a new one is signed when there is none or it is past
 * half its life. */
int ocu_rpc_minter_get(struct ocu_rpc_minter *m, const char *audience, char out[OCU_JWT_MAX], size_t *len,
                       struct ocu_error *err);

/* The last token one peer proved itself with, so that the next call costs a comparison. Thread-safe. */
struct ocu_rpc_verifier {
	pthread_mutex_t lock;
	int64_t exp_s;          /* wall clock, as the token says */
	uint64_t expires_at_ms; /* the same on the monotonic clock: whichever comes first (NFR-SEC-48) */
	size_t len;             /* 0: nothing verified yet */
	char token[OCU_JWT_MAX];
};

void ocu_rpc_verifier_init(struct ocu_rpc_verifier *v);
void ocu_rpc_verifier_done(struct ocu_rpc_verifier *v);
/* 0 when the token is valid, names exactly `peer`, and is for identity's own id. OCU_E_UNAUTHENTICATED when
 * there is none, else a TOKEN_* code. */
int ocu_rpc_verifier_check(struct ocu_rpc_verifier *v, const struct ocu_identity *identity,
                           const struct ocu_peer *peer, const char *token, size_t len, struct ocu_error *err);

#endif
