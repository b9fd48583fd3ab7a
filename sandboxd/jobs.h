/*
 * jobs: a few threads for what blocks (starting a sandbox, cleaning one up), with a bounded queue. RPC
 * workers and the agents' thread hand such work over and go on.
 */
#ifndef OCU_SANDBOXD_JOBS_H
#define OCU_SANDBOXD_JOBS_H

struct jobs;
struct ocu_error;

int jobs_start(struct jobs **ret, unsigned threads, unsigned queue_max, struct ocu_error *err);
/* OCU_E_BUSY when the queue is full or the end has been asked for. */
int jobs_add(struct jobs *j, void (*run)(void *arg), void *arg, struct ocu_error *err);
/* Runs what is queued, then ends the threads. NULL is fine. */
void jobs_stop(struct jobs *j);

#endif
