/*
 * forward: the copy of the trail for a collector, sent by a process of its own. That process holds no key of
 * this deployment, reads the trail and its own three files, connects to the collector's port and nowhere
 * else; auditd itself connects to nothing. Between the two there is one page of memory, which auditd does not
 * trust. A process that dies is started again; the trail never waits for it.
 */
#ifndef AUDITD_FORWARD_H
#define AUDITD_FORWARD_H

struct forward;
struct ocu_conf;
struct ocu_daemon;
struct ocu_error;
struct own;
struct store;

/* Whether what is set about the collector belongs together. OCU_E_CONFIG. */
int forward_check(const struct ocu_conf *c, struct ocu_error *err);
/* Starts the process, or leaves *ret NULL when no collector is set. Before anything is read or started that
 * it should not have: keys, threads, the jail. */
int forward_start(struct forward **ret, const struct ocu_daemon *d, struct ocu_error *err);
/* From here on it learns what is durable, and its state becomes events and metrics. f may be NULL. */
int forward_watch(struct forward *f, struct store *store, struct own *own, struct ocu_error *err);
/* Lets it send what is durable now, at most for some seconds. f may be NULL. */
void forward_stop(struct forward *f);

#endif
