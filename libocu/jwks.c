/*
 * jwks: a set of public keys (RFC 7517, 7518, 8037). Trusts whoever wrote the set, but not its form: a
 * private half, a weak or malformed key, a duplicate kid or an alg that is not the key's refuses the whole
 * set. Keys of a kind, curve or use that this product never verifies with are left out, as RFC 7517 section 5
 * asks.
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/jwt.h"
#include "libocu/jwt_internal.h"
#include "libocu/keyfile.h"

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192

struct ocu_jwks {
	size_t n;
	struct ocu_jwk keys[];
};

static const char *const alg_names[] = {
    [OCU_JWK_EDDSA] = "EdDSA",
    [OCU_JWK_ES256] = "ES256",
    [OCU_JWK_RS256] = "RS256",
};

const char *ocu_jwk_alg(enum ocu_jwk_kind kind)
{
	return alg_names[kind];
}

/* Decoded length of a base64url member, or -1. */
static long member_bytes(const json_t *jwk, const char *name, unsigned char *out, size_t max)
{
	const char *s = ocu_json_str(jwk, name, NULL);

	return s ? ocu_b64url_decode(s, strlen(s), out, max) : -1;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM *params)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *pkey = NULL;

	if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		pkey = NULL;
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

static EVP_PKEY *read_okp(const json_t *jwk)
{
	unsigned char x[32];

	if (member_bytes(jwk, "x", x, sizeof x) != sizeof x)
		return NULL;
	return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, sizeof x);
}

static EVP_PKEY *read_ec(const json_t *jwk)
{
	unsigned char point[65] = {4}; /* uncompressed; OpenSSL checks that it is on the curve */
	char group[] = "prime256v1";

	if (member_bytes(jwk, "x", point + 1, 32) != 32 || member_bytes(jwk, "y", point + 33, 32) != 32)
		return NULL;
	OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
	    OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point),
	    OSSL_PARAM_construct_end(),
	};
	return from_params("EC", params);
}

static EVP_PKEY *rsa_from(const BIGNUM *n, const BIGNUM *e)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY *pkey = NULL;

	if (bld && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e) == 1)
		params = OSSL_PARAM_BLD_to_param(bld);
	if (params)
		pkey = from_params("RSA", params);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	return pkey;
}

static EVP_PKEY *read_rsa(const json_t *jwk)
{
	unsigned char n[RSA_BITS_MAX / 8], e[8];
	long nlen = member_bytes(jwk, "n", n, sizeof n);
	long elen = member_bytes(jwk, "e", e, sizeof e);
	BIGNUM *bn_n = nlen > 0 ? BN_bin2bn(n, (int)nlen, NULL) : NULL;
	BIGNUM *bn_e = elen > 0 ? BN_bin2bn(e, (int)elen, NULL) : NULL;
	EVP_PKEY *pkey = NULL;

	/* An exponent of 1, or an even one, would let anybody make signatures. */
	if (bn_n && bn_e && BN_num_bits(bn_n) >= RSA_BITS_MIN && BN_is_odd(bn_n) && BN_is_odd(bn_e) &&
	    !BN_is_one(bn_e))
		pkey = rsa_from(bn_n, bn_e);
	BN_free(bn_n);
	BN_free(bn_e);
	return pkey;
}

static const struct kind {
	const char *kty;
	const char *crv; /* NULL: the type has none */
	enum ocu_jwk_kind kind;
	EVP_PKEY *(*read)(const json_t *jwk);
} kinds[] = {
    {"OKP", "Ed25519", OCU_JWK_EDDSA, read_okp},
    {"EC", "P-256", OCU_JWK_ES256, read_ec},
    {"RSA", NULL, OCU_JWK_RS256, read_rsa},
};

static const struct kind *kind_of(const json_t *jwk)
{
	const char *kty = ocu_json_str(jwk, "kty", "");
	const char *crv = ocu_json_str(jwk, "crv", "");

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strcmp(kinds[i].kty, kty) == 0 && (!kinds[i].crv || strcmp(kinds[i].crv, crv) == 0))
			return &kinds[i];
	return NULL;
}

/* Keys that are legitimately there for somebody else: another use, or an algorithm we never accept. */
static bool is_foreign(const json_t *jwk, const struct kind *kind)
{
	const char *use = ocu_json_str(jwk, "use", "sig");
	const char *alg = ocu_json_str(jwk, "alg", NULL);

	return !kind || strcmp(use, "sig") != 0 || (alg && strcmp(alg, alg_names[kind->kind]) != 0);
}

/* 0 with key->pkey set, 0 with it NULL for a foreign key, or an error. */
static int read_key(struct ocu_jwk *key, const json_t *jwk, struct ocu_error *err)
{
	const char *kid = ocu_json_str(jwk, "kid", NULL);
	const json_t *sub = json_object_get(jwk, "sub");
	const struct kind *kind = kind_of(jwk);

	if (!json_is_object(jwk))
		return ocu_error_set(err, OCU_E_CONFIG, "a key is not an object");
	if (json_object_get(jwk, "d") || json_object_get(jwk, "k"))
		return ocu_error_set(err, OCU_E_CONFIG, "a key set holds a private or symmetric key");
	if (is_foreign(jwk, kind))
		return 0;
	if (!kid || !*kid || strlen(kid) >= sizeof key->kid)
		return ocu_error_set(err, OCU_E_CONFIG, "a key has no usable kid");
	if (sub && (!json_is_string(sub) || !*json_string_value(sub)))
		return ocu_error_set(err, OCU_E_CONFIG, "a key's sub is not a string");
	memcpy(key->kid, kid, strlen(kid) + 1);
	key->kind = kind->kind;
	if (sub && !(key->sub = strdup(json_string_value(sub))))
		return ocu_error_set(err, OCU_E_NOMEM, "key set");
	key->pkey = kind->read(jwk);
	if (!key->pkey)
		return ocu_error_set(err, OCU_E_CONFIG, "%s key %.64s is malformed or too weak", kind->kty,
		                     kid);
	return 0;
}

