/*
 * trail_walk: the chain rules, applied line by line: hash, link, numbering, per-source sequence. Used from
 * the first record by the verifier, and from the opening of the last segment by auditd when it starts.
 */
#ifndef OCU_TRAIL_WALK_H
#define OCU_TRAIL_WALK_H

#include "libocu/trail_format.h"

struct ocu_trail_walk {
	struct ocu_trail_hasher *hasher;
	struct ocu_trail_sources sources;
	char trail[OCU_TRAIL_ID_MAX];
	uint64_t segment; /* 0 before the first opening */
	uint64_t number;  /* of the last record */
	struct ocu_trail_hash last;
	char time[32]; /* of the last line */
};

int ocu_trail_walk_init(struct ocu_trail_walk *w, struct ocu_error *err);
void ocu_trail_walk_done(struct ocu_trail_walk *w);
/* The first opening seen is taken at its word, unless it is segment 1, which must start from nothing; every
 * later one must repeat what the walk knows. All failures are OCU_E_CHAIN_BROKEN. */
int ocu_trail_walk_opening(struct ocu_trail_walk *w, const char *line, size_t len, struct ocu_error *err);
/* Changes nothing on failure. */
int ocu_trail_walk_record(struct ocu_trail_walk *w, const char *line, size_t len, struct ocu_error *err);

#endif
