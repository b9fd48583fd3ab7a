/*
 * answer: the decision about one lookup, whatever it came over. Splits deciding from sending: the answer to a
 * lookup that is put on the trail waits for the trail.
 */
#ifndef EGRESSD_ANSWER_H
#define EGRESSD_ANSWER_H

#include "egressd/dnsmsg.h"
#include "egressd/edge.h"
#include "egressd/events.h"
#include "libocu/id.h"

struct lookup_answer {
	uint8_t text[DNS_REPLY_MAX];
	size_t len;
};

/* What to do with a lookup. */
enum answer_kind {
	ANSWER_NONE, /* nothing is sent */
	ANSWER_NOW,
	ANSWER_RECORD, /* record is to be committed first; then reply is sent, or failure when that failed */
};

struct answer {
	enum answer_kind kind;
	bool allowed;
	char host[HOST_MAX + 1]; /* of ANSWER_RECORD */
	struct lookup_answer reply, failure;
	struct record record; /* its strings point into this struct or are constants */
	char trace[OCU_ID_MAX];
};

/* Decides. Adds the made-up address of an allowed name. */
void answer_decide(struct edge *e, const uint8_t *msg, size_t len, struct answer *a);
/* The record of an allowed lookup is durable: further lookups of the name in the next minute are only
 * counted. */
void answer_recorded(struct edge *e, const char *host);

#endif
