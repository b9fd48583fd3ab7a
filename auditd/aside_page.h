/* aside_page: what auditd and a process aside tell each other. Internal to aside and to what runs in one. */
#ifndef AUDITD_ASIDE_PAGE_H
#define AUDITD_ASIDE_PAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "libocu/err.h"

#define ASIDE_TICK_MS 100
#define ASIDE_STOP_MS 3000 /* from the request to stop until what is left is left */

/* REFUSED: the other side is there, and what it holds contradicts the trail. */
enum aside_state { ASIDE_TRYING, ASIDE_REACHED, ASIDE_UNREACHABLE, ASIDE_REFUSED };

struct aside_page {
	/* auditd's */
	_Atomic uint64_t durable; /* records that are */
	_Atomic bool stop;
	_Atomic uint64_t question; /* one more with each; about segment: */
	_Atomic uint64_t segment;  /* may its local copy go? Of the archive */
	/* the process's */
	_Atomic uint64_t done;        /* how far it got, in its own unit */
	_Atomic uint64_t known;       /* how far it could be; of the archive */
	_Atomic unsigned state;       /* enum aside_state */
	char why[OCU_ERROR_TEXT_MAX]; /* of the last two; may be torn */
	_Atomic uint64_t answered;    /* the question that the next two belong to */
	_Atomic int answer;           /* 0: it may */
	char answer_why[OCU_ERROR_TEXT_MAX];
};

/* In the process: whether and until when to leave. Zero but for the first two is the start. */
struct aside_life {
	struct aside_page *page;
	pid_t keeper;
	uint64_t stop_ms; /* 0: nobody asked */
};

/* Asked to, or without the keeper that would end this process with auditd. */
bool aside_leaving(struct aside_life *l);
bool aside_out_of_time(struct aside_life *l);
/* Memory that two processes share tells nobody that it changed: it is looked at again after a while. */
void aside_pause(unsigned ms);
/* The trail is there once auditd has written to it. False: leave. */
bool aside_wait_for_trail(struct aside_life *l);
/* Waits *ms, unless it is time to leave, and doubles it up to half a minute. */
void aside_wait_before_retry(struct aside_life *l, unsigned *ms);
#define ASIDE_RETRY_MS 1000 /* what *ms begins with */
/* err: why, of the last two states, else NULL; logged under `event` when it is another than before. */
void aside_say(struct aside_page *page, enum aside_state state, const char *event,
               const struct ocu_error *err);

#endif
