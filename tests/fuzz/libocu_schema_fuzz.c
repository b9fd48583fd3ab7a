/*
 * schema: the first line is a schema, the rest an instance. A first line that is no schema picks one of ours,
 * so that instances are tried against real ones as well. Patterns of the fuzzer's making are left out: they
 * are the program's own text, and regcomp() takes as long as it is told to.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/buf.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/schema.h"

#define MAX    65536
#define DUMPED ((size_t)16 * MAX)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const ours[] = {
    "{\"type\":\"object\",\"properties\":{\"command\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":32},"
    "\"description\":{\"type\":\"string\",\"maxLength\":8}},\"required\":[\"command\"]}",
    "{\"type\":\"object\",\"properties\":{\"path\":{\"type\":\"string\",\"pattern\":\"^/[a-z0-9/._-]*$\"},"
    "\"view_range\":{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":-1},\"minItems\":2,"
    "\"maxItems\":2}},\"required\":[\"path\"]}",
    "{\"anyOf\":[{\"type\":\"object\",\"additionalProperties\":{\"type\":[\"number\",\"null\"]}},"
    "{\"enum\":[1,\"a\",null,[1],{\"k\":2}]},{\"const\":\"x\"}]}",
};

static struct ocu_schema *schema_of(const char *line, size_t len)
{
	struct ocu_schema *s = NULL;
	json_t *j = NULL;
	struct ocu_error err = {0};
	if (ocu_json_parse(line, len, MAX, &j, NULL) == 0) {
		struct ocu_buf text = OCU_BUF_INIT(DUMPED);
		bool has_pattern = ocu_json_dump(j, &text) || strstr(text.data, "\"pattern\"");
		ocu_buf_done(&text);
		int rc = has_pattern ? OCU_E_CONFIG : ocu_schema_new(&s, j, &err);
		if (rc && rc != OCU_E_CONFIG)
			abort();
		json_decref(j);
	}
	if (!s && ocu_schema_new_text(&s, ours[len % 3], NULL))
		abort();
	return s;
}

/* shows: NFR-MAINT-11 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	const char *nl = size ? memchr(text, '\n', size) : NULL;
	if (!nl)
		return 0;
	size_t first = (size_t)(nl - text);
	json_t *v = NULL;
	struct ocu_schema *s = schema_of(text, first);
	if (ocu_json_parse(nl + 1, size - first - 1, MAX, &v, NULL) == 0) {
		struct ocu_error err = {0};
		int rc = ocu_schema_check(s, v, &err);
		if (rc != ocu_schema_check(s, v, NULL) || err.code != rc)
			abort();
		if (rc && rc != OCU_E_PARAMS && rc != OCU_E_UNKNOWN_FIELD)
			abort();
		/* The text goes to clients as JSON. */
		json_t *said = rc ? json_string(err.text) : json_null();
		if (!said || (rc && err.text[0] != '/'))
			abort();
		json_decref(said);
		json_decref(v);
	}
	/* What is published compiles to the same. */
	struct ocu_schema *again = NULL;
	if (ocu_schema_new(&again, ocu_schema_json(s), NULL))
		abort();
	if (!json_equal(ocu_schema_json(s), ocu_schema_json(again)))
		abort();
	ocu_schema_free(again);
	ocu_schema_free(s);
	return 0;
}
