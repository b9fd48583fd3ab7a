/* cut: see cut.h. */
#include "operatord/cut.h"

#include <pthread.h>
#include <stdbool.h>

#include "libocu/rpc.h"
#include "operatord/control.h"
#include "proto/methods.h"

enum { DROP_MS = 2000, STOP_MS = 10000, MANY_MS = 25000 };

/* Sessions under way at once; each of the four revoke threads fits into a connection's bound. */
#define WINDOW (REVOKE_INFLIGHT / 4)

struct progress {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t n; /* sessions */
};

struct ticket {
	struct flow *flow;
	struct ocu_error *result;
};

/* The requests to one peer. There are two, so that a peer that does not answer holds up nothing at the other.
 */
struct flow {
	struct progress *progress;
	size_t next, open;
	bool failed;
	struct ticket tickets[WINDOW];
};

static void settle(struct ticket *t, const struct ocu_error *failure)
{
	struct flow *f = t->flow;
	struct progress *p = f->progress;

	pthread_mutex_lock(&p->lock);
	if (failure) {
		*t->result = *failure;
		f->failed = true;
	}
	f->open--;
	pthread_cond_signal(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

static void answered(void *arg, const ProtobufCMessage *reply, const struct ocu_error *failure)
{
	(void)reply;
	settle(arg, failure);
}

/* A block at a time: tickets of answered requests are used again only when the whole block is in. */
static bool may_ask(const struct flow *f)
{
	return f->next < f->progress->n && (f->next % WINDOW != 0 || f->open == 0);
}

/* Waits until one of the two may ask; false once every answer is in. */
static bool wait_for_turn(struct progress *p, const struct flow *a, const struct flow *b)
{
	bool turn;

	pthread_mutex_lock(&p->lock);
	while (!(turn = may_ask(a) || may_ask(b)) && a->open + b->open > 0)
		pthread_cond_wait(&p->changed, &p->lock);
	pthread_mutex_unlock(&p->lock);
	return turn;
}

/* The ticket for the next session, or NULL while there is none. *failed: some request before it was. */
static struct ticket *take_ticket(struct flow *f, bool *failed)
{
	struct ticket *t = NULL;

	pthread_mutex_lock(&f->progress->lock);
	if (may_ask(f)) {
		t = &f->tickets[f->next++ % WINDOW];
		f->open++;
		*failed = f->failed;
	}
	pthread_mutex_unlock(&f->progress->lock);
	return t;
}

static void ask(struct ocu_rpc_client *client, const struct ocu_rpc_method *m, const ProtobufCMessage *q,
                uint32_t deadline_ms, const char *trace, struct ticket *t)
{
	struct ocu_error failure = {0};

	if (ocu_rpc_call_async(client, m, q, deadline_ms, trace, answered, t, &failure))
		settle(t, &failure);
}

/* An egressd that let one block's time pass has none left for the next: the operator waits. */
static void ask_drop(struct control *c, struct flow *f, const struct session *list, const char *trace,
                     struct cut *ret)
{
	Ocu__Edge__DropRequest q = OCU__EDGE__DROP_REQUEST__INIT;
	size_t i = f->next;
	bool failed;
	struct ticket *t = take_ticket(f, &failed);

	if (!t)
		return;
	*t = (struct ticket){f, &ret[i].drop};
	q.session_id = (char *)list[i].session_id;
	q.reason = (char *)list[i].reason;
	ask(c->peers.egressd_revoke, &ocu_m_edge_drop, &q.base,
	    f->progress->n > 1 && !failed ? MANY_MS : DROP_MS, trace, t);
}

static void ask_stop(struct control *c, struct flow *f, const struct session *list, const char *trace,
                     struct cut *ret)
{
	Ocu__Control__StopRequest q = OCU__CONTROL__STOP_REQUEST__INIT;
	size_t i = f->next;
	bool failed;
	struct ticket *t = take_ticket(f, &failed);

	if (!t)
		return;
	*t = (struct ticket){f, &ret[i].stop};
	q.session_id = (char *)list[i].session_id;
	q.reason = (char *)list[i].reason;
	q.killed = true;
	ask(c->peers.sandboxd_revoke, &ocu_m_control_stop, &q.base, f->progress->n > 1 ? MANY_MS : STOP_MS,
	    trace, t);
}

void cut_all(struct control *c, const struct session *list, size_t n, const char *trace, struct cut *ret)
{
	struct progress p = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .n = n};
	struct flow drop = {.progress = &p}, stop = {.progress = &p};

	for (size_t i = 0; i < n; i++)
		ret[i] = (struct cut){0};
	while (wait_for_turn(&p, &drop, &stop)) {
		ask_drop(c, &drop, list, trace, ret);
		ask_stop(c, &stop, list, trace, ret);
	}
}
