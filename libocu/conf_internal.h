/* conf_internal: what conf.c and its readers (values, YAML) share. */
#ifndef OCU_CONF_INTERNAL_H
#define OCU_CONF_INTERNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libocu/conf.h"

struct ocu_buf;

#define CONF_STRING_MAX 4096
#define CONF_FILE_MAX   1048576

/* One option's value: text for STRING, PATH and ENUM, number for INT, BOOL, SIZE and DURATION, tree for JSON.
 */
struct conf_value {
	bool set;
	char *text;
	int64_t number;
	json_t *tree;
};

void conf_value_done(struct conf_value *v);
/* Text as it stands in a file or the environment, to the option's type and range. base: folder that relative
 * paths start from, "" for none. Replaces *v only on success. The error says what was expected, not where. */
int conf_value_text(struct conf_value *v, const struct ocu_conf_opt *opt, const char *text, const char *base,
                    struct ocu_error *err);
/* A list or mapping for a JSON option, checked with its schema; takes its own reference. */
int conf_value_tree(struct conf_value *v, const struct ocu_conf_opt *opt, json_t *tree,
                    struct ocu_error *err);

/* One top-level entry of a YAML file: a scalar (text) or a list or mapping (tree). */
struct conf_item {
	const char *key;
	size_t line;
	const char *text; /* NULL when tree */
	bool quoted;
	json_t *tree; /* borrowed */
};
/* Calls each for the entries in order; an error from it ends the reading. Errors name file and line. */
int conf_yaml_read(const char *data, size_t len, const char *file,
                   int (*each)(void *arg, const struct conf_item *item), void *arg, struct ocu_error *err);

/* "OCU_GATEWAY_LISTEN" */
void conf_env_name(char *out, size_t size, const char *daemon, const char *key);

#endif
