/*
 * lookup: the edge's own resolution of allowed names, with c-ares inside a worker's loop. Asks DNS only: no
 * hosts file, no search list, no aliases. Questions for one name under way at once are asked once; answers
 * are kept no longer than their TTL and 60 s. The addresses handed out are exactly those of one answer:
 * whoever checks them dials them, and never asks again in between.
 */
#ifndef EGRESSD_LOOKUP_H
#define EGRESSD_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>

#include "egressd/addr.h"
#include "egressd/host.h"

struct lookups;
struct ocu_error;
struct worker;

#define LOOKUP_ADDRS_MAX 32u
#define LOOKUP_KEEP_MS   60000u
#define LOOKUP_CACHE     1024u

/* Embedded in who waits; cancelled before its memory goes. */
struct lookup_wait {
	/* rc 0 with n > 0 addresses, or OCU_E_EGRESS_RESOLVE. Borrowed. Called once. */
	void (*done)(struct lookup_wait *w, int rc, const union addr *addrs, size_t n);
	struct lookup_wait *next, **prev; /* lookup.c's; prev NULL: not waiting */
};

int lookups_new(struct lookups **ret, struct worker *w, struct ocu_error *err);
void lookups_free(struct lookups *l); /* NULL allowed */
/* Whether an answer is kept, so that lookup_start() would ask nobody. */
bool lookup_known(struct lookups *l, const char *host);
/* done may be called before this returns. */
void lookup_start(struct lookups *l, const char *host, struct lookup_wait *wait);
void lookup_cancel(struct lookup_wait *wait);

#endif
