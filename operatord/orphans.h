/* orphans: sandboxes, mounts and edges on a node that are no live session's of that node. A row is written
 * before anything is made for it, so what has no row, or one that ended, belongs to nobody. */
#ifndef OPERATORD_ORPHANS_H
#define OPERATORD_ORPHANS_H

struct control;
struct node;
struct view;

void orphans_stop(struct control *c, struct node *n, const struct view *v);

#endif
