/*
 * json_parse: RFC 8259 text into jansson values, strictly and in one pass. jansson's own parser takes a
 * character at a time and recurses 2048 deep; this one copies runs, stops at OCU_JSON_DEPTH_MAX and refuses a
 * duplicate key when it is stored. A fuzzer holds the two against each other: same verdict, same value. Error
 * texts name a place and a rule, never the input.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/json.h"

struct parser {
	const char *start;
	const char *at;
	const char *end;
	struct ocu_buf scratch; /* one string or number that cannot be taken from the text as it stands */
	const char *why;        /* the rule that was broken; NULL: out of memory */
};

struct text {
	const char *s;
	size_t len;
};

static json_t *value(struct parser *p, int depth);

static bool fail(struct parser *p, const char *why)
{
	p->why = why;
	return false;
}

static json_t *broken(struct parser *p, const char *why)
{
	fail(p, why);
	return NULL;
}

/* The next byte that is no white space, 0 at the end (a NUL in the text is refused like any other bad byte).
 */
static char peek(struct parser *p)
{
	while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\r' || *p->at == '\t'))
		p->at++;
	return p->at < p->end ? *p->at : '\0';
}

#define EACH_BYTE(b) (UINT64_C(0x0101010101010101) * (b))

static uint64_t has_zero_byte(uint64_t w)
{
	return (w - EACH_BYTE(1)) & ~w & EACH_BYTE(0x80);
}

/* Past the bytes that stand for themselves: ASCII but for control characters, quote and backslash. */
static const char *skip_plain(const char *at, const char *end)
{
	while (end - at >= 8) {
		uint64_t w;
		memcpy(&w, at, sizeof w);
		uint64_t control = (w - EACH_BYTE(0x20)) & ~w;
		uint64_t stop = has_zero_byte(w ^ EACH_BYTE('"')) | has_zero_byte(w ^ EACH_BYTE('\\'));
		if (((control | w) & EACH_BYTE(0x80)) | stop)
			break;
		at += 8;
	}
	while (at < end && (unsigned char)*at >= 0x20 && (unsigned char)*at < 0x80 && *at != '"' &&
	       *at != '\\')
		at++;
	return at;
}

/* Past plain bytes and whole UTF-8 sequences: at a quote, a backslash, or what may not stand in a string. */
static const char *skip_run(const char *at, const char *end)
{
	for (;;) {
		at = skip_plain(at, end);
		size_t n = at < end && (unsigned char)*at >= 0x80 ? ocu_utf8_seq(at, (size_t)(end - at)) : 0;
		if (n == 0)
			return at;
		at += n;
	}
}

static int hex4(struct parser *p)
{
	int v = 0;
	if (p->end - p->at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = *p->at++;
		int digit = c >= '0' && c <= '9'   ? c - '0'
		            : c >= 'a' && c <= 'f' ? c - 'a' + 10
		            : c >= 'A' && c <= 'F' ? c - 'A' + 10
		                                   : -1;
		if (digit < 0)
			return -1;
		v = v << 4 | digit;
	}
	return v;
}

static void put_utf8(struct ocu_buf *b, unsigned c)
{
	char s[4];
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (size_t i = n; i-- > 1; c >>= 6)
		s[i] = (char)(0x80 | (c & 0x3f));
	s[0] = (char)(n == 1 ? c : (0xf00u >> n & 0xff) | c);
	ocu_buf_put(b, s, n);
}

