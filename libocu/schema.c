/*
 * schema: compiling. One table names every keyword that is understood; what is not in it is refused, so that
 * a schema never promises a check that does not happen. The schema is the program's own: the bounds here
 * guard against mistakes, not attacks.
 *
 * An object schema (its `type` names object, or it has `properties`) without additionalProperties is closed,
 * and the published copy says so. {} accepts anything, and a branch that only has `required` adds to its
 * parent's check.
 */
#include "libocu/schema.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/schema_node.h"

#define SCHEMA_TEXT_MAX 262144

const struct schema_type_name schema_type_names[SCHEMA_TYPES] = {
    {"null", SCHEMA_NULL},     {"boolean", SCHEMA_BOOLEAN}, {"integer", SCHEMA_INTEGER},
    {"number", SCHEMA_NUMBER}, {"string", SCHEMA_STRING},   {"array", SCHEMA_ARRAY},
    {"object", SCHEMA_OBJECT},
};

static struct schema_node *compile(json_t *j, int depth, struct ocu_error *err);

static void node_free(struct schema_node *n)
{
	if (!n)
		return;
	for (size_t i = 0; i < n->nprops; i++)
		node_free(n->props[i].node);
	for (size_t i = 0; i < n->nany; i++)
		node_free(n->any_of[i]);
	node_free(n->additional);
	node_free(n->items);
	if (n->has_pattern)
		regfree(&n->pattern);
	free(n->props);
	free(n->any_of);
	free(n);
}

static int bad(struct ocu_error *err, const char *what)
{
	return ocu_error_set(err, OCU_E_CONFIG, "schema: %s", what);
}

static int type_bit(const json_t *v, unsigned *types, struct ocu_error *err)
{
	const char *name = json_string_value(v);
	for (size_t i = 0; name && i < SCHEMA_TYPES; i++) {
		if (strcmp(schema_type_names[i].name, name) == 0) {
			*types |= schema_type_names[i].bit;
			return 0;
		}
	}
	return ocu_error_set(err, OCU_E_CONFIG, "schema: type \"%s\" is unknown", name ? name : "?");
}

static int on_type(struct schema_node *n, json_t *v, int depth, struct ocu_error *err)
{
	(void)depth;
	if (!json_is_array(v))
		return type_bit(v, &n->types, err);
	for (size_t i = 0; i < json_array_size(v); i++) {
		int rc = type_bit(json_array_get(v, i), &n->types, err);
		if (rc)
			return rc;
	}
	return n->types ? 0 : bad(err, "type is an empty list");
}

static int on_enum(struct schema_node *n, json_t *v, int depth, struct ocu_error *err)
{
	(void)depth;
	if (json_array_size(v) == 0)
		return bad(err, "enum is no list of values");
	n->enumeration = v;
	return 0;
}

static int on_const(struct schema_node *n, json_t *v, int depth, struct ocu_error *err)
{
	(void)depth, (void)err;
	n->constant = v;
	return 0;
}

static int on_properties(struct schema_node *n, json_t *v, int depth, struct ocu_error *err)
{
	if (!json_is_object(v))
		return bad(err, "properties is no object");
	n->props = calloc(json_object_size(v) + 1, sizeof *n->props);
	if (!n->props)
		return ocu_error_set(err, OCU_E_NOMEM, "out of memory");
	const char *key;
	json_t *sub;
	json_object_foreach(v, key, sub)
	{
		struct schema_node *node = compile(sub, depth + 1, err);
		if (!node)
			return ocu_error_add(err, "in \"%s\"", key);
		n->props[n->nprops++] = (struct schema_prop){key, node};
	}
	return 0;
}

static int on_required(struct schema_node *n, json_t *v, int depth, struct ocu_error *err)
{
	(void)depth;
	if (!json_is_array(v))
		return bad(err, "required is no list");
	for (size_t i = 0; i < json_array_size(v); i++)
		if (!json_is_string(json_array_get(v, i)))
			return bad(err, "required is no list of names");
	n->required = v;
	return 0;
}

