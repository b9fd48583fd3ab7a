/*
 * pool: a fixed number of threads taking jobs from a bounded queue, first come first served. Separate pools
 * are the reserved capacity of separate kinds of work: what fills one does not delay another.
 */
#ifndef OPERATORD_POOL_H
#define OPERATORD_POOL_H

struct ocu_error;
struct pool;

typedef void pool_job(void *arg);

int pool_new(struct pool **ret, const char *name, unsigned threads, unsigned queue_max,
             struct ocu_error *err);
/* 0 when job will run; OCU_E_BUSY when the queue is full, OCU_E_CANCELLED once stopping. Never blocks. */
int pool_submit(struct pool *p, pool_job *job, void *arg, struct ocu_error *err);
/* Runs what was accepted, then joins and frees. Takes NULL. */
void pool_stop(struct pool *p);

#endif
