/*
 * The two envelope decoders on any bytes. What they accept protobuf's own reader accepts with the same
 * values, and nothing they return points outside the input.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/jwt.h"
#include "libocu/rpc_envelope.h"
#include "proto/envelope.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
	if (!condition)
		abort();
}

static void inside(const void *at, size_t len, const uint8_t *data, size_t size)
{
	const uint8_t *p = at;

	require(len == 0 || (p >= data && len <= size && p + len <= data + size));
}

static void request(const uint8_t *data, size_t size)
{
	struct ocu_rpc_request r;
	Ocu__Rpc__Request *m;

	if (ocu_rpc_request_decode(&r, data, size, NULL) != 0)
		return;
	inside(r.token, r.token_len, data, size);
	inside(r.body, r.body_len, data, size);
	require(r.deadline_ms > 0 && r.token_len <= OCU_JWT_MAX && strlen(r.trace_id) < OCU_ID_MAX);
	m = ocu__rpc__request__unpack(NULL, size, data);
	require(m && m->base.n_unknown_fields == 0);
	require(m->id == r.id && m->method == r.method && m->deadline_ms == r.deadline_ms);
	require(strcmp(m->trace_id, r.trace_id) == 0 && strlen(m->token) == r.token_len);
	require(m->body.len == r.body_len &&
	        (r.body_len == 0 || memcmp(m->body.data, r.body, r.body_len) == 0));
	ocu__rpc__request__free_unpacked(m, NULL);
}

static void answer(const uint8_t *data, size_t size)
{
	struct ocu_rpc_answer a;
	Ocu__Rpc__Reply *m;

	if (ocu_rpc_answer_decode(&a, data, size, NULL) != 0)
		return;
	inside(a.body, a.body_len, data, size);
	m = ocu__rpc__reply__unpack(NULL, size, data);
	require(m && m->base.n_unknown_fields == 0);
	require(m->id == a.id && m->code == a.code && strcmp(m->text, a.text) == 0 &&
	        m->body.len == a.body_len);
	ocu__rpc__reply__free_unpacked(m, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	request(data, size);
	answer(data, size);
	return 0;
}
