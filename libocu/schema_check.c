/*
 * schema_check: a value against a compiled schema. Values come from peers: recursion is bounded by the
 * schema, which has no references, and what an error repeats of the value is bounded and printable.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "libocu/buf.h"
#include "libocu/err.h"
#include "libocu/schema.h"
#include "libocu/schema_node.h"

#define ECHO_MAX      64 /* bytes of the value that an error may repeat */
#define PATH_MAX_TEXT 256
#define PATH_DEPTH    64

/* Where a value stands: a chain on the stack from the innermost step to the root (NULL). */
struct step {
	const struct step *up;
	const char *key; /* NULL: an array element */
	size_t index;
	bool own; /* the key is the schema's own text, not the peer's */
};

struct text {
	char s[PATH_MAX_TEXT];
	size_t len;
	size_t echo; /* bytes of the value that may still be repeated */
};

/* Appends up to max bytes of s, whole characters, control characters as '?'. Returns the bytes taken. */
static size_t put(struct text *t, const char *s, size_t max)
{
	size_t room = sizeof t->s - 1 - t->len;
	size_t left = strlen(s);
	size_t at = 0;
	if (max > room)
		max = room;
	while (at < left) {
		size_t n = ocu_utf8_seq(s + at, left - at);
		if (at + (n ? n : 1) > max)
			break;
		for (size_t i = 0; i < (n ? n : 1); i++, at++) {
			unsigned char c = (unsigned char)s[at];
			t->s[t->len++] = n == 0 || c < 0x20 || c == 0x7f ? '?' : (char)c;
		}
	}
	t->s[t->len] = '\0';
	return at;
}

static void put_value(struct text *t, const char *s)
{
	t->echo -= put(t, s, t->echo);
}

static void put_path(struct text *t, const struct step *at)
{
	const struct step *steps[PATH_DEPTH];
	size_t n = 0;
	for (; at && n < PATH_DEPTH; at = at->up)
		steps[n++] = at;
	if (n == 0)
		put(t, "/", SIZE_MAX);
	while (n--) {
		put(t, "/", SIZE_MAX);
		char index[24];
		snprintf(index, sizeof index, "%zu", steps[n]->index);
		if (!steps[n]->key)
			put(t, index, SIZE_MAX);
		else if (steps[n]->own)
			put(t, steps[n]->key, SIZE_MAX);
		else
			put_value(t, steps[n]->key);
	}
}

__attribute__((format(printf, 3, 4))) static int refuse(struct ocu_error *err, const struct step *at,
                                                        const char *fmt, ...)
{
	if (!err)
		return OCU_E_PARAMS;
	struct text t = {.echo = ECHO_MAX};
	put_path(&t, at);
	char what[OCU_ERROR_TEXT_MAX / 2];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	return ocu_error_set(err, OCU_E_PARAMS, "%s: %s", t.s, what);
}

static int refuse_field(struct ocu_error *err, const struct step *at, const char *field)
{
	struct text t = {.echo = ECHO_MAX};
	put_path(&t, at);
	put(&t, ": unknown field \"", SIZE_MAX);
	put_value(&t, field);
	put(&t, "\"", SIZE_MAX);
	return ocu_error_set(err, OCU_E_UNKNOWN_FIELD, "%s", t.s);
}

static unsigned type_of(const json_t *v)
{
	static const unsigned bits[] = {
	    [JSON_OBJECT] = SCHEMA_OBJECT,
	    [JSON_ARRAY] = SCHEMA_ARRAY,
	    [JSON_STRING] = SCHEMA_STRING,
	    [JSON_INTEGER] = SCHEMA_INTEGER | SCHEMA_NUMBER,
	    /* 1.0 is no integer here: whoever reads it as one would get 0 from jansson. */
	    [JSON_REAL] = SCHEMA_NUMBER,
	    [JSON_TRUE] = SCHEMA_BOOLEAN,
	    [JSON_FALSE] = SCHEMA_BOOLEAN,
	    [JSON_NULL] = SCHEMA_NULL,
	};
	return v ? bits[json_typeof(v)] : 0;
}

static int check_type(const struct schema_node *n, const json_t *v, const struct step *at,
                      struct ocu_error *err)
{
	if (!n->types || (n->types & type_of(v)))
		return 0;
	struct text names = {0};
	for (size_t i = 0; i < SCHEMA_TYPES; i++) {
		if (!(n->types & schema_type_names[i].bit))
			continue;
		if (names.len)
			put(&names, " or ", SIZE_MAX);
		put(&names, schema_type_names[i].name, SIZE_MAX);
	}
	return refuse(err, at, "expected %s", names.s);
}

static int check_values(const struct schema_node *n, const json_t *v, const struct step *at,
                        struct ocu_error *err)
{
	if (n->constant && !json_equal(n->constant, v))
		return refuse(err, at, "not the one value that is allowed");
	if (!n->enumeration)
		return 0;
	struct text allowed = {0};
	for (size_t i = 0; i < json_array_size(n->enumeration); i++) {
		const json_t *one = json_array_get(n->enumeration, i);
		if (json_equal(one, v))
			return 0;
		if (json_is_string(one)) {
			put(&allowed, allowed.len ? ", " : ": ", SIZE_MAX);
			put(&allowed, json_string_value(one), SIZE_MAX);
		}
	}
	return refuse(err, at, "not one of the allowed values%s", allowed.s);
}

