/* mint: see mint.h. */
#include "operatord/mint.h"

#include <stdio.h>
#include <stdlib.h>

#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/jwt.h"
#include "operatord/registry.h"

#define GRANT_MAX_MS   (299ll * 1000) /* rounded up, exp - iat is at most 5 minutes */
#define SESSION_MAX_MS (60ll * 60 * 1000)

struct mint {
	struct ocu_signer *session, *caller;
	char issuer[128];       /* of grants and session JWTs */
	char caller_issuer[96]; /* of caller tokens */
};

static int load(struct ocu_signer **ret, const char *pki_dir, const char *name, struct ocu_error *err)
{
	char path[4096];

	if (snprintf(path, sizeof path, "%s/operatord/%s", pki_dir, name) >= (int)sizeof path)
		return ocu_error_set(err, OCU_E_CONFIG, "pki_dir is too long");
	return ocu_signer_load(ret, path, err);
}

int mint_open(struct mint **ret, const char *pki_dir, const char *trust_domain, struct ocu_error *err)
{
	struct mint *m = calloc(1, sizeof *m);
	int rc;

	if (!m)
		return ocu_error_set(err, OCU_E_NOMEM, "mint");
	snprintf(m->issuer, sizeof m->issuer, "ocu:%s/operatord", trust_domain);
	snprintf(m->caller_issuer, sizeof m->caller_issuer, "ocu:%s", trust_domain);
	rc = load(&m->session, pki_dir, "session.key", err);
	if (rc == 0)
		rc = load(&m->caller, pki_dir, "caller.key", err);
	if (rc) {
		mint_close(m);
		return rc;
	}
	*ret = m;
	return 0;
}

void mint_close(struct mint *m)
{
	if (!m)
		return;
	ocu_signer_free(m->session);
	ocu_signer_free(m->caller);
	free(m);
}

/* Whole seconds, as JWT has them; a verifier's bound on exp - iat holds exactly. */
static int64_t seconds(int64_t ttl_ms, int64_t max_ms)
{
	int64_t ms = ttl_ms < max_ms ? ttl_ms : max_ms;

	return ms < 1000 ? 1 : ms / 1000;
}

static int sign(const struct ocu_signer *key, json_t *claims, char **ret, struct ocu_error *err)
{
	int rc = claims ? ocu_jwt_sign(key, claims, ret, err) : ocu_error_set(err, OCU_E_NOMEM, "claims");

	json_decref(claims);
	return rc;
}

int mint_grant(const struct mint *m, const struct session *s, const char *instance, int64_t ttl_ms,
               char **ret, uint32_t *ret_ttl_ms, struct ocu_error *err)
{
	char jti[OCU_ID_MAX];
	int64_t now_ms = ocu_wall_ms();
	json_int_t iat = now_ms / 1000;
	/* Not a moment less than asked for: a grant of a second would else be one of no time at all, at
	 * times. */
	json_int_t exp = (now_ms + (ttl_ms < GRANT_MAX_MS ? ttl_ms : GRANT_MAX_MS) + 999) / 1000;
	int rc;

	ocu_id_new(OCU_ID_TOKEN, jti);
	rc =
	    sign(m->session,
	         json_pack("{ss ss ss ss ss sI sI ss}", "iss", m->issuer, "aud", "ocu-exec", "sub", s->caller,
	                   "sid", s->session_id, "inst", instance, "iat", iat, "exp", exp, "jti", jti),
	         ret, err);
	if (rc == 0)
		*ret_ttl_ms = (uint32_t)(exp * 1000 - now_ms);
	return rc;
}

int mint_session_jwt(const struct mint *m, const struct session *s, int64_t ttl_ms, char **ret,
                     struct ocu_error *err)
{
	char jti[OCU_ID_MAX];
	json_int_t iat = ocu_wall_s(), exp = iat + seconds(ttl_ms, SESSION_MAX_MS);

	ocu_id_new(OCU_ID_TOKEN, jti);
	return sign(m->session,
	            json_pack("{ss ss ss ss sI sI ss}", "iss", m->issuer, "aud", "ocu-session", "sub",
	                      s->container_name, "sid", s->session_id, "iat", iat, "exp", exp, "jti", jti),
	            ret, err);
}

int mint_caller_token(const struct mint *m, const char *caller, const json_t *audiences, int64_t ttl_ms,
                      char jti[OCU_ID_MAX], int64_t *ret_expires_ms, char **ret, struct ocu_error *err)
{
	json_int_t iat = ocu_wall_s(), exp = iat + seconds(ttl_ms, INT64_MAX);
	int rc;

	ocu_id_new(OCU_ID_TOKEN, jti);
	rc = sign(m->caller,
	          json_pack("{ss sO ss sI sI ss}", "iss", m->caller_issuer, "aud", audiences, "sub", caller,
	                    "iat", iat, "exp", exp, "jti", jti),
	          ret, err);
	if (rc == 0)
		*ret_expires_ms = exp * 1000;
	return rc;
}
