/*
 * store: the chain and the segment it is written to. One thread (the committer) begins, adds and commits; any
 * thread may ask for the durable head. What commit refused was never numbered: the next batch takes its
 * numbers.
 *
 * Own notices (trail.opened, trail.recovered, trail.resumed) are kept until a batch that holds them is
 * durable, so that a full disk cannot make the trail forget what happened to it.
 */
#ifndef AUDITD_STORE_H
#define AUDITD_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "libocu/trail_format.h"

struct ocu_error;
struct ocu_jwks;
struct ocu_signer;
struct store;

#define STORE_BATCH_MAX (8u << 20) /* bytes of one batch as written */
#define STORE_SELF      "auditd"   /* the source of own events */

struct store_opts {
	const char *dir; /* exists */
	const struct ocu_signer *signer;
	const struct ocu_jwks *keys; /* verifies heads signed before, also by an earlier key */
	uint64_t segment_size;
	int64_t segment_age_ms; /* 0: by size alone */
	size_t preallocate;
};

/* A position of the trail that was durable when asked. */
struct store_head {
	uint64_t records;
	uint64_t first; /* segment; those before it are in the archive alone */
	uint64_t segment;
	uint64_t end; /* offset in the segment */
	unsigned char hash[32];
	char slot[OCU_TRAIL_SLOT]; /* the signed head, JSON padded with spaces */
};

/* Begins a trail in an empty folder, or recovers: a torn batch behind the newest head that verifies is cut
 * off, kept aside in a file, and noticed. OCU_E_CHAIN_BROKEN when no head verifies or acknowledged records
 * are missing. */
int store_open(struct store **ret, const struct store_opts *o, struct ocu_error *err);
/* Cuts the preallocation off and closes. */
void store_close(struct store *s);

/* Between batches: gives a segment that is full, or holds records and is too old, its successor; so that what
 * a quiet trail holds is sealed as well. To be called every store_tend_every_ms(), unless that is 0. */
int store_tend(struct store *s, struct ocu_error *err);
uint64_t store_tend_every_ms(const struct store *s);

/* A batch: begin (repairs, rotates, adds pending notices), any number of adds, commit. A failure of begin or
 * commit drops the batch: OCU_E_NO_SPACE or OCU_E_IO, and is remembered as a notice for when writing works
 * again. */
int store_begin(struct store *s, struct ocu_error *err);
/* *ret_number: the record's number if the batch becomes durable. */
int store_add(struct store *s, const char *source, int64_t wall_ms, const char *event, size_t len,
              uint64_t *ret_number, struct ocu_error *err);
size_t store_batch_bytes(const struct store *s);
uint64_t store_batch_records(const struct store *s);
int store_commit(struct store *s, struct ocu_error *err);
void store_abort(struct store *s); /* forgets what was added since begin */
/* Tells how many events the refused batch would have held, for the notice. */
void store_note_refused(struct store *s, uint64_t events, const struct ocu_error *why);

void store_head(struct store *s, struct store_head *ret);
/* The same, for reading segments: from ret->first on they stay where they are until store_read_end(). */
void store_read_begin(struct store *s, struct store_head *ret);
void store_read_end(struct store *s);
/* Removes the first segment once nobody reads. That it may go, and that an anchor says so, is the caller's to
 * see to (retire). OCU_E_IO. */
int store_remove_first(struct store *s, struct ocu_error *err);
int store_dirfd(const struct store *s);
const char *store_trail(const struct store *s);

#endif
