/*
 * assertion: who an operator is. An operator assertion is an EdDSA JWT of at most 60 s, signed with the
 * host-rooted operator key, and is good once: its jti is remembered until it expires, across a crash of this
 * process, too. No other credential opens the operator API.
 */
#ifndef OPERATORD_ASSERTION_H
#define OPERATORD_ASSERTION_H

#include <stdbool.h>

#define OPERATOR_MAX 100 /* bytes of an operator's name */

struct assertions;
struct ocu_error;

/* <pki_dir>/operator-jwks.json, and the remembered ones in <state_dir>/assertions. */
int assertions_open(struct assertions **ret, const char *pki_dir, const char *state_dir,
                    struct ocu_error *err);
void assertions_close(struct assertions *a); /* takes NULL */

/* Verifies and uses up. ordinary: one of at most 100 a second (OCU_E_RATE); revocations are not limited.
 * OCU_E_UNAUTHENTICATED without a token, the TOKEN_* codes (TOKEN_REVOKED when it was used before),
 * OCU_E_BUSY when too many are remembered. */
int assertions_use(struct assertions *a, const char *token, bool ordinary, char operator[OPERATOR_MAX + 1],
                   struct ocu_error *err);

#endif
