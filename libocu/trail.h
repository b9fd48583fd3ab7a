/*
 * trail: the on-disk form of the evidence, shared by auditd, which appends, and by whoever verifies. The
 * design of the records is in docs/audit.md. Verification needs nothing but the files and the public envelope key.
 */
#ifndef OCU_TRAIL_H
#define OCU_TRAIL_H

#include <stdint.h>

struct ocu_error;
struct ocu_jwks;

struct ocu_trail_report {
	uint64_t records;
	uint64_t sources;
	unsigned char head[32]; /* hash of the last record */
	uint64_t bad_record;    /* number of the first record that does not verify, when broken */
	char why[256];
};

/* Verifies every segment of the folder: each record's hash, the link to the one before it, the per-source
 * sequence without gap, and the signed head against the last record (so that removal at the end shows).
 * 0, or OCU_E_CHAIN_BROKEN with ret filled. */
int ocu_trail_verify(const char *dir, const struct ocu_jwks *envelope_keys, struct ocu_trail_report *ret,
                     struct ocu_error *err);
/* Calls each for every record in order: the number, the source's component name, and the event's JSON. A
 * non-zero return stops and is returned. */
int ocu_trail_each(const char *dir,
                   int (*each)(void *arg, uint64_t number, const char *source, const char *event, uint64_t len),
                   void *arg, struct ocu_error *err);

#endif
