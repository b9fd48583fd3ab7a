/*
 * rpc_wire: a reader over protobuf's wire format (the "Encoding" page of the protocol buffers documentation)
 * and the check of a message against its descriptor. Reads any bytes safely; the check allocates nothing.
 */
#include "libocu/rpc_wire.h"

#include <stdbool.h>
#include <string.h>

#include "libocu/buf.h"
#include "libocu/err.h"

static bool read_varint(struct ocu_wire *w, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 70 && w->at < w->end; shift += 7) {
		uint8_t byte = *w->at++;

		if (shift == 63 && byte > 1)
			return false;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret = v;
			return true;
		}
	}
	return false;
}

/* A key or a length. protobuf-c reads no more than five bytes of one. */
static bool read_short(struct ocu_wire *w, uint64_t *ret)
{
	const uint8_t *begin = w->at;

	return read_varint(w, ret) && w->at - begin <= 5;
}

static bool read_bytes(struct ocu_wire *w, size_t len, const uint8_t **ret)
{
	if ((size_t)(w->end - w->at) < len)
		return false;
	*ret = w->at;
	w->at += len;
	return true;
}

/* Groups, the two deprecated wire types, count as malformed. */
bool ocu_wire_next(struct ocu_wire *w, struct ocu_wire_field *f)
{
	uint64_t key, len;

	if (!read_short(w, &key) || key >> 3 == 0 || key >> 3 > 0x1fffffff)
		return false;
	f->number = (uint32_t)(key >> 3);
	f->type = (enum ocu_wire_type)(key & 7);
	f->value = 0;
	f->data = NULL;
	f->len = 0;
	switch (f->type) {
	case OCU_WIRE_VARINT:
		return read_varint(w, &f->value);
	case OCU_WIRE_FIXED64:
		f->len = 8;
		return read_bytes(w, f->len, &f->data);
	case OCU_WIRE_FIXED32:
		f->len = 4;
		return read_bytes(w, f->len, &f->data);
	case OCU_WIRE_BYTES:
		if (!read_short(w, &len) || len > SIZE_MAX / 2)
			return false;
		f->len = (size_t)len;
		return read_bytes(w, f->len, &f->data);
	}
	return false;
}

/* --- strict check --- */

enum { FIELDS_MAX = 64 };

bool ocu_wire_text_valid(const uint8_t *data, size_t len)
{
	for (size_t at = 0, n; at < len; at += n) {
		n = data[at] ? ocu_utf8_seq((const char *)data + at, len - at) : 0;
		if (n == 0)
			return false;
	}
	return true;
}

static enum ocu_wire_type wire_type_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return OCU_WIRE_FIXED32;
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return OCU_WIRE_FIXED64;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return OCU_WIRE_BYTES;
	default:
		return OCU_WIRE_VARINT;
	}
}

/* How many elements a packed field holds; SIZE_MAX when it is malformed. */
static size_t packed_count(enum ocu_wire_type type, const struct ocu_wire_field *f)
{
	struct ocu_wire w = {f->data, f->data + f->len};
	size_t unit = type == OCU_WIRE_FIXED64 ? 8 : 4;
	size_t n = 0;
	uint64_t v;

	if (type != OCU_WIRE_VARINT)
		return f->len % unit == 0 ? f->len / unit : SIZE_MAX;
	while (w.at < w.end) {
		if (!read_varint(&w, &v))
			return SIZE_MAX;
		n++;
	}
	return n;
}

static int check_message(const ProtobufCMessageDescriptor *desc, struct ocu_wire w, unsigned depth,
                         struct ocu_error *err);

static int check_value(const ProtobufCFieldDescriptor *d, const struct ocu_wire_field *f, unsigned depth,
                       struct ocu_error *err)
{
	struct ocu_wire inner;

