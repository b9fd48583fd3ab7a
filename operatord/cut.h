/*
 * cut: egress dropped and sandbox stopped, for many sessions in parallel, over the revoke connections. Blocks
 * until every answer or deadline is in.
 */
#ifndef OPERATORD_CUT_H
#define OPERATORD_CUT_H

#include <stddef.h>

#include "libocu/err.h"

struct control;
struct session;

struct cut {
	struct ocu_error drop, stop; /* code 0: confirmed */
};

void cut_all(struct control *c, const struct session *list, size_t n, const char *trace, struct cut *ret);

#endif
