/* jwt: what a token must be to be taken, and that every way of being almost right is refused with its own
 * code.
 *
 * shows: NFR-SEC-09, NFR-SEC-10, NFR-SEC-11 (in part), NFR-SEC-48 (in part)
 */
#include <check.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/jwt.h"

#define ISS "ocu:test"
#define AUD "ocu-gateway"

static struct ocu_signer *signer;
static struct ocu_jwks *keys;

static struct ocu_jwks *set_of(json_t *jwk_steal)
{
	json_t *set = json_pack("{s:[o]}", "keys", jwk_steal);
	struct ocu_error err = {0};
	struct ocu_jwks *k = NULL;

	ck_assert_msg(ocu_jwks_new(&k, set, &err) == 0, "%s", err.text);
	json_decref(set);
	return k;
}

static void setup(void)
{
	ck_assert_int_eq(ocu_signer_generate(&signer, NULL), 0);
	keys = set_of(ocu_signer_jwk(signer));
}

static void teardown(void)
{
	ocu_signer_free(signer);
	ocu_jwks_free(keys);
}

static json_t *good_claims(void)
{
	int64_t now = ocu_wall_s();

	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:s}", "iss", ISS, "aud", AUD, "sub", "alice", "iat", now,
	                 "exp", now + 60, "jti", "tok_1");
}

static int verify(const struct ocu_jwks *k, const char *token, json_t **ret)
{
	const struct ocu_jwt_expect e = {.issuer = ISS, .audience = AUD, .max_ttl_s = 3600};
	struct ocu_error err = {0};
	json_t *claims = NULL;
	int rc = ocu_jwt_verify(k, token, strlen(token), &e, &claims, &err);

	ck_assert_int_eq(rc, err.code);
	if (ret)
		*ret = claims;
	else
		json_decref(claims);
	return rc;
}

/* A token of any header and payload, rightly signed with `signer`. */
static char *forge(const char *header, const char *payload)
{
	char *t = calloc(1, 16384);
	unsigned char sig[64];
	size_t n = ocu_b64url_encode(header, strlen(header), t);

	t[n++] = '.';
	n += ocu_b64url_encode(payload, strlen(payload), t + n);
	ck_assert_int_eq(ocu_signer_sign(signer, t, n, sig, NULL), 0);
	t[n++] = '.';
	ocu_b64url_encode(sig, sizeof sig, t + n);
	return t;
}

static int verify_forged(const char *header, const char *payload)
{
	char *t = forge(header, payload);
	int rc = verify(keys, t, NULL);

	free(t);
	return rc;
}

static char *header_with(const char *members)
{
	char *h = NULL;

	ck_assert_int_gt(asprintf(&h, "{\"alg\":\"EdDSA\",\"kid\":\"%s\"%s%s}", ocu_signer_kid(signer),
	                          *members ? "," : "", members),
	                 0);
	return h;
}

static int verify_payload(const char *payload)
{
	char *h = header_with("");
	int rc = verify_forged(h, payload);

	free(h);
	return rc;
}

static int verify_claims(json_t *steal)
{
	char *payload = json_dumps(steal, JSON_COMPACT);
	int rc = verify_payload(payload);

	free(payload);
	json_decref(steal);
	return rc;
}

static int verify_header(const char *members)
{
	json_t *c = good_claims();
	char *payload = json_dumps(c, JSON_COMPACT);
	char *h = header_with(members);
	int rc = verify_forged(h, payload);

	json_decref(c);
	free(payload);
	free(h);
	return rc;
}

START_TEST(what_is_signed_verifies)
{
	json_t *claims = good_claims(), *got = NULL;
	char *token = NULL;

	ck_assert_int_eq(ocu_jwt_sign(signer, claims, &token, NULL), 0);
	ck_assert_int_eq(verify(keys, token, &got), 0);
	ck_assert(json_equal(claims, got));
	json_decref(claims);
	json_decref(got);
	free(token);
}
END_TEST

