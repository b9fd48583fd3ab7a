/*
 * north: the files API, HTTPS, on a listener of its own (NFR-SEC-78). Who calls is the validated token and
 * nothing in the request; a file system of somebody else, or of a session that ended, is not found. What a
 * request may do is decided before a byte of its body is taken; the work is done by a small pool of threads,
 * for callers in turn.
 */
#ifndef BROKERD_NORTH_H
#define BROKERD_NORTH_H

#include <stddef.h>

#include "brokerd/rate.h"

struct broker;
struct north;
struct ocu_error;
struct ocu_identity;

struct north_opts {
	struct broker *broker;
	const struct ocu_identity *identity;
	const char *listen;
	const char *spool_dir;
	const char *jwks_path, *issuer, *audience;
	struct rate_opts rate;
	size_t upload_max;
	unsigned workers, connections, connections_per_address; /* the last: 0 none */
};

int north_start(struct north **ret, const struct north_opts *o, struct ocu_error *err);
void north_stop(struct north *n, unsigned drain_ms); /* NULL is fine */

#endif