static int on_additional(struct schema_node *n, json_t *v, int depth, struct ocu_error *err)
{
	if (json_is_false(v)) {
		n->closed = true;
		return 0;
	}
	if (!json_is_object(v))
		return bad(err, "additionalProperties must be false or a schema ({} allows anything)");
	n->additional = compile(v, depth + 1, err);
	return n->additional ? 0 : ocu_error_add(err, "in additionalProperties");
}

static int on_items(struct schema_node *n, json_t *v, int depth, struct ocu_error *err)
{
	n->items = compile(v, depth + 1, err);
	return n->items ? 0 : ocu_error_add(err, "in items");
}

static int on_any_of(struct schema_node *n, json_t *v, int depth, struct ocu_error *err)
{
	if (json_array_size(v) == 0)
		return bad(err, "anyOf is no list of schemas");
	n->any_of = calloc(json_array_size(v), sizeof *n->any_of);
	if (!n->any_of)
		return ocu_error_set(err, OCU_E_NOMEM, "out of memory");
	for (size_t i = 0; i < json_array_size(v); i++) {
		struct schema_node *node = compile(json_array_get(v, i), depth + 1, err);
		if (!node)
			return ocu_error_add(err, "in anyOf");
		n->any_of[n->nany++] = node;
	}
	return 0;
}

static int count(const json_t *v, size_t *ret, struct ocu_error *err)
{
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return bad(err, "a length or count is no whole number of at least 0");
	*ret = (size_t)json_integer_value(v);
	return 0;
}

#define COUNT_KEYWORD(name, field)                                                                           \
	static int name(struct schema_node *n, json_t *v, int depth, struct ocu_error *err)                  \
	{                                                                                                    \
		(void)depth;                                                                                 \
		return count(v, &n->field, err);                                                             \
	}
COUNT_KEYWORD(on_min_items, min_items)
COUNT_KEYWORD(on_max_items, max_items)
COUNT_KEYWORD(on_min_length, min_length)
COUNT_KEYWORD(on_max_length, max_length)

/* Back references make matching exponential; glibc takes them in extended expressions too. */
static bool has_back_reference(const char *s)
{
	for (; *s; s++)
		if (s[0] == '\\' && *++s >= '1' && *s <= '9')
			return true;
		else if (!*s)
			break;
	return false;
}

static int on_pattern(struct schema_node *n, json_t *v, int depth, struct ocu_error *err)
{
	(void)depth;
	const char *text = json_string_value(v);
	if (!text || has_back_reference(text) || regcomp(&n->pattern, text, REG_EXTENDED | REG_NOSUB) != 0)
		return bad(err, "pattern is no extended regular expression without back references");
	n->has_pattern = true;
	return 0;
}

static int on_minimum(struct schema_node *n, json_t *v, int depth, struct ocu_error *err)
{
	(void)depth;
	n->minimum = v;
	return json_is_number(v) ? 0 : bad(err, "minimum is no number");
}

static int on_maximum(struct schema_node *n, json_t *v, int depth, struct ocu_error *err)
{
	(void)depth;
	n->maximum = v;
	return json_is_number(v) ? 0 : bad(err, "maximum is no number");
}

static int on_annotation(struct schema_node *n, json_t *v, int depth, struct ocu_error *err)
{
	(void)n, (void)v, (void)depth, (void)err;
	return 0;
}

static const struct keyword {
	const char *name;
	int (*compile)(struct schema_node *n, json_t *v, int depth, struct ocu_error *err);
} keywords[] = {
    {"type", on_type},
    {"enum", on_enum},
    {"const", on_const},
    {"properties", on_properties},
    {"required", on_required},
    {"additionalProperties", on_additional},
    {"items", on_items},
    {"minItems", on_min_items},
    {"maxItems", on_max_items},
    {"minLength", on_min_length},
    {"maxLength", on_max_length},
    {"pattern", on_pattern},
    {"minimum", on_minimum},
    {"maximum", on_maximum},
    {"anyOf", on_any_of},
    {"description", on_annotation},
    {"title", on_annotation},
    {"default", on_annotation},
    {"examples", on_annotation},
    {"$schema", on_annotation},
};