START_TEST(signing_needs_the_claims_that_verifying_needs)
{
	static const char *const need[] = {"iss", "aud", "sub", "exp", "iat", "jti"};
	char *token = NULL;

	for (size_t i = 0; i < sizeof need / sizeof *need; i++) {
		json_t *c = good_claims();
		json_object_del(c, need[i]);
		ck_assert_int_eq(ocu_jwt_sign(signer, c, &token, NULL), OCU_E_INVALID);
		json_decref(c);
	}
	json_t *c = good_claims();
	char *big = calloc(1, 4096);
	memset(big, 'x', 4095);
	json_object_set_new(c, "pad", json_string(big));
	ck_assert_int_eq(ocu_jwt_sign(signer, c, &token, NULL), OCU_E_TOO_LARGE);
	ck_assert_ptr_null(token);
	json_decref(c);
	free(big);
}
END_TEST

START_TEST(every_flipped_bit_is_noticed)
{
	json_t *claims = good_claims();
	char *token = NULL;
	size_t n;

	ck_assert_int_eq(ocu_jwt_sign(signer, claims, &token, NULL), 0);
	n = strlen(token);
	for (size_t i = 0; i < n; i++) {
		token[i] ^= 1;
		ck_assert_int_ne(verify(keys, token, NULL), 0);
		token[i] ^= 1;
	}
	for (size_t i = 0; i < n; i++) {
		const struct ocu_jwt_expect e = {.issuer = ISS, .audience = AUD};
		json_t *got = NULL;
		ck_assert_int_ne(ocu_jwt_verify(keys, token, i, &e, &got, NULL), 0);
	}
	ck_assert_int_eq(verify(keys, token, NULL), 0);
	json_decref(claims);
	free(token);
}
END_TEST

START_TEST(malformed_tokens)
{
	static const char *const bad[] = {
	    "",
	    ".",
	    "..",
	    "...",
	    "a.b",
	    "a.b.c",
	    "e30.e30",
	    "e30.e30.",
	    "e30=.e30.AA",
	    "e30.e30.AA.AA",
	    " e30.e30.AA",
	    "W10.e30.AA" /* header is a list */,
	    "bnVsbA.e30.AA",
	};
	char *big = calloc(1, OCU_JWT_MAX + 2);

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(verify(keys, bad[i], NULL) == OCU_E_TOKEN_MALFORMED, "%s", bad[i]);
	memset(big, 'A', OCU_JWT_MAX + 1);
	big[10] = big[20] = '.';
	ck_assert_int_eq(verify(keys, big, NULL), OCU_E_TOKEN_MALFORMED);
	free(big);
	ck_assert_int_eq(verify_payload("not json"), OCU_E_TOKEN_MALFORMED);
	ck_assert_int_eq(verify_payload("[]"), OCU_E_TOKEN_MALFORMED);
	ck_assert_int_eq(verify_payload("{\"iss\":\"a\",\"iss\":\"b\"}"), OCU_E_TOKEN_MALFORMED);
}
END_TEST

