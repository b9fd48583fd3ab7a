/* schema_node: the compiled form of a schema, between schema.c, which builds it, and schema_check.c, which
 * reads it. */
#ifndef OCU_SCHEMA_NODE_H
#define OCU_SCHEMA_NODE_H

#include <jansson.h>
#include <regex.h>
#include <stdbool.h>
#include <stddef.h>

enum schema_type {
	SCHEMA_NULL = 1,
	SCHEMA_BOOLEAN = 2,
	SCHEMA_INTEGER = 4,
	SCHEMA_NUMBER = 8, /* any number, integers too */
	SCHEMA_STRING = 16,
	SCHEMA_ARRAY = 32,
	SCHEMA_OBJECT = 64,
};

struct schema_prop {
	const char *name; /* borrowed from the schema's JSON */
	struct schema_node *node;
};

/* JSON pointers are borrowed from the schema's own copy of its JSON. */
struct schema_node {
	unsigned types; /* set of enum schema_type; 0: any */
	const json_t *enumeration;
	const json_t *constant;
	struct schema_prop *props;
	size_t nprops;
	const json_t *required;
	bool closed;                    /* a field that is no property is refused */
	struct schema_node *additional; /* else it must match this; NULL: anything */
	struct schema_node *items;
	size_t min_items, max_items;
	size_t min_length, max_length;
	bool has_pattern;
	regex_t pattern;
	const json_t *minimum, *maximum;
	struct schema_node **any_of;
	size_t nany;
};

struct ocu_schema {
	json_t *json;
	struct schema_node *root;
};

struct schema_type_name {
	const char *name;
	unsigned bit;
};
#define SCHEMA_TYPES 7
extern const struct schema_type_name schema_type_names[SCHEMA_TYPES];

#endif
