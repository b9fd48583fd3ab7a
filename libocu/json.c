/* json: files, dumping straight into a buffer (part of every audit event), and reading members by type. */
#include "libocu/json.h"

#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/err.h"

int ocu_json_load_file(const char *path, size_t max, json_t **ret, struct ocu_error *err)
{
	OCU_BUF struct ocu_buf text = OCU_BUF_INIT(max);
	int rc = ocu_buf_load_file(&text, path, err);
	if (rc)
		return rc;
	rc = ocu_json_parse(text.data ? text.data : "", text.len, max, ret, err);
	if (rc)
		ocu_error_add(err, "%s", path);
	return rc;
}

/* depth: the level of a container at this place. One deeper than our own parser takes is refused, which also
 * ends a tree that contains itself. */
static int dump(const json_t *j, struct ocu_buf *out, int depth);

static int dump_array(const json_t *j, struct ocu_buf *out, int depth)
{
	if (depth > OCU_JSON_DEPTH_MAX)
		return OCU_E_INVALID;
	size_t i;
	const json_t *v;
	char before = '[';
	json_array_foreach(j, i, v)
	{
		ocu_buf_putc(out, before);
		before = ',';
		int rc = dump(v, out, depth + 1);
		if (rc)
			return rc;
	}
	return ocu_buf_puts(out, before == '[' ? "[]" : "]");
}

static int dump_object(const json_t *j, struct ocu_buf *out, int depth)
{
	if (depth > OCU_JSON_DEPTH_MAX)
		return OCU_E_INVALID;
	char before = '{';
	for (void *it = json_object_iter((json_t *)j); it; it = json_object_iter_next((json_t *)j, it)) {
		ocu_buf_putc(out, before);
		before = ',';
		ocu_buf_json_string(out, json_object_iter_key(it), json_object_iter_key_len(it));
		ocu_buf_putc(out, ':');
		int rc = dump(json_object_iter_value(it), out, depth + 1);
		if (rc)
			return rc;
	}
	return ocu_buf_puts(out, before == '{' ? "{}" : "}");
}

/* Shortest exact digits are jansson's business. */
static int dump_real(const json_t *j, struct ocu_buf *out)
{
	char text[64];
	size_t n = json_dumpb(j, text, sizeof text, JSON_ENCODE_ANY);
	return n && n <= sizeof text ? ocu_buf_put(out, text, n) : OCU_E_INTERNAL;
}

static int dump(const json_t *j, struct ocu_buf *out, int depth)
{
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		return dump_object(j, out, depth);
	case JSON_ARRAY:
		return dump_array(j, out, depth);
	case JSON_STRING:
		return ocu_buf_json_string(out, json_string_value(j), json_string_length(j));
	case JSON_INTEGER:
		return ocu_buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(j));
	case JSON_REAL:
		return dump_real(j, out);
	case JSON_TRUE:
		return ocu_buf_puts(out, "true");
	case JSON_FALSE:
		return ocu_buf_puts(out, "false");
	case JSON_NULL:
		return ocu_buf_puts(out, "null");
	}
	return OCU_E_INVALID;
}

int ocu_json_dump_within(const json_t *j, int levels, struct ocu_buf *out)
{
	size_t mark = out->len;
	int rc = j ? dump(j, out, levels + 1) : OCU_E_INVALID;
	if (rc && out->data) {
		out->len = mark;
		out->data[mark] = '\0';
	}
	return rc;
}

int ocu_json_dump(const json_t *j, struct ocu_buf *out)
{
	return ocu_json_dump_within(j, 0, out);
}

const char *ocu_json_str(const json_t *obj, const char *key, const char *dflt)
{
	const char *s = json_string_value(json_object_get(obj, key));
	return s ? s : dflt;
}

json_int_t ocu_json_int(const json_t *obj, const char *key, json_int_t dflt)
{
	const json_t *v = json_object_get(obj, key);
	return json_is_integer(v) ? json_integer_value(v) : dflt;
}

int ocu_json_bool(const json_t *obj, const char *key, int dflt)
{
	const json_t *v = json_object_get(obj, key);
	return json_is_boolean(v) ? json_is_true(v) : dflt;
}
