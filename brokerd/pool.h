/*
 * pool: the worker threads that serve every mount. A lane is one mount's descriptor and the operations it has
 * under way. Workers take one request at a time, lanes in turn, so a session that floods waits behind its own
 * requests and not its neighbours behind them (NFR-SEC-46): at most `lane_workers` workers are ever inside
 * one lane, and a lane with `lane_inflight` operations pending is not read from, nor one that was charged
 * more than `lane_rate` operations a second over a minute. The kernel keeps what is not read.
 */
#ifndef BROKERD_POOL_H
#define BROKERD_POOL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ocu_error;
struct pool;
struct lane;

/* Memory of one worker; in holds the request that is being served, out is for its reply. */
struct pool_buffer {
	char *in, *out;
	size_t in_size, out_size;
};

struct lane_ops {
	/* Reads one request into b->in without blocking: its length, -EAGAIN, or another errno: the lane
	 * ends. */
	ssize_t (*read)(void *arg, struct pool_buffer *b);
	/* Serves it; may lane_hold() and answer later. */
	void (*serve)(void *arg, struct pool_buffer *b, size_t len);
	/* Runs once, on any thread, when the lane has ended and nothing of it is under way. */
	void (*closed)(void *arg);
};

/* Work to go on with, on a worker: embedded in the owner's struct. */
struct task {
	struct task *next;
	void (*run)(struct task *t);
};

struct pool_opts {
	unsigned workers;
	unsigned lane_workers;
	unsigned lane_inflight;
	unsigned lane_rate; /* 0: any */
	unsigned lanes;     /* at most this many at once */
	size_t in_size, out_size;
};

int pool_start(struct pool **ret, const struct pool_opts *o, struct ocu_error *err);
void pool_stop(struct pool *p); /* every lane must have ended */

/* fd is borrowed until `closed`, which runs in every case once lane_new succeeded and lane_close was called.
 */
int lane_new(struct pool *p, int fd, const struct lane_ops *ops, void *arg, struct lane **ret,
             struct ocu_error *err);
/* From here on it is read. OCU_E_CANCELLED when it was closed meanwhile; on failure it is to be closed. */
int lane_start(struct lane *l, struct ocu_error *err);
/* Reads no more; ends when nothing is under way. Idempotent. */
void lane_close(struct lane *l);
void lane_free(struct lane *l); /* after `closed` */
/* An operation goes on beyond serve(); until lane_release() the lane cannot end. -1 when it has ended, which
 * cannot be while serve() or a task runs. */
int lane_hold(struct lane *l);
void lane_release(struct lane *l);
/* One operation of those that are counted over time. On a worker. */
void lane_charge(struct lane *l);
/* Runs t on a worker. The lane must be held. */
void lane_post(struct lane *l, struct task *t);
/* Waits until nothing is under way, at most ms. 1 when idle. */
int lane_wait_idle(struct lane *l, unsigned ms);

#endif
