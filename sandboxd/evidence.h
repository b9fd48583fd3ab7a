/*
 * evidence: what sandboxd writes to the audit trail, in one place. About sandboxes: an event before each
 * transition (NFR-SEC-72). About tool calls: one record each, by the host alone, made durable before the
 * reply (NFR-SEC-47).
 */
#ifndef OCU_SANDBOXD_EVIDENCE_H
#define OCU_SANDBOXD_EVIDENCE_H

#include <jansson.h>
#include <stddef.h>

#include "libocu/audit.h"

struct node;
struct ocu_error;
struct session;

/* Events of a sandbox's life; action is what stands in the trail. */
#define EVIDENCE_CREATE  "sandbox.create"  /* before anything of it is made */
#define EVIDENCE_START   "sandbox.start"   /* before its first process runs */
#define EVIDENCE_FAILED  "sandbox.failed"  /* a start that was begun is taken back */
#define EVIDENCE_STOP    "sandbox.stop"    /* before the first step of the end */
#define EVIDENCE_STOPPED "sandbox.stopped" /* each step of it, with its time */
#define EVIDENCE_CRASH   "sandbox.crash"   /* it ended by itself; before what is left is cleaned up */
#define EVIDENCE_SWEEP   "sandbox.sweep"   /* left over from an earlier process; before it is removed */
#define EVIDENCE_EDGE    "sandbox.edge"    /* its edge sockets are made again for a restarted egressd */

struct evidence {
	const char *action;
	const char *trace; /* NULL: one is made */
	int code;          /* 0: success */
	json_t *detail;    /* taken over; may be NULL */
};

/* Blocks until durable: 0 or OCU_E_AUDIT, and then nothing may be done. */
int evidence_commit(struct session *s, const struct evidence *e, struct ocu_error *err);
/* For what is over and could not be refused: delivered when the trail can be written. */
void evidence_report(struct session *s, const struct evidence *e);
/* About a container that no session of this process belongs to. */
int evidence_commit_container(struct node *n, const char *container, const struct evidence *e,
                              struct ocu_error *err);

/* A JSON string of the bytes: valid UTF-8 (what is not becomes U+FFFD), at most max bytes, and at most twice
 * that when escaped; *cut is set when something is missing. NULL when out of memory. */
json_t *evidence_text(const void *data, size_t len, size_t max, int *cut);

#endif
