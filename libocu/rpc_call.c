/*
 * rpc_call: one request on the server's side. A request runs only after every question is answered in this
 * order: is the envelope well formed, is the method in the table, may this peer (by its certificate) send it,
 * does the internal token name the same peer, is the body exactly what the method takes, is there time left.
 */
#include <stdlib.h>
#include <string.h>

#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/rpc_server.h"
#include "libocu/rpc_wire.h"

struct ocu_rpc_call *ocu_rpc_call_new(struct ocu_rpc_slot *slot, struct ocu_rpc_link *link, nng_msg *msg)
{
	struct ocu_rpc_call *c = calloc(1, sizeof *c);

	if (!c) {
		nng_msg_free(msg);
		ocu_rpc_link_unref(link);
		return NULL;
	}
	c->server = slot->server;
	c->slot = slot;
	c->link = link;
	c->msg = msg;
	c->arrived_ms = ocu_mono_ms();
	atomic_fetch_add(&c->server->refs, 1);
	return c;
}

void ocu_rpc_call_free(struct ocu_rpc_call *c)
{
	if (!c)
		return;
	if (c->body)
		protobuf_c_message_free_unpacked(c->body, NULL);
	nng_msg_free(c->msg);
	ocu_rpc_link_unref(c->link);
	ocu_rpc_server_unref(c->server);
	free(c);
}

const struct ocu_peer *ocu_rpc_call_peer(const struct ocu_rpc_call *c)
{
	return &c->link->peer;
}

const char *ocu_rpc_call_trace(const struct ocu_rpc_call *c)
{
	return c->request.trace_id;
}

uint32_t ocu_rpc_call_remaining_ms(const struct ocu_rpc_call *c)
{
	uint64_t end = c->arrived_ms + c->request.deadline_ms;
	uint64_t now = ocu_mono_ms();

	return now < end ? (uint32_t)(end - now) : 0;
}

/* --- answering --- */

/* The whole answer in one message; NULL when out of memory. */
static nng_msg *answer_message(const struct ocu_rpc_call *c, int code, const char *text,
                               const ProtobufCMessage *reply, size_t body_len)
{
	uint8_t head[OCU_RPC_ANSWER_HEAD_MAX];
	size_t head_len = ocu_rpc_answer_head(head, c->request.id, code, text, body_len);
	nng_msg *msg;

	if (nng_msg_alloc(&msg, head_len + body_len) != 0)
		return NULL;
	memcpy(nng_msg_body(msg), head, head_len);
	if (body_len > 0)
		protobuf_c_message_pack(reply, (uint8_t *)nng_msg_body(msg) + head_len);
	return msg;
}

static void answer_error(struct ocu_rpc_call *c, int code, const char *text)
{
	nng_msg *msg = answer_message(c, code, text && *text ? text : ocu_err_text(code), NULL, 0);

	ocu_rpc_server_answer(c, msg);
	ocu_rpc_call_free(c);
}

void ocu_rpc_fail(struct ocu_rpc_call *c, const struct ocu_error *err)
{
	answer_error(c, err->code < 0 ? err->code : OCU_E_INTERNAL, err->text);
}

void ocu_rpc_reply(struct ocu_rpc_call *c, const ProtobufCMessage *reply)
{
	size_t len;

	if (reply->descriptor != c->method->reply) {
		answer_error(c, OCU_E_INTERNAL, "the handler answered with a message of another type");
		return;
	}
	len = protobuf_c_message_get_packed_size(reply);
	if (len > OCU_RPC_MESSAGE_MAX - OCU_RPC_ANSWER_HEAD_MAX) {
		answer_error(c, OCU_E_TOO_LARGE, "the reply is over the message bound");
		return;
	}
	ocu_rpc_server_answer(c, answer_message(c, 0, NULL, reply, len));
	ocu_rpc_call_free(c);
}

/* --- deciding --- */

static const struct ocu_rpc_entry *find_entry(const struct ocu_rpc_entry *table, uint32_t method)
{
	for (; table->method; table++)
		if (table->method->id == method)
			return table;
	return NULL;
}

static int authorize(struct ocu_rpc_call *c, const struct ocu_rpc_entry *entry, struct ocu_error *err)
{
	const struct ocu_peer *peer = &c->link->peer;

	if (!entry)
		return ocu_error_set(err, OCU_E_UNKNOWN_METHOD, "no method %u here", c->request.method);
	if (!(entry->method->peers & OCU_PEER(peer->component)))
		return ocu_error_set(err, OCU_E_PEER_DENIED, "%s may not send %s",
		                     ocu_component_name(peer->component), entry->method->name);
	return ocu_rpc_verifier_check(&c->link->verifier, c->server->o.identity, peer, c->request.token,
	                              c->request.token_len, err);
}

static int accept_request(struct ocu_rpc_call *c, const struct ocu_rpc_entry **entry, struct ocu_error *err)
{
	int rv = ocu_rpc_request_decode(&c->request, nng_msg_body(c->msg), nng_msg_len(c->msg), err);

	if (rv != 0)
		return rv;
	*entry = find_entry(c->server->o.table, c->request.method);
	if ((rv = authorize(c, *entry, err)) != 0)
		return rv;
	c->method = (*entry)->method;
	return ocu_wire_unpack(c->method->request, c->request.body, c->request.body_len, &c->body, err);
}

void ocu_rpc_call_run(struct ocu_rpc_call *c)
{
	const struct ocu_rpc_server_opts *o = &c->server->o;
	const struct ocu_rpc_entry *entry = NULL;
	struct ocu_error err = {0};
	int rv = accept_request(c, &entry, &err);

	nng_msg_free(c->msg);
	c->msg = NULL;
	if (rv != 0) {
		if (o->refused)
			o->refused(&c->link->peer, c->request.method, &err, o->arg);
		ocu_rpc_fail(c, &err);
		return;
	}
	if (ocu_rpc_call_remaining_ms(c) == 0) {
		answer_error(c, OCU_E_TIMEOUT, "the deadline passed before the request was looked at");
		return;
	}
	entry->handler(c, c->body, o->arg);
}
