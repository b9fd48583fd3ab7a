/*
 * reconcile: the thread that holds the registry against the world, once an interval: what sandboxd, brokerd
 * and egressd really hold, the time limits, tokens to renew, ends to finish, denylist entries that are spent.
 * It is also what makes a restart safe: nothing is created before its first comparison.
 */
#ifndef OPERATORD_RECONCILE_H
#define OPERATORD_RECONCILE_H

struct control;
struct ocu_error;
struct reconcile;

/* fatal runs on the thread, once, when sandboxd's tier is not permitted for the profile at the first contact.
 */
int reconcile_start(struct reconcile **ret, struct control *c,
                    void (*fatal)(void *arg, const struct ocu_error *err), void *arg, struct ocu_error *err);
void reconcile_stop(struct reconcile *r); /* takes NULL */

/* One comparison, for the thread and for tests. Returns 0 when sandboxd was compared with. */
int reconcile_once(struct reconcile *r, struct ocu_error *err);
/* Without a thread. */
struct reconcile *reconcile_new(struct control *c);
void reconcile_free(struct reconcile *r);

#endif
