/*
 * start: from a session's id to a sandbox with a listening agent. Every step can fail and can be told to give
 * up; what was made by then is taken back by the same code that ends a sandbox.
 */
#ifndef OCU_SANDBOXD_START_H
#define OCU_SANDBOXD_START_H

#include "proto/control.pb-c.h"

struct node;
struct ocu_error;
struct session;

/* Checks a request and fills the limits it leaves open. */
int start_check(struct node *n, const Ocu__Control__StartRequest *q, struct ocu_error *err);
/* Blocks for the whole start: tens of milliseconds. 0: the session runs. */
int start_sandbox(struct node *n, const Ocu__Control__StartRequest *q, const char *trace,
                  struct ocu_error *err);
/* Makes the edge sockets of a sandbox and hands them to egressd. */
int start_edge(struct session *s, struct ocu_error *err);

#endif
