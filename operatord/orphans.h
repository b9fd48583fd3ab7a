/* orphans: sandboxes, mounts and edges of no live session. A row is written before anything is made for it,
 * so what has no row, or one that ended, belongs to nobody. */
#ifndef OPERATORD_ORPHANS_H
#define OPERATORD_ORPHANS_H

struct control;
struct view;

void orphans_stop(struct control *c, const struct view *v);

#endif