/* After "\u". Surrogates only as a pair; U+0000 not at all, C strings end there. */
static bool unicode_escape(struct parser *p)
{
	int c = hex4(p);
	if (c <= 0 || (c >= 0xdc00 && c <= 0xdfff))
		return false;
	if (c >= 0xd800 && c <= 0xdbff) {
		if (p->end - p->at < 6 || p->at[0] != '\\' || p->at[1] != 'u')
			return false;
		p->at += 2;
		int low = hex4(p);
		if (low < 0xdc00 || low > 0xdfff)
			return false;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	put_utf8(&p->scratch, (unsigned)c);
	return true;
}

/* At the backslash. */
static bool escape(struct parser *p)
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";
	if (p->end - p->at < 2)
		return false;
	char c = p->at[1];
	p->at += 2;
	if (c == 'u')
		return unicode_escape(p);
	const char *hit = c ? strchr(from, c) : NULL;
	if (hit)
		ocu_buf_putc(&p->scratch, to[hit - from]);
	return hit != NULL;
}

/* At the opening quote. Without escapes the result lies in the text itself. */
static bool string(struct parser *p, struct text *ret)
{
	const char *run = ++p->at;
	bool escaped = false;
	ocu_buf_reset(&p->scratch);
	for (;;) {
		p->at = skip_run(p->at, p->end);
		if (p->at == p->end)
			return fail(p, "text ends within a string");
		if (*p->at != '"' && *p->at != '\\')
			return fail(p, (unsigned char)*p->at < 0x20 ? "control character in a string"
			                                            : "invalid UTF-8");
		if (escaped || *p->at == '\\')
			ocu_buf_put(&p->scratch, run, (size_t)(p->at - run));
		if (*p->at == '"')
			break;
		escaped = true;
		if (!escape(p))
			return fail(p, "bad escape in a string");
		run = p->at;
	}
	*ret = escaped ? (struct text){p->scratch.data, p->scratch.len}
	               : (struct text){run, (size_t)(p->at - run)};
	p->at++;
	return p->scratch.failed ? fail(p, NULL) : true;
}

static const char *skip_digits(const char *at, const char *end)
{
	while (at < end && *at >= '0' && *at <= '9')
		at++;
	return at;
}

static json_t *integer(struct parser *p, const char *at, const char *end)
{
	bool negative = *at == '-';
	json_int_t n = 0;
	/* Downwards: the most negative number has no positive counterpart. */
	for (at += negative; at < end; at++)
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_sub_overflow(n, *at - '0', &n))
			return broken(p, "number out of range");
	if (!negative && __builtin_sub_overflow(0, n, &n))
		return broken(p, "number out of range");
	return json_integer(n);
}

static json_t *real(struct parser *p, const char *at, const char *end)
{
	ocu_buf_reset(&p->scratch);
	if (ocu_buf_put(&p->scratch, at, (size_t)(end - at)))
		return broken(p, NULL);
	/* Too small to tell from zero is zero; too large is nothing that could be stored. */
	double d = strtod(p->scratch.data, NULL);
	return isfinite(d) ? json_real(d) : broken(p, "number out of range");
}

static json_t *number(struct parser *p)
{
	const char *from = p->at;
	const char *at = from + (*from == '-');
	const char *digits = at;
	at = skip_digits(at, p->end);
	bool whole = true;
	bool good = at > digits && (*digits != '0' || at == digits + 1);
	if (good && at < p->end && *at == '.') {
		digits = ++at;
		at = skip_digits(at, p->end);
		good = at > digits;
		whole = false;
	}
	if (good && at < p->end && (*at == 'e' || *at == 'E')) {
		at++;
		at += at < p->end && (*at == '+' || *at == '-');
		digits = at;
		at = skip_digits(at, p->end);
		good = at > digits;
		whole = false;
	}
	p->at = at;
	if (!good)
		return broken(p, "malformed number");
	return whole ? integer(p, from, at) : real(p, from, at);
}

static json_t *literal(struct parser *p, const char *word, json_t *j)
{
	size_t len = strlen(word);
	if ((size_t)(p->end - p->at) < len || memcmp(p->at, word, len) != 0)
		return broken(p, "expected a value");
	p->at += len;
	return j;
}

/* After the opening bracket or a comma: stores one item. */
static bool item(struct parser *p, json_t *list, int depth)
{
	json_t *v = value(p, depth);
	if (!v)
		return false;
	return json_array_append_new(list, v) == 0 ? true : fail(p, NULL);
}

