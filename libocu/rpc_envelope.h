/*
 * rpc_envelope: the two envelope messages of proto/envelope.proto, read and written in place: bodies are
 * neither copied nor unpacked here. Private to rpc.
 */
#ifndef OCU_RPC_ENVELOPE_H
#define OCU_RPC_ENVELOPE_H

#include <stddef.h>
#include <stdint.h>

#include "libocu/id.h"

struct ocu_error;

#define OCU_RPC_TEXT_MAX 1024 /* bytes of a reply's error text */

/* A received request; pointers are into the message it was read from. */
struct ocu_rpc_request {
	uint64_t id;
	uint32_t method;
	uint32_t deadline_ms;
	char trace_id[OCU_ID_MAX];
	const char *token; /* not NUL-terminated */
	size_t token_len;
	const uint8_t *body;
	size_t body_len;
};

struct ocu_rpc_answer {
	uint64_t id;
	int32_t code;
	char text[OCU_RPC_TEXT_MAX + 1];
	const uint8_t *body;
	size_t body_len;
};

/* OCU_E_UNKNOWN_FIELD, OCU_E_TOO_LARGE (a string over its bound), OCU_E_PARSE; a request without a deadline
 * is OCU_E_INVALID. On failure ret->id is what was read of it so far. */
int ocu_rpc_request_decode(struct ocu_rpc_request *ret, const void *data, size_t len, struct ocu_error *err);
int ocu_rpc_answer_decode(struct ocu_rpc_answer *ret, const void *data, size_t len, struct ocu_error *err);

/* Writing: head, then body_len bytes of body, then (requests) the tail; each returns how many bytes it wrote.
 * The tail has what is known only when a request really leaves. trace_id may be NULL and is dropped when too
 * long. */
#define OCU_RPC_HEAD_MAX        (11 + 6 + 2 + OCU_ID_MAX + 11)
#define OCU_RPC_TAIL_MAX(token) (6 + 6 + (token))
#define OCU_RPC_ANSWER_HEAD_MAX (11 + 11 + 4 + OCU_RPC_TEXT_MAX + 11)
size_t ocu_rpc_request_head(uint8_t *out, uint64_t id, uint32_t method, const char *trace_id,
                            size_t body_len);
size_t ocu_rpc_request_tail(uint8_t *out, uint32_t deadline_ms, const char *token, size_t token_len);
/* text (may be NULL) is cut at OCU_RPC_TEXT_MAX, at the end of a character; bytes that are no UTF-8 become
 * '?'. */
size_t ocu_rpc_answer_head(uint8_t *out, uint64_t id, int32_t code, const char *text, size_t body_len);

#endif
