/* archive: sealed segments of the trail as objects of a bucket, write-once where the store has it, by a
 * process aside. */
#ifndef AUDITD_ARCHIVE_H
#define AUDITD_ARCHIVE_H

struct aside;
struct ocu_conf;
struct ocu_daemon;
struct ocu_error;

/* Whether what is set about the archive belongs together. OCU_E_CONFIG. */
int archive_check(const struct ocu_conf *c, struct ocu_error *err);
/* Starts the process, or leaves *ret NULL when no archive is set. */
int archive_start(struct aside **ret, const struct ocu_daemon *d, struct ocu_error *err);

#endif
