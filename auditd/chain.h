/*
 * chain: the numbers, sequences, hash and time of the last record, and how they move: forward with each
 * record added, and back to the last durable point when a batch is refused. Not thread-safe: the committer's.
 */
#ifndef AUDITD_CHAIN_H
#define AUDITD_CHAIN_H

#include "libocu/trail_format.h"
#include "libocu/trail_walk.h"

struct ocu_buf;
struct ocu_error;

struct chain {
	struct ocu_trail_walk at; /* where the next record will be linked */
	int64_t time_ms;          /* what at.time was rendered from; -1: not known */
	/* The durable point. */
	uint64_t number;
	struct ocu_trail_hash last;
	uint64_t sequence[OCU_TRAIL_SOURCES_MAX];
};

/* Takes over what recovery's walk arrived at. */
void chain_init(struct chain *c, struct ocu_trail_walk *steal);
void chain_done(struct chain *c);
/* Appends one record line to out. Its time is wall_ms, or the last record's when that is later (NFR-SEC-48).
 */
int chain_add(struct chain *c, struct ocu_buf *out, const char *source, int64_t wall_ms, const char *event,
              size_t len, struct ocu_error *err);
void chain_commit(struct chain *c);
void chain_rollback(struct chain *c);

#endif
