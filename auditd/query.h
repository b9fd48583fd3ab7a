/*
 * query: one page of records, read from the segment files up to what was durable when asked. Bounded in
 * records, bytes returned and bytes looked through; where it stopped is where the next page starts.
 */
#ifndef AUDITD_QUERY_H
#define AUDITD_QUERY_H

#include <stdint.h>

struct ocu_buf;
struct ocu_error;
struct store_head;

#define QUERY_LIMIT_MAX   1000
#define QUERY_BYTES_MAX   (8u << 20)   /* returned */
#define QUERY_SCAN_MAX    (256u << 20) /* looked through */
#define QUERY_SESSION_MAX 64

struct query {
	char session_id[QUERY_SESSION_MAX]; /* "": any */
	uint64_t from;                      /* number of the first record wanted, from 1 */
	uint64_t limit;
};

/* Appends the record lines as they stand in the trail. *ret_next: where to go on, 0 when the durable end was
 * reached. head is of store_read_begin(). Records that are in the archive alone are passed over. */
int query_run(const struct query *q, int dirfd, const struct store_head *head, struct ocu_buf *out,
              uint64_t *ret_next, struct ocu_error *err);

#endif