static int fill(struct ocu_jwks *k, const json_t *list, struct ocu_error *err)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct ocu_jwk *key = &k->keys[k->n];
		int rc = read_key(key, json_array_get(list, i), err);
		if (rc) {
			free(key->sub);
			return rc;
		}
		if (!key->pkey)
			continue;
		bool twice = ocu_jwks_find(k, key->kid) != NULL;
		k->n++;
		if (twice)
			return ocu_error_set(err, OCU_E_CONFIG, "two keys have the kid %.64s", key->kid);
	}
	return 0;
}

int ocu_jwks_new(struct ocu_jwks **ret, const json_t *jwks, struct ocu_error *err)
{
	const json_t *list = json_object_get(jwks, "keys");
	size_t n = json_array_size(list);
	struct ocu_jwks *k;
	int rc;

	if (!json_is_array(list))
		return ocu_error_set(err, OCU_E_CONFIG, "a key set needs a list called keys");
	if (n > OCU_JWKS_KEYS_MAX)
		return ocu_error_set(err, OCU_E_TOO_LARGE, "a key set holds at most %d keys",
		                     OCU_JWKS_KEYS_MAX);
	k = calloc(1, sizeof *k + n * sizeof k->keys[0]);
	if (!k)
		return ocu_error_set(err, OCU_E_NOMEM, "key set");
	rc = fill(k, list, err);
	if (rc) {
		ocu_jwks_free(k);
		return rc;
	}
	*ret = k;
	return 0;
}

int ocu_jwks_load(struct ocu_jwks **ret, const char *path, struct ocu_error *err)
{
	OCU_JSON json_t *j = NULL;
	int rc = ocu_json_load_file(path, OCU_KEYFILE_MAX, &j, err);

	if (!rc)
		rc = ocu_jwks_new(ret, j, err);
	if (rc)
		ocu_error_add(err, "key set %s", path);
	return rc;
}

void ocu_jwks_free(struct ocu_jwks *k)
{
	if (!k)
		return;
	for (size_t i = 0; i < k->n; i++) {
		EVP_PKEY_free(k->keys[i].pkey);
		free(k->keys[i].sub);
	}
	free(k);
}

const struct ocu_jwk *ocu_jwks_find(const struct ocu_jwks *k, const char *kid)
{
	for (size_t i = 0; i < k->n; i++)
		if (strcmp(k->keys[i].kid, kid) == 0)
			return &k->keys[i];
	return NULL;
}

/* JWS carries an ECDSA signature as r || s (RFC 7518 section 3.4), OpenSSL wants DER. */
static int ecdsa_der(const unsigned char *sig, unsigned char **der)
{
	ECDSA_SIG *s = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(sig, 32, NULL);
	BIGNUM *v = BN_bin2bn(sig + 32, 32, NULL);
	int n = -1;

	if (s && r && v && ECDSA_SIG_set0(s, r, v) == 1) {
		r = v = NULL;
		n = i2d_ECDSA_SIG(s, der);
	}
	BN_free(r);
	BN_free(v);
	ECDSA_SIG_free(s);
	return n;
}

static bool verify_with(EVP_PKEY *pkey, const EVP_MD *md, const void *data, size_t len,
                        const unsigned char *sig, size_t siglen)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, md, NULL, pkey) == 1 &&
	          EVP_DigestVerify(ctx, sig, siglen, data, len) == 1;

	EVP_MD_CTX_free(ctx);
	return ok;
}

int ocu_jwk_verify(const struct ocu_jwk *key, const void *data, size_t len, const unsigned char *sig,
                   size_t siglen, struct ocu_error *err)
{
	unsigned char *der = NULL;
	bool ok = false;
	int n;

	switch (key->kind) {
	case OCU_JWK_EDDSA:
		ok = siglen == 64 && verify_with(key->pkey, NULL, data, len, sig, siglen);
		break;
	case OCU_JWK_ES256:
		n = siglen == 64 ? ecdsa_der(sig, &der) : -1;
		ok = n > 0 && verify_with(key->pkey, EVP_sha256(), data, len, der, (size_t)n);
		OPENSSL_free(der);
		break;
	case OCU_JWK_RS256:
		ok = siglen == (size_t)EVP_PKEY_get_size(key->pkey) &&
		     verify_with(key->pkey, EVP_sha256(), data, len, sig, siglen);
		break;
	}
	return ok ? 0 : ocu_error_set(err, OCU_E_TOKEN_SIGNATURE, "signature does not verify");
}

int ocu_jwks_verify_raw(const struct ocu_jwks *k, const char *kid, const void *data, size_t len,
                        const unsigned char *sig, size_t siglen, struct ocu_error *err)
{
	const struct ocu_jwk *key = ocu_jwks_find(k, kid);

	if (!key)
		return ocu_error_set(err, OCU_E_TOKEN_KEY, "unknown key");
	return ocu_jwk_verify(key, data, len, sig, siglen, err);
}
