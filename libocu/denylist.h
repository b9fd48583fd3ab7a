/*
 * denylist: the subscriber side of operatord's kill-switch state. operatord publishes each change (PUB/SUB)
 * and answers a whole-list pull (REQ/REP); a subscriber pulls on connect and every 2 s, so a lost message
 * costs seconds. Epochs only go up; a list with a lower epoch from the same operatord history is ignored.
 * When nothing was heard for `stale_ms` (monotonic) every check fails with OCU_E_STALE_DENYLIST: fail closed.
 */
#ifndef OCU_DENYLIST_H
#define OCU_DENYLIST_H

#include <stdint.h>

struct ocu_error;
struct ocu_identity;
struct ocu_denylist;

enum ocu_deny_kind { OCU_DENY_SESSION = 1, OCU_DENY_CALLER = 2, OCU_DENY_TOKEN = 3 };
#define OCU_DENYLIST_MAX 65536 /* entries */

struct ocu_denylist_opts {
	const char *feed_url; /* PUB, operatord:9202 */
	const char *pull_url; /* REP, operatord:9203 */
	const struct ocu_identity *identity;
	uint64_t stale_ms; /* 0: 30000 */
	/* An entry is new: called for every entry exactly once, whenever it arrives, the first list's
	 * included. Runs on the subscriber's thread. May be NULL. */
	void (*added)(enum ocu_deny_kind kind, const char *value, void *arg);
	void *arg;
};

int ocu_denylist_start(struct ocu_denylist **ret, const struct ocu_denylist_opts *o, struct ocu_error *err);
/* Waits for the first whole list: 0, or OCU_E_UNAVAILABLE after timeout_ms. */
int ocu_denylist_wait(struct ocu_denylist *d, unsigned timeout_ms, struct ocu_error *err);
void ocu_denylist_stop(struct ocu_denylist *d);
/* 0 when not denied; OCU_E_SESSION_DENIED, OCU_E_CALLER_DENIED, OCU_E_TOKEN_REVOKED or
 * OCU_E_STALE_DENYLIST. Lock-light: meant for every request. */
int ocu_denylist_check(struct ocu_denylist *d, enum ocu_deny_kind kind, const char *value,
                       struct ocu_error *err);
uint64_t ocu_denylist_epoch(struct ocu_denylist *d);
int ocu_denylist_fresh(struct ocu_denylist *d); /* 1 when not stale; for /readyz */

#endif
