/*
 * schema: the one JSON Schema validator (config, MCP arguments, REST bodies). A closed subset of draft
 * 2020-12: type (one or a list), enum, const, properties, required, additionalProperties (false or a schema),
 * items, minItems, maxItems, minLength, maxLength (in Unicode characters), pattern (POSIX ERE, anchored by
 * the author), minimum, maximum, anyOf, description, title, default, examples, $schema. Any other keyword is
 * refused when the schema is compiled. Objects without additionalProperties are CLOSED here: unknown fields
 * are refused (NFR-SEC-51); to allow any, write additionalProperties: {}. An object schema is one whose type
 * names object or that has properties: {} and a branch with only `required` close nothing. "integer" does not
 * take 1.0. Back references in a pattern are refused.
 */
#ifndef OCU_SCHEMA_H
#define OCU_SCHEMA_H

#include <jansson.h>

struct ocu_error;
struct ocu_schema;

/* Compiles a copy of it. OCU_E_CONFIG on an unsupported keyword. */
int ocu_schema_new(struct ocu_schema **ret, json_t *schema, struct ocu_error *err);
/* The same from text; the text is the program's own, so a failure is a defect shown at start. */
int ocu_schema_new_text(struct ocu_schema **ret, const char *text, struct ocu_error *err);
void ocu_schema_free(struct ocu_schema *s);
json_t *ocu_schema_json(const struct ocu_schema *s); /* borrowed: the schema as published to clients, with
                                                      * additionalProperties said where it was the rule */
/* 0, OCU_E_PARAMS or OCU_E_UNKNOWN_FIELD; err->text says where ("/path: expected string"), bounded and
 * without echoing more than 64 bytes of the value. Thread-safe. */
int ocu_schema_check(const struct ocu_schema *s, const json_t *value, struct ocu_error *err);

#endif