/* After the key: the colon and the value. */
static bool member_value(struct parser *p, json_t *object, int depth, const struct text *key)
{
	if (peek(p) != ':')
		return fail(p, "expected ':'");
	p->at++;
	json_t *v = value(p, depth);
	if (!v)
		return false;
	size_t before = json_object_size(object);
	if (json_object_setn_new_nocheck(object, key->s, key->len, v))
		return fail(p, NULL);
	return json_object_size(object) > before ? true : fail(p, "duplicate key");
}

static bool member(struct parser *p, json_t *object, int depth)
{
	struct text key;
	if (peek(p) != '"')
		return fail(p, "expected a key");
	if (!string(p, &key))
		return false;
	if (key.s != p->scratch.data)
		return member_value(p, object, depth, &key);
	/* An escaped key lies in the scratch buffer, which the value will need. */
	char *kept = ocu_buf_steal(&p->scratch);
	bool done = member_value(p, object, depth, &key);
	free(kept);
	return done;
}

/* At the opening bracket. */
static json_t *container(struct parser *p, int depth, json_t *j, char close,
                         bool (*one)(struct parser *, json_t *, int))
{
	OCU_JSON json_t *owned = j;
	if (!j)
		return broken(p, NULL);
	if (depth > OCU_JSON_DEPTH_MAX)
		return broken(p, "nested too deep");
	p->at++;
	if (peek(p) == close) {
		p->at++;
		return ocu_steal(&owned);
	}
	for (;;) {
		if (!one(p, j, depth + 1))
			return NULL;
		char c = peek(p);
		if (c != ',' && c != close)
			return broken(p, close == ']' ? "expected ',' or ']'" : "expected ',' or '}'");
		p->at++;
		if (c == close)
			return ocu_steal(&owned);
	}
}

/* depth: what a container at this place would be the level of. */
static json_t *value(struct parser *p, int depth)
{
	struct text s;
	switch (peek(p)) {
	case '{':
		return container(p, depth, json_object(), '}', member);
	case '[':
		return container(p, depth, json_array(), ']', item);
	case '"':
		return string(p, &s) ? json_stringn_nocheck(s.s, s.len) : NULL;
	case 't':
		return literal(p, "true", json_true());
	case 'f':
		return literal(p, "false", json_false());
	case 'n':
		return literal(p, "null", json_null());
	case '-':
	case '0' ... '9':
		return number(p);
	default:
		return broken(p, p->at == p->end ? "text ends where a value should be" : "expected a value");
	}
}

static int parse_error(const struct parser *p, struct ocu_error *err)
{
	size_t line = 1;
	size_t column = 1;
	if (!p->why)
		return ocu_error_set(err, OCU_E_NOMEM, "out of memory reading JSON");
	for (const char *c = p->start; c < p->at; c++) {
		/* Characters, not bytes. */
		column += ((unsigned char)*c & 0xc0) != 0x80;
		if (*c == '\n') {
			line++;
			column = 1;
		}
	}
	return ocu_error_set(err, OCU_E_PARSE, "JSON line %zu column %zu: %s", line, column, p->why);
}

int ocu_json_parse(const char *data, size_t len, size_t max, json_t **ret, struct ocu_error *err)
{
	if (len > max)
		return ocu_error_set(err, OCU_E_TOO_LARGE, "JSON of %zu bytes, at most %zu are taken", len,
		                     max);
	if (len == 0)
		data = "";
	struct parser p = {.start = data, .at = data, .end = data + len, .scratch = OCU_BUF_INIT(len)};
	OCU_JSON json_t *j = value(&p, 1);
	int rc = 0;
	if (j && (peek(&p), p.at != p.end))
		p.why = "text after the value";
	if (!j || p.at != p.end)
		rc = parse_error(&p, err);
	else
		*ret = ocu_steal(&j);
	ocu_buf_done(&p.scratch);
	return rc;
}
