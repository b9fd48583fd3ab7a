/*
 * rpc_serve: what happens on a running server. nng's threads only move messages between contexts and the
 * queue; everything a peer sent is looked at on a worker.
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

enum { SEND_MS = 5000 }; /* a peer that takes no answer for so long loses its connection */

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
	struct ocu_rpc_link *l = ocu_rpc_link_asked(s, nng_msg_get_pipe(msg));
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
	ocu_rpc_link_answers(c->link);
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
