/* denylist_feed: one receive under way at all times; its callback only queues. */
#include "libocu/denylist_feed.h"

#include <nng/protocol/pubsub0/sub.h>
#include <nng/supplemental/tls/tls.h>
#include <string.h>

#include "libocu/err.h"
#include "libocu/peer.h"
#include "libocu/pki.h"
#include "libocu/tls_engine.h"
#include "libocu/waiting.h"

enum { REDIAL_MIN_MS = 100, REDIAL_MAX_MS = 2000 };

static void received(void *arg)
{
	struct ocu_deny_feed *f = arg;
	int rv = nng_aio_result(f->aio);
	nng_msg *msg = rv == 0 ? nng_aio_get_msg(f->aio) : NULL;
	bool stopped;

	pthread_mutex_lock(&f->lock);
	stopped = f->stopped;
	if (msg && f->count < OCU_DENYLIST_FEED_MAX) {
		f->queue[(f->head + f->count++) % OCU_DENYLIST_FEED_MAX] = msg;
		msg = NULL;
	}
	f->pull |= msg != NULL;
	pthread_cond_signal(&f->changed);
	pthread_mutex_unlock(&f->lock);
	nng_msg_free(msg);
	if (!stopped && rv != NNG_ECLOSED && rv != NNG_ECANCELED)
		nng_recv_aio(f->socket, f->aio);
}

static void connected(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
	struct ocu_deny_feed *f = arg;

	(void)pipe;
	(void)event;
	pthread_mutex_lock(&f->lock);
	f->pull = true;
	pthread_cond_signal(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static int set_up(struct ocu_deny_feed *f)
{
	int rv = nng_sub0_open(&f->socket);

	if (rv == 0)
		rv = nng_socket_set(f->socket, NNG_OPT_SUB_SUBSCRIBE, "", 0);
	if (rv == 0)
		rv = nng_socket_set_size(f->socket, NNG_OPT_RECVMAXSZ, OCU_DENYLIST_CHANGE_MAX);
	if (rv == 0)
		rv = nng_socket_set_ms(f->socket, NNG_OPT_RECONNMINT, REDIAL_MIN_MS);
	if (rv == 0)
		rv = nng_socket_set_ms(f->socket, NNG_OPT_RECONNMAXT, REDIAL_MAX_MS);
	if (rv == 0)
		rv = nng_pipe_notify(f->socket, NNG_PIPE_EV_ADD_POST, connected, f);
	if (rv == 0)
		rv = nng_aio_alloc(&f->aio, received, f);
	return rv;
}

static int dial(struct ocu_deny_feed *f, const char *url, const struct ocu_identity *id,
                struct ocu_error *err)
{
	char allow[OCU_SPIFFE_MAX + 2];
	nng_tls_config *tls;
	nng_dialer dialer;
	int rv = ocu_peer_spiffe(id->trust_domain, OCU_COMP_OPERATORD, NULL, allow, err);

	if (rv != 0)
		return rv;
	memcpy(allow + strlen(allow), "/*", sizeof "/*");
	if ((rv = ocu_tls_config(&tls, NNG_TLS_MODE_CLIENT, id, allow, err)) != 0)
		return rv;
	rv = nng_dialer_create(&dialer, f->socket, url);
	if (rv == 0)
		rv = nng_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, tls);
	if (rv == 0)
		rv = nng_dialer_start(dialer, NNG_FLAG_NONBLOCK);
	nng_tls_config_free(tls);
	return rv == 0 ? 0 : ocu_error_set(err, OCU_E_IO, "%s: %s", url, nng_strerror(rv));
}

int ocu_deny_feed_open(struct ocu_deny_feed *f, const char *url, const struct ocu_identity *id,
                       struct ocu_error *err)
{
	int rv = ocu_tls_engine_register(err);

	if (rv != 0)
		return rv;
	memset(f, 0, sizeof *f);
	pthread_mutex_init(&f->lock, NULL);
	ocu_cond_init(&f->changed);
	if ((rv = set_up(f)) != 0)
		rv = ocu_error_set(err, OCU_E_IO, "denylist feed: %s", nng_strerror(rv));
	else
		rv = dial(f, url, id, err);
	if (rv != 0) {
		ocu_deny_feed_close(f);
		return rv;
	}
	nng_recv_aio(f->socket, f->aio);
	return 0;
}

nng_msg *ocu_deny_feed_wait(struct ocu_deny_feed *f, const struct timespec *until)
{
	nng_msg *msg = NULL;
	bool time_left = true;

	pthread_mutex_lock(&f->lock);
	while (!f->count && !f->pull && !f->stopped && time_left)
		time_left = ocu_cond_wait_until(&f->changed, &f->lock, until);
	if (f->count && !f->stopped) {
		msg = f->queue[f->head];
		f->head = (f->head + 1) % OCU_DENYLIST_FEED_MAX;
		f->count--;
	} else {
		f->pull = false;
	}
	pthread_mutex_unlock(&f->lock);
	return msg;
}

bool ocu_deny_feed_stopped(struct ocu_deny_feed *f)
{
	bool stopped;

	pthread_mutex_lock(&f->lock);
	stopped = f->stopped;
	pthread_mutex_unlock(&f->lock);
	return stopped;
}

void ocu_deny_feed_stop(struct ocu_deny_feed *f)
{
	pthread_mutex_lock(&f->lock);
	f->stopped = true;
	pthread_cond_signal(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

void ocu_deny_feed_close(struct ocu_deny_feed *f)
{
	ocu_deny_feed_stop(f);
	if (f->aio)
		nng_aio_stop(f->aio);
	if (nng_socket_id(f->socket) > 0)
		nng_close(f->socket);
	if (f->aio)
		nng_aio_free(f->aio);
	for (; f->count > 0; f->count--, f->head = (f->head + 1) % OCU_DENYLIST_FEED_MAX)
		nng_msg_free(f->queue[f->head]);
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
}