static int check_string(const struct schema_node *n, const json_t *v, const struct step *at,
                        struct ocu_error *err)
{
	const char *s = json_string_value(v);
	size_t bytes = json_string_length(v);
	if (n->min_length || n->max_length != SIZE_MAX) {
		size_t chars = 0;
		for (size_t i = 0; i < bytes; i++)
			chars += ((unsigned char)s[i] & 0xc0) != 0x80;
		if (chars < n->min_length)
			return refuse(err, at, "shorter than %zu characters", n->min_length);
		if (chars > n->max_length)
			return refuse(err, at, "longer than %zu characters", n->max_length);
	}
	/* regexec() sees no further than a NUL. */
	if (n->has_pattern && (memchr(s, 0, bytes) || regexec(&n->pattern, s, 0, NULL, 0) != 0))
		return refuse(err, at, "does not have the required form");
	return 0;
}

/* Less, equal or more than 0, as a to b; integers exactly. */
static int compare(const json_t *a, const json_t *b)
{
	if (json_is_integer(a) && json_is_integer(b)) {
		json_int_t x = json_integer_value(a);
		json_int_t y = json_integer_value(b);
		return (x > y) - (x < y);
	}
	double x = json_number_value(a);
	double y = json_number_value(b);
	return (x > y) - (x < y);
}

static int check_number(const struct schema_node *n, const json_t *v, const struct step *at,
                        struct ocu_error *err)
{
	if (n->minimum && compare(v, n->minimum) < 0)
		return refuse(err, at, "less than %.15g", json_number_value(n->minimum));
	if (n->maximum && compare(v, n->maximum) > 0)
		return refuse(err, at, "more than %.15g", json_number_value(n->maximum));
	return 0;
}

static int check(const struct schema_node *n, const json_t *v, const struct step *at, struct ocu_error *err);

static int check_array(const struct schema_node *n, const json_t *v, const struct step *at,
                       struct ocu_error *err)
{
	size_t size = json_array_size(v);
	if (size < n->min_items)
		return refuse(err, at, "fewer than %zu items", n->min_items);
	if (size > n->max_items)
		return refuse(err, at, "more than %zu items", n->max_items);
	for (size_t i = 0; n->items && i < size; i++) {
		struct step here = {.up = at, .index = i};
		int rc = check(n->items, json_array_get(v, i), &here, err);
		if (rc)
			return rc;
	}
	return 0;
}

static const struct schema_prop *prop_find(const struct schema_node *n, const char *key)
{
	for (size_t i = 0; i < n->nprops; i++)
		if (strcmp(n->props[i].name, key) == 0)
			return &n->props[i];
	return NULL;
}

static int check_object(const struct schema_node *n, const json_t *v, const struct step *at,
                        struct ocu_error *err)
{
	const char *key;
	json_t *member;
	/* jansson iterates without changing the object. */
	json_object_foreach((json_t *)v, key, member)
	{
		const struct schema_prop *p = prop_find(n, key);
		if (!p && n->closed)
			return refuse_field(err, at, key);
		const struct schema_node *sub = p ? p->node : n->additional;
		struct step here = {.up = at, .key = key, .own = p != NULL};
		int rc = sub ? check(sub, member, &here, err) : 0;
		if (rc)
			return rc;
	}
	for (size_t i = 0; i < json_array_size(n->required); i++) {
		const char *name = json_string_value(json_array_get(n->required, i));
		if (!json_object_get(v, name))
			return refuse(err, at, "field \"%s\" is missing", name);
	}
	return 0;
}

/* When just one branch is for this type of value, its error says more than "none". */
static int check_any(const struct schema_node *n, const json_t *v, const struct step *at,
                     struct ocu_error *err)
{
	const struct schema_node *likely = NULL;
	unsigned candidates = 0;
	for (size_t i = 0; i < n->nany; i++) {
		const struct schema_node *sub = n->any_of[i];
		if (check(sub, v, at, NULL) == 0)
			return 0;
		if (!sub->types || (sub->types & type_of(v))) {
			likely = sub;
			candidates++;
		}
	}
	if (candidates == 1)
		return check(likely, v, at, err);
	return n->nany ? refuse(err, at, "has none of the allowed forms") : 0;
}

static int check(const struct schema_node *n, const json_t *v, const struct step *at, struct ocu_error *err)
{
	int rc = check_type(n, v, at, err);
	if (!rc)
		rc = check_values(n, v, at, err);
	if (!rc && json_is_string(v))
		rc = check_string(n, v, at, err);
	if (!rc && json_is_number(v))
		rc = check_number(n, v, at, err);
	if (!rc && json_is_array(v))
		rc = check_array(n, v, at, err);
	if (!rc && json_is_object(v))
		rc = check_object(n, v, at, err);
	if (!rc)
		rc = check_any(n, v, at, err);
	return rc;
}

int ocu_schema_check(const struct ocu_schema *s, const json_t *value, struct ocu_error *err)
{
	if (!value)
		return ocu_error_set(err, OCU_E_PARAMS, "/: no value");
	return check(s->root, value, NULL, err);
}
