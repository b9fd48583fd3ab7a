/*
 * request: one Append on its way through auditd: received, waiting in its source's lane, checked, waiting for
 * a batch, durable or refused. It is in exactly one place at a time, and whoever holds it owns it.
 */
#ifndef AUDITD_REQUEST_H
#define AUDITD_REQUEST_H

#include <stddef.h>
#include <stdint.h>

struct lane;
struct ocu_error;
struct ocu_rpc_call;

/* One event: borrowed from the call, or `owned` when it had to be written anew. */
struct request_event {
	const char *data;
	size_t len;
	char *owned;
};

struct request {
	struct request *next;
	struct lane *lane;         /* whose it is; never NULL */
	struct ocu_rpc_call *call; /* NULL for own events */
	/* For own events that somebody waits for; may be NULL. Runs on the committer's answering thread. */
	void (*done)(void *arg, const struct ocu_error *err);
	void *done_arg;
	int64_t wall_ms; /* when it was received */
	size_t bytes;    /* of its events */
	int refused;     /* why it alone is not in its batch; 0 when it is */
	uint64_t first;  /* number of its first record, once added to a batch */
	size_t n;
	struct request_event events[];
};

/* NULL when out of memory. */
struct request *request_new(size_t n);
/* Answers whoever waits: NULL for success with r->first, or the error; then frees. */
void request_finish(struct request *r, const struct ocu_error *err);

#endif
