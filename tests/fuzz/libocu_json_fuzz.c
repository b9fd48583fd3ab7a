/*
 * json: held against jansson's own parser (same verdict, same value; nesting and trailing NULs are ours alone
 * to refuse), and what is taken can be dumped and read back as the same value.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/buf.h"
#include "libocu/err.h"
#include "libocu/json.h"

#define MAX    65536
#define DUMPED ((size_t)16 * MAX)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int depth_of(const json_t *j)
{
	int deepest = 0;
	const char *key;
	json_t *v;
	size_t i;
	json_array_foreach((json_t *)j, i, v)
	{
		int d = depth_of(v);
		deepest = d > deepest ? d : deepest;
	}
	json_object_foreach((json_t *)j, key, v)
	{
		int d = depth_of(v);
		deepest = d > deepest ? d : deepest;
	}
	return deepest + (json_is_array(j) || json_is_object(j));
}

/* shows: NFR-MAINT-11 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ocu_error err = {0};
	json_t *j = NULL;
	int rc = ocu_json_parse((const char *)data, size, MAX, &j, &err);
	json_t *reference =
	    json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
	if (rc) {
		if (j || err.code != rc || !err.text[0])
			abort();
		/* The reference takes "true\0" for "true". */
		bool nul = size && memchr(data, 0, size);
		if (reference && !nul && size <= MAX && depth_of(reference) <= OCU_JSON_DEPTH_MAX)
			abort();
		json_decref(reference);
		return 0;
	}
	if (!reference || !json_equal(j, reference))
		abort();
	json_decref(reference);
	struct ocu_buf text = OCU_BUF_INIT(DUMPED);
	json_t *again = NULL;
	if (size > MAX || depth_of(j) > OCU_JSON_DEPTH_MAX)
		abort();
	if (ocu_json_dump(j, &text) || ocu_json_parse(text.data, text.len, DUMPED, &again, &err))
		abort();
	if (!json_equal(j, again))
		abort();
	ocu_buf_done(&text);
	json_decref(again);
	json_decref(j);
	return 0;
}
