/*
 * jwt: making and checking compact JWS tokens. The order of checks is fixed: form, header, key, signature,
 * and only then the claims; nothing of the payload is looked at before the signature holds. The key decides
 * the algorithm, the header may only agree.
 */
#include "libocu/jwt.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/jwt_internal.h"

#define LEEWAY_S  30
#define NAME_MAX_ 255                   /* bytes of sub and jti */
#define TIME_MAX_ ((json_int_t)1 << 50) /* seconds; keeps every difference in range */
#define SIG_MAX   1024                  /* RSA 8192 */

struct parts {
	const char *header, *payload, *sig;
	size_t header_len, payload_len, sig_len;
};

/* --- signing --- */

static int check_signable(const json_t *claims, struct ocu_error *err)
{
	static const struct {
		const char *name;
		json_type a, b;
	} need[] = {
	    {"iss", JSON_STRING, JSON_STRING},   {"aud", JSON_STRING, JSON_ARRAY},
	    {"sub", JSON_STRING, JSON_STRING},   {"exp", JSON_INTEGER, JSON_INTEGER},
	    {"iat", JSON_INTEGER, JSON_INTEGER}, {"jti", JSON_STRING, JSON_STRING},
	};

	for (size_t i = 0; i < sizeof need / sizeof *need; i++) {
		const json_t *v = json_object_get(claims, need[i].name);
		if (!v || (json_typeof(v) != need[i].a && json_typeof(v) != need[i].b))
			return ocu_error_set(err, OCU_E_INVALID, "claims to sign need %s", need[i].name);
	}
	return 0;
}

static int put_b64(struct ocu_buf *b, const void *data, size_t len)
{
	char text[OCU_JWT_MAX + 8];

	if (len > (size_t)OCU_JWT_MAX / 4 * 3)
		return b->failed = OCU_E_TOO_LARGE;
	return ocu_buf_put(b, text, ocu_b64url_encode(data, len, text));
}

int ocu_jwt_sign(const struct ocu_signer *s, const json_t *claims, char **ret, struct ocu_error *err)
{
	OCU_BUF struct ocu_buf token = OCU_BUF_INIT(OCU_JWT_MAX);
	OCU_BUF struct ocu_buf json = OCU_BUF_INIT(OCU_JWT_MAX);
	unsigned char sig[64];
	char header[128];
	int n, rc;

	rc = check_signable(claims, err);
	if (rc)
		return rc;
	n = snprintf(header, sizeof header, "{\"alg\":\"EdDSA\",\"kid\":\"%s\",\"typ\":\"JWT\"}",
	             ocu_signer_kid(s));
	put_b64(&token, header, (size_t)n);
	ocu_buf_putc(&token, '.');
	rc = ocu_json_dump(claims, &json);
	if (rc)
		return ocu_error_set(err, rc, "token claims");
	put_b64(&token, json.data, json.len);
	if (token.failed)
		return ocu_error_set(err, token.failed, "token");
	rc = ocu_signer_sign(s, token.data, token.len, sig, err);
	if (rc)
		return rc;
	ocu_buf_putc(&token, '.');
	put_b64(&token, sig, sizeof sig);
	if (token.failed)
		return ocu_error_set(err, token.failed, "token");
	*ret = ocu_buf_steal(&token);
	return *ret ? 0 : ocu_error_set(err, OCU_E_NOMEM, "token");
}

/* --- verifying --- */

static int split(const char *t, size_t len, struct parts *p, struct ocu_error *err)
{
	const char *end = t + len;
	const char *dot1 = len <= OCU_JWT_MAX ? memchr(t, '.', len) : NULL;
	const char *dot2 = dot1 ? memchr(dot1 + 1, '.', (size_t)(end - dot1 - 1)) : NULL;

	if (!dot2 || memchr(dot2 + 1, '.', (size_t)(end - dot2 - 1)))
		return ocu_error_set(err, OCU_E_TOKEN_MALFORMED,
		                     "a token is three parts and at most %d bytes", OCU_JWT_MAX);
	*p = (struct parts){
	    .header = t,
	    .header_len = (size_t)(dot1 - t),
	    .payload = dot1 + 1,
	    .payload_len = (size_t)(dot2 - dot1 - 1),
	    .sig = dot2 + 1,
	    .sig_len = (size_t)(end - dot2 - 1),
	};
	return 0;
}

static int decode_object(const char *s, size_t n, json_t **ret, struct ocu_error *err)
{
	unsigned char text[OCU_JWT_MAX];
	long len = ocu_b64url_decode(s, n, text, sizeof text);
	json_t *j = NULL;

	if (len < 0 || ocu_json_parse((const char *)text, (size_t)len, sizeof text, &j, NULL) != 0)
		return ocu_error_set(err, OCU_E_TOKEN_MALFORMED, "a token part is not base64url JSON");
	if (!json_is_object(j)) {
		json_decref(j);
		return ocu_error_set(err, OCU_E_TOKEN_MALFORMED, "a token part is not an object");
	}
	*ret = j;
	return 0;
}

/* typ is optional in a JWT; when it is there it must say that this is one (RFC 7519 5.1, RFC 9068 2.1). */
static bool typ_ok(const json_t *header)
{
	const json_t *typ = json_object_get(header, "typ");
	const char *s = json_string_value(typ);

	return !typ || (s && (strcasecmp(s, "JWT") == 0 || strcasecmp(s, "at+jwt") == 0 ||
	                      strcasecmp(s, "application/at+jwt") == 0));
}

