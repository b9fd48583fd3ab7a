/*
 * json: strict reading of JSON from peers, into jansson. Refuses: duplicate keys, invalid UTF-8, nesting
 * over 32, trailing bytes, U+0000 in strings, NaN, numbers out of range, input over the given maximum.
 */
#ifndef OCU_JSON_H
#define OCU_JSON_H

#include <jansson.h>
#include <stddef.h>

struct ocu_error;
struct ocu_buf;

#define OCU_JSON_DEPTH_MAX 32

/* New reference in *ret, untouched on failure. OCU_E_PARSE or OCU_E_TOO_LARGE; text names line and column. */
int ocu_json_parse(const char *data, size_t len, size_t max, json_t **ret, struct ocu_error *err);
/* Whole file, at most max bytes. */
int ocu_json_load_file(const char *path, size_t max, json_t **ret, struct ocu_error *err);
/* Compact dump, keys in insertion order. Appends nothing on failure: OCU_E_TOO_LARGE, OCU_E_NOMEM, or
 * OCU_E_INVALID for a tree that is deeper than ocu_json_parse() takes. */
int ocu_json_dump(const json_t *j, struct ocu_buf *out);
/* The same for a value that will stand inside that many levels of other text. */
int ocu_json_dump_within(const json_t *j, int levels, struct ocu_buf *out);

/* Borrowed string of an object member, or dflt when absent or no string. */
const char *ocu_json_str(const json_t *obj, const char *key, const char *dflt);
json_int_t ocu_json_int(const json_t *obj, const char *key, json_int_t dflt);
int ocu_json_bool(const json_t *obj, const char *key, int dflt);

static inline void ocu_json_cleanup(json_t **j)
{
	json_decref(*j);
}
#define OCU_JSON __attribute__((cleanup(ocu_json_cleanup)))

#endif
