/*
 * shape: how many audit events one session may cause. Every allow has an event of its own; denials have one
 * each up to a rate, and beyond it they are counted by reason and reported in a summary, so that a guest that
 * floods the edge cannot flood the evidence (NFR-SEC-56) and nothing goes unrecorded. Used by one worker
 * thread.
 */
#ifndef EGRESSD_SHAPE_H
#define EGRESSD_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

#define SHAPE_BURST          64u  /* events at once */
#define SHAPE_RATE           16u  /* and a second, for denials of connections and of lookups each */
#define SHAPE_NAMES          256u /* names of which the last denial is remembered */
#define SHAPE_NAME_WINDOW_MS 60000u
#define SHAPE_SUMMARY_MS     10000u /* how often suppressed denials are reported */
#define SHAPE_CODES          128u

enum shape_kind { SHAPE_NET, SHAPE_DNS, SHAPE_KINDS };

struct bucket {
	uint64_t tokens_milli, last_ms;
};

struct shape {
	struct bucket buckets[SHAPE_KINDS];
	uint32_t suppressed[SHAPE_KINDS][SHAPE_CODES]; /* by -code */
	uint32_t total;
	struct {
		uint64_t key, last_ms;
	} names[SHAPE_NAMES];
};

/* A token bucket that starts full: whether there is a token, and taking it. */
bool bucket_ready(struct bucket *b, uint64_t now_ms, uint32_t rate, uint32_t burst);
bool bucket_take(struct bucket *b, uint64_t now_ms, uint32_t rate, uint32_t burst);
/* True: record this denial as an event. False: it has been counted for the summary. */
bool shape_denial(struct shape *s, uint64_t now_ms, enum shape_kind kind, int code);
/* The same for the lookup of a name: the first of each name in a minute, within the rate. */
bool shape_lookup(struct shape *s, uint64_t now_ms, const char *name, int code);
/* Calls each for every reason with suppressed denials and forgets them. */
void shape_summary(struct shape *s, void (*each)(void *arg, enum shape_kind kind, int code, uint32_t count),
                   void *arg);

#endif
