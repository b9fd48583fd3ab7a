/* forward: the copy of the trail for a collector, as syslog over TLS, sent by a process aside. */
#ifndef AUDITD_FORWARD_H
#define AUDITD_FORWARD_H

struct aside;
struct ocu_conf;
struct ocu_daemon;
struct ocu_error;

/* Whether what is set about the collector belongs together. OCU_E_CONFIG. */
int forward_check(const struct ocu_conf *c, struct ocu_error *err);
/* Starts the process, or leaves *ret NULL when no collector is set. */
int forward_start(struct aside **ret, const struct ocu_daemon *d, struct ocu_error *err);

#endif
