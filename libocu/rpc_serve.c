/*
 * rpc_serve: what happens on a running server. nng's threads only move messages between contexts and the
 * queue; everything a peer sent is looked at on a worker. Identity is taken from the connection when it is
 * made and never from a message.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/log.h"
#include "libocu/pki.h"
#include "libocu/rpc_server.h"
#include "libocu/tls_engine.h"

enum { LINKS_PER_PEER = 64 }; /* connections of one principal */
enum { SEND_MS = 5000 };      /* a peer that takes no answer for so long loses its connection */

/* --- connections --- */

void ocu_rpc_link_unref(struct ocu_rpc_link *l)
{
	if (!l || atomic_fetch_sub(&l->refs, 1) != 1)
		return;
	ocu_rpc_verifier_done(&l->verifier);
	free(l);
}

static struct ocu_rpc_link *link_get(struct ocu_rpc_server *s, nng_pipe pipe)
{
	struct ocu_rpc_link *l;

	pthread_mutex_lock(&s->lock);
	for (l = s->links; l && l->pipe != pipe.id; l = l->next)
		;
	if (l)
		atomic_fetch_add(&l->refs, 1);
	pthread_mutex_unlock(&s->lock);
	return l;
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
	atomic_init(&l->refs, 1);
	ocu_rpc_verifier_init(&l->verifier);
	return l;
}

