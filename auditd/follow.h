/*
 * follow: the records of a trail that grows, one after the other, from any number on. Reads the segment files
 * and nothing else; checks form and numbering, not hashes. One thread.
 */
#ifndef AUDITD_FOLLOW_H
#define AUDITD_FOLLOW_H

#include <stdint.h>

#include "libocu/trail_segment.h"

struct follow {
	int dirfd;
	int fd; /* of `segment` */
	uint64_t segment;
	uint64_t number; /* of the record given last */
	char trail[OCU_TRAIL_ID_MAX];
	struct ocu_trail_lines lines;
};

/* f can be closed whatever the outcome. */
int follow_open(struct follow *f, const char *dir, struct ocu_error *err);
void follow_close(struct follow *f);
/* Record `number` is the next one, or the first that is not in the archive alone; it need not exist yet.
 * OCU_E_NOT_FOUND when the trail has no segment. */
int follow_seek(struct follow *f, uint64_t number, struct ocu_error *err);
/* 1 and the next record, which points into memory that is good until the next call; 0 when there is none, or
 * when its number is above `limit`. */
int follow_next(struct follow *f, uint64_t limit, struct ocu_trail_record *ret, struct ocu_error *err);

#endif
