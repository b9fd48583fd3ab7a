/*
 * pbjson: any protobuf-c message from JSON and to JSON through its descriptor, for the probe. Field names are
 * those of the .proto files; bytes are base64 strings, or plain text with `plain`; 64-bit integers are JSON
 * integers. Strict: an unknown member or a value of the wrong type is an error.
 */
#ifndef OCU_TEST_PBJSON_H
#define OCU_TEST_PBJSON_H

#include <jansson.h>
#include <openssl/evp.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ProtobufCMessage *pbjson_read(const ProtobufCMessageDescriptor *desc, const json_t *in, bool plain,
                                     char *why, size_t size);
static json_t *pbjson_write(const ProtobufCMessage *m, bool plain);

static inline bool pbjson_bytes(const json_t *in, bool plain, ProtobufCBinaryData *out)
{
	size_t len = json_string_length(in);
	int got;

	out->data = malloc(len + 1);
	out->len = len;
	if (!out->data)
		return false;
	if (plain) {
		memcpy(out->data, json_string_value(in), len);
		return true;
	}
	got =
	    len == 0 ? 0 : EVP_DecodeBlock(out->data, (const unsigned char *)json_string_value(in), (int)len);
	if (got < 0)
		return false;
	for (size_t i = len; i > 0 && json_string_value(in)[i - 1] == '='; i--)
		got--;
	out->len = (size_t)got;
	return true;
}

static inline bool pbjson_integer(const ProtobufCFieldDescriptor *f, const json_t *in, void *at)
{
	uint64_t wide = (uint64_t)json_integer_value(in);
	uint32_t narrow = (uint32_t)wide;
	bool is_wide = f->type == PROTOBUF_C_TYPE_INT64 || f->type == PROTOBUF_C_TYPE_SINT64 ||
	               f->type == PROTOBUF_C_TYPE_SFIXED64 || f->type == PROTOBUF_C_TYPE_UINT64 ||
	               f->type == PROTOBUF_C_TYPE_FIXED64;

	if (!json_is_integer(in))
		return false;
	memcpy(at, is_wide ? (void *)&wide : (void *)&narrow, is_wide ? sizeof wide : sizeof narrow);
	return true;
}

static inline bool pbjson_value(const ProtobufCFieldDescriptor *f, const json_t *in, bool plain, void *at,
                                char *why, size_t size)
{
	protobuf_c_boolean truth = json_is_true(in);
	double number = json_number_value(in);
	float small = (float)number;

	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		return json_is_string(in) && (*(char **)at = strdup(json_string_value(in))) != NULL;
	case PROTOBUF_C_TYPE_BYTES:
		return json_is_string(in) && pbjson_bytes(in, plain, at);
	case PROTOBUF_C_TYPE_MESSAGE:
		return (*(ProtobufCMessage **)at = pbjson_read(f->descriptor, in, plain, why, size)) != NULL;
	case PROTOBUF_C_TYPE_BOOL:
		memcpy(at, &truth, sizeof truth);
		return json_is_boolean(in);
	case PROTOBUF_C_TYPE_FLOAT:
		memcpy(at, &small, sizeof small);
		return json_is_number(in);
	case PROTOBUF_C_TYPE_DOUBLE:
		memcpy(at, &number, sizeof number);
		return json_is_number(in);
	default:
		return pbjson_integer(f, in, at);
	}
}

static inline size_t pbjson_size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	default:
		return 4;
	}
}

static inline bool pbjson_field(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, const json_t *in,
                                bool plain, char *why, size_t size)
{
	char *at = (char *)m + f->offset;
	size_t unit = pbjson_size(f->type), n = json_array_size(in);
	char *list;

	if (f->label != PROTOBUF_C_LABEL_REPEATED) {
		if (f->quantifier_offset && f->label == PROTOBUF_C_LABEL_OPTIONAL)
			*(protobuf_c_boolean *)((char *)m + f->quantifier_offset) = 1;
		return pbjson_value(f, in, plain, at, why, size);
	}
	if (!json_is_array(in) || !(list = calloc(n ? n : 1, unit)))
		return false;
	*(void **)at = list;
	for (size_t i = 0; i < n; i++, ++*(size_t *)((char *)m + f->quantifier_offset))
		if (!pbjson_value(f, json_array_get(in, i), plain, list + i * unit, why, size))
			return false;
	return true;
}

/* NULL with why filled when the JSON does not fit the message. */
static ProtobufCMessage *pbjson_read(const ProtobufCMessageDescriptor *desc, const json_t *in, bool plain,
                                     char *why, size_t size)
{
	ProtobufCMessage *m = calloc(1, desc->sizeof_message);
	const char *key;
	json_t *value;

	if (!m || !json_is_object(in)) {
		snprintf(why, size, "%s: not an object", desc->name);
		free(m);
		return NULL;
	}
	protobuf_c_message_init(desc, m);
	json_object_foreach((json_t *)in, key, value)
	{
		const ProtobufCFieldDescriptor *f =
		    protobuf_c_message_descriptor_get_field_by_name(desc, key);

		why[0] = '\0';
		if (!f || !pbjson_field(m, f, value, plain, why, size)) {
			if (!why[0])
				snprintf(why, size, "%s.%s: %s", desc->name, key,
				         f ? "wrong type" : "no such field");
			protobuf_c_message_free_unpacked(m, NULL);
			return NULL;
		}
	}
	return m;
}

static inline json_t *pbjson_write_bytes(const ProtobufCBinaryData *b, bool plain)
{
	char *text;
	json_t *j;

	if (plain && (j = json_stringn((const char *)b->data, b->len)) != NULL)
		return j;
	text = malloc(b->len / 3 * 4 + 8);
	if (!text)
		return NULL;
	EVP_EncodeBlock((unsigned char *)text, b->data, (int)b->len);
	j = json_string(b->len ? text : "");
	free(text);
	return j;
}

static inline json_t *pbjson_write_value(const ProtobufCFieldDescriptor *f, const void *at, bool plain)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		return json_string(*(char *const *)at ? *(char *const *)at : "");
	case PROTOBUF_C_TYPE_BYTES:
		return pbjson_write_bytes(at, plain);
	case PROTOBUF_C_TYPE_MESSAGE:
		return *(ProtobufCMessage *const *)at ? pbjson_write(*(ProtobufCMessage *const *)at, plain)
		                                      : json_null();
	case PROTOBUF_C_TYPE_BOOL:
		return json_boolean(*(const protobuf_c_boolean *)at);
	case PROTOBUF_C_TYPE_FLOAT:
		return json_real(*(const float *)at);
	case PROTOBUF_C_TYPE_DOUBLE:
		return json_real(*(const double *)at);
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_ENUM:
		return json_integer(*(const int32_t *)at);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return json_integer(*(const uint32_t *)at);
	default:
		return json_integer((json_int_t) * (const uint64_t *)at);
	}
}

static json_t *pbjson_write(const ProtobufCMessage *m, bool plain)
{
	json_t *out = json_object();

	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		const char *at = (const char *)m + f->offset;
		json_t *list;

		if (f->label != PROTOBUF_C_LABEL_REPEATED) {
			json_object_set_new(out, f->name, pbjson_write_value(f, at, plain));
			continue;
		}
		list = json_array();
		for (size_t n = 0; n < *(const size_t *)((const char *)m + f->quantifier_offset); n++)
			json_array_append_new(
			    list,
			    pbjson_write_value(f, *(char *const *)at + n * pbjson_size(f->type), plain));
		json_object_set_new(out, f->name, list);
	}
	return out;
}

#endif