/* Before nng reads the first message of the connection. */
void ocu_rpc_pipe_added(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
	struct ocu_rpc_server *s = arg;
	struct ocu_rpc_link *l = link_new(s, pipe);
	unsigned same = 0;

	(void)event;
	if (!l) {
		nng_pipe_close(pipe);
		return;
	}
	pthread_mutex_lock(&s->lock);
	for (const struct ocu_rpc_link *o = s->links; o; o = o->next)
		same += strcmp(o->peer.spiffe, l->peer.spiffe) == 0;
	if (same < LINKS_PER_PEER) {
		l->next = s->links;
		s->links = l;
		l = NULL;
	}
	pthread_mutex_unlock(&s->lock);
	if (l) {
		ocu_rpc_link_unref(l);
		nng_pipe_close(pipe);
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

/* --- requests and answers --- */

/* The last to leave a context of a closed socket frees it, after nng_close() has stopped waiting for that: so
 * nobody may be inside when the socket is closed. */
static void leave(struct ocu_rpc_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->inside--;
	pthread_cond_broadcast(&s->idle);
	pthread_mutex_unlock(&s->lock);
}

void ocu_rpc_slot_receive(struct ocu_rpc_slot *slot)
{
	struct ocu_rpc_server *s = slot->server;
	bool open;

	pthread_mutex_lock(&s->lock);
	open = !s->closed;
	s->inside += open;
	pthread_mutex_unlock(&s->lock);
	if (!open)
		return;
	slot->sending = false;
	nng_aio_set_timeout(slot->aio, NNG_DURATION_INFINITE);
	nng_ctx_recv(slot->ctx, slot->aio);
	leave(s);
}

static void enqueue(struct ocu_rpc_server *s, struct ocu_rpc_call *c)
{
	*(s->head ? &s->tail->next : &s->head) = c;
	s->tail = c;
	s->active++;
	pthread_cond_signal(&s->work);
}

static void slot_received(struct ocu_rpc_slot *slot, nng_msg *msg)
{
	struct ocu_rpc_server *s = slot->server;
	struct ocu_rpc_link *l = link_get(s, nng_msg_get_pipe(msg));
	struct ocu_rpc_call *c = NULL;
	bool queued = false;

	if (l)
		c = ocu_rpc_call_new(slot, l, msg);
	else
		nng_msg_free(msg);
	pthread_mutex_lock(&s->lock);
	if (c && !s->draining) {
		enqueue(s, c);
		queued = true;
	}
	pthread_mutex_unlock(&s->lock);
	if (queued)
		return;
	/* Nobody answers: out of memory, or stopping. The context may simply receive again. */
	ocu_rpc_call_free(c);
	ocu_rpc_slot_receive(slot);
}

/* Whoever does not read would otherwise keep this slot, and with enough requests every one. */
static void slot_stuck(const struct ocu_rpc_slot *slot)
{
	if (nng_pipe_close((nng_pipe){.id = slot->pipe}) == 0)
		ocu_log(OCU_LOG_WARN, "rpc.stuck", NULL, "why", "a peer takes no answers: disconnected",
		        NULL);
}

static void slot_sent(struct ocu_rpc_slot *slot)
{
	struct ocu_rpc_server *s = slot->server;
	bool again;

	pthread_mutex_lock(&s->lock);
	s->sending--;
	again = !s->draining;
	pthread_cond_broadcast(&s->idle);
	pthread_mutex_unlock(&s->lock);
	if (again)
		ocu_rpc_slot_receive(slot);
}

void ocu_rpc_slot_callback(void *arg)
{
	struct ocu_rpc_slot *slot = arg;
	int rv = nng_aio_result(slot->aio);
	nng_msg *msg = nng_aio_get_msg(slot->aio);

	nng_aio_set_msg(slot->aio, NULL);
	if (slot->sending) {
		if (rv != 0)
			nng_msg_free(msg); /* nng kept nothing of a send that failed */
		if (rv == NNG_ETIMEDOUT)
			slot_stuck(slot);
		slot_sent(slot);
	} else if (rv == 0) {
		slot_received(slot, msg);
	} else if (rv != NNG_ECLOSED && rv != NNG_ECANCELED) {
		ocu_rpc_slot_receive(slot);
	}
}

void ocu_rpc_server_answer(struct ocu_rpc_call *c, nng_msg *msg)
{
	struct ocu_rpc_server *s = c->server;
	struct ocu_rpc_slot *slot = c->slot;
	bool open;

	/* An answer that could not be built is sent as a receive: the peer's call ends at its deadline. */
	pthread_mutex_lock(&s->lock);
	s->active--;
	open = !s->closed;
	s->sending += open;
	s->inside += open && msg;
	pthread_cond_broadcast(&s->idle);
	pthread_mutex_unlock(&s->lock);
	if (!open) {
		nng_msg_free(msg);
		return;
	}
	if (!msg) {
		slot_sent(slot);
		return;
	}
	atomic_fetch_add(&c->link->replies, 1);
	atomic_store(&c->server->replied_ms, ocu_mono_ms());
	slot->sending = true;
	slot->pipe = c->link->pipe;
	nng_aio_set_msg(slot->aio, msg);
	nng_aio_set_timeout(slot->aio, SEND_MS);
	nng_ctx_send(slot->ctx, slot->aio);
	leave(s); /* the call still holds the server */
}

/* --- workers --- */

void ocu_rpc_server_note(void *server, const char *why, const char *uri)
{
	struct ocu_rpc_server *s = server;

	pthread_mutex_lock(&s->lock);
	if (s->refusals_count < OCU_RPC_REFUSALS_MAX && !s->closed) {
		unsigned at = (s->refusals_head + s->refusals_count++) % OCU_RPC_REFUSALS_MAX;

		snprintf(s->refusals[at].why, sizeof s->refusals[at].why, "%s", why);
		snprintf(s->refusals[at].uri, sizeof s->refusals[at].uri, "%s", uri);
		pthread_cond_signal(&s->work);
	}
	pthread_mutex_unlock(&s->lock);
}

static void tell_refusal(const struct ocu_rpc_server *s, const struct ocu_rpc_refusal *r)
{
	struct ocu_error err = {0};
	struct ocu_peer peer;
	bool known = ocu_peer_parse(&peer, s->o.identity->trust_domain, r->uri, NULL) == 0;

	ocu_error_set(&err, OCU_E_PEER_UNKNOWN, "connection refused: %s", r->why);
	if (s->o.refused)
		s->o.refused(known ? &peer : NULL, 0, &err, s->o.arg);
}

/* Waits for work: a call, or else (NULL) a refusal in *refusal. False when the server closes. Calls go first.
 */
static bool take_work(struct ocu_rpc_server *s, struct ocu_rpc_call **call, struct ocu_rpc_refusal *refusal)
{
	bool open;

	pthread_mutex_lock(&s->lock);
	while (!s->head && !s->refusals_count && !s->closed)
		pthread_cond_wait(&s->work, &s->lock);
	open = !s->closed;
	*call = s->head;
	if (open && s->head) {
		s->head = s->head->next;
	} else if (open) {
		*refusal = s->refusals[s->refusals_head];
		s->refusals_head = (s->refusals_head + 1) % OCU_RPC_REFUSALS_MAX;
		s->refusals_count--;
	}
	pthread_mutex_unlock(&s->lock);
	return open;
}

void *ocu_rpc_worker(void *arg)
{
	struct ocu_rpc_server *s = arg;
	struct ocu_rpc_refusal refusal;
	struct ocu_rpc_call *c;

	while (take_work(s, &c, &refusal)) {
		if (c)
			ocu_rpc_call_run(c);
		else
			tell_refusal(s, &refusal);
	}
	return NULL;
}

bool ocu_rpc_server_flushed(struct ocu_rpc_server *s)
{
	bool flushed = true;

	for (const struct ocu_rpc_link *l = s->links; l && flushed; l = l->next) {
		uint64_t sent;

		if (ocu_tls_pipe_sent((nng_pipe){.id = l->pipe}, &sent) == 0)
			flushed = sent >= atomic_load(&l->replies);
	}
	return flushed;
}
