/*
 * registry: the sessions operatord has registered and what is allowed in each. Thread-safe. A session leaves
 * it when it is dropped; whoever still holds a reference sees `dropped` and starts nothing new.
 */
#ifndef EGRESSD_REGISTRY_H
#define EGRESSD_REGISTRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "libocu/id.h"

struct ocu_error;
struct policy;
struct registry;
struct worker;

#define REGISTRY_MAX        16384u
#define REGISTRY_CALLER_MAX 256

struct session {
	char id[OCU_ID_MAX];
	char caller[REGISTRY_CALLER_MAX + 1];
	struct worker *worker;
	atomic_uint refs;
	atomic_uint connections;
	atomic_bool listening;
	atomic_bool dropped;
	/* registry.c's, under its lock */
	struct policy *policy;
	struct session *next;
};

struct registry *registry_new(void); /* NULL: no memory */
void registry_free(struct registry *r);
/* Adds the session, or gives the existing one the new policy; takes a reference on the policy. A session
 * keeps its caller: another one is OCU_E_EXISTS. *ret is referenced. workers are given in turn. */
int registry_put(struct registry *r, const char *id, const char *caller, struct policy *policy,
                 struct worker *const *workers, unsigned nworkers, struct session **ret,
                 struct ocu_error *err);
/* Referenced, or NULL. *policy too, when not NULL. */
struct session *registry_find(struct registry *r, const char *id, struct policy **policy);
/* Takes it out and marks it dropped; referenced, or NULL. */
struct session *registry_take(struct registry *r, const char *id);
/* The first session of the caller, as registry_take(). */
struct session *registry_take_caller(struct registry *r, const char *caller);
/* Referenced sessions, at most max; returns how many there are. */
size_t registry_list(struct registry *r, struct session **list, size_t max);

struct session *session_ref(struct session *s);
void session_unref(struct session *s); /* NULL allowed */

#endif
