/*
 * retire: a sealed segment leaves the local disk once the archive has it (NFR-COMP-01: hot for at most 90
 * days, then cold). Always the first one here, one at a time, and only when all of this holds at that moment:
 * it is sealed, and every line of it verifies and goes on where the anchor says; its last record and its file
 * are old enough; the collector, if there is one, has it; and the archive's process has just asked the store
 * and was told so (holding). Then: an event in the trail, the anchor, and only then the file. Whatever fails
 * keeps it. One thread.
 */
#ifndef AUDITD_RETIRE_H
#define AUDITD_RETIRE_H

#include <stdint.h>

#include "libocu/ocsf.h"

struct ocu_error;
struct ocu_jwks;
struct ocu_signer;
struct store;

struct retire {
	struct store *store;
	const struct ocu_signer *signer;
	const struct ocu_jwks *keys;
	int64_t hot_ms;
	/* Returns when the event is durable. */
	int (*record)(void *arg, const struct ocu_event *ev, struct ocu_error *err);
	/* The last segment that was put into the archive. */
	uint64_t (*archived)(void *arg);
	/* 0 when the archive has the segment right now, so that it may go. */
	int (*confirm)(void *arg, uint64_t segment, struct ocu_error *err);
	/* Number of the last record that the collector has; UINT64_MAX without one. */
	uint64_t (*given)(void *arg);
	void *arg;
};

/* 1: one segment was removed, and there may be more. 0: none is old enough and archived. Else why one that is
 * old enough stays. */
int retire_step(struct retire *r, int64_t now_ms, struct ocu_error *err);

#endif
