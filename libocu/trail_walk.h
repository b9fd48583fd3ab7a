/*
 * trail_walk: the chain rules, applied line by line: hash, link, numbering, per-source sequence. Used from
 * the first record, or from an anchor, by the verifier, and from the opening of a segment by auditd.
 */
#ifndef OCU_TRAIL_WALK_H
#define OCU_TRAIL_WALK_H

#include "libocu/trail_format.h"

struct ocu_trail_anchor;
struct ocu_trail_lines;

struct ocu_trail_walk {
	struct ocu_trail_hasher *hasher;
	struct ocu_trail_sources sources;
	char trail[OCU_TRAIL_ID_MAX];
	uint64_t segment; /* 0 before the first opening */
	uint64_t number;  /* of the last record */
	struct ocu_trail_hash last;
	char time[32];   /* of the last line */
	char since[32];  /* of the segment's opening */
	uint64_t before; /* records in the segments before it */
	bool anchored;   /* begun behind an anchor, which says nothing of the sources */
};

int ocu_trail_walk_init(struct ocu_trail_walk *w, struct ocu_error *err);
void ocu_trail_walk_done(struct ocu_trail_walk *w);
/* The first opening seen is taken at its word, unless it is segment 1, which must start from nothing; every
 * later one must repeat what the walk knows. All failures are OCU_E_CHAIN_BROKEN. */
int ocu_trail_walk_opening(struct ocu_trail_walk *w, const char *line, size_t len, struct ocu_error *err);
/* Before the first opening: the walk goes on behind the anchor. */
void ocu_trail_walk_anchor(struct ocu_trail_walk *w, const struct ocu_trail_anchor *a);
/* Whether the walk stands where the anchor was made. OCU_E_CHAIN_BROKEN. */
int ocu_trail_walk_at_anchor(const struct ocu_trail_walk *w, const struct ocu_trail_anchor *a,
                             struct ocu_error *err);
/* The opening and the records of the segment in fd, up to its head, which must be that of the last. */
int ocu_trail_walk_segment(struct ocu_trail_walk *w, struct ocu_trail_lines *lines, int fd,
                           const struct ocu_trail_head *h, struct ocu_error *err);
/* Changes nothing on failure. */
int ocu_trail_walk_record(struct ocu_trail_walk *w, const char *line, size_t len, struct ocu_error *err);

#endif
