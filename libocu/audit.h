/*
 * audit: the emitter. ocu_audit_commit() returns 0 only when auditd has made the event durable; callers never
 * reply, act or release anything before it (NFR-SEC-45, SEC-72, REL-12). Concurrent commits share batches:
 * what is waiting goes out in one Append. auditd unreachable: OCU_E_AUDIT within 2 s, and the action is
 * refused; an auditd that is there has 5 s to answer.
 */
#ifndef OCU_AUDIT_H
#define OCU_AUDIT_H

#include "libocu/ocsf.h"

struct ocu_audit;
struct ocu_error;
struct ocu_identity;
struct ocu_peer;

int ocu_audit_start(struct ocu_audit **ret, const char *url, const struct ocu_identity *id,
                    struct ocu_error *err);
/* Waits for pending commits at most 2 s. */
void ocu_audit_stop(struct ocu_audit *a);
int ocu_audit_commit(struct ocu_audit *a, const struct ocu_event *ev, struct ocu_error *err);
/* done runs once on an internal thread with NULL or the error; must not block. Returns 0 when done will run.
 * At most 16384 events are pending, of which reports may be half; more fail with OCU_E_AUDIT at once. */
typedef void ocu_audit_done_fn(void *arg, const struct ocu_error *err);
int ocu_audit_commit_async(struct ocu_audit *a, const struct ocu_event *ev, ocu_audit_done_fn *done,
                           void *arg, struct ocu_error *err);
/* For events that report rather than permit (a refused peer, a closed connection): queued, delivered or
 * counted as lost in the metric ocu_audit_lost_total; never blocks. */
void ocu_audit_report(struct ocu_audit *a, const struct ocu_event *ev);
/* For what nobody was entitled to ask (no token, no grant, not permitted): at most 10 a second of an actor
 * and an action and 50 of all are reported; the next that is says in its detail, unreported_before, how many
 * of them were not; without a next one an event of its own (resource "several") says so within ten seconds.
 */
void ocu_audit_refused(struct ocu_audit *a, const struct ocu_event *ev);
/* Ready-made `refused` callback for ocu_rpc_server_opts when arg is the struct ocu_audit; otherwise wrap it.
 */
void ocu_audit_rpc_refused(struct ocu_audit *a, const struct ocu_peer *peer, uint32_t method,
                           const struct ocu_error *why);
/* 1 while auditd is connected and took the last events it was sent. When it did not (a full disk, say),
 * asking makes it try again, once a second, with an event of its own: audit.resumed. */
int ocu_audit_healthy(struct ocu_audit *a);

#endif
