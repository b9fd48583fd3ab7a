/*
 * mint: the tokens operatord signs: exec grants and session JWTs with session.key, caller tokens with
 * caller.key. The keys stay in this process; nothing here verifies. All are EdDSA with kid, iss, aud, sub,
 * iat, exp, jti.
 */
#ifndef OPERATORD_MINT_H
#define OPERATORD_MINT_H

#include <jansson.h>
#include <stdint.h>

#include "libocu/id.h"

struct mint;
struct ocu_error;
struct session;

/* Loads <pki_dir>/operatord/session.key and caller.key. */
int mint_open(struct mint **ret, const char *pki_dir, const char *trust_domain, struct ocu_error *err);
void mint_close(struct mint *m);

/* For sandboxd's exec listener: aud "ocu-exec", sub caller, sid session, inst sandboxd's instance. *ret is
 * freed by the caller; *ttl_ms is what is left of it, never over 5 min. */
int mint_grant(const struct mint *m, const struct session *s, const char *instance, int64_t ttl_ms,
               char **ret, uint32_t *ret_ttl_ms, struct ocu_error *err);
/* For the guest agent: aud "ocu-session", sub container_name, sid session (NFR-SEC-10). */
int mint_session_jwt(const struct mint *m, const struct session *s, int64_t ttl_ms, char **ret,
                     struct ocu_error *err);
/* For a caller: iss "ocu:<trust domain>". jti and *ret_expires_ms are what the record of it needs. */
int mint_caller_token(const struct mint *m, const char *caller, const json_t *audiences, int64_t ttl_ms,
                      char jti[OCU_ID_MAX], int64_t *ret_expires_ms, char **ret, struct ocu_error *err);

#endif
