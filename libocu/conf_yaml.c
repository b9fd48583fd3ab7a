/*
 * conf_yaml: a YAML file as a flat list of entries, from libyaml's events. What makes YAML surprising is
 * refused: anchors, aliases, tags, merge keys, several documents, duplicate keys. Inside lists and mappings a
 * plain scalar is a number, boolean or null only when JSON would write it so ("yes", "010" and "1.2.3" are
 * text).
 */
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "libocu/cleanup.h"
#include "libocu/conf_internal.h"
#include "libocu/err.h"
#include "libocu/json.h"

#define KEY_MAX 256

struct reader {
	yaml_parser_t parser;
	yaml_event_t event;
	const char *file;
	struct ocu_error *err;
};

static size_t line_of(const struct reader *r)
{
	return r->event.start_mark.line + 1;
}

static int fail_at(struct reader *r, size_t line, const char *what)
{
	return ocu_error_set(r->err, OCU_E_CONFIG, "%s:%zu: %s", r->file, line, what);
}

static int fail(struct reader *r, const char *what)
{
	return fail_at(r, line_of(r), what);
}

static int parser_failure(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	if (p->error == YAML_MEMORY_ERROR)
		return ocu_error_set(r->err, OCU_E_NOMEM, "%s: out of memory", r->file);
	/* The reader works ahead and only knows bytes: its line would be a wrong one. */
	if (p->error == YAML_READER_ERROR)
		return ocu_error_set(r->err, OCU_E_CONFIG, "%s: byte %zu: %s", r->file, p->problem_offset,
		                     p->problem ? p->problem : "not UTF-8");
	return fail_at(r, p->problem_mark.line + 1, p->problem ? p->problem : "not YAML");
}

static int refuse_features(struct reader *r)
{
	const yaml_event_t *e = &r->event;
	switch (e->type) {
	case YAML_ALIAS_EVENT:
		return fail(r, "aliases are not taken");
	case YAML_SCALAR_EVENT:
		if (memchr(e->data.scalar.value, 0, e->data.scalar.length))
			return fail(r, "NUL in text");
		if (e->data.scalar.anchor || e->data.scalar.tag)
			return fail(r, "anchors and tags are not taken");
		return 0;
	case YAML_SEQUENCE_START_EVENT:
		if (e->data.sequence_start.anchor || e->data.sequence_start.tag)
			return fail(r, "anchors and tags are not taken");
		return 0;
	case YAML_MAPPING_START_EVENT:
		if (e->data.mapping_start.anchor || e->data.mapping_start.tag)
			return fail(r, "anchors and tags are not taken");
		return 0;
	default:
		return 0;
	}
}

static int next(struct reader *r)
{
	yaml_event_delete(&r->event);
	if (!yaml_parser_parse(&r->parser, &r->event)) {
		memset(&r->event, 0, sizeof r->event);
		return parser_failure(r);
	}
	return refuse_features(r);
}

static bool is_quoted(const yaml_event_t *e)
{
	return e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
}

static const char *text_of(const yaml_event_t *e)
{
	return (const char *)e->data.scalar.value;
}

static json_t *plain_scalar(const char *text, size_t len)
{
	if (len == 0 || strcmp(text, "~") == 0 || strcmp(text, "null") == 0)
		return json_null();
	if (strcmp(text, "true") == 0)
		return json_true();
	if (strcmp(text, "false") == 0)
		return json_false();
	json_t *number = NULL;
	if ((text[0] == '-' || (text[0] >= '0' && text[0] <= '9')) &&
	    ocu_json_parse(text, len, KEY_MAX, &number, NULL) == 0)
		return number;
	return json_stringn(text, len);
}

static int node(struct reader *r, int depth, json_t **ret);

static int sequence(struct reader *r, int depth, json_t *list)
{
	for (;;) {
		int rc = next(r);
		if (rc || r->event.type == YAML_SEQUENCE_END_EVENT)
			return rc;
		OCU_JSON json_t *item = NULL;
		rc = node(r, depth + 1, &item);
		if (rc)
			return rc;
		if (json_array_append(list, item))
			return ocu_error_set(r->err, OCU_E_NOMEM, "%s: out of memory", r->file);
	}
}

/* Reads a key from the current event; the key's line in *line. */
static int key_of(struct reader *r, char key[KEY_MAX], size_t *line)
{
	if (r->event.type != YAML_SCALAR_EVENT)
		return fail(r, "a key must be plain text");
	if (r->event.data.scalar.length == 0 || r->event.data.scalar.length >= KEY_MAX)
		return fail(r, "a key is empty or too long");
	memcpy(key, text_of(&r->event), r->event.data.scalar.length + 1);
	*line = line_of(r);
	return 0;
}

