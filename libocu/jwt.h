/*
 * jwt: compact JWS tokens (RFC 7515, 7519, 8037). Signs EdDSA (Ed25519) only; verifies EdDSA, ES256 and
 * RS256 as the key's own kind says, never as the header says. `kid` is required and must name a key of the
 * set; alg "none", HS*, a `crit` header, or an alg that is not the key's are refused. Tokens are at most
 * 4 KiB. Times are checked with ocu_wall_s() and a leeway of 30 s only on nbf/iat, none on exp.
 */
#ifndef OCU_JWT_H
#define OCU_JWT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct ocu_error;
struct ocu_jwks;
struct ocu_signer;

#define OCU_JWT_MAX 4096

/* A signing key: PEM PKCS#8 Ed25519 file, mode must not be group/other accessible. kid is the RFC 7638
 * thumbprint. Thread-safe. */
int ocu_signer_load(struct ocu_signer **ret, const char *pem_path, struct ocu_error *err);
int ocu_signer_generate(struct ocu_signer **ret, struct ocu_error *err);
int ocu_signer_save(const struct ocu_signer *s, const char *pem_path,
                    struct ocu_error *err); /* mode 0600, O_EXCL */
void ocu_signer_free(struct ocu_signer *s);
const char *ocu_signer_kid(const struct ocu_signer *s);
json_t *ocu_signer_jwk(const struct ocu_signer *s); /* new reference: public JWK with kid, alg, use */
/* Raw Ed25519 signature over data (64 bytes into sig). */
int ocu_signer_sign(const struct ocu_signer *s, const void *data, size_t len, unsigned char sig[64],
                    struct ocu_error *err);

/* Signs claims as given plus typ "JWT"; caller frees *ret. Claims need iss, aud, sub, iat, exp, jti
 * (OCU_E_INVALID), which are what verifying needs. */
int ocu_jwt_sign(const struct ocu_signer *s, const json_t *claims, char **ret, struct ocu_error *err);

/* A set of public keys (RFC 7517). Keys may be tagged with an extra member "sub": such a key verifies only
 * tokens whose sub equals it (used for the daemons' internal tokens). Keys of a kind or use that is never
 * verified with are left out; a private half, a malformed or weak key (RSA under 2048 bits) or two equal kids
 * refuse the set. At most 256 keys. */
int ocu_jwks_load(struct ocu_jwks **ret, const char *path, struct ocu_error *err);
int ocu_jwks_new(struct ocu_jwks **ret, const json_t *jwks, struct ocu_error *err);
void ocu_jwks_free(struct ocu_jwks *k);
int ocu_jwks_verify_raw(const struct ocu_jwks *k, const char *kid, const void *data, size_t len,
                        const unsigned char *sig, size_t siglen, struct ocu_error *err);

struct ocu_jwt_expect {
	const char *issuer;   /* required: exact iss */
	const char *audience; /* required: exact aud, or member of an aud list */
	int64_t max_ttl_s;    /* exp - iat may not exceed this; 0: no bound */
};

/* Verified claims (new reference) in *ret. Errors: the TOKEN_* codes. exp, iat, sub, jti are required. */
int ocu_jwt_verify(const struct ocu_jwks *k, const char *token, size_t len, const struct ocu_jwt_expect *e,
                   json_t **ret, struct ocu_error *err);

/* Base64url without padding. encode: out must hold 4*(n+2)/3+1. decode: strict, returns length or -1. */
size_t ocu_b64url_encode(const void *data, size_t n, char *out);
long ocu_b64url_decode(const char *s, size_t n, unsigned char *out, size_t max);

#endif
