/*
 * reconcile: a thread for each node that holds the registry against the world, once an interval: what its
 * sandboxd, brokerd and egressd really hold, the time limits, tokens to renew, ends to finish. The first
 * node's also looks after what belongs to no node: sessions whose node is configured no more, denylist
 * entries that are spent. It is also what makes a restart safe: nothing is created on a node before its first
 * comparison.
 */
#ifndef OPERATORD_RECONCILE_H
#define OPERATORD_RECONCILE_H

struct control;
struct ocu_error;
struct node;
struct reconcile;
struct reconcilers;

/* fatal runs on a thread, once, when the tier of a deployment's only node is not permitted for the profile at
 * the first contact. Of several nodes one that is not permitted gets no session. */
int reconcile_start(struct reconcilers **ret, struct control *c,
                    void (*fatal)(void *arg, const struct ocu_error *err), void *arg, struct ocu_error *err);
void reconcile_stop(struct reconcilers *r); /* takes NULL */

/* One comparison, for the thread and for tests. Returns 0 when sandboxd was compared with. */
int reconcile_once(struct reconcile *r, struct ocu_error *err);
/* Without a thread. */
struct reconcile *reconcile_new(struct control *c, struct node *n);
void reconcile_free(struct reconcile *r);

#endif
