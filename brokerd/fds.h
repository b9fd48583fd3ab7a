/*
 * fds: the descriptors that sessions may use, of a process that has only so many. Each session has a few for
 * certain from the moment it is registered, whatever others hold: when there are none for another one, that
 * is refused. What it holds beyond them comes out of one pot, of which no session gets more than half. What
 * the daemon needs besides (its listeners, the files API, a worker's operation under way) is kept out of all
 * this by whoever says how many there are. Thread-safe.
 */
#ifndef BROKERD_FDS_H
#define BROKERD_FDS_H

#include <pthread.h>

struct fd_budget {
	long floor;    /* for certain, each */
	long half_pot; /* beyond those, at most */
	pthread_mutex_t lock;
	long places; /* sessions that may still come */
	long pot;    /* what is left in it */
};

/* A session's; zeroed is one that has not joined. Everything in it is under the budget's lock. */
struct fd_share {
	struct fd_budget *of;
	long used;
};

void fds_init(struct fd_budget *b, long total, unsigned sessions);
/* Takes a place, and with it the descriptors every session has: its volume's, its mount's and fds_folders()
 * for the cache of folders. 0 or -ENFILE. */
int fds_join(struct fd_share *s, struct fd_budget *b);
void fds_leave(struct fd_share *s); /* everything was given back */
unsigned fds_folders(const struct fd_budget *b);
/* One more that stays open: 0, -EMFILE (the session holds too many) or -ENFILE (the pot is empty). */
int fds_take(struct fd_share *s);
void fds_give(struct fd_share *s);

#endif
