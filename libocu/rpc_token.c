/* rpc_token: minting with renewal at half-life, verification with a one-entry cache per connection. */
#include "libocu/rpc_token.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/id.h"
#include "libocu/json.h"
#include "libocu/pki.h"

void ocu_rpc_minter_init(struct ocu_rpc_minter *m, const struct ocu_identity *identity)
{
	memset(m, 0, sizeof *m);
	pthread_mutex_init(&m->lock, NULL);
	m->identity = identity;
}

void ocu_rpc_minter_done(struct ocu_rpc_minter *m)
{
	if (m->token)
		OPENSSL_cleanse(m->token, m->len);
	free(m->token);
	pthread_mutex_destroy(&m->lock);
}

static int mint(struct ocu_rpc_minter *m, const char *audience, struct ocu_error *err)
{
	const char *self = m->identity->self.spiffe;
	json_int_t now = ocu_wall_s();
	char jti[OCU_ID_MAX];
	char *token;
	int rv;

	ocu_id_new(OCU_ID_TOKEN, jti);
	OCU_JSON json_t *claims =
	    json_pack("{s:s, s:s, s:s, s:I, s:I, s:s}", "iss", self, "sub", self, "aud", audience, "iat", now,
	              "exp", now + OCU_RPC_TOKEN_TTL_S, "jti", jti);
	if (!claims)
		return ocu_error_set(err, OCU_E_NOMEM, "internal token");
	rv = ocu_jwt_sign(m->identity->token_signer, claims, &token, err);
	if (rv != 0)
		return rv;
	free(m->token);
	m->token = token;
	m->len = strlen(token);
	m->renew_at_ms = ocu_mono_ms() + OCU_RPC_TOKEN_TTL_S * 1000 / 2;
	memcpy(m->audience, audience, strlen(audience) + 1);
	return 0;
}

int ocu_rpc_minter_get(struct ocu_rpc_minter *m, const char *audience, char out[OCU_JWT_MAX], size_t *len,
                       struct ocu_error *err)
{
	int rv = 0;

	if (strlen(audience) >= sizeof m->audience)
		return ocu_error_set(err, OCU_E_INVALID, "audience of the internal token is too long");
	pthread_mutex_lock(&m->lock);
	if (!m->token || ocu_mono_ms() >= m->renew_at_ms || strcmp(m->audience, audience) != 0)
		rv = mint(m, audience, err);
	if (rv == 0 && m->len > OCU_JWT_MAX)
		rv = ocu_error_set(err, OCU_E_TOO_LARGE, "internal token over %d bytes", OCU_JWT_MAX);
	if (rv == 0) {
		memcpy(out, m->token, m->len);
		*len = m->len;
	}
	pthread_mutex_unlock(&m->lock);
	return rv;
}

void ocu_rpc_verifier_init(struct ocu_rpc_verifier *v)
{
	memset(v, 0, sizeof *v);
	pthread_mutex_init(&v->lock, NULL);
}

void ocu_rpc_verifier_done(struct ocu_rpc_verifier *v)
{
	OPENSSL_cleanse(v->token, sizeof v->token);
	pthread_mutex_destroy(&v->lock);
}

static int cached(struct ocu_rpc_verifier *v, const char *token, size_t len)
{
	int hit;

	pthread_mutex_lock(&v->lock);
	hit = v->len == len && CRYPTO_memcmp(v->token, token, len) == 0 && ocu_wall_s() < v->exp_s &&
	      ocu_mono_ms() < v->expires_at_ms;
	pthread_mutex_unlock(&v->lock);
	return hit;
}

static void remember(struct ocu_rpc_verifier *v, const char *token, size_t len, int64_t exp)
{
	int64_t left = exp - ocu_wall_s();

	pthread_mutex_lock(&v->lock);
	memcpy(v->token, token, len);
	v->len = len;
	v->exp_s = exp;
	v->expires_at_ms = ocu_mono_ms() + (left > 0 ? (uint64_t)left * 1000 : 0);
	pthread_mutex_unlock(&v->lock);
}

int ocu_rpc_verifier_check(struct ocu_rpc_verifier *v, const struct ocu_identity *identity,
                           const struct ocu_peer *peer, const char *token, size_t len, struct ocu_error *err)
{
	struct ocu_jwt_expect expect = {
	    .issuer = peer->spiffe,
	    .audience = identity->self.spiffe,
	    .max_ttl_s = OCU_RPC_TOKEN_TTL_MAX_S,
	};
	OCU_JSON json_t *claims = NULL;
	int rv;

	if (len == 0)
		return ocu_error_set(err, OCU_E_UNAUTHENTICATED, "no internal token");
	if (len > sizeof v->token)
		return ocu_error_set(err, OCU_E_TOKEN_MALFORMED, "internal token too long");
	if (cached(v, token, len))
		return 0;
	rv = ocu_jwt_verify(identity->internal_keys, token, len, &expect, &claims, err);
	if (rv != 0)
		return rv;
	if (strcmp(ocu_json_str(claims, "sub", ""), peer->spiffe) != 0)
		return ocu_error_set(err, OCU_E_TOKEN_CLAIM,
		                     "internal token names another principal than the certificate");
	remember(v, token, len, ocu_json_int(claims, "exp", 0));
	return 0;
}
