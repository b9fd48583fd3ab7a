/*
 * recover: finding the durable end of a trail after whatever stopped auditd. The rule: the newest head whose
 * signature and whose every record in the last segment verify is the end. If that is not the newest slot, the
 * newest was part of a batch that was torn before its sync returned, so nobody was answered for it. Anything
 * behind the end is cut off and kept in a file beside the segments; only auditd's signature makes a record
 * one.
 */
#ifndef AUDITD_RECOVER_H
#define AUDITD_RECOVER_H

#include "auditd/segment.h"
#include "libocu/trail_walk.h"

struct ocu_jwks;

struct recovery {
	uint64_t segment; /* the last; 0: the folder holds no trail */
	uint64_t first;   /* before it all are in the archive */
	struct ocu_trail_walk walk;
	struct ocu_trail_head head;
	bool torn; /* bytes were cut, or a head slot did not verify */
	char *cut; /* what followed the end, at most 16 MiB of it */
	size_t cut_bytes;
	struct ocu_trail_hash cut_hash; /* SHA-256 of cut */
	bool cut_kept;                  /* in a file beside the segments */
	char why[160];                  /* what was wrong with the newest head, or "" */
};

/* Reads only. OCU_E_CHAIN_BROKEN when the trail's end cannot be established. */
int recover_find(struct recovery *r, int dirfd, const struct ocu_jwks *keys, struct ocu_error *err);
/* Keeps the cut bytes aside, cuts them, signs the end again, and seals the segment before when that was
 * pending. s must be closed; it is open afterwards. */
int recover_apply(struct recovery *r, struct segment *s, const struct ocu_jwks *keys, struct ocu_error *err);
void recovery_done(struct recovery *r);

#endif
