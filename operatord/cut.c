/* cut: see cut.h. */
#include "operatord/cut.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/rpc.h"
#include "operatord/control.h"
#include "proto/methods.h"

enum { DROP_MS = 2000, STOP_MS = 10000, MANY_MS = 25000 };

/* Sessions under way at once; each of the four revoke threads fits into a connection's bound. */
#define WINDOW (REVOKE_INFLIGHT / 4)

struct progress {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	const struct session *list;
	const char *trace;
	struct cut *cuts;
};

struct ticket {
	struct flow *flow;
	struct ocu_error *result;
};

/* The requests to one peer of one node. Every peer has its own, so that one that does not answer holds up
 * nothing at the others. */
struct flow {
	struct progress *progress;
	struct node *node;
	void (*ask)(struct flow *f, size_t session, struct ticket *t, bool failed);
	const size_t *sessions; /* of this node, as places in the list */
	size_t n;
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
	return f->next < f->n && (f->next % WINDOW != 0 || f->open == 0);
}

/* Waits until one of them may ask; false once every answer is in. */
static bool wait_for_turn(struct progress *p, const struct flow *flows, size_t n)
{
	bool turn = false, open = true;

	pthread_mutex_lock(&p->lock);
	while (!turn && open) {
		open = false;
		for (size_t i = 0; i < n; i++) {
			turn = turn || may_ask(&flows[i]);
			open = open || flows[i].open > 0;
		}
		if (!turn && open)
			pthread_cond_wait(&p->changed, &p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return turn;
}

/* The ticket for the next session, or NULL while there is none. *failed: some request before it was. */
static struct ticket *take_ticket(struct flow *f, size_t *session, bool *failed)
{
	struct ticket *t = NULL;

	pthread_mutex_lock(&f->progress->lock);
	if (may_ask(f)) {
		*session = f->sessions[f->next];
		t = &f->tickets[f->next++ % WINDOW];
		t->flow = f;
		f->open++;
		*failed = f->failed;
	}
	pthread_mutex_unlock(&f->progress->lock);
	return t;
}

static void send(struct ocu_rpc_client *client, const struct ocu_rpc_method *m, const ProtobufCMessage *q,
                 uint32_t deadline_ms, struct ticket *t)
{
	struct ocu_error failure = {0};

	if (ocu_rpc_call_async(client, m, q, deadline_ms, t->flow->progress->trace, answered, t, &failure))
		settle(t, &failure);
}

/* An egressd that let one block's time pass has none left for the next: the operator waits. */
static void ask_drop(struct flow *f, size_t session, struct ticket *t, bool failed)
{
	const struct session *s = &f->progress->list[session];
	Ocu__Edge__DropRequest q = OCU__EDGE__DROP_REQUEST__INIT;

	t->result = &f->progress->cuts[session].drop;
	q.session_id = (char *)s->session_id;
	q.reason = (char *)s->reason;
	send(f->node->peers.egressd_revoke, &ocu_m_edge_drop, &q.base,
	     f->n > 1 && !failed ? MANY_MS : DROP_MS, t);
}

static void ask_stop(struct flow *f, size_t session, struct ticket *t, bool failed)
{
	const struct session *s = &f->progress->list[session];
	Ocu__Control__StopRequest q = OCU__CONTROL__STOP_REQUEST__INIT;

	(void)failed;
	t->result = &f->progress->cuts[session].stop;
	q.session_id = (char *)s->session_id;
	q.reason = (char *)s->reason;
	q.killed = true;
	send(f->node->peers.sandboxd_revoke, &ocu_m_control_stop, &q.base, f->n > 1 ? MANY_MS : STOP_MS, t);
}

static void ask_next(struct flow *f)
{
	size_t session;
	bool failed;
	struct ticket *t = take_ticket(f, &session, &failed);

	if (t)
		f->ask(f, session, t, failed);
}

/* Gives the node's sessions two flows and returns how many places of `order` they took. */
static size_t make_flows(struct progress *p, struct node *node, size_t n, struct flow pair[2], size_t *order)
{
	size_t mine = 0;

	for (size_t i = 0; i < n; i++)
		if (strcmp(p->list[i].node, node->conf.name) == 0)
			order[mine++] = i;
	pair[0] = (struct flow){.progress = p, .node = node, .ask = ask_drop, .sessions = order, .n = mine};
	pair[1] = (struct flow){.progress = p, .node = node, .ask = ask_stop, .sessions = order, .n = mine};
	return mine;
}

/* Until an answer says otherwise nothing is confirmed; of a session whose node is not configured any more it
 * stays so. */
static void begin(struct control *c, const struct session *list, size_t n, const struct ocu_error *failure,
                  struct cut *ret)
{
	struct node *node;

	for (size_t i = 0; i < n; i++) {
		ret[i].stop = *failure;
		if (!failure->code)
			nodes_of(&c->nodes, &list[i], &node, &ret[i].stop);
		ret[i].drop = ret[i].stop;
	}
}

static void run(struct progress *p, struct flow *flows, size_t n)
{
	while (wait_for_turn(p, flows, n))
		for (size_t i = 0; i < n; i++)
			ask_next(&flows[i]);
}

void cut_all(struct control *c, const struct session *list, size_t n, const char *trace, struct cut *ret)
{
	struct progress p = {.lock = PTHREAD_MUTEX_INITIALIZER,
	                     .changed = PTHREAD_COND_INITIALIZER,
	                     .list = list,
	                     .trace = trace,
	                     .cuts = ret};
	const size_t nflows = 2 * c->nodes.n;
	struct flow *flows = calloc(nflows, sizeof *flows);
	size_t *order = calloc(n ? n : 1, sizeof *order);
	struct ocu_error failure = {0};
	size_t at = 0;

	if (!flows || !order)
		ocu_error_set(&failure, OCU_E_NOMEM, "cut");
	begin(c, list, n, &failure, ret);
	if (flows && order) {
		for (size_t i = 0; i < c->nodes.n; i++)
			at += make_flows(&p, &c->nodes.list[i], n, &flows[2 * i], order + at);
		run(&p, flows, nflows);
	}
	free(flows);
	free(order);
}
