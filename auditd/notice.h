/*
 * notice: events about the trail itself that must not be lost: that it was begun, recovered, or could not be
 * written for a while. They are rendered when they happen and wait here for a batch that becomes durable.
 */
#ifndef AUDITD_NOTICE_H
#define AUDITD_NOTICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libocu/buf.h"

struct ocu_error;
struct recovery;

#define NOTICES_MAX 4

struct notices {
	size_t n;
	struct ocu_buf text[NOTICES_MAX];
	uint64_t refused_events; /* since writing failed first; 0: it works */
	uint64_t refused_batches;
	int reason;
	int64_t since_ms;
	bool resumed; /* the last of text says so */
};

void notices_done(struct notices *n);
void notice_opened(struct notices *n, const char *trail);
void notice_recovered(struct notices *n, const struct recovery *r);
/* A batch was refused: counted. */
void notices_refused(struct notices *n, uint64_t events, const struct ocu_error *why);
/* Writing is about to be tried: turns the count, if any, into a trail.resumed notice, or renews the one that
 * waits. */
void notices_resume(struct notices *n);
/* The first k are durable. */
void notices_drop(struct notices *n, size_t k);

#endif