START_TEST(the_header_may_only_agree)
{
	char h[256];

	ck_assert_int_eq(verify_header(""), 0);
	ck_assert_int_eq(verify_header("\"typ\":\"JWT\""), 0);
	ck_assert_int_eq(verify_header("\"typ\":\"at+jwt\""), 0);
	ck_assert_int_eq(verify_header("\"typ\":\"dpop+jwt\""), OCU_E_TOKEN_MALFORMED);
	ck_assert_int_eq(verify_header("\"typ\":1"), OCU_E_TOKEN_MALFORMED);
	ck_assert_int_eq(verify_header("\"crit\":[\"b64\"],\"b64\":false"), OCU_E_TOKEN_MALFORMED);
	ck_assert_int_eq(verify_header("\"crit\":[]"), OCU_E_TOKEN_MALFORMED);
	ck_assert_int_eq(verify_forged("{\"alg\":\"EdDSA\"}", "{}"), OCU_E_TOKEN_KEY);
	ck_assert_int_eq(verify_forged("{\"alg\":\"EdDSA\",\"kid\":7}", "{}"), OCU_E_TOKEN_KEY);
	ck_assert_int_eq(verify_forged("{\"alg\":\"EdDSA\",\"kid\":\"other\"}", "{}"), OCU_E_TOKEN_KEY);
	ck_assert_int_eq(verify_forged("{\"kid\":\"other\"}", "{}"), OCU_E_TOKEN_MALFORMED);
	static const char *const algs[] = {"none",  "None",  "HS256",   "HS512", "ES384",
	                                   "PS256", "eddsa", "Ed25519", ""};
	for (size_t i = 0; i < sizeof algs / sizeof *algs; i++) {
		snprintf(h, sizeof h, "{\"alg\":\"%s\",\"kid\":\"%s\"}", algs[i], ocu_signer_kid(signer));
		ck_assert_msg(verify_forged(h, "{}") == OCU_E_TOKEN_ALG, "%s", algs[i]);
	}
	/* the key is Ed25519, whatever the header would like */
	snprintf(h, sizeof h, "{\"alg\":\"RS256\",\"kid\":\"%s\"}", ocu_signer_kid(signer));
	ck_assert_int_eq(verify_forged(h, "{}"), OCU_E_TOKEN_ALG);
	snprintf(h, sizeof h, "{\"alg\":\"EdDSA\",\"alg\":\"none\",\"kid\":\"%s\"}", ocu_signer_kid(signer));
	ck_assert_int_eq(verify_forged(h, "{}"), OCU_E_TOKEN_MALFORMED);
}
END_TEST

/* The classic: an HMAC made with the public key as its secret, and a token with no signature at all. */
START_TEST(nothing_unsigned_or_symmetric)
{
	json_t *c = good_claims();
	char *payload = json_dumps(c, JSON_COMPACT);
	char h[256], t[4096];
	size_t n;

	snprintf(h, sizeof h, "{\"alg\":\"none\",\"kid\":\"%s\"}", ocu_signer_kid(signer));
	n = ocu_b64url_encode(h, strlen(h), t);
	t[n++] = '.';
	n += ocu_b64url_encode(payload, strlen(payload), t + n);
	t[n++] = '.';
	t[n] = '\0';
	ck_assert_int_eq(verify(keys, t, NULL), OCU_E_TOKEN_ALG);
	snprintf(h, sizeof h, "{\"alg\":\"EdDSA\",\"kid\":\"%s\"}", ocu_signer_kid(signer));
	n = ocu_b64url_encode(h, strlen(h), t);
	t[n++] = '.';
	n += ocu_b64url_encode(payload, strlen(payload), t + n);
	t[n++] = '.';
	t[n] = '\0';
	ck_assert_int_eq(verify(keys, t, NULL), OCU_E_TOKEN_SIGNATURE);
	json_decref(c);
	free(payload);
}
END_TEST

static json_t *claims_with(const char *name, json_t *value)
{
	json_t *c = good_claims();

	if (value)
		json_object_set_new(c, name, value);
	else
		json_object_del(c, name);
	return c;
}

