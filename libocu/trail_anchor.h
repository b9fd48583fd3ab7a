/*
 * trail_anchor: where a trail goes on whose first segments are no longer beside it, because they are in the
 * archive alone: the seal of the last of them, signed by auditd for that purpose. A head of a sealed segment
 * is no anchor: whoever can remove files could make one of it. A trail that begins later than its anchor
 * says, or without one, has lost its beginning.
 */
#ifndef OCU_TRAIL_ANCHOR_H
#define OCU_TRAIL_ANCHOR_H

#include <stdbool.h>
#include <stdint.h>

#include "libocu/trail_format.h"

/* Named so that whoever copies *.jsonl has it; one line. */
#define OCU_TRAIL_ANCHOR     "anchor.jsonl"
#define OCU_TRAIL_ANCHOR_MAX 1024 /* bytes of the line, newline included */

struct ocu_trail_anchor {
	uint64_t segment; /* it and all before it are in the archive */
	char trail[OCU_TRAIL_ID_MAX];
	uint64_t records;           /* in those */
	struct ocu_trail_hash last; /* of the last line of the last of them */
	char time[32];
	char kid[64];
};

/* The signed line, with its newline. kid is the signer's. */
int ocu_trail_anchor_put(char out[OCU_TRAIL_ANCHOR_MAX], const struct ocu_trail_anchor *a,
                         const struct ocu_signer *signer, struct ocu_error *err);
/* Form and signature; keys NULL: form only. OCU_E_CHAIN_BROKEN. */
int ocu_trail_anchor_parse(struct ocu_trail_anchor *ret, const char *text, size_t len,
                           const struct ocu_jwks *keys, struct ocu_error *err);
/* The folder's. OCU_E_NOT_FOUND when it has none. */
int ocu_trail_anchor_read(int dirfd, const struct ocu_jwks *keys, struct ocu_trail_anchor *ret,
                          struct ocu_error *err);

/* What of a trail is in a folder: segments first to last, all of them; 0 and 0 when there is none. */
struct ocu_trail_span {
	uint64_t first, last;
	bool anchored;
	struct ocu_trail_anchor anchor;
};
/* OCU_E_CHAIN_BROKEN when a segment is missing in between, or when the beginning is and the anchor does not
 * say that it is in the archive. That the records connect to the anchor is for whoever reads them. keys NULL:
 * the anchor's form only. */
int ocu_trail_span(int dirfd, const struct ocu_jwks *keys, struct ocu_trail_span *ret, struct ocu_error *err);

#endif