static int find_key(const struct ocu_jwks *k, const json_t *header, const struct ocu_jwk **ret,
                    struct ocu_error *err)
{
	const char *alg = ocu_json_str(header, "alg", NULL);
	const char *kid = ocu_json_str(header, "kid", NULL);

	/* RFC 7515 4.1.11: whoever does not understand every critical extension refuses; we understand none.
	 */
	if (!alg || json_object_get(header, "crit") || !typ_ok(header))
		return ocu_error_set(err, OCU_E_TOKEN_MALFORMED, "token header not accepted");
	if (strcmp(alg, "EdDSA") != 0 && strcmp(alg, "ES256") != 0 && strcmp(alg, "RS256") != 0)
		return ocu_error_set(err, OCU_E_TOKEN_ALG, "token algorithm not accepted");
	*ret = kid ? ocu_jwks_find(k, kid) : NULL;
	if (!*ret)
		return ocu_error_set(err, OCU_E_TOKEN_KEY, kid ? "unknown key" : "token names no key");
	if (strcmp(alg, ocu_jwk_alg((*ret)->kind)) != 0)
		return ocu_error_set(err, OCU_E_TOKEN_ALG, "the key is for another algorithm");
	return 0;
}

static bool audience_ok(const json_t *aud, const char *want)
{
	bool found = false;

	if (json_is_string(aud))
		return strcmp(json_string_value(aud), want) == 0;
	for (size_t i = 0; i < json_array_size(aud); i++) {
		const char *s = json_string_value(json_array_get(aud, i));
		if (!s)
			return false;
		found |= strcmp(s, want) == 0;
	}
	return found;
}

static bool name_ok(const json_t *claims, const char *name)
{
	const char *s = ocu_json_str(claims, name, "");

	return *s && strlen(s) <= NAME_MAX_;
}

static bool time_ok(const json_t *claims, const char *name)
{
	const json_t *v = json_object_get(claims, name);

	return json_is_integer(v) && json_integer_value(v) >= 0 && json_integer_value(v) <= TIME_MAX_;
}

static int check_times(const json_t *claims, const struct ocu_jwt_expect *e, struct ocu_error *err)
{
	int64_t now = ocu_wall_s();
	int64_t exp = ocu_json_int(claims, "exp", 0);
	int64_t iat = ocu_json_int(claims, "iat", 0);

	if (exp <= now)
		return ocu_error_set(err, OCU_E_TOKEN_EXPIRED, "token expired");
	if (iat > now + LEEWAY_S ||
	    (json_object_get(claims, "nbf") && ocu_json_int(claims, "nbf", 0) > now + LEEWAY_S))
		return ocu_error_set(err, OCU_E_TOKEN_CLAIM, "token is not valid yet");
	if (iat > exp || (e->max_ttl_s > 0 && exp - iat > e->max_ttl_s))
		return ocu_error_set(err, OCU_E_TOKEN_CLAIM, "token lives too long");
	return 0;
}

static int check_claims(const json_t *claims, const struct ocu_jwk *key, const struct ocu_jwt_expect *e,
                        struct ocu_error *err)
{
	if (!time_ok(claims, "exp") || !time_ok(claims, "iat") || !name_ok(claims, "sub") ||
	    !name_ok(claims, "jti") || (json_object_get(claims, "nbf") && !time_ok(claims, "nbf")))
		return ocu_error_set(err, OCU_E_TOKEN_CLAIM, "exp, iat, sub and jti are required");
	if (strcmp(ocu_json_str(claims, "iss", ""), e->issuer) != 0)
		return ocu_error_set(err, OCU_E_TOKEN_ISSUER, "token issuer not accepted");
	if (!audience_ok(json_object_get(claims, "aud"), e->audience))
		return ocu_error_set(err, OCU_E_TOKEN_AUDIENCE, "token is for another audience");
	if (key->sub && strcmp(ocu_json_str(claims, "sub", ""), key->sub) != 0)
		return ocu_error_set(err, OCU_E_TOKEN_KEY, "the key may not sign for this subject");
	return check_times(claims, e, err);
}

int ocu_jwt_verify(const struct ocu_jwks *k, const char *token, size_t len, const struct ocu_jwt_expect *e,
                   json_t **ret, struct ocu_error *err)
{
	OCU_JSON json_t *header = NULL;
	OCU_JSON json_t *claims = NULL;
	const struct ocu_jwk *key = NULL;
	unsigned char sig[SIG_MAX];
	struct parts p = {0};
	long siglen;
	int rc;

	if (!e->issuer || !*e->issuer || !e->audience || !*e->audience)
		return ocu_error_set(err, OCU_E_INTERNAL, "a token check needs an issuer and an audience");
	if ((rc = split(token, len, &p, err)) || (rc = decode_object(p.header, p.header_len, &header, err)) ||
	    (rc = find_key(k, header, &key, err)))
		return rc;
	if (!key)
		return ocu_error_set(err, OCU_E_TOKEN_KEY, "unknown key");
	siglen = ocu_b64url_decode(p.sig, p.sig_len, sig, sizeof sig);
	if (siglen < 0)
		return ocu_error_set(err, OCU_E_TOKEN_MALFORMED, "token signature is not base64url");
	rc = ocu_jwk_verify(key, token, p.header_len + 1 + p.payload_len, sig, (size_t)siglen, err);
	if (rc)
		return rc;
	if ((rc = decode_object(p.payload, p.payload_len, &claims, err)) ||
	    (rc = check_claims(claims, key, e, err)))
		return rc;
	*ret = ocu_steal(&claims);
	return 0;
}
