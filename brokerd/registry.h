/*
 * registry: the volumes operatord has registered, found by session or by filesystem. Bounded. What is not
 * here has no mount and no north face.
 */
#ifndef BROKERD_REGISTRY_H
#define BROKERD_REGISTRY_H

#include <stddef.h>

struct ocu_error;
struct registry;
struct volume;
struct volume_id;

int registry_new(struct registry **ret, size_t max, struct ocu_error *err);
void registry_free(struct registry *r); /* gives the references of what is left back */
/* Whether it could be added: OCU_E_EXISTS when session or filesystem is there, OCU_E_QUOTA when full. For
 * before anything on disk is touched. */
int registry_room(struct registry *r, const struct volume_id *id, struct ocu_error *err);
/* The same, and takes a reference of its own. */
int registry_add(struct registry *r, struct volume *v, struct ocu_error *err);
void registry_remove(struct registry *r, struct volume *v);
struct volume *registry_session(struct registry *r, const char *session_id);       /* referenced, or NULL */
struct volume *registry_filesystem(struct registry *r, const char *filesystem_id); /* referenced, or NULL */
size_t registry_count(struct registry *r);
/* Every volume, referenced; free the array. NULL with *ret_count 0 when there is none (or no memory). */
struct volume **registry_all(struct registry *r, size_t *ret_count);

#endif
