/*
 * view: what the three custodians of a node say they hold, as of one moment. A list that could not be had is
 * NULL, and nothing is concluded from it.
 */
#ifndef OPERATORD_VIEW_H
#define OPERATORD_VIEW_H

#include <stdbool.h>

#include "operatord/peers.h"

struct node;
struct ocu_error;

/* Zero is a valid view of nothing. */
struct view {
	Ocu__Control__ListReply *sandboxes;
	Ocu__Mount__ListReply *mounts, *mounts_before;
	Ocu__Edge__ListReply *edges;
	int64_t asked_ms; /* wall time before the first of them was asked */
};

/* Asks again, and tells the node what was heard; 0, or the first failure. */
int view_refresh(struct view *v, struct node *n, struct ocu_error *err);
void view_done(struct view *v);

bool view_sandbox(const struct view *v, const char *session_id); /* runs */
bool view_busy(const struct view *v, const char *session_id);    /* a call is under way in it */
/* Registered and mounted, now or one view ago: brokerd lists a mount before sandboxd hands its descriptor
 * over again. */
bool view_mount(const struct view *v, const char *session_id);
bool view_edge(const struct view *v, const char *session_id); /* registered */
bool view_all_reachable(const struct view *v);

#endif