	if (d->type == PROTOBUF_C_TYPE_STRING && !ocu_wire_text_valid(f->data, f->len))
		return ocu_error_set(err, OCU_E_PARSE, "%s: not valid UTF-8 text", d->name);
	if (d->type != PROTOBUF_C_TYPE_MESSAGE)
		return 0;
	inner.at = f->data;
	inner.end = f->data + f->len;
	return check_message(d->descriptor, inner, depth + 1, err);
}

/* How many elements the field adds, after checking them; SIZE_MAX with err set when it is refused. */
static size_t check_field(const ProtobufCFieldDescriptor *d, const struct ocu_wire_field *f, unsigned depth,
                          struct ocu_error *err)
{
	enum ocu_wire_type want = wire_type_of(d->type);
	size_t n = 1;

	if (d->label == PROTOBUF_C_LABEL_REPEATED && f->type == OCU_WIRE_BYTES && want != OCU_WIRE_BYTES) {
		n = packed_count(want, f);
		if (n == SIZE_MAX)
			ocu_error_set(err, OCU_E_PARSE, "%s: malformed packed field", d->name);
		return n;
	}
	if (f->type != want) {
		ocu_error_set(err, OCU_E_PARSE, "%s: wrong wire type", d->name);
		return SIZE_MAX;
	}
	return check_value(d, f, depth, err) == 0 ? n : SIZE_MAX;
}

static int check_message(const ProtobufCMessageDescriptor *desc, struct ocu_wire w, unsigned depth,
                         struct ocu_error *err)
{
	size_t seen[FIELDS_MAX] = {0};
	struct ocu_wire_field f;

	if (depth > OCU_WIRE_DEPTH_MAX || desc->n_fields > FIELDS_MAX)
		return ocu_error_set(err, OCU_E_TOO_LARGE, "%s: nested too deep", desc->name);
	while (w.at < w.end) {
		const ProtobufCFieldDescriptor *d;
		size_t n, i;

		if (!ocu_wire_next(&w, &f))
			return ocu_error_set(err, OCU_E_PARSE, "%s: malformed or cut", desc->name);
		d = protobuf_c_message_descriptor_get_field(desc, f.number);
		if (!d)
			return ocu_error_set(err, OCU_E_UNKNOWN_FIELD, "%s: unknown field %u", desc->name,
			                     f.number);
		n = check_field(d, &f, depth, err);
		if (n == SIZE_MAX)
			return err ? err->code : OCU_E_PARSE;
		i = (size_t)(d - desc->fields);
		seen[i] += n;
		if (d->label != PROTOBUF_C_LABEL_REPEATED && seen[i] > 1)
			return ocu_error_set(err, OCU_E_PARSE, "%s: field occurs twice", d->name);
		if (seen[i] > OCU_WIRE_REPEATED_MAX)
			return ocu_error_set(err, OCU_E_TOO_LARGE, "%s: more than %d elements", d->name,
			                     OCU_WIRE_REPEATED_MAX);
	}
	return 0;
}

int ocu_wire_check(const ProtobufCMessageDescriptor *desc, const void *data, size_t len,
                   struct ocu_error *err)
{
	struct ocu_error own = {0};
	const uint8_t *bytes = data ? data : (const uint8_t *)""; /* no bytes may come as no pointer */
	struct ocu_wire w = {bytes, bytes + len};

	return check_message(desc, w, 1, err ? err : &own);
}

int ocu_wire_unpack(const ProtobufCMessageDescriptor *desc, const void *data, size_t len,
                    ProtobufCMessage **ret, struct ocu_error *err)
{
	/* protobuf-c reads no byte of an empty message but wants a pointer. */
	const void *bytes = data ? data : "";
	ProtobufCMessage *m;
	int rv = ocu_wire_check(desc, bytes, len, err);

	if (rv != 0)
		return rv;
	m = protobuf_c_message_unpack(desc, NULL, len, bytes);
	if (!m)
		return ocu_error_set(err, OCU_E_PARSE, "%s: cannot be unpacked", desc->name);
	*ret = m;
	return 0;
}
