/*
 * rpc_client: one REQ socket that dials one peer and keeps dialling. The peer is who the engine proved it to
 * be, and must be the component (and instance) this client is for.
 */
#include "libocu/rpc_client.h"

#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/tls/tls.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/err.h"
#include "libocu/pki.h"
#include "libocu/tls_engine.h"
#include "libocu/waiting.h"

enum { INFLIGHT_DEFAULT = 256, INFLIGHT_MAX = 4096, REDIAL_MIN_MS = 100, REDIAL_MAX_MS = 2000 };

static bool is_our_peer(const struct ocu_rpc_client *c, nng_pipe pipe, struct ocu_peer *peer)
{
	char spiffe[OCU_SPIFFE_MAX];

	return ocu_tls_pipe_peer(pipe, spiffe) == 0 &&
	       ocu_peer_parse(peer, c->identity->trust_domain, spiffe, NULL) == 0 &&
	       peer->component == c->peer && (!c->instance[0] || strcmp(c->instance, peer->instance) == 0);
}

/* Calls that wait for a connection go on: their callback finds one. */
static void wake_waiting(struct ocu_rpc_client *c)
{
	for (unsigned i = 0; i < c->nplaces; i++)
		if (c->places[i]->phase == OCU_RPC_WAITING)
			nng_aio_cancel(c->places[i]->aio);
}

