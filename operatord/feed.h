/*
 * feed: the denylist on its way out. Every change of the list goes through here: it is made durable in the
 * registry, published in the order of its epoch, and can be pulled whole on a second listener that serves
 * nothing else. Only the four daemons that enforce it are let in, by certificate.
 */
#ifndef OPERATORD_FEED_H
#define OPERATORD_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "operatord/registry.h"

struct control;
struct feed;

int feed_start(struct feed **ret, struct control *c, struct ocu_error *err);
void feed_stop(struct feed *f); /* takes NULL */

/* registry_deny_add() and publish. The audit event must be durable already. */
int feed_deny(struct feed *f, const struct deny_entry *entries, size_t n, uint64_t *epoch, bool *changed,
              struct ocu_error *err);
/* registry_deny_lift() and publish. */
int feed_lift(struct feed *f, enum ocu_deny_kind kind, const char *value, uint64_t *epoch,
              struct ocu_error *err);
int feed_pull_port(const struct feed *f);
int feed_pub_port(const struct feed *f);

#endif