static const struct keyword *keyword_find(const char *name)
{
	for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
		if (strcmp(keywords[i].name, name) == 0)
			return &keywords[i];
	return NULL;
}

static bool is_prop(const struct schema_node *n, const char *name)
{
	for (size_t i = 0; i < n->nprops; i++)
		if (strcmp(n->props[i].name, name) == 0)
			return true;
	return false;
}

/* A required field that a closed object does not know could never be satisfied. */
static int close_object(struct schema_node *n, json_t *j, struct ocu_error *err)
{
	bool object = (n->types & SCHEMA_OBJECT) || n->props;
	if (object && !json_object_get(j, "additionalProperties")) {
		n->closed = true;
		if (json_object_set_new(j, "additionalProperties", json_false()))
			return ocu_error_set(err, OCU_E_NOMEM, "out of memory");
	}
	for (size_t i = 0; n->closed && i < json_array_size(n->required); i++)
		if (!is_prop(n, json_string_value(json_array_get(n->required, i))))
			return bad(err, "required names a field that is no property");
	return 0;
}

static int fill(struct schema_node *n, json_t *j, int depth, struct ocu_error *err)
{
	n->max_items = n->max_length = SIZE_MAX;
	const char *key;
	json_t *v;
	json_object_foreach(j, key, v)
	{
		const struct keyword *k = keyword_find(key);
		if (!k)
			return ocu_error_set(err, OCU_E_CONFIG, "schema: keyword \"%s\" is not supported",
			                     key);
		int rc = k->compile(n, v, depth, err);
		if (rc)
			return rc;
	}
	return close_object(n, j, err);
}

static struct schema_node *compile(json_t *j, int depth, struct ocu_error *err)
{
	if (!json_is_object(j) || depth > OCU_JSON_DEPTH_MAX) {
		bad(err, "a schema must be an object and not nested too deep");
		return NULL;
	}
	struct schema_node *n = calloc(1, sizeof *n);
	if (!n)
		ocu_error_set(err, OCU_E_NOMEM, "out of memory");
	else if (fill(n, j, depth, err)) {
		node_free(n);
		n = NULL;
	}
	return n;
}

int ocu_schema_new(struct ocu_schema **ret, json_t *schema, struct ocu_error *err)
{
	struct ocu_schema *s = calloc(1, sizeof *s);
	/* A copy: the published form says additionalProperties where the author left it to the rule. */
	if (s)
		s->json = json_deep_copy(schema);
	if (!s || !s->json) {
		free(s);
		return ocu_error_set(err, schema ? OCU_E_NOMEM : OCU_E_CONFIG, "schema: nothing to compile");
	}
	struct ocu_error why = {0};
	s->root = compile(s->json, 1, &why);
	if (!s->root) {
		if (err)
			*err = why;
		ocu_schema_free(s);
		return why.code;
	}
	*ret = s;
	return 0;
}

int ocu_schema_new_text(struct ocu_schema **ret, const char *text, struct ocu_error *err)
{
	OCU_JSON json_t *j = NULL;
	if (ocu_json_parse(text, strlen(text), SCHEMA_TEXT_MAX, &j, err)) {
		ocu_error_add(err, "schema");
		return err ? (err->code = OCU_E_CONFIG) : OCU_E_CONFIG;
	}
	return ocu_schema_new(ret, j, err);
}

void ocu_schema_free(struct ocu_schema *s)
{
	if (!s)
		return;
	node_free(s->root);
	json_decref(s->json);
	free(s);
}

json_t *ocu_schema_json(const struct ocu_schema *s)
{
	return s->json;
}
