/* assertion: see assertion.h. */
#include "operatord/assertion.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/jwt.h"
#include "operatord/rate.h"

#define TTL_MAX_S     60
#define SLOTS         16384 /* over twice what ordinary requests can use in TTL_MAX_S */
#define PROBES        256
#define ORDINARY_RATE 100u /* a second */

/* A used assertion: the first half of its jti's SHA-256. */
struct used {
	unsigned char digest[16];
	int64_t exp_s; /* free once this has passed */
};

struct assertions {
	struct ocu_jwks *keys;
	pthread_mutex_t lock;
	struct rate rate;
	/* A mapped file: what was written survives the process, however it ends. */
	struct used *used;
};

static int map_used(struct assertions *a, const char *state_dir, struct ocu_error *err)
{
	char path[4096];
	const size_t size = SLOTS * sizeof *a->used;
	struct stat st;
	void *map;
	int rc;

	if (snprintf(path, sizeof path, "%s/assertions", state_dir) >= (int)sizeof path)
		return ocu_error_set(err, OCU_E_CONFIG, "state_dir is too long");
	OCU_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fstat(fd, &st) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "opening %s", path);
	if (st.st_size != 0 && st.st_size != (off_t)size)
		return ocu_error_set(err, OCU_E_STATE, "%s is not what this program writes", path);
	/* Every page gets its block now: a full disk later must not become SIGBUS. */
	rc = posix_fallocate(fd, 0, (off_t)size);
	if (rc)
		return ocu_error_errno(err, rc == ENOSPC ? OCU_E_NO_SPACE : OCU_E_IO, rc, "allocating %s",
		                       path);
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return ocu_error_errno(err, OCU_E_IO, errno, "mapping %s", path);
	a->used = map;
	return 0;
}

int assertions_open(struct assertions **ret, const char *pki_dir, const char *state_dir,
                    struct ocu_error *err)
{
	struct assertions *a = calloc(1, sizeof *a);
	char path[4096];
	int rc;

	if (!a)
		return ocu_error_set(err, OCU_E_NOMEM, "assertions");
	pthread_mutex_init(&a->lock, NULL);
	rate_init(&a->rate, ORDINARY_RATE, 2ull * ORDINARY_RATE);
	if (snprintf(path, sizeof path, "%s/operator-jwks.json", pki_dir) >= (int)sizeof path)
		rc = ocu_error_set(err, OCU_E_CONFIG, "pki_dir is too long");
	else
		rc = ocu_jwks_load(&a->keys, path, err);
	if (rc == 0)
		rc = map_used(a, state_dir, err);
	if (rc) {
		assertions_close(a);
		return rc;
	}
	*ret = a;
	return 0;
}

void assertions_close(struct assertions *a)
{
	if (!a)
		return;
	if (a->used)
		munmap(a->used, SLOTS * sizeof *a->used);
	ocu_jwks_free(a->keys);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

/* Lock held. */
static int remember(struct assertions *a, const unsigned char digest[16], int64_t exp_s,
                    struct ocu_error *err)
{
	int64_t now = ocu_wall_s();
	struct used *room = NULL;
	uint32_t at;

	memcpy(&at, digest, sizeof at);
	for (unsigned i = 0; i < PROBES; i++) {
		struct used *u = &a->used[(at + i) % SLOTS];
		if (u->exp_s > now && memcmp(u->digest, digest, sizeof u->digest) == 0)
			return ocu_error_set(err, OCU_E_TOKEN_REVOKED, "the assertion was used before");
		if (!room && u->exp_s <= now)
			room = u;
	}
	if (!room)
		return ocu_error_set(err, OCU_E_BUSY, "too many assertions within a minute");
	memcpy(room->digest, digest, sizeof room->digest);
	room->exp_s = exp_s;
	return 0;
}

static int use_up(struct assertions *a, const char *jti, int64_t exp_s, bool ordinary, struct ocu_error *err)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	int rc = 0;

	if (EVP_Digest(jti, strlen(jti), digest, NULL, EVP_sha256(), NULL) != 1)
		return ocu_error_set(err, OCU_E_INTERNAL, "sha256");
	pthread_mutex_lock(&a->lock);
	if (ordinary && !rate_take(&a->rate, ocu_mono_ms()))
		rc = ocu_error_set(err, OCU_E_RATE, "over %u operator requests a second", ORDINARY_RATE);
	if (rc == 0)
		rc = remember(a, digest, exp_s, err);
	pthread_mutex_unlock(&a->lock);
	return rc;
}

/* The name goes into the trail and the denylist: short, and nothing a terminal could misread. */
static bool name_ok(const char *s)
{
	size_t n = strlen(s);

	if (n == 0 || n > OPERATOR_MAX)
		return false;
	for (; *s; s++)
		if ((unsigned char)*s < 0x21 || (unsigned char)*s > 0x7e)
			return false;
	return true;
}

int assertions_use(struct assertions *a, const char *token, bool ordinary, char operator[OPERATOR_MAX + 1],
                   struct ocu_error *err)
{
	static const struct ocu_jwt_expect expect = {
	    .issuer = "occ", .audience = "ocu-operator-api", .max_ttl_s = TTL_MAX_S};
	OCU_JSON json_t *claims = NULL;
	int rc;

	if (!token)
		return ocu_error_set(err, OCU_E_UNAUTHENTICATED, "an operator assertion is required");
	rc = ocu_jwt_verify(a->keys, token, strlen(token), &expect, &claims, err);
	if (rc)
		return rc;
	if (!name_ok(ocu_json_str(claims, "sub", "")))
		return ocu_error_set(err, OCU_E_TOKEN_CLAIM, "sub is not an operator's name");
	rc = use_up(a, ocu_json_str(claims, "jti", ""), ocu_json_int(claims, "exp", 0), ordinary, err);
	if (rc == 0)
		snprintf(operator, OPERATOR_MAX + 1, "%s", ocu_json_str(claims, "sub", ""));
	return rc;
}
