/*
 * segment: the one file that is being appended to. Records are written once and never again; the two head
 * slots at the front are the only bytes written in place. Zeros are written ahead of the records, so that a
 * sync has no file size or block map to make durable with them.
 */
#ifndef AUDITD_SEGMENT_H
#define AUDITD_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libocu/trail_format.h"

struct ocu_error;
struct ocu_signer;

struct segment {
	int dirfd; /* borrowed */
	int fd;    /* -1: none open */
	const struct ocu_signer *signer;
	uint64_t zeroed;            /* file offset up to which zeros or records are on disk */
	struct ocu_trail_head head; /* the durable one: number, segment, end, last, generation */
	char slot[OCU_TRAIL_SLOT];  /* its signed text */
	bool dirty;                 /* a write failed: what follows head.end, and the slots, are unknown */
};

void segment_init(struct segment *s, int dirfd, const struct ocu_signer *signer);
void segment_done(struct segment *s); /* closes without writing */
/* Makes the file `head->segment` with its opening line, both slots signed with head->generation and the next
 * one, all durable, under its final name. s must be closed. */
int segment_create(struct segment *s, const struct ocu_trail_head *head, const char *opening, size_t len,
                   struct ocu_error *err);
/* Opens an existing file whose durable end is `head`; nothing is changed. */
int segment_adopt(struct segment *s, const struct ocu_trail_head *head, struct ocu_error *err);
/* Writes len bytes at the end and zeros ahead in steps of `ahead` bytes, then the slot of `next`, then one
 * fdatasync. On success `next` is the head (its generation and end are filled in). On failure s->dirty is
 * set. */
int segment_append(struct segment *s, const char *data, size_t len, size_t ahead,
                   const struct ocu_trail_head *next, struct ocu_error *err);
/* Cuts what follows the head and signs it again in both slots: after a failed append, and after a crash. */
int segment_repair(struct segment *s, struct ocu_error *err);
/* Cuts the zeros and signs that another segment follows. */
int segment_seal(struct segment *s, const char time[32], struct ocu_error *err);
/* Cuts the zeros. */
int segment_trim(struct segment *s, struct ocu_error *err);

#endif