START_TEST(claims)
{
	int64_t now = ocu_wall_s();
	char *longer = calloc(1, 300);

	memset(longer, 's', 299);
	const struct {
		const char *name;
		json_t *value;
		int want;
	} t[] = {
	    {"iss", json_string("ocu:other"), OCU_E_TOKEN_ISSUER},
	    {"iss", NULL, OCU_E_TOKEN_ISSUER},
	    {"iss", json_pack("[s]", ISS), OCU_E_TOKEN_ISSUER},
	    {"aud", json_string("ocu-files"), OCU_E_TOKEN_AUDIENCE},
	    {"aud", json_string(AUD "x"), OCU_E_TOKEN_AUDIENCE},
	    {"aud", json_pack("[s,s]", "ocu-files", AUD), 0},
	    {"aud", json_pack("[]"), OCU_E_TOKEN_AUDIENCE},
	    {"aud", json_pack("[s,i]", AUD, 1), OCU_E_TOKEN_AUDIENCE},
	    {"aud", NULL, OCU_E_TOKEN_AUDIENCE},
	    {"sub", NULL, OCU_E_TOKEN_CLAIM},
	    {"sub", json_string(""), OCU_E_TOKEN_CLAIM},
	    {"sub", json_string(longer), OCU_E_TOKEN_CLAIM},
	    {"jti", NULL, OCU_E_TOKEN_CLAIM},
	    {"exp", NULL, OCU_E_TOKEN_CLAIM},
	    {"exp", json_string("9999999999"), OCU_E_TOKEN_CLAIM},
	    {"exp", json_real(9999999999.0), OCU_E_TOKEN_CLAIM},
	    {"exp", json_integer(INT64_MAX), OCU_E_TOKEN_CLAIM},
	    {"exp", json_integer(-1), OCU_E_TOKEN_CLAIM},
	    {"exp", json_integer(now - 1), OCU_E_TOKEN_EXPIRED},
	    {"exp", json_integer(now), OCU_E_TOKEN_EXPIRED},
	    {"exp", json_integer(now + 3700), OCU_E_TOKEN_CLAIM},
	    {"iat", NULL, OCU_E_TOKEN_CLAIM},
	    {"iat", json_integer(now + 20), 0},
	    {"iat", json_integer(now + 55), OCU_E_TOKEN_CLAIM},
	    {"iat", json_integer(0), OCU_E_TOKEN_CLAIM},
	    {"nbf", json_integer(now + 20), 0},
	    {"nbf", json_integer(now + 90), OCU_E_TOKEN_CLAIM},
	    {"nbf", json_string("0"), OCU_E_TOKEN_CLAIM},
	    {"extra", json_true(), 0},
	};
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		int rc = verify_claims(claims_with(t[i].name, t[i].value));
		ck_assert_msg(rc == t[i].want, "row %zu (%s): %d, want %d", i, t[i].name, rc, t[i].want);
	}
	free(longer);
}
END_TEST

START_TEST(an_expectation_is_not_optional)
{
	const struct ocu_jwt_expect none[] = {
	    {.issuer = ISS}, {.audience = AUD}, {.issuer = "", .audience = AUD}};
	json_t *c = good_claims(), *got = NULL;
	char *token = NULL;

	ck_assert_int_eq(ocu_jwt_sign(signer, c, &token, NULL), 0);
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(ocu_jwt_verify(keys, token, strlen(token), &none[i], &got, NULL),
		                 OCU_E_INTERNAL);
	ck_assert_ptr_null(got);
	json_decref(c);
	free(token);
}
END_TEST

/* A daemon's token key signs for that daemon only. */
START_TEST(a_key_with_a_sub_signs_for_that_sub)
{
	json_t *jwk = ocu_signer_jwk(signer);
	json_object_set_new(jwk, "sub", json_string("spiffe://td/ocu/gateway"));
	struct ocu_jwks *k = set_of(jwk);
	json_t *c = good_claims();
	char *token = NULL;

	ck_assert_int_eq(ocu_jwt_sign(signer, c, &token, NULL), 0);
	ck_assert_int_eq(verify(k, token, NULL), OCU_E_TOKEN_KEY);
	free(token);
	json_object_set_new(c, "sub", json_string("spiffe://td/ocu/gateway"));
	ck_assert_int_eq(ocu_jwt_sign(signer, c, &token, NULL), 0);
	ck_assert_int_eq(verify(k, token, NULL), 0);
	free(token);
	json_decref(c);
	ocu_jwks_free(k);
}
END_TEST

/* --- tokens of an identity provider: ES256 and RS256 --- */

static void b64_param(const EVP_PKEY *pkey, const char *name, char *out)
{
	unsigned char raw[1024];
	BIGNUM *bn = NULL;
	int n;

	ck_assert_int_eq(EVP_PKEY_get_bn_param(pkey, name, &bn), 1);
	n = BN_num_bytes(bn) < 32 && name[0] != 'e' ? 32 : BN_num_bytes(bn);
	ck_assert_int_eq(BN_bn2binpad(bn, raw, n), n);
	ocu_b64url_encode(raw, (size_t)n, out);
	BN_free(bn);
}

