/*
 * worker: one thread, one epoll set, and everything of the sessions assigned to it: no other thread touches
 * their connections. Other threads reach it through its inbox. Nothing a worker runs may block.
 */
#ifndef EGRESSD_WORKER_H
#define EGRESSD_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "egressd/timers.h"

#define WORKER_SCRATCH ((size_t)256 * 1024)

struct egress;
struct edge;
struct lookups;
struct ocu_error;
struct worker;

/* A descriptor in the epoll set, embedded in its owner. The owner's memory must outlive the current round:
 * free it through worker_bury(). */
struct watch {
	int fd;
	uint32_t events; /* 0: not in the set, so that not even a hang-up is reported */
	void (*ready)(struct watch *w, uint32_t events);
};

/* A message to the worker, embedded in what it carries. run() owns it. */
struct task {
	struct task *next;
	void (*run)(struct worker *w, struct task *t);
};

/* Memory to be freed when the round is over. */
struct grave {
	struct grave *next;
	void (*free)(struct grave *g);
};

struct worker {
	struct egress *egress;
	struct lookups *lookups;
	struct edge *edges;
	struct timers timers;
	uint64_t now_ms;  /* monotonic, of this round */
	uint8_t *scratch; /* WORKER_SCRATCH bytes, free for use between two calls */
	/* the rest is worker.c's */
	pthread_t thread;
	bool started;
	int epoll;
	struct watch wake;
	struct grave *graves;
	pthread_mutex_t lock;
	struct task *inbox, **inbox_end;
	bool stopping, stopped;
	uint64_t stop_ms;
};

int worker_new(struct worker **ret, struct egress *e, struct ocu_error *err);
int worker_start(struct worker *w, struct ocu_error *err);
/* Closes the listeners, gives live connections drain_ms to end, cuts the rest, and ends the thread. Split in
 * two so that all workers drain at once. */
void worker_stop_begin(struct worker *w, unsigned drain_ms);
void worker_stop_wait(struct worker *w);
/* After the audit emitter has stopped: runs what is left in the inbox and frees. NULL allowed. */
void worker_free(struct worker *w);

/* Any thread. The task is run on the worker, or by worker_free(). */
void worker_post(struct worker *w, struct task *t);
/* Any other thread: runs fn on the worker and waits for it; its result, or OCU_E_CANCELLED when the worker
 * ended. */
int worker_call(struct worker *w, int (*fn)(struct worker *w, void *arg), void *arg);
/* The same on n workers at once, at most EGRESS_WORKERS_MAX; returns when the last is done. */
void worker_call_all(struct worker *const *workers, unsigned n, int (*fn)(struct worker *w, void *arg),
                     void *arg);

/* Worker thread only. */
int worker_watch(struct worker *w, struct watch *x, uint32_t events); /* 0 or -1; events 0 takes it out */
void worker_unwatch(struct worker *w, struct watch *x); /* takes it out and closes the descriptor */
void worker_bury(struct worker *w, struct grave *g);

#endif
