/*
 * events: what the edge puts on the audit trail. Network Activity for connections, DNS Activity for lookups.
 * An event that permits something is committed, and the verdict comes back to the worker when auditd has made
 * it durable; an event that only reports is queued.
 *
 *   edge.register  a policy is in force          edge.drop     the session was cut
 *   net.connect    a connection is permitted     net.close     it ended, with byte totals
 *   net.deny       a connection was refused      net.fail      the destination could not be reached
 *   dns.query      an allowed name was looked up dns.deny      another one was
 *   dns.resolve    name servers will be asked for it, for a connection with the same trace id
 *   net.denied, dns.denied: how many denials had no event of their own (see shape.h)
 */
#ifndef EGRESSD_EVENTS_H
#define EGRESSD_EVENTS_H

#include <jansson.h>
#include <stdint.h>

#include "egressd/shape.h"
#include "egressd/worker.h"
#include "libocu/ocsf.h"

struct egress;
struct session;

/* OCSF 1.3 activity ids of Network Activity and DNS Activity. */
enum {
	NET_OPEN = 1,
	NET_CLOSE = 2,
	NET_FAIL = 4,
	NET_REFUSE = 5,
	NET_OTHER = 99,
	DNS_QUERY = 1,
	DNS_OTHER = 99
};

struct record {
	enum ocu_ocsf_class class_uid;
	int activity;
	const char *action;
	const char *resource; /* "name:port" or the name looked up */
	const char *trace;
	enum ocu_outcome outcome;
	int reason;
	json_t *detail; /* taken; NULL allowed */
};

/* The answer to a commit, delivered by done() on the worker. Embedded; must live until done() was called. */
struct verdict {
	struct task task;
	struct worker *worker;
	int code; /* 0: durable */
	void (*done)(struct verdict *v);
};

void events_report(struct egress *e, const struct session *s, const struct record *r);
/* done() always runs, later, on the worker. */
void events_commit(struct worker *w, const struct session *s, const struct record *r, struct verdict *v);
/* Blocks; for RPC threads. */
int events_commit_wait(struct egress *e, const struct session *s, const struct record *r,
                       struct ocu_error *err);
/* Reports the denials that shape suppressed. */
void events_summary(struct egress *e, const struct session *s, struct shape *shape);

#endif