static char *idp_token(EVP_PKEY *pkey, const char *alg, bool raw_ecdsa)
{
	json_t *c = good_claims();
	char *payload = json_dumps(c, JSON_COMPACT);
	char *t = calloc(1, 16384);
	unsigned char sig[1024], rs[64];
	size_t siglen = sizeof sig, n;
	char h[128];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	snprintf(h, sizeof h, "{\"alg\":\"%s\",\"kid\":\"idp\"}", alg);
	n = ocu_b64url_encode(h, strlen(h), t);
	t[n++] = '.';
	n += ocu_b64url_encode(payload, strlen(payload), t + n);
	ck_assert_int_eq(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, pkey), 1);
	ck_assert_int_eq(EVP_DigestSign(ctx, sig, &siglen, (unsigned char *)t, n), 1);
	EVP_MD_CTX_free(ctx);
	t[n++] = '.';
	if (raw_ecdsa) {
		const unsigned char *p = sig;
		ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)siglen);
		ck_assert_int_eq(BN_bn2binpad(ECDSA_SIG_get0_r(s), rs, 32), 32);
		ck_assert_int_eq(BN_bn2binpad(ECDSA_SIG_get0_s(s), rs + 32, 32), 32);
		ECDSA_SIG_free(s);
		ocu_b64url_encode(rs, sizeof rs, t + n);
	} else {
		ocu_b64url_encode(sig, siglen, t + n);
	}
	json_decref(c);
	free(payload);
	return t;
}

START_TEST(es256)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	char x[64], y[64];

	b64_param(pkey, "qx", x);
	b64_param(pkey, "qy", y);
	struct ocu_jwks *k = set_of(
	    json_pack("{s:s,s:s,s:s,s:s,s:s}", "kty", "EC", "crv", "P-256", "x", x, "y", y, "kid", "idp"));
	char *raw = idp_token(pkey, "ES256", true);
	char *der = idp_token(pkey, "ES256", false);
	char *lying = idp_token(pkey, "EdDSA", true);
	ck_assert_int_eq(verify(k, raw, NULL), 0);
	ck_assert_int_eq(verify(k, der, NULL), OCU_E_TOKEN_SIGNATURE);
	ck_assert_int_eq(verify(k, lying, NULL), OCU_E_TOKEN_ALG);
	free(raw);
	free(der);
	free(lying);
	ocu_jwks_free(k);
	EVP_PKEY_free(pkey);
}
END_TEST

START_TEST(rs256)
{
	EVP_PKEY *pkey = EVP_RSA_gen(2048);
	char n[1024], e[16];

	b64_param(pkey, "n", n);
	b64_param(pkey, "e", e);
	struct ocu_jwks *k =
	    set_of(json_pack("{s:s,s:s,s:s,s:s}", "kty", "RSA", "n", n, "e", e, "kid", "idp"));
	char *token = idp_token(pkey, "RS256", false);
	char *lying = idp_token(pkey, "HS256", false);
	ck_assert_int_eq(verify(k, token, NULL), 0);
	ck_assert_int_eq(verify(k, lying, NULL), OCU_E_TOKEN_ALG);
	char *bent = token + strlen(token) - 5;
	*bent = *bent == 'A' ? 'B' : 'A';
	ck_assert_int_eq(verify(k, token, NULL), OCU_E_TOKEN_SIGNATURE);
	free(token);
	free(lying);
	ocu_jwks_free(k);
	EVP_PKEY_free(pkey);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libocu_jwt");
	TCase *c = tcase_create("jwt");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, what_is_signed_verifies);
	tcase_add_test(c, signing_needs_the_claims_that_verifying_needs);
	tcase_add_test(c, every_flipped_bit_is_noticed);
	tcase_add_test(c, malformed_tokens);
	tcase_add_test(c, the_header_may_only_agree);
	tcase_add_test(c, nothing_unsigned_or_symmetric);
	tcase_add_test(c, claims);
	tcase_add_test(c, an_expectation_is_not_optional);
	tcase_add_test(c, a_key_with_a_sub_signs_for_that_sub);
	tcase_add_test(c, es256);
	tcase_add_test(c, rs256);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
