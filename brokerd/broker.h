/*
 * broker: what the parts of this daemon share. Filled by main before anything serves; the pointers do not
 * change afterwards.
 */
#ifndef BROKERD_BROKER_H
#define BROKERD_BROKER_H

#include <pthread.h>
#include <stdbool.h>

#include "brokerd/fds.h"
#include "libocu/id.h"

struct ocu_audit;
struct ocu_denylist;
struct pool;
struct registry;
struct store;

/* Ceilings of one session and times, from the configuration. */
struct limits {
	unsigned open_files, open_dirs, nodes;
	double entry_timeout, negative_timeout; /* seconds */
};

struct broker {
	struct ocu_audit *audit;
	struct ocu_denylist *denylist;
	struct store *store;
	struct registry *registry;
	pthread_mutex_t coming; /* a volume is opened and registered, or found to be nobody's and discarded */
	struct pool *pool;
	struct fd_budget fds;
	struct limits limits;
	bool downloadable;
	int null_fd; /* /dev/null: stands in for a descriptor that was cut */
	char boot_id[OCU_ID_MAX];
};

#endif
