/* cut: see cut.h. */
#include "operatord/cut.h"

#include <pthread.h>

#include "libocu/rpc.h"
#include "operatord/control.h"
#include "proto/methods.h"

enum { DROP_MS = 2000, STOP_MS = 10000, MANY_MS = 25000 };

struct window {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t open;
};

struct ticket {
	struct window *window;
	struct ocu_error *result;
};

static void settle(struct ticket *t, const struct ocu_error *failure)
{
	struct window *w = t->window;

	pthread_mutex_lock(&w->lock);
	if (failure)
		*t->result = *failure;
	w->open--;
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static void answered(void *arg, const ProtobufCMessage *reply, const struct ocu_error *failure)
{
	(void)reply;
	settle(arg, failure);
}

/* Waits until at most `most` answers are missing. */
static void wait_for(struct window *w, size_t most)
{
	pthread_mutex_lock(&w->lock);
	while (w->open > most)
		pthread_cond_wait(&w->changed, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

static void ask(struct ocu_rpc_client *client, const struct ocu_rpc_method *m, const ProtobufCMessage *q,
                uint32_t deadline_ms, const char *trace, struct ticket *t)
{
	struct ocu_error failure = {0};

	pthread_mutex_lock(&t->window->lock);
	t->window->open++;
	pthread_mutex_unlock(&t->window->lock);
	if (ocu_rpc_call_async(client, m, q, deadline_ms, trace, answered, t, &failure))
		settle(t, &failure);
}

static void ask_both(struct control *c, const struct session *s, uint32_t drop_ms, uint32_t stop_ms,
                     const char *trace, struct ticket tickets[2])
{
	Ocu__Edge__DropRequest drop = OCU__EDGE__DROP_REQUEST__INIT;
	Ocu__Control__StopRequest stop = OCU__CONTROL__STOP_REQUEST__INIT;

	drop.session_id = stop.session_id = (char *)s->session_id;
	drop.reason = stop.reason = (char *)s->reason;
	stop.killed = true;
	ask(c->peers.egressd_revoke, &ocu_m_edge_drop, &drop.base, drop_ms, trace, &tickets[0]);
	ask(c->peers.sandboxd_revoke, &ocu_m_control_stop, &stop.base, stop_ms, trace, &tickets[1]);
}

/* Sessions under way at once; each of the four revoke threads fits into a connection's bound. */
#define WINDOW (REVOKE_INFLIGHT / 4)

void cut_all(struct control *c, const struct session *list, size_t n, const char *trace, struct cut *ret)
{
	struct window w = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
	struct ticket tickets[WINDOW][2];

	/* A block at a time: tickets of answered requests are used again only when the whole block is in. */
	for (size_t i = 0; i < n; i++) {
		size_t slot = i % WINDOW;
		if (slot == 0)
			wait_for(&w, 0);
		ret[i] = (struct cut){0};
		tickets[slot][0] = (struct ticket){&w, &ret[i].drop};
		tickets[slot][1] = (struct ticket){&w, &ret[i].stop};
		ask_both(c, &list[i], n > 1 ? MANY_MS : DROP_MS, n > 1 ? MANY_MS : STOP_MS, trace,
		         tickets[slot]);
	}
	wait_for(&w, 0);
}
