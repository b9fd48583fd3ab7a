/* agent_loop: what agent.c and the thread of agent_loop.c share. */
#ifndef OCU_SANDBOXD_AGENT_LOOP_H
#define OCU_SANDBOXD_AGENT_LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "sandboxd/agent.h"
#include "sandboxd/guest/frame.h"

struct agent_out {
	struct agent_out *next;
	unsigned char *data;
	size_t len, off;
};

struct agent_pending {
	struct agent_pending *next;
	uint64_t id;
	Ocu__Agent__Reply__ResultCase expect;
	uint32_t reply_max;
	uint64_t deadline; /* ocu_mono_ms */
	agent_done_fn *done;
	void *arg;
};

struct agent {
	atomic_int refs; /* the owner's, and the loop's while registered */
	struct agents *loop;
	struct agent *next; /* of the loop's list, under its lock */
	int in;             /* the thread's alone, as is the next */
	struct frame_reader frames;
	int out;              /* written to with the lock, until dead; closed by the thread */
	pthread_mutex_t lock; /* all below */
	bool dead, registered;
	bool writes; /* waits for room in `out` */
	uint64_t last_id;
	struct agent_pending *pending;
	unsigned npending;
	struct agent_out *queue, **queue_last;
	size_t queued;
	void (*lost)(void *owner, const char *why);
	void *owner;
};

struct agents {
	int epoll_fd;
	int wake; /* eventfd */
	atomic_bool some_dead;
	pthread_t thread;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t round; /* a turn of the loop is over */
	uint64_t turn;
	bool stopping;
	bool over; /* the thread touches nothing any more */
	struct agent *list;
};

/* With the agent's lock held. */
void agent_hang_up(struct agent *a); /* closes; the guest reads the end */
void agent_flush(struct agent *a);
size_t agent_reply_max(const struct agent *a);
struct agent_pending *agent_take(struct agent *a,
                                 uint64_t id); /* removed from the list; NULL when not there */
/* Without it. Ends and frees a list of calls. */
void agent_fail(struct agent_pending *list, int code, const char *text);

int agents_add(struct agents *as, struct agent *a);
/* Makes the thread see that the agent is dead. */
void agents_wake(struct agents *as);
/* For one that is dead. Returns once the thread will not touch it any more but to let go of it; on the thread
 * itself at once. */
void agents_forget(struct agents *as, struct agent *a);

#endif
