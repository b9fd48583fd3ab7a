/*
 * denylist_feed: the SUB socket. Messages from nng's threads wait in a bounded queue for the subscriber's
 * thread; what does not fit is dropped and noted, for a lost change only costs a pull. Private to denylist.
 */
#ifndef OCU_DENYLIST_FEED_H
#define OCU_DENYLIST_FEED_H

#include <nng/nng.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

struct ocu_error;
struct ocu_identity;

#define OCU_DENYLIST_FEED_MAX   128   /* changes waiting */
#define OCU_DENYLIST_CHANGE_MAX 65536 /* bytes of one change */

struct ocu_deny_feed {
	nng_socket socket;
	nng_aio *aio;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	nng_msg *queue[OCU_DENYLIST_FEED_MAX];
	unsigned head, count;
	bool pull;    /* connected anew, or something was dropped */
	bool stopped; /* ocu_deny_feed_wait() returns at once */
};

int ocu_deny_feed_open(struct ocu_deny_feed *f, const char *url, const struct ocu_identity *id,
                       struct ocu_error *err);
/* The next change (the caller frees it), or NULL when a pull is due, the time is over, or the feed was
 * stopped. */
nng_msg *ocu_deny_feed_wait(struct ocu_deny_feed *f, const struct timespec *until);
bool ocu_deny_feed_stopped(struct ocu_deny_feed *f);
void ocu_deny_feed_stop(struct ocu_deny_feed *f);
void ocu_deny_feed_close(struct ocu_deny_feed *f);

#endif
