/*
 * rpc_invoke: one call on the client's side, a small state machine driven by its aio: waiting for a
 * connection (2 s, unless told otherwise), sending, receiving. nng never resends: a request that was written
 * is executed at most once, and a lost connection ends the calls on it at once. Every step ends in
 * ocu_rpc_place_callback().
 */
#include <stdlib.h>
#include <string.h>

#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/rpc_client.h"
#include "libocu/rpc_envelope.h"
#include "libocu/rpc_wire.h"
#include "libocu/waiting.h"

/* --- places --- */

static struct ocu_rpc_place *place_make(struct ocu_rpc_client *c)
{
	struct ocu_rpc_place *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	p->client = c;
	if (nng_aio_alloc(&p->aio, ocu_rpc_place_callback, p) != 0) {
		free(p);
		return NULL;
	}
	if (nng_ctx_open(&p->ctx, c->socket) != 0) {
		nng_aio_free(p->aio);
		free(p);
		return NULL;
	}
	ocu_cond_init(&p->answered);
	c->places[c->nplaces++] = p;
	return p;
}

static int place_take(struct ocu_rpc_client *c, struct ocu_rpc_place **ret, struct ocu_error *err)
{
	struct ocu_rpc_place *p = c->free;

	if (c->closing)
		return ocu_error_set(err, OCU_E_CANCELLED, "the client is being closed");
	if (!p && c->nplaces == c->max_places)
		return ocu_error_set(err, OCU_E_BUSY, "%u calls are under way", c->max_places);
	if (p)
		c->free = p->next_free;
	else if (!(p = place_make(c)))
		return ocu_error_set(err, OCU_E_NOMEM, "rpc call");
	c->busy++;
	p->id = ++c->last_id;
	p->finished = false;
	p->reply = NULL;
	*ret = p;
	return 0;
}

/* The place may serve another call; the call itself still counts until call_over(). */
static void place_release(struct ocu_rpc_place *p)
{
	struct ocu_rpc_client *c = p->client;

	pthread_mutex_lock(&c->lock);
	p->phase = OCU_RPC_IDLE;
	p->next_free = c->free;
	c->free = p;
	pthread_mutex_unlock(&c->lock);
}

