/*
 * rpc_server: starting and stopping a server: a REP socket with a fixed number of contexts, a fixed pool of
 * workers, and a TLS listener that lets in only the peers its table names.
 */
#include "libocu/rpc_server.h"

#include <nng/protocol/reqrep0/rep.h>
#include <nng/supplemental/tls/tls.h>
#include <stdlib.h>

#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/pki.h"
#include "libocu/tls_engine.h"
#include "libocu/waiting.h"

enum {
	WORKERS_DEFAULT = 8,
	WORKERS_MAX = 64,
	INFLIGHT_DEFAULT = 256,
	INFLIGHT_MAX = 4096,
	REQUEST_MAX = 64 << 10,
	FLUSH_POLL_MS = 2,
	LINGER_MS = 50, /* between the last answer and the close */
};

static void server_free(struct ocu_rpc_server *s)
{
	pthread_cond_destroy(&s->idle);
	pthread_cond_destroy(&s->work);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void ocu_rpc_server_unref(struct ocu_rpc_server *s)
{
	if (atomic_fetch_sub(&s->refs, 1) == 1)
		server_free(s);
}

static unsigned clamp(unsigned value, unsigned dflt, unsigned max)
{
	if (value == 0)
		return dflt;
	return value < max ? value : max;
}

static struct ocu_rpc_server *server_new(const struct ocu_rpc_server_opts *o)
{
	struct ocu_rpc_server *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->o = *o;
	atomic_init(&s->refs, 1);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->work, NULL);
	ocu_cond_init(&s->idle);
	return s;
}

/* Every component that may send at least one of the methods, in any instance. */
static int allow_list(const struct ocu_rpc_server_opts *o, struct ocu_buf *out, struct ocu_error *err)
{
	uint32_t peers = 0;

	for (const struct ocu_rpc_entry *e = o->table; e->method; e++)
		peers |= e->method->peers;
	for (unsigned c = OCU_COMP_NONE + 1; c < OCU_COMP_COUNT; c++) {
		char id[OCU_SPIFFE_MAX];

		if (!(peers & OCU_PEER(c)))
			continue;
		if (ocu_peer_spiffe(o->identity->trust_domain, (enum ocu_component)c, NULL, id, err) != 0)
			return err->code;
		ocu_buf_printf(out, "%s%s/*", out->len ? "," : "", id);
	}
	return out->failed ? ocu_error_set(err, out->failed, "allow-list") : 0;
}

static int nng_failed(struct ocu_error *err, const char *what, int rv)
{
	return ocu_error_set(err, rv == NNG_ENOMEM ? OCU_E_NOMEM : OCU_E_IO, "%s: %s", what,
	                     nng_strerror(rv));
}

static int open_slots(struct ocu_rpc_server *s, struct ocu_error *err)
{
	unsigned n = clamp(s->o.inflight, INFLIGHT_DEFAULT, INFLIGHT_MAX);
	int rv;

	s->slots = calloc(n, sizeof *s->slots);
	if (!s->slots)
		return ocu_error_set(err, OCU_E_NOMEM, "rpc contexts");
	for (; s->nslots < n; s->nslots++) {
		struct ocu_rpc_slot *slot = &s->slots[s->nslots];

		slot->server = s;
		if ((rv = nng_aio_alloc(&slot->aio, ocu_rpc_slot_callback, slot)) != 0)
			return nng_failed(err, "rpc aio", rv);
		if ((rv = nng_ctx_open(&slot->ctx, s->socket)) != 0) {
			nng_aio_free(slot->aio);
			return nng_failed(err, "rpc context", rv);
		}
	}
	return 0;
}

static int start_workers(struct ocu_rpc_server *s, struct ocu_error *err)
{
	unsigned n = clamp(s->o.workers, WORKERS_DEFAULT, WORKERS_MAX);
	int rv;

	s->workers = calloc(n, sizeof *s->workers);
	if (!s->workers)
		return ocu_error_set(err, OCU_E_NOMEM, "rpc workers");
	for (; s->nworkers < n; s->nworkers++)
		if ((rv = pthread_create(&s->workers[s->nworkers], NULL, ocu_rpc_worker, s)) != 0)
			return ocu_error_errno(err, OCU_E_NOMEM, rv, "rpc worker");
	return 0;
}

static void watch_released(void *server)
{
	ocu_rpc_server_unref(server);
}

static int listen_on(struct ocu_rpc_server *s, struct ocu_error *err)
{
	OCU_BUF struct ocu_buf allow = OCU_BUF_INIT((size_t)OCU_COMP_COUNT * (OCU_SPIFFE_MAX + 4));
	nng_tls_config *tls;
	struct ocu_tls_watch watch = {.refused = ocu_rpc_server_note, .release = watch_released, .arg = s};
	int rv = allow_list(&s->o, &allow, err);

	if (rv != 0)
		return rv;
	atomic_fetch_add(&s->refs, 1);
	rv = ocu_tls_config_watched(&tls, NNG_TLS_MODE_SERVER, s->o.identity, allow.data, &watch, err);
	if (rv != 0)
		return rv;
	rv = ocu_tls_listen(s->socket, s->o.url, tls, &s->listener, err);
	nng_tls_config_free(tls);
	return rv;
}

