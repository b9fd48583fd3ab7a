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
	int fd;
	struct frame_reader in; /* the thread's alone */
	pthread_mutex_t lock;   /* all below */
	bool dead, registered;
	uint32_t events;
	uint64_t last_id;
	struct agent_pending *pending;
	unsigned npending;
	struct agent_out *out, **out_last;
	size_t queued;
	void (*lost)(void *owner, const char *why);
	void *owner;
};

struct agents {
	int epoll_fd;
	int wake; /* eventfd */
	pthread_t thread;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t round; /* a turn of the loop is over */
	uint64_t turn;
	bool stopping;
	bool over; /* the thread touches nothing any more */
	struct agent *list;
};

/* With the agent's lock held. */
void agent_flush(struct agent *a);
size_t agent_reply_max(const struct agent *a);
struct agent_pending *agent_take(struct agent *a,
                                 uint64_t id); /* removed from the list; NULL when not there */
/* Without it. Ends and frees a list of calls. */
void agent_fail(struct agent_pending *list, int code, const char *text);

int agents_add(struct agents *as, struct agent *a);
/* Returns once the thread will not touch the agent any more. May be called on the thread itself. */
void agents_forget(struct agents *as, struct agent *a);

#endif
