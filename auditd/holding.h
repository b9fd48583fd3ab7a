/*
 * holding: what the store says of an object, and whether that is enough for the local copy of a segment to
 * go. The store is believed in nothing that would make a segment go sooner: every doubt keeps it.
 */
#ifndef AUDITD_HOLDING_H
#define AUDITD_HOLDING_H

#include <stdint.h>

struct ocu_error;

/* Headers of the answer to HEAD, as they came; "" for one that did not. */
struct holding {
	int64_t size; /* -1: not said */
	const char *sha256;
	const char *lock_mode;  /* x-amz-object-lock-mode */
	const char *lock_until; /* x-amz-object-lock-retain-until-date, ISO 8601 */
	const char *put;        /* Last-Modified, as HTTP writes dates */
	const char *now;        /* Date, likewise: the store's clock */
};

struct holding_want {
	uint64_t size;
	const char *sha256; /* of the segment as it is here */
	const char *lock;   /* archive_lock */
	unsigned lock_days; /* that it must be locked for, counted from when it was put and from `sealed` */
	unsigned hot_days;  /* that it must have been there for, by the store's own clock */
	int64_t sealed;     /* seconds: when the segment was */
};

/* 0 when the object may stand for the segment. OCU_E_EXISTS: it has other bytes. OCU_E_STATE: it is not
 * locked as it must be, not there for long enough, or does not say. */
int holding_check(const struct holding *h, const struct holding_want *w, struct ocu_error *err);
/* Seconds of "2033-11-28T15:52:19Z", with or without a fraction; -1 for anything else. */
int64_t holding_time(const char *iso);

#endif