static void pipe_added(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
	struct ocu_rpc_client *c = arg;
	struct ocu_peer peer;

	(void)event;
	if (!is_our_peer(c, pipe, &peer)) {
		nng_pipe_close(pipe);
		return;
	}
	pthread_mutex_lock(&c->lock);
	c->pipe = (uint32_t)pipe.id;
	memcpy(c->callee, peer.spiffe, sizeof c->callee);
	wake_waiting(c);
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

static void pipe_removed(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
	struct ocu_rpc_client *c = arg;

	(void)event;
	pthread_mutex_lock(&c->lock);
	if (c->pipe == pipe.id)
		c->pipe = 0;
	pthread_mutex_unlock(&c->lock);
}

static int nng_failed(struct ocu_error *err, const char *what, int rv)
{
	return ocu_error_set(err, rv == NNG_ENOMEM ? OCU_E_NOMEM : OCU_E_IO, "%s: %s", what,
	                     nng_strerror(rv));
}

static int open_socket(struct ocu_rpc_client *c, struct ocu_error *err)
{
	int rv = nng_req0_open(&c->socket);

	if (rv == 0)
		rv = nng_socket_set_ms(c->socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE);
	if (rv == 0)
		rv = nng_socket_set_size(c->socket, NNG_OPT_RECVMAXSZ, OCU_RPC_MESSAGE_MAX);
	if (rv == 0)
		rv = nng_socket_set_ms(c->socket, NNG_OPT_RECONNMINT, REDIAL_MIN_MS);
	if (rv == 0)
		rv = nng_socket_set_ms(c->socket, NNG_OPT_RECONNMAXT, REDIAL_MAX_MS);
	if (rv == 0)
		rv = nng_pipe_notify(c->socket, NNG_PIPE_EV_ADD_POST, pipe_added, c);
	if (rv == 0)
		rv = nng_pipe_notify(c->socket, NNG_PIPE_EV_REM_POST, pipe_removed, c);
	return rv == 0 ? 0 : nng_failed(err, "rpc socket", rv);
}

static int start_dialing(struct ocu_rpc_client *c, struct ocu_error *err)
{
	char allow[OCU_SPIFFE_MAX + 2];
	nng_tls_config *tls;
	int rv = ocu_peer_spiffe(c->identity->trust_domain, c->peer, c->instance, allow, err);

	if (rv != 0)
		return rv;
	if (!c->instance[0])
		memcpy(allow + strlen(allow), "/*", sizeof "/*");
	if ((rv = ocu_tls_config(&tls, NNG_TLS_MODE_CLIENT, c->identity, allow, err)) != 0)
		return rv;
	rv = nng_dialer_create(&c->dialer, c->socket, c->url);
	if (rv == 0)
		rv = nng_dialer_set_ptr(c->dialer, NNG_OPT_TLS_CONFIG, tls);
	if (rv == 0)
		rv = nng_dialer_start(c->dialer, NNG_FLAG_NONBLOCK);
	nng_tls_config_free(tls);
	return rv == 0 ? 0 : nng_failed(err, c->url, rv);
}

static struct ocu_rpc_client *client_new(const struct ocu_rpc_client_opts *o)
{
	struct ocu_rpc_client *c = calloc(1, sizeof *c);
	unsigned max = o->inflight ? o->inflight : INFLIGHT_DEFAULT;

	if (!c)
		return NULL;
	c->max_places = max < INFLIGHT_MAX ? max : INFLIGHT_MAX;
	c->places = calloc(c->max_places, sizeof(*c->places));
	if (!c->places) {
		free(c);
		return NULL;
	}
	c->identity = o->identity;
	c->peer = o->peer;
	memcpy(c->url, o->url, strlen(o->url) + 1);
	if (o->instance)
		memcpy(c->instance, o->instance, strlen(o->instance) + 1);
	pthread_mutex_init(&c->lock, NULL);
	ocu_cond_init(&c->changed);
	ocu_rpc_minter_init(&c->minter, o->identity);
	return c;
}

int ocu_rpc_client_new(struct ocu_rpc_client **ret, const struct ocu_rpc_client_opts *o,
                       struct ocu_error *err)
{
	struct ocu_rpc_client *c;
	int rv = ocu_tls_engine_register(err);

	if (rv != 0)
		return rv;
	if (strlen(o->url) >= sizeof c->url || (o->instance && strlen(o->instance) >= sizeof c->instance))
		return ocu_error_set(err, OCU_E_INVALID, "rpc url or instance too long");
	if (!(c = client_new(o)))
		return ocu_error_set(err, OCU_E_NOMEM, "rpc client");
	if ((rv = open_socket(c, err)) != 0 || (rv = start_dialing(c, err)) != 0) {
		ocu_rpc_client_free(c);
		return rv;
	}
	*ret = c;
	return 0;
}

void ocu_rpc_client_cancel(struct ocu_rpc_client *c)
{
	pthread_mutex_lock(&c->lock);
	c->closing = true;
	for (unsigned i = 0; i < c->nplaces; i++)
		if (c->places[i]->phase != OCU_RPC_IDLE)
			nng_aio_cancel(c->places[i]->aio);
	pthread_mutex_unlock(&c->lock);
}

/* Until the last call has told its caller. */
static void wait_for_calls(struct ocu_rpc_client *c)
{
	pthread_mutex_lock(&c->lock);
	while (c->busy > 0)
		pthread_cond_wait(&c->changed, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

void ocu_rpc_client_end(struct ocu_rpc_client *c)
{
	ocu_rpc_client_cancel(c);
	wait_for_calls(c);
}

void ocu_rpc_client_free(struct ocu_rpc_client *c)
{
	if (!c)
		return;
	ocu_rpc_client_end(c);
	for (unsigned i = 0; i < c->nplaces; i++)
		nng_aio_stop(c->places[i]->aio);
	if (nng_socket_id(c->socket) > 0)
		nng_close(c->socket);
	for (unsigned i = 0; i < c->nplaces; i++) {
		nng_aio_free(c->places[i]->aio);
		pthread_cond_destroy(&c->places[i]->answered);
		free(c->places[i]);
	}
	free(c->places);
	ocu_rpc_minter_done(&c->minter);
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

int ocu_rpc_client_connected(const struct ocu_rpc_client *client)
{
	struct ocu_rpc_client *c = (struct ocu_rpc_client *)client; /* the lock is all that changes */
	int connected;

	pthread_mutex_lock(&c->lock);
	connected = c->pipe != 0;
	pthread_mutex_unlock(&c->lock);
	return connected;
}

int ocu_rpc_client_wait(struct ocu_rpc_client *c, unsigned timeout_ms, struct ocu_error *err)
{
	struct timespec end = ocu_after_ms(timeout_ms);
	bool connected;

	pthread_mutex_lock(&c->lock);
	while (!c->pipe && ocu_cond_wait_until(&c->changed, &c->lock, &end))
		;
	connected = c->pipe != 0;
	pthread_mutex_unlock(&c->lock);
	if (!connected)
		return ocu_error_set(err, OCU_E_UNAVAILABLE, "%s is not connected",
		                     ocu_component_name(c->peer));
	return 0;
}
