/*
 * grant: the exec grants that come with every tool call: signed by operatord, for one session of one caller,
 * for at most five minutes. A grant is verified once and then known by its bytes until it ends; that it has
 * not ended is looked at each time, on the monotonic clock. Whether it was revoked is the denylist's
 * business.
 */
#ifndef OCU_SANDBOXD_GRANT_H
#define OCU_SANDBOXD_GRANT_H

#include <stdint.h>

struct grants;
struct ocu_error;

struct grant {
	char session[40];
	char caller[256];
	char id[64];    /* jti */
	uint64_t until; /* ocu_mono_ms */
};

/* Keys from <pki_dir>/session-jwks.json, read again when a grant names a key that is not in it. */
int grants_new(struct grants **ret, const char *pki_dir, const char *trust_domain, const char *instance,
               struct ocu_error *err);
void grants_free(struct grants *g);
/* 0 and *ret, or one of the TOKEN_* codes. Thread-safe; no system call when the grant is known. */
int grants_check(struct grants *g, const char *token, struct grant *ret, struct ocu_error *err);

#endif