static int open_socket(struct ocu_rpc_server *s, struct ocu_error *err)
{
	int rv = nng_rep0_open(&s->socket);

	if (rv == 0)
		rv = nng_socket_set_size(s->socket, NNG_OPT_RECVMAXSZ,
		                         s->o.request_max ? s->o.request_max : REQUEST_MAX);
	if (rv == 0)
		rv = nng_pipe_notify(s->socket, NNG_PIPE_EV_ADD_PRE, ocu_rpc_pipe_added, s);
	if (rv == 0)
		rv = nng_pipe_notify(s->socket, NNG_PIPE_EV_REM_POST, ocu_rpc_pipe_removed, s);
	if (rv == 0)
		rv = nng_aio_alloc(&s->sweeper, ocu_rpc_links_sweep, s);
	return rv == 0 ? 0 : nng_failed(err, "rpc socket", rv);
}

int ocu_rpc_server_start(struct ocu_rpc_server **ret, const struct ocu_rpc_server_opts *o,
                         struct ocu_error *err)
{
	struct ocu_error own = {0};
	struct ocu_rpc_server *s;
	int rv;

	err = err ? err : &own;
	if ((rv = ocu_tls_engine_register(err)) != 0)
		return rv;
	if (!(s = server_new(o)))
		return ocu_error_set(err, OCU_E_NOMEM, "rpc server");
	if ((rv = open_socket(s, err)) != 0 || (rv = open_slots(s, err)) != 0 ||
	    (rv = start_workers(s, err)) != 0 || (rv = listen_on(s, err)) != 0) {
		ocu_rpc_server_stop(s, 0);
		return rv;
	}
	for (unsigned i = 0; i < s->nslots; i++)
		ocu_rpc_slot_receive(&s->slots[i]);
	ocu_rpc_links_sweep(s);
	*ret = s;
	return 0;
}

int ocu_rpc_server_port(const struct ocu_rpc_server *s)
{
	int port = 0;

	return nng_listener_get_int(s->listener, NNG_OPT_TCP_BOUND_PORT, &port) == 0 ? port : -1;
}

/* What the engine has written waits in nng while the write before it has not returned, and nng cannot be
 * asked for it. So the last answer has a moment in which nothing is closed. */
static void linger(struct ocu_rpc_server *s)
{
	uint64_t last = atomic_load(&s->replied_ms), now = ocu_mono_ms();

	if (last == 0 || now >= last + LINGER_MS)
		return;
	struct timespec until = ocu_after_ms(last + LINGER_MS - now);
	while (ocu_cond_wait_until(&s->idle, &s->lock, &until))
		continue;
}

/* Waits, at most until end, for the calls in flight and then for the answers to be on the wire. */
static void drain(struct ocu_rpc_server *s, const struct timespec *end)
{
	bool time_left = true;

	pthread_mutex_lock(&s->lock);
	s->draining = true;
	while ((s->active > 0 || s->sending > 0) && time_left)
		time_left = ocu_cond_wait_until(&s->idle, &s->lock, end);
	/* nng takes an answer before it has written it, and tells nobody when it has: ask the engine. Closing
	 * over an unwritten answer loses it, and can hang in nng. */
	while (time_left && !ocu_rpc_server_flushed(s)) {
		struct timespec soon = ocu_after_ms(FLUSH_POLL_MS);
		struct timespec now = ocu_after_ms(0);

		ocu_cond_wait_until(&s->idle, &s->lock, &soon);
		time_left =
		    now.tv_sec < end->tv_sec || (now.tv_sec == end->tv_sec && now.tv_nsec < end->tv_nsec);
	}
	if (time_left)
		linger(s);
	s->closed = true;
	pthread_cond_broadcast(&s->work);
	pthread_mutex_unlock(&s->lock);
}

static void close_slots(struct ocu_rpc_server *s)
{
	pthread_mutex_lock(&s->lock);
	while (s->sending > 0)
		pthread_cond_wait(&s->idle, &s->lock);
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < s->nslots; i++) {
		nng_aio_stop(s->slots[i].aio);
		nng_aio_free(s->slots[i].aio);
	}
	free(s->slots);
}

static void wait_left(struct ocu_rpc_server *s)
{
	pthread_mutex_lock(&s->lock);
	while (s->inside > 0)
		pthread_cond_wait(&s->idle, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

/* Calls that were queued and never looked at. */
static void drop_queue(struct ocu_rpc_server *s)
{
	struct ocu_rpc_call *c = s->head;

	while (c) {
		struct ocu_rpc_call *next = c->next;

		ocu_rpc_call_free(c);
		c = next;
	}
	s->head = NULL;
}

void ocu_rpc_server_stop(struct ocu_rpc_server *s, unsigned drain_ms)
{
	struct timespec end = ocu_after_ms(drain_ms);

	if (!s)
		return;
	drain(s, &end);
	for (unsigned i = 0; i < s->nworkers; i++)
		pthread_join(s->workers[i], NULL);
	free(s->workers);
	drop_queue(s);
	wait_left(s);
	if (s->sweeper)
		nng_aio_stop(s->sweeper);
	if (nng_socket_id(s->socket) > 0)
		nng_close(s->socket);
	close_slots(s);
	if (s->sweeper)
		nng_aio_free(s->sweeper);
	ocu_rpc_server_unref(s);
}