static int duplicate(struct reader *r, size_t line, const char *key)
{
	return ocu_error_set(r->err, OCU_E_CONFIG, "%s:%zu: duplicate key \"%.64s\"", r->file, line, key);
}

static int mapping(struct reader *r, int depth, json_t *object)
{
	for (;;) {
		char key[KEY_MAX];
		size_t line = 0;
		int rc = next(r);
		if (rc || r->event.type == YAML_MAPPING_END_EVENT)
			return rc;
		rc = key_of(r, key, &line);
		if (rc)
			return rc;
		if (json_object_get(object, key))
			return duplicate(r, line, key);
		OCU_JSON json_t *value = NULL;
		rc = next(r);
		if (!rc)
			rc = node(r, depth + 1, &value);
		if (rc)
			return rc;
		if (json_object_set(object, key, value))
			return ocu_error_set(r->err, OCU_E_NOMEM, "%s: out of memory", r->file);
	}
}

/* The node whose first event is the current one. */
static int node(struct reader *r, int depth, json_t **ret)
{
	if (depth > OCU_JSON_DEPTH_MAX)
		return fail(r, "nested too deep");
	const yaml_event_t *e = &r->event;
	OCU_JSON json_t *j = NULL;
	int rc = 0;
	if (e->type == YAML_SCALAR_EVENT) {
		j = is_quoted(e) ? json_stringn(text_of(e), e->data.scalar.length)
		                 : plain_scalar(text_of(e), e->data.scalar.length);
	} else if (e->type == YAML_SEQUENCE_START_EVENT) {
		j = json_array();
		rc = j ? sequence(r, depth, j) : 0;
	} else {
		j = json_object();
		rc = j ? mapping(r, depth, j) : 0;
	}
	if (rc)
		return rc;
	if (!j)
		return ocu_error_set(r->err, OCU_E_NOMEM, "%s: out of memory", r->file);
	*ret = ocu_steal(&j);
	return 0;
}

static int entry(struct reader *r, const char *key, size_t line,
                 int (*each)(void *, const struct conf_item *), void *arg)
{
	struct conf_item item = {.key = key, .line = line};
	if (r->event.type == YAML_SCALAR_EVENT) {
		item.text = text_of(&r->event);
		item.quoted = is_quoted(&r->event);
		return each(arg, &item);
	}
	OCU_JSON json_t *tree = NULL;
	int rc = node(r, 1, &tree);
	item.tree = tree;
	return rc ? rc : each(arg, &item);
}

static int entries(struct reader *r, int (*each)(void *, const struct conf_item *), void *arg)
{
	OCU_JSON json_t *seen = json_object();
	for (;;) {
		char key[KEY_MAX];
		size_t line = 0;
		int rc = next(r);
		if (rc || r->event.type == YAML_MAPPING_END_EVENT)
			return rc;
		rc = key_of(r, key, &line);
		if (rc)
			return rc;
		if (json_object_get(seen, key))
			return duplicate(r, line, key);
		if (json_object_set_new(seen, key, json_true()))
			return ocu_error_set(r->err, OCU_E_NOMEM, "%s: out of memory", r->file);
		rc = next(r);
		if (!rc)
			rc = entry(r, key, line, each, arg);
		if (rc)
			return rc;
	}
}

static bool is_empty(const yaml_event_t *e)
{
	return e->type == YAML_SCALAR_EVENT && e->data.scalar.length == 0 && !is_quoted(e);
}

static int document(struct reader *r, int (*each)(void *, const struct conf_item *), void *arg)
{
	int rc = next(r); /* stream start */
	if (!rc)
		rc = next(r);
	if (rc || r->event.type == YAML_STREAM_END_EVENT)
		return rc;
	rc = next(r);
	if (rc)
		return rc;
	if (r->event.type == YAML_MAPPING_START_EVENT)
		rc = entries(r, each, arg);
	else if (!is_empty(&r->event))
		rc = fail(r, "expected a mapping of keys");
	if (!rc)
		rc = next(r); /* document end */
	if (!rc)
		rc = next(r);
	if (!rc && r->event.type != YAML_STREAM_END_EVENT)
		rc = fail(r, "more than one document");
	return rc;
}

int conf_yaml_read(const char *data, size_t len, const char *file,
                   int (*each)(void *arg, const struct conf_item *item), void *arg, struct ocu_error *err)
{
	struct reader r = {.file = file, .err = err};
	if (!yaml_parser_initialize(&r.parser))
		return ocu_error_set(err, OCU_E_NOMEM, "%s: out of memory", file);
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)data, len);
	int rc = document(&r, each, arg);
	yaml_event_delete(&r.event);
	yaml_parser_delete(&r.parser);
	return rc;
}
