/* jwt_internal: what jwt.c, jwks.c and signer.c share and nobody else uses. */
#ifndef OCU_JWT_INTERNAL_H
#define OCU_JWT_INTERNAL_H

#include <openssl/evp.h>
#include <stddef.h>

struct ocu_error;
struct ocu_jwks;

#define OCU_JWKS_KEYS_MAX 256
#define OCU_KID_MAX       256 /* bytes with the NUL */

enum ocu_jwk_kind { OCU_JWK_EDDSA, OCU_JWK_ES256, OCU_JWK_RS256 };

struct ocu_jwk {
	char kid[OCU_KID_MAX];
	char *sub; /* NULL: may sign for any subject */
	enum ocu_jwk_kind kind;
	EVP_PKEY *pkey;
};

/* Borrowed key, or NULL. */
const struct ocu_jwk *ocu_jwks_find(const struct ocu_jwks *k, const char *kid);
/* 0 or OCU_E_TOKEN_SIGNATURE. JWS signature forms: 64 bytes for EdDSA and ES256, the modulus' size for RS256.
 */
int ocu_jwk_verify(const struct ocu_jwk *key, const void *data, size_t len, const unsigned char *sig,
                   size_t siglen, struct ocu_error *err);
/* The JWS name of what a key of this kind makes. */
const char *ocu_jwk_alg(enum ocu_jwk_kind kind);

#endif