static void call_over(struct ocu_rpc_client *c)
{
	pthread_mutex_lock(&c->lock);
	c->busy--;
	if (c->closing)
		pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

/* --- what came back --- */

static int result_error(int nng_result, struct ocu_error *err)
{
	switch (nng_result) {
	case NNG_ETIMEDOUT:
		return ocu_error_set(err, OCU_E_TIMEOUT, "no answer within the deadline");
	case NNG_ECANCELED:
		return ocu_error_set(err, OCU_E_CANCELLED, "the call was cancelled");
	case NNG_ENOMEM:
		return ocu_error_set(err, OCU_E_NOMEM, "rpc call");
	case NNG_ECONNABORTED:
		return ocu_error_set(err, OCU_E_UNAVAILABLE, "not connected");
	default:
		return ocu_error_set(err, OCU_E_UNAVAILABLE, "the connection was lost: %s",
		                     nng_strerror(nng_result));
	}
}

static int read_answer(const struct ocu_rpc_method *method, uint64_t id, nng_msg *msg, ProtobufCMessage **ret,
                       struct ocu_error *err)
{
	struct ocu_rpc_answer a;
	int rv = ocu_rpc_answer_decode(&a, nng_msg_body(msg), nng_msg_len(msg), err);

	if (rv != 0)
		return rv;
	/* An id of 0 answers a request whose envelope could not be read. */
	if (a.id != id && !(a.id == 0 && a.code != 0))
		return ocu_error_set(err, OCU_E_PARSE, "an answer to another request");
	if (a.code != 0)
		return ocu_error_set(err, ocu_err_known(a.code) ? a.code : OCU_E_INTERNAL, "%s", a.text);
	return ocu_wire_unpack(method->reply, a.body, a.body_len, ret, err);
}

/* Turns the end of a call into a reply or an error; gives up msg. */
static int conclude(const struct ocu_rpc_method *method, uint64_t id, int nng_result, nng_msg *msg,
                    ProtobufCMessage **ret, struct ocu_error *err)
{
	int rv = nng_result != 0 ? result_error(nng_result, err) : read_answer(method, id, msg, ret, err);

	nng_msg_free(msg);
	return rv;
}

static void call_end(struct ocu_rpc_place *p, int nng_result, nng_msg *reply)
{
	struct ocu_rpc_client *c = p->client;
	const struct ocu_rpc_method *method = p->method;
	ocu_rpc_done_fn *done = p->done;
	void *arg = p->arg;
	uint64_t id = p->id;
	struct ocu_error err = {0};
	ProtobufCMessage *m = NULL;
	int rv;

	nng_msg_free(p->msg);
	p->msg = NULL;
	if (!done) {
		pthread_mutex_lock(&c->lock);
		p->result = nng_result;
		p->reply = reply;
		p->finished = true;
		pthread_cond_signal(&p->answered);
		pthread_mutex_unlock(&c->lock);
		return;
	}
	place_release(p);
	rv = conclude(method, id, nng_result, reply, &m, &err);
	done(arg, m, rv == 0 ? NULL : &err);
	if (m)
		protobuf_c_message_free_unpacked(m, NULL);
	call_over(c);
}

/* --- steps --- */

static uint64_t remaining(const struct ocu_rpc_place *p)
{
	uint64_t now = ocu_mono_ms();

	return now < p->end_ms ? p->end_ms - now : 0;
}

/* Enters a phase; false when the client is closing. */
static bool enter(struct ocu_rpc_place *p, enum ocu_rpc_phase phase)
{
	struct ocu_rpc_client *c = p->client;
	bool go;

	pthread_mutex_lock(&c->lock);
	p->phase = phase;
	go = !c->closing;
	pthread_mutex_unlock(&c->lock);
	return go;
}

/* Whoever cancels between enter() and the start of the operation cancels nothing. So look again afterwards;
 * id and phase say whether it is still the same operation. */
static void look_again(struct ocu_rpc_place *p, uint64_t id, enum ocu_rpc_phase phase)
{
	struct ocu_rpc_client *c = p->client;

	pthread_mutex_lock(&c->lock);
	if (p->id == id && p->phase == phase && (c->closing || (phase == OCU_RPC_WAITING && c->pipe)))
		nng_aio_cancel(p->aio);
	pthread_mutex_unlock(&c->lock);
}

static void step_wait(struct ocu_rpc_place *p)
{
	uint64_t id = p->id, ms = remaining(p);

	if (!enter(p, OCU_RPC_WAITING)) {
		call_end(p, NNG_ECANCELED, NULL);
		return;
	}
	nng_aio_set_timeout(p->aio, NNG_DURATION_INFINITE);
	nng_sleep_aio((nng_duration)(ms < p->connect_ms ? ms : p->connect_ms), p->aio);
	look_again(p, id, OCU_RPC_WAITING);
}

/* Writes what is known only now behind the body, and cuts the rest of the room off. */
static int finish_request(struct ocu_rpc_place *p, const char *callee)
{
	char token[OCU_JWT_MAX];
	size_t len;
	uint8_t *at = (uint8_t *)nng_msg_body(p->msg) + p->tail;

	if (ocu_rpc_minter_get(&p->client->minter, callee, token, &len, NULL) != 0)
		return NNG_ECRYPTO;
	len = ocu_rpc_request_tail(at, (uint32_t)remaining(p), token, len);
	return nng_msg_chop(p->msg, nng_msg_len(p->msg) - p->tail - len);
}

static void step_send(struct ocu_rpc_place *p)
{
	uint64_t id = p->id, ms = remaining(p);

	if (ms == 0 || !enter(p, OCU_RPC_SENDING)) {
		call_end(p, ms == 0 ? NNG_ETIMEDOUT : NNG_ECANCELED, NULL);
		return;
	}
	nng_aio_set_msg(p->aio, p->msg);
	p->msg = NULL;
	nng_aio_set_timeout(p->aio,
	                    (nng_duration)(ms < OCU_RPC_CONNECT_WAIT_MS ? ms : OCU_RPC_CONNECT_WAIT_MS));
	nng_ctx_send(p->ctx, p->aio);
	look_again(p, id, OCU_RPC_SENDING);
}

static void step_receive(struct ocu_rpc_place *p)
{
	uint64_t id = p->id, ms = remaining(p);

	if (!enter(p, OCU_RPC_RECEIVING)) {
		call_end(p, NNG_ECANCELED, NULL);
		return;
	}
	nng_aio_set_timeout(p->aio, ms > 0 ? (nng_duration)(ms < INT32_MAX ? ms : INT32_MAX) : 1);
	nng_ctx_recv(p->ctx, p->aio);
	look_again(p, id, OCU_RPC_RECEIVING);
}

/* Connected: the request gets its tail and leaves. Not connected: it waits. */
static void step_first(struct ocu_rpc_place *p, bool may_wait)
{
	struct ocu_rpc_client *c = p->client;
	char callee[OCU_SPIFFE_MAX];
	bool connected;
	int rv;

	pthread_mutex_lock(&c->lock);
	connected = c->pipe != 0;
	memcpy(callee, c->callee, sizeof callee);
	pthread_mutex_unlock(&c->lock);
	if (!connected && may_wait)
		step_wait(p);
	else if (!connected)
		call_end(p, NNG_ECONNABORTED, NULL);
	else if ((rv = finish_request(p, callee)) != 0)
		call_end(p, rv, NULL);
	else
		step_send(p);
}

static void after_wait(struct ocu_rpc_place *p)
{
	bool closing;

	pthread_mutex_lock(&p->client->lock);
	closing = p->client->closing;
	pthread_mutex_unlock(&p->client->lock);
	if (closing)
		call_end(p, NNG_ECANCELED, NULL);
	else
		step_first(p, false);
}

static void after_send(struct ocu_rpc_place *p, int rv)
{
	if (rv == 0) {
		step_receive(p);
		return;
	}
	p->msg = nng_aio_get_msg(p->aio); /* a send that failed gives it back */
	nng_aio_set_msg(p->aio, NULL);
	if (rv == NNG_ETIMEDOUT && !ocu_rpc_client_connected(p->client))
		rv = NNG_ECONNABORTED;
	/* Connected, but the peer takes no requests just now: it has until the deadline. */
	if (rv == NNG_ETIMEDOUT && remaining(p) > 0)
		step_send(p);
	else
		call_end(p, rv, NULL);
}

/* An aio that was once used to sleep keeps calling its time-outs a success (nng 1.5.2: a_expire_ok is never
 * reset). What such a success looks like: a send that still has its message, a receive that got none. */
static int true_result(const struct ocu_rpc_place *p)
{
	int rv = nng_aio_result(p->aio);
	bool has_msg = nng_aio_get_msg(p->aio) != NULL;

	if (rv == 0 &&
	    ((p->phase == OCU_RPC_SENDING && has_msg) || (p->phase == OCU_RPC_RECEIVING && !has_msg)))
		return NNG_ETIMEDOUT;
	return rv;
}

void ocu_rpc_place_callback(void *arg)
{
	struct ocu_rpc_place *p = arg;
	int rv = true_result(p);
	nng_msg *msg;

	switch (p->phase) {
	case OCU_RPC_WAITING:
		after_wait(p);
		break;
	case OCU_RPC_SENDING:
		after_send(p, rv);
		break;
	case OCU_RPC_RECEIVING:
		msg = rv == 0 ? nng_aio_get_msg(p->aio) : NULL;
		nng_aio_set_msg(p->aio, NULL);
		call_end(p, rv, msg);
		break;
	case OCU_RPC_IDLE:
		break;
	}
}

/* --- the public face --- */

static int build_request(struct ocu_rpc_place *p, const ProtobufCMessage *req, size_t body_len,
                         const char *trace_id)
{
	uint8_t head[OCU_RPC_HEAD_MAX];
	size_t len = ocu_rpc_request_head(head, p->id, p->method->id, trace_id, body_len);
	uint8_t *body;

	if (nng_msg_alloc(&p->msg, len + body_len + OCU_RPC_TAIL_MAX(OCU_JWT_MAX)) != 0)
		return -1;
	body = nng_msg_body(p->msg);
	memcpy(body, head, len);
	protobuf_c_message_pack(req, body + len);
	p->tail = len + body_len;
	return 0;
}

static int begin(struct ocu_rpc_client *c, const struct ocu_rpc_method *m, const ProtobufCMessage *req,
                 const struct ocu_rpc_limits *limits, const char *trace_id, ocu_rpc_done_fn *done, void *arg,
                 struct ocu_rpc_place **ret, struct ocu_error *err)
{
	size_t len = protobuf_c_message_get_packed_size(req);
	struct ocu_rpc_place *p = NULL;
	int rv;

	if (req->descriptor != m->request || limits->deadline_ms == 0)
		return ocu_error_set(err, OCU_E_INVALID, "%s: wrong request type, or no deadline", m->name);
	if (len > OCU_RPC_MESSAGE_MAX - OCU_RPC_HEAD_MAX - OCU_RPC_TAIL_MAX(OCU_JWT_MAX) - sizeof(uint32_t))
		return ocu_error_set(err, OCU_E_TOO_LARGE, "%s: request over the message bound", m->name);
	pthread_mutex_lock(&c->lock);
	rv = place_take(c, &p, err);
	pthread_mutex_unlock(&c->lock);
	if (rv != 0)
		return rv;
	p->method = m;
	p->done = done;
	p->arg = arg;
	p->connect_ms = limits->connect_ms;
	p->end_ms = ocu_mono_ms() + limits->deadline_ms;
	if (build_request(p, req, len, trace_id) != 0) {
		place_release(p);
		call_over(c);
		return ocu_error_set(err, OCU_E_NOMEM, "rpc message");
	}
	*ret = p;
	return 0;
}

int ocu_rpc_call_async_limited(struct ocu_rpc_client *c, const struct ocu_rpc_method *m,
                               const ProtobufCMessage *req, const struct ocu_rpc_limits *limits,
                               const char *trace_id, ocu_rpc_done_fn *done, void *arg, struct ocu_error *err)
{
	struct ocu_rpc_place *p;
	int rv = begin(c, m, req, limits, trace_id, done, arg, &p, err);

	if (rv != 0)
		return rv;
	/* The call may be over, and the client being freed, before its first step returns: this thread
	 * counts, too. */
	pthread_mutex_lock(&c->lock);
	c->busy++;
	pthread_mutex_unlock(&c->lock);
	step_first(p, true);
	call_over(c);
	return 0;
}

int ocu_rpc_call_async(struct ocu_rpc_client *c, const struct ocu_rpc_method *m, const ProtobufCMessage *req,
                       uint32_t deadline_ms, const char *trace_id, ocu_rpc_done_fn *done, void *arg,
                       struct ocu_error *err)
{
	const struct ocu_rpc_limits limits = {OCU_RPC_CONNECT_WAIT_MS, deadline_ms};

	return ocu_rpc_call_async_limited(c, m, req, &limits, trace_id, done, arg, err);
}

int ocu_rpc_call(struct ocu_rpc_client *c, const struct ocu_rpc_method *m, const ProtobufCMessage *req,
                 ProtobufCMessage **ret, uint32_t deadline_ms, const char *trace_id, struct ocu_error *err)
{
	const struct ocu_rpc_limits limits = {OCU_RPC_CONNECT_WAIT_MS, deadline_ms};
	struct ocu_error own = {0};
	struct ocu_rpc_place *p;
	ProtobufCMessage *reply = NULL;
	uint64_t id;
	nng_msg *msg;
	int rv, result;

	err = err ? err : &own;
	if ((rv = begin(c, m, req, &limits, trace_id, NULL, NULL, &p, err)) != 0)
		return rv;
	id = p->id;
	step_first(p, true);
	pthread_mutex_lock(&c->lock);
	while (!p->finished)
		pthread_cond_wait(&p->answered, &c->lock);
	result = p->result;
	msg = p->reply;
	pthread_mutex_unlock(&c->lock);
	place_release(p);
	rv = conclude(m, id, result, msg, &reply, err);
	call_over(c);
	if (rv == 0 && ret)
		*ret = reply;
	else if (reply)
		protobuf_c_message_free_unpacked(reply, NULL);
	return rv;
}
