/*
 * json: the strict door to jansson. Size and nesting are checked before the parser sees a byte, because it
 * recurses and allocates on what it is given.
 */
#include "libocu/json.h"

#include <stdbool.h>
#include <string.h>

#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/err.h"

/* 0 when brackets outside strings nest within the limit, else the position of the first one too deep. */
static size_t too_deep(const char *data, size_t len)
{
	int depth = 0;
	bool in_string = false;
	for (size_t i = 0; i < len; i++) {
		char c = data[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			if (++depth > OCU_JSON_DEPTH_MAX)
				return i + 1;
		} else if (c == ']' || c == '}') {
			depth--;
		}
	}
	return 0;
}

int ocu_json_parse(const char *data, size_t len, size_t max, json_t **ret, struct ocu_error *err)
{
	if (len > max)
		return ocu_error_set(err, OCU_E_TOO_LARGE, "JSON of %zu bytes, at most %zu are taken", len,
		                     max);
	size_t deep = too_deep(data, len);
	if (deep)
		return ocu_error_set(err, OCU_E_PARSE, "JSON nested deeper than %d at byte %zu",
		                     OCU_JSON_DEPTH_MAX, deep);
	json_error_t why;
	json_t *j = json_loadb(data, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
	if (!j) {
		if (json_error_code(&why) == json_error_out_of_memory)
			return ocu_error_set(err, OCU_E_NOMEM, "out of memory reading JSON");
		return ocu_error_set(err, OCU_E_PARSE, "JSON line %d column %d: %.120s", why.line, why.column,
		                     why.text);
	}
	*ret = j;
	return 0;
}

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

static int append(const char *data, size_t size, void *arg)
{
	return ocu_buf_put(arg, data, size) ? -1 : 0;
}

int ocu_json_dump(const json_t *j, struct ocu_buf *out)
{
	if (json_dump_callback(j, append, out, JSON_COMPACT | JSON_ENCODE_ANY))
		return out->failed ? out->failed : OCU_E_NOMEM;
	return out->failed;
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
