/* grant: see grant.h. */
#include "sandboxd/grant.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/id.h"
#include "libocu/json.h"
#include "libocu/jwt.h"

#define KNOWN_MAX 1024 /* a power of two */
#define TTL_MAX_S 300
#define RELOAD_MS 1000 /* how often an unknown key may make us read the file */

struct known {
	char *token;
	struct grant grant;
};

struct grants {
	pthread_rwlock_t lock; /* keys */
	struct ocu_jwks *keys;
	uint64_t loaded;
	char path[512];
	char issuer[128];
	char instance[64];
	pthread_mutex_t known_lock;
	struct known known[KNOWN_MAX]; /* by hash; a newer grant takes an older one's place */
};

int grants_new(struct grants **ret, const char *pki_dir, const char *trust_domain, const char *instance,
               struct ocu_error *err)
{
	struct grants *g = calloc(1, sizeof *g);
	int rc;

	if (!g)
		return ocu_error_set(err, OCU_E_NOMEM, "grants");
	snprintf(g->issuer, sizeof g->issuer, "ocu:%s/operatord", trust_domain);
	snprintf(g->instance, sizeof g->instance, "%s", instance);
	if (snprintf(g->path, sizeof g->path, "%s/session-jwks.json", pki_dir) >= (int)sizeof g->path)
		rc = ocu_error_set(err, OCU_E_CONFIG, "pki_dir is too long");
	else
		rc = ocu_jwks_load(&g->keys, g->path, err);
	if (rc) {
		free(g);
		return rc;
	}
	g->loaded = ocu_mono_ms();
	pthread_rwlock_init(&g->lock, NULL);
	pthread_mutex_init(&g->known_lock, NULL);
	*ret = g;
	return 0;
}

void grants_free(struct grants *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < KNOWN_MAX; i++)
		free(g->known[i].token);
	ocu_jwks_free(g->keys);
	pthread_rwlock_destroy(&g->lock);
	pthread_mutex_destroy(&g->known_lock);
	free(g);
}

static size_t slot_of(const char *token, size_t len)
{
	uint64_t h = 14695981039346656037u;

	/* The end is the signature: the part that differs. */
	for (size_t i = len > 64 ? len - 64 : 0; i < len; i++)
		h = (h ^ (unsigned char)token[i]) * 1099511628211u;
	return (h ^ h >> 32) % KNOWN_MAX;
}

static int find_known(struct grants *g, const char *token, size_t len, struct grant *ret)
{
	struct known *k = &g->known[slot_of(token, len)];
	int found;

	pthread_mutex_lock(&g->known_lock);
	found = k->token && strcmp(k->token, token) == 0;
	if (found)
		*ret = k->grant;
	pthread_mutex_unlock(&g->known_lock);
	return found;
}

static void remember(struct grants *g, const char *token, size_t len, const struct grant *grant)
{
	struct known *k = &g->known[slot_of(token, len)];
	char *copy = strdup(token), *old;

	if (!copy)
		return;
	pthread_mutex_lock(&g->known_lock);
	old = k->token;
	k->token = copy;
	k->grant = *grant;
	pthread_mutex_unlock(&g->known_lock);
	free(old);
}

/* The signing key may have been rotated: read the set again, not more often than once a second. */
static int reload(struct grants *g)
{
	struct ocu_jwks *fresh = NULL, *old = NULL;
	int rc = -1;

	pthread_rwlock_wrlock(&g->lock);
	if (ocu_mono_ms() - g->loaded >= RELOAD_MS) {
		g->loaded = ocu_mono_ms();
		rc = ocu_jwks_load(&fresh, g->path, NULL);
		if (rc == 0) {
			old = g->keys;
			g->keys = fresh;
		}
	}
	pthread_rwlock_unlock(&g->lock);
	ocu_jwks_free(old);
	return rc;
}

static int verify(struct grants *g, const char *token, size_t len, json_t **claims, struct ocu_error *err)
{
	const struct ocu_jwt_expect expect = {
	    .issuer = g->issuer, .audience = "ocu-exec", .max_ttl_s = TTL_MAX_S};
	int rc;

	for (int tries = 0;; tries++) {
		pthread_rwlock_rdlock(&g->lock);
		rc = ocu_jwt_verify(g->keys, token, len, &expect, claims, err);
		pthread_rwlock_unlock(&g->lock);
		if (rc != OCU_E_TOKEN_KEY || tries > 0 || reload(g))
			return rc;
	}
}

static int copy_claim(const json_t *claims, const char *name, char *out, size_t size, struct ocu_error *err)
{
	const char *s = ocu_json_str(claims, name, "");

	if (!s[0] || snprintf(out, size, "%s", s) >= (int)size)
		return ocu_error_set(err, OCU_E_TOKEN_CLAIM, "claim %s", name);
	return 0;
}

static int read_claims(const struct grants *g, const json_t *claims, struct grant *ret, struct ocu_error *err)
{
	const char *instance = ocu_json_str(claims, "inst", "");
	int64_t left = (int64_t)ocu_json_int(claims, "exp", 0) - ocu_wall_s();
	int rc;

	if ((rc = copy_claim(claims, "sid", ret->session, sizeof ret->session, err)) ||
	    (rc = copy_claim(claims, "sub", ret->caller, sizeof ret->caller, err)) ||
	    (rc = copy_claim(claims, "jti", ret->id, sizeof ret->id, err)))
		return rc;
	if (!ocu_id_valid(OCU_ID_SESSION, ret->session))
		return ocu_error_set(err, OCU_E_TOKEN_CLAIM, "claim sid");
	if (strcmp(instance, g->instance) != 0)
		return ocu_error_set(err, OCU_E_TOKEN_AUDIENCE, "the grant is for another node");
	if (left <= 0)
		return ocu_error_set(err, OCU_E_TOKEN_EXPIRED, "the grant has expired");
	ret->until = ocu_mono_ms() + (uint64_t)left * 1000;
	return 0;
}

int grants_check(struct grants *g, const char *token, struct grant *ret, struct ocu_error *err)
{
	size_t len = strnlen(token, OCU_JWT_MAX + 1);
	OCU_JSON json_t *claims = NULL;
	int rc;

	if (len == 0 || len > OCU_JWT_MAX)
		return ocu_error_set(err, len ? OCU_E_TOKEN_MALFORMED : OCU_E_UNAUTHENTICATED, "no grant");
	if (!find_known(g, token, len, ret)) {
		if ((rc = verify(g, token, len, &claims, err)) || (rc = read_claims(g, claims, ret, err)))
			return rc;
		remember(g, token, len, ret);
	}
	if (ocu_mono_ms() >= ret->until)
		return ocu_error_set(err, OCU_E_TOKEN_EXPIRED, "the grant has expired");
	return 0;
}
