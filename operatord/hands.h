/*
 * hands: which sessions some thread is working on right now, so that the reconciler leaves them alone. A
 * session may be taken by several (a kill does not wait for a destroy under way); every step is idempotent.
 */
#ifndef OPERATORD_HANDS_H
#define OPERATORD_HANDS_H

#include <stdbool.h>

struct hands;

struct hands *hands_new(void); /* NULL when out of memory */
void hands_free(struct hands *h);
/* false when out of memory; then it counts as not taken. */
bool hands_take(struct hands *h, const char *session_id);
void hands_drop(struct hands *h, const char *session_id);
bool hands_taken(struct hands *h, const char *session_id);

#endif
