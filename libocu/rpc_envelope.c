/* rpc_envelope: one table per message says what each field is, how long it may be and where it goes. */
#include "libocu/rpc_envelope.h"

#include <stdbool.h>
#include <string.h>

#include "libocu/buf.h"
#include "libocu/err.h"
#include "libocu/jwt.h"
#include "libocu/rpc_wire.h"

enum field_kind { KIND_NONE, KIND_U64, KIND_U32, KIND_I32, KIND_TEXT, KIND_SLICE };

struct field_rule {
	const char *name;
	enum field_kind kind;
	size_t offset; /* of the value or of the slice's pointer; the slice's length follows the pointer */
	size_t max;    /* bytes of a text or slice */
	bool text;     /* must be valid UTF-8 */
};

#define REQ(member) offsetof(struct ocu_rpc_request, member)
#define ANS(member) offsetof(struct ocu_rpc_answer, member)

enum { REQ_ID = 1, REQ_METHOD, REQ_DEADLINE, REQ_TRACE, REQ_TOKEN, REQ_BODY, REQ_FIELDS };
enum { ANS_ID = 1, ANS_CODE, ANS_TEXT, ANS_BODY, ANS_FIELDS };

static const struct field_rule request_rules[REQ_FIELDS] = {
    [REQ_ID] = {"id", KIND_U64, REQ(id), 0, false},
    [REQ_METHOD] = {"method", KIND_U32, REQ(method), 0, false},
    [REQ_DEADLINE] = {"deadline_ms", KIND_U32, REQ(deadline_ms), 0, false},
    [REQ_TRACE] = {"trace_id", KIND_TEXT, REQ(trace_id), OCU_ID_MAX - 1, true},
    [REQ_TOKEN] = {"token", KIND_SLICE, REQ(token), OCU_JWT_MAX, true},
    [REQ_BODY] = {"body", KIND_SLICE, REQ(body), SIZE_MAX, false},
};

static const struct field_rule answer_rules[ANS_FIELDS] = {
    [ANS_ID] = {"id", KIND_U64, ANS(id), 0, false},
    [ANS_CODE] = {"code", KIND_I32, ANS(code), 0, false},
    [ANS_TEXT] = {"text", KIND_TEXT, ANS(text), OCU_RPC_TEXT_MAX, true},
    [ANS_BODY] = {"body", KIND_SLICE, ANS(body), SIZE_MAX, false},
};

_Static_assert(REQ(token_len) == REQ(token) + sizeof(void *), "a slice's length follows its pointer");
_Static_assert(REQ(body_len) == REQ(body) + sizeof(void *), "a slice's length follows its pointer");
_Static_assert(ANS(body_len) == ANS(body) + sizeof(void *), "a slice's length follows its pointer");

static bool number_fits(enum field_kind kind, uint64_t v)
{
	if (kind == KIND_U32)
		return v <= UINT32_MAX;
	if (kind == KIND_I32)
		return (int64_t)v >= INT32_MIN && (int64_t)v <= INT32_MAX;
	return true;
}

static void store_number(char *at, enum field_kind kind, uint64_t v)
{
	uint32_t low = (uint32_t)v;

	memcpy(at, kind == KIND_U64 ? (void *)&v : (void *)&low, kind == KIND_U64 ? sizeof v : sizeof low);
}

static int store_bytes(char *at, const struct field_rule *rule, const struct ocu_wire_field *f,
                       struct ocu_error *err)
{
	if (f->len > rule->max)
		return ocu_error_set(err, OCU_E_TOO_LARGE, "envelope: %s over %zu bytes", rule->name,
		                     rule->max);
	if (rule->text && !ocu_wire_text_valid(f->data, f->len))
		return ocu_error_set(err, OCU_E_PARSE, "envelope: %s is not valid UTF-8", rule->name);
	if (rule->kind == KIND_TEXT) {
		memcpy(at, f->data, f->len);
		at[f->len] = '\0';
	} else {
		memcpy(at, &f->data, sizeof f->data);
		memcpy(at + sizeof f->data, &f->len, sizeof f->len);
	}
	return 0;
}

static int decode(void *ret, const struct field_rule *rules, unsigned count, const void *data, size_t len,
                  struct ocu_error *err)
{
	const uint8_t *bytes = data ? data : (const uint8_t *)""; /* no bytes may come as no pointer */
	struct ocu_wire w = {bytes, bytes + len};
	struct ocu_wire_field f;
	uint32_t seen = 0;
	int rv;

