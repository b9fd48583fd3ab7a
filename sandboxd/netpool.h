/*
 * netpool: pairs of network namespaces made ahead, because making one costs some milliseconds that a
 * session's start need not wait for. A pair in the pool has never been anybody's and is given out once.
 */
#ifndef OCU_SANDBOXD_NETPOOL_H
#define OCU_SANDBOXD_NETPOOL_H

#include "sandboxd/netns.h"

struct netpool;
struct ocu_error;

int netpool_start(struct netpool **ret, unsigned size, struct ocu_error *err);
void netpool_stop(struct netpool *p); /* NULL is fine */
/* One from the pool, or one made now. */
int netpool_take(struct netpool *p, struct netns_pair *ret, struct ocu_error *err);

#endif
