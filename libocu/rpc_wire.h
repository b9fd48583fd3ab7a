/*
 * rpc_wire: the strict reading of protobuf. protobuf-c keeps unknown fields, accepts any bytes as a string
 * and lets the last of two equal fields win; a peer's message is held to its descriptor here before it is
 * unpacked. Private to rpc, denylist and fdpass.
 */
#ifndef OCU_RPC_WIRE_H
#define OCU_RPC_WIRE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ocu_error;

#define OCU_WIRE_DEPTH_MAX    16    /* nested messages */
#define OCU_WIRE_REPEATED_MAX 65536 /* elements of one repeated field */

/* Holds the whole message to its descriptor, at every depth: known fields only, each with its wire type,
 * singular ones at most once, strings valid UTF-8 without NUL, at most OCU_WIRE_REPEATED_MAX elements a
 * field. OCU_E_UNKNOWN_FIELD, OCU_E_TOO_LARGE or OCU_E_PARSE. */
int ocu_wire_check(const ProtobufCMessageDescriptor *desc, const void *data, size_t len,
                   struct ocu_error *err);
/* Check, then unpack. Freed with protobuf_c_message_free_unpacked(*ret, NULL). */
int ocu_wire_unpack(const ProtobufCMessageDescriptor *desc, const void *data, size_t len,
                    ProtobufCMessage **ret, struct ocu_error *err);

/* The reader under it: fields of one message in order, without a descriptor. */
enum ocu_wire_type { OCU_WIRE_VARINT = 0, OCU_WIRE_FIXED64 = 1, OCU_WIRE_BYTES = 2, OCU_WIRE_FIXED32 = 5 };

struct ocu_wire {
	const uint8_t *at, *end;
};

struct ocu_wire_field {
	uint32_t number;
	enum ocu_wire_type type;
	uint64_t value;      /* OCU_WIRE_VARINT */
	const uint8_t *data; /* the others; points into the message */
	size_t len;
};

/* False when the next field is malformed; only to be called while at < end. */
bool ocu_wire_next(struct ocu_wire *w, struct ocu_wire_field *f);
/* Valid UTF-8 without NUL. */
bool ocu_wire_text_valid(const uint8_t *data, size_t len);

#endif