	while (w.at < w.end) {
		const struct field_rule *rule;
		bool number;

		if (!ocu_wire_next(&w, &f))
			return ocu_error_set(err, OCU_E_PARSE, "envelope: malformed or cut");
		if (f.number >= count)
			return ocu_error_set(err, OCU_E_UNKNOWN_FIELD, "envelope: unknown field %u",
			                     f.number);
		rule = &rules[f.number];
		number = rule->kind < KIND_TEXT;
		if (f.type != (number ? OCU_WIRE_VARINT : OCU_WIRE_BYTES) ||
		    (number && !number_fits(rule->kind, f.value)))
			return ocu_error_set(err, OCU_E_PARSE, "envelope: malformed %s", rule->name);
		if (seen & 1u << f.number)
			return ocu_error_set(err, OCU_E_PARSE, "envelope: %s occurs twice", rule->name);
		seen |= 1u << f.number;
		if (number)
			store_number((char *)ret + rule->offset, rule->kind, f.value);
		else if ((rv = store_bytes((char *)ret + rule->offset, rule, &f, err)) != 0)
			return rv;
	}
	return 0;
}

int ocu_rpc_request_decode(struct ocu_rpc_request *ret, const void *data, size_t len, struct ocu_error *err)
{
	int rv;

	memset(ret, 0, sizeof *ret);
	rv = decode(ret, request_rules, REQ_FIELDS, data, len, err);
	if (rv == 0 && ret->deadline_ms == 0)
		rv = ocu_error_set(err, OCU_E_INVALID, "envelope: no deadline");
	return rv;
}

int ocu_rpc_answer_decode(struct ocu_rpc_answer *ret, const void *data, size_t len, struct ocu_error *err)
{
	memset(ret, 0, sizeof *ret);
	return decode(ret, answer_rules, ANS_FIELDS, data, len, err);
}

/* --- writing --- */

static uint8_t *put_varint(uint8_t *out, uint64_t v)
{
	while (v >= 0x80) {
		*out++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*out++ = (uint8_t)v;
	return out;
}

/* Proto3: a zero is not written. */
static uint8_t *put_number(uint8_t *out, unsigned field, uint64_t v)
{
	if (v == 0)
		return out;
	*out++ = (uint8_t)(field << 3 | OCU_WIRE_VARINT);
	return put_varint(out, v);
}

static uint8_t *put_length(uint8_t *out, unsigned field, size_t len)
{
	if (len == 0)
		return out;
	*out++ = (uint8_t)(field << 3 | OCU_WIRE_BYTES);
	return put_varint(out, len);
}

static uint8_t *put_bytes(uint8_t *out, unsigned field, const void *data, size_t len)
{
	if (len == 0)
		return out;
	out = put_length(out, field, len);
	memcpy(out, data, len);
	return out + len;
}

size_t ocu_rpc_request_head(uint8_t *out, uint64_t id, uint32_t method, const char *trace_id, size_t body_len)
{
	size_t trace = trace_id ? strlen(trace_id) : 0;
	uint8_t *p = put_number(out, REQ_ID, id);

	p = put_number(p, REQ_METHOD, method);
	p = put_bytes(p, REQ_TRACE, trace_id, trace < OCU_ID_MAX ? trace : 0);
	p = put_length(p, REQ_BODY, body_len);
	return (size_t)(p - out);
}

size_t ocu_rpc_request_tail(uint8_t *out, uint32_t deadline_ms, const char *token, size_t token_len)
{
	uint8_t *p = put_number(out, REQ_DEADLINE, deadline_ms);

	p = put_bytes(p, REQ_TOKEN, token, token_len);
	return (size_t)(p - out);
}

/* Whole characters of s that fit into out; what is no UTF-8 becomes '?'. */
static size_t clean_text(char *out, size_t max, const char *s)
{
	size_t left = s ? strlen(s) : 0;
	size_t used = 0;

	while (left > 0) {
		size_t n = ocu_utf8_seq(s, left);

		if (used + (n ? n : 1) > max)
			break;
		if (n == 0)
			out[used] = '?';
		else
			memcpy(out + used, s, n);
		n = n ? n : 1;
		used += n;
		s += n;
		left -= n;
	}
	return used;
}

size_t ocu_rpc_answer_head(uint8_t *out, uint64_t id, int32_t code, const char *text, size_t body_len)
{
	char clean[OCU_RPC_TEXT_MAX];
	size_t len = clean_text(clean, sizeof clean, text);
	uint8_t *p = put_number(out, ANS_ID, id);

	p = put_number(p, ANS_CODE, (uint64_t)(int64_t)code);
	p = put_bytes(p, ANS_TEXT, clean, len);
	p = put_length(p, ANS_BODY, body_len);
	return (size_t)(p - out);
}
