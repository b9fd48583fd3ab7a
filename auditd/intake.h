/*
 * intake: what peers may ask of auditd, and the way of an Append from the wire to the committer. Trusts only
 * what the certificate proved: the source of a record is the peer, and members of an event that claim another
 * are dropped.
 */
#ifndef AUDITD_INTAKE_H
#define AUDITD_INTAKE_H

#include <stddef.h>

#include "libocu/rpc.h"

struct committer;
struct lanes;
struct own;
struct request;
struct store;

#define INTAKE_EVENTS_MAX  256        /* in one Append */
#define INTAKE_REQUEST_MAX (1u << 20) /* bytes of their JSON */

struct intake {
	struct store *store;
	struct committer *committer;
	struct lanes *lanes;
	struct own *own;
	unsigned checkers_max; /* threads that may check events at once */
	unsigned checkers;     /* guarded by the lanes' lock */
};

extern const struct ocu_rpc_entry intake_table[]; /* arg: struct intake */
void intake_refused(const struct ocu_peer *peer, uint32_t method, const struct ocu_error *why, void *arg);

/* Checks every event; 0 or the first fault with its index. Exposed for tests and fuzzing. */
int intake_check(struct request *r, size_t *ret_bad, struct ocu_error *err);

#endif
