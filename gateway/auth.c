#include "gateway/auth.h"

#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/clock.h"
#include "libocu/json.h"
#include "libocu/jwt.h"
#include "libocu/pki.h"

#define REMEMBERED 1024 /* verified tokens; a power of two, direct mapped */

struct remembered {
	unsigned char digest[SHA256_DIGEST_LENGTH];
	struct caller caller;
	int64_t exp_s;
};

struct auth {
	struct ocu_jwks *keys;
	struct ocu_denylist *denylist;
	char issuer[128];
	char audience[128];
	pthread_mutex_t lock;
	struct remembered seen[REMEMBERED];
};

int auth_new(struct auth **ret, struct gateway *g, struct ocu_error *err)
{
	struct auth *a = calloc(1, sizeof *a);
	if (!a)
		return ocu_error_set(err, OCU_E_NOMEM, "auth");
	const struct ocu_conf *c = g->d.conf;
	const char *jwks = ocu_conf_str(c, "caller_jwks"), *iss = ocu_conf_str(c, "token_issuer");
	char path[1024];
	pthread_mutex_init(&a->lock, NULL);
	a->denylist = g->denylist;
	snprintf(path, sizeof path, "%s/caller-jwks.json", ocu_conf_str(c, "pki_dir"));
	if (*iss)
		snprintf(a->issuer, sizeof a->issuer, "%s", iss);
	else
		snprintf(a->issuer, sizeof a->issuer, "ocu:%s", ocu_conf_str(c, "trust_domain"));
	snprintf(a->audience, sizeof a->audience, "%s", ocu_conf_str(c, "token_audience"));
	int rc = ocu_jwks_load(&a->keys, *jwks ? jwks : path, err);
	if (rc) {
		auth_free(a);
		return rc;
	}
	*ret = a;
	return 0;
}

void auth_free(struct auth *a)
{
	if (!a)
		return;
	ocu_jwks_free(a->keys);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

static struct remembered *slot_of(struct auth *a, const unsigned char *digest)
{
	return &a->seen[(digest[0] | digest[1] << 8) & (REMEMBERED - 1)];
}

static bool recall(struct auth *a, const unsigned char *digest, struct caller *ret)
{
	bool hit = false;
	pthread_mutex_lock(&a->lock);
	const struct remembered *r = slot_of(a, digest);
	if (r->exp_s > ocu_wall_s() && memcmp(r->digest, digest, sizeof r->digest) == 0) {
		*ret = r->caller;
		hit = true;
	}
	pthread_mutex_unlock(&a->lock);
	return hit;
}

static void remember(struct auth *a, const unsigned char *digest, const struct caller *caller, int64_t exp_s)
{
	pthread_mutex_lock(&a->lock);
	struct remembered *r = slot_of(a, digest);
	memcpy(r->digest, digest, sizeof r->digest);
	r->caller = *caller;
	r->exp_s = exp_s;
	pthread_mutex_unlock(&a->lock);
}

static int verify(struct auth *a, const char *token, struct caller *ret, int64_t *exp_s,
                  struct ocu_error *err)
{
	OCU_JSON json_t *claims = NULL;
	struct ocu_jwt_expect want = {.issuer = a->issuer, .audience = a->audience};
	int rc = ocu_jwt_verify(a->keys, token, strlen(token), &want, &claims, err);
	if (rc)
		return rc;
	const char *sub = ocu_json_str(claims, "sub", ""), *jti = ocu_json_str(claims, "jti", "");
	if (!*sub || strlen(sub) >= sizeof ret->sub || !*jti || strlen(jti) >= sizeof ret->token_id)
		return ocu_error_set(err, OCU_E_TOKEN_CLAIM, "sub or jti is empty or too long");
	snprintf(ret->sub, sizeof ret->sub, "%s", sub);
	snprintf(ret->token_id, sizeof ret->token_id, "%s", jti);
	*exp_s = ocu_json_int(claims, "exp", 0);
	return 0;
}

int auth_check(struct auth *a, const char *token, struct caller *ret, struct ocu_error *err)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	struct caller c = {0};
	if (!token)
		return ocu_error_set(err, OCU_E_UNAUTHENTICATED, "no bearer token");
	if (strlen(token) > OCU_JWT_MAX)
		return ocu_error_set(err, OCU_E_TOKEN_MALFORMED, "token is too long");
	SHA256((const unsigned char *)token, strlen(token), digest);
	if (!recall(a, digest, &c)) {
		int64_t exp_s = 0;
		int rc = verify(a, token, &c, &exp_s, err);
		if (rc)
			return rc;
		remember(a, digest, &c, exp_s);
	}
	int rc = ocu_denylist_check(a->denylist, OCU_DENY_TOKEN, c.token_id, err);
	if (rc == 0)
		rc = ocu_denylist_check(a->denylist, OCU_DENY_CALLER, c.sub, err);
	if (rc == 0)
		*ret = c;
	return rc;
}
