/*
 * rpc_links: the connections of a running server. Identity is taken from the connection when it is made and
 * never from a message. Each principal has a number of connections of its own, so that whoever has one key
 * takes nothing from the owners of the others. Nor does it lock out the owner of that key: a newcomer over
 * the number takes the place of the connection that is of the least use, and one that stops in the middle of
 * a message, or takes no answers, is closed.
 */
#include <stdlib.h>
#include <string.h>

#include "libocu/clock.h"
#include "libocu/log.h"
#include "libocu/pki.h"
#include "libocu/rpc_server.h"
#include "libocu/tls_engine.h"

enum {
	LINKS_PER_PEER = 64, /* connections of one principal */
	MESSAGE_MS = 20000,  /* from a message's first byte to its last, either way */
	SWEEP_MS = 1000,
	SWEEP_MAX = 64, /* closed at once */
	TELL_MS = 1000,
};

void ocu_rpc_link_unref(struct ocu_rpc_link *l)
{
	if (!l || atomic_fetch_sub(&l->refs, 1) != 1)
		return;
	ocu_rpc_verifier_done(&l->verifier);
	free(l);
}

struct ocu_rpc_link *ocu_rpc_link_asked(struct ocu_rpc_server *s, nng_pipe pipe)
{
	struct ocu_rpc_link *l;

	pthread_mutex_lock(&s->lock);
	for (l = s->links; l && l->pipe != pipe.id; l = l->next)
		;
	if (l) {
		atomic_fetch_add(&l->refs, 1);
		l->asked = true;
		l->asked_ms = ocu_mono_ms();
	}
	pthread_mutex_unlock(&s->lock);
	return l;
}

void ocu_rpc_link_answers(struct ocu_rpc_link *l)
{
	atomic_store(&l->replied_ms, ocu_mono_ms());
	atomic_fetch_add(&l->replies, 1);
}

static struct ocu_rpc_link *link_new(const struct ocu_rpc_server *s, nng_pipe pipe)
{
	struct ocu_rpc_link *l = calloc(1, sizeof *l);
	char spiffe[OCU_SPIFFE_MAX];

	if (!l || ocu_tls_pipe_peer(pipe, spiffe) != 0 ||
	    ocu_peer_parse(&l->peer, s->o.identity->trust_domain, spiffe, NULL) != 0) {
		free(l);
		return NULL;
	}
	l->pipe = pipe.id;
	l->asked_ms = ocu_mono_ms();
	atomic_init(&l->refs, 1);
	ocu_rpc_verifier_init(&l->verifier);
	return l;
}

/* --- under the lock --- */

/* Answers that nng has and the connection has not taken. Of one that is gone, none. */
static bool owes_answers(const struct ocu_rpc_link *l)
{
	struct ocu_tls_flow flow;

	return ocu_tls_pipe_flow((nng_pipe){.id = l->pipe}, &flow) == 0 &&
	       flow.sent < atomic_load(&l->replies);
}

static bool idle(const struct ocu_rpc_link *l)
{
	return atomic_load(&l->refs) == 1 && !owes_answers(l);
}

/* One that never asked anything is of less use than one that did, then the one that asked longer ago. */
static bool of_less_use(const struct ocu_rpc_link *a, const struct ocu_rpc_link *b)
{
	return a->asked != b->asked ? !a->asked : a->asked_ms < b->asked_ms;
}

/* Makes room for one more of this principal: false when there is none. *evicted: who must go for it. */
static bool make_room(struct ocu_rpc_server *s, const struct ocu_peer *peer, nng_pipe *evicted)
{
	struct ocu_rpc_link *worst = NULL;
	unsigned same = 0;

	for (struct ocu_rpc_link *l = s->links; l; l = l->next) {
		if (l->cut || strcmp(l->peer.spiffe, peer->spiffe) != 0)
			continue;
		same++;
		if ((!worst || of_less_use(l, worst)) && idle(l))
			worst = l;
	}
	if (same < LINKS_PER_PEER)
		return true;
	if (!worst)
		return false;
	worst->cut = true;
	evicted->id = worst->pipe;
	return true;
}

/* Why the connection must end; NULL when it may stay. */
static const char *overdue(const struct ocu_rpc_link *l, uint64_t now)
{
	struct ocu_tls_flow flow;

	if (ocu_tls_pipe_flow((nng_pipe){.id = l->pipe}, &flow) != 0)
		return NULL;
	if (flow.reading_since_ms != 0 && now > flow.reading_since_ms + MESSAGE_MS)
		return "a peer does not end its message";
	if (flow.sent < atomic_load(&l->replies) && now > atomic_load(&l->replied_ms) + MESSAGE_MS)
		return "a peer takes no answers";
	return NULL;
}

/* --- what nng calls --- */

/* A line a second is told of those that are cut off: how many there are is for the peer to choose. */
static void cut_off(struct ocu_rpc_server *s, nng_pipe pipe, const char *why)
{
	uint64_t now = ocu_mono_ms(), told = atomic_load(&s->told_ms);

	if (nng_pipe_close(pipe) == 0 && now > told + TELL_MS &&
	    atomic_compare_exchange_strong(&s->told_ms, &told, now))
		ocu_log(OCU_LOG_WARN, "rpc.cut", NULL, "why", why, NULL);
}

/* Before nng reads the first message of the connection. */
void ocu_rpc_pipe_added(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
	struct ocu_rpc_server *s = arg;
	struct ocu_rpc_link *l = link_new(s, pipe);
	nng_pipe evicted = NNG_PIPE_INITIALIZER;

	(void)event;
	if (!l) {
		nng_pipe_close(pipe);
		return;
	}
	pthread_mutex_lock(&s->lock);
	if (make_room(s, &l->peer, &evicted)) {
		l->next = s->links;
		s->links = l;
		l = NULL;
	}
	pthread_mutex_unlock(&s->lock);
	if (evicted.id)
		cut_off(s, evicted, "a newer connection takes its place");
	if (l) {
		ocu_rpc_link_unref(l);
		cut_off(s, pipe, "its principal has too many connections with calls under way");
	}
}

void ocu_rpc_pipe_removed(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
	struct ocu_rpc_server *s = arg;
	struct ocu_rpc_link **at, *l;

	(void)event;
	pthread_mutex_lock(&s->lock);
	for (at = &s->links; *at && (*at)->pipe != pipe.id; at = &(*at)->next)
		;
	l = *at;
	if (l)
		*at = l->next;
	pthread_cond_broadcast(&s->idle);
	pthread_mutex_unlock(&s->lock);
	ocu_rpc_link_unref(l);
}

void ocu_rpc_links_sweep(void *arg)
{
	struct ocu_rpc_server *s = arg;
	nng_pipe pipes[SWEEP_MAX];
	const char *why[SWEEP_MAX];
	uint64_t now = ocu_mono_ms();
	unsigned n = 0;
	bool closed;

	pthread_mutex_lock(&s->lock);
	closed = s->closed;
	for (struct ocu_rpc_link *l = s->links; l && n < SWEEP_MAX; l = l->next) {
		if (l->cut || !(why[n] = overdue(l, now)))
			continue;
		l->cut = true;
		pipes[n++].id = l->pipe;
	}
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < n; i++)
		cut_off(s, pipes[i], why[i]);
	if (!closed)
		nng_sleep_aio(SWEEP_MS, s->sweeper);
}

bool ocu_rpc_server_flushed(struct ocu_rpc_server *s)
{
	for (const struct ocu_rpc_link *l = s->links; l; l = l->next)
		if (owes_answers(l))
			return false;
	return true;
}
