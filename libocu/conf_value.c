/*
 * conf_value: the text of one option turned into its type. The same reader serves defaults, the file and the
 * environment, so that a value means the same wherever it stands.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/cleanup.h"
#include "libocu/conf_internal.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/schema.h"

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit durations[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0},
};

static const struct unit sizes[] = {
    {"", 1},   {"KiB", 1024}, {"MiB", INT64_C(1) << 20}, {"GiB", INT64_C(1) << 30}, {"TiB", INT64_C(1) << 40},
    {NULL, 0},
};

void conf_value_done(struct conf_value *v)
{
	free(v->text);
	json_decref(v->tree);
	*v = (struct conf_value){0};
}

static void replace(struct conf_value *v, struct conf_value with)
{
	conf_value_done(v);
	*v = with;
	v->set = true;
}

static int bad(struct ocu_error *err, const char *what)
{
	return ocu_error_set(err, OCU_E_CONFIG, "%s", what);
}

/* Decimal digits with an optional sign, then whatever rest points to. No leading blanks, no plus. */
static bool whole(const char *text, int64_t *ret, const char **rest)
{
	const char *digits = text[0] == '-' ? text + 1 : text;
	if (digits[0] < '0' || digits[0] > '9')
		return false;
	char *end;
	errno = 0;
	long long n = strtoll(text, &end, 10);
	*ret = n;
	*rest = end;
	return errno == 0;
}

static bool with_unit(const char *text, const struct unit *units, int64_t *ret)
{
	const char *rest;
	if (!whole(text, ret, &rest) || *ret < 0)
		return false;
	/* Zero needs no unit. */
	if (*ret == 0 && rest[0] == '\0')
		return true;
	for (; units->name; units++)
		if (strcmp(units->name, rest) == 0)
			return !__builtin_mul_overflow(*ret, units->factor, ret);
	return false;
}

static int number(struct conf_value *v, const struct ocu_conf_opt *opt, int64_t n, struct ocu_error *err)
{
	if ((opt->min || opt->max) && (n < opt->min || n > opt->max))
		return ocu_error_set(err, OCU_E_CONFIG, "out of range, %" PRId64 " to %" PRId64 "%s",
		                     opt->min, opt->max,
		                     opt->type == OCU_CONF_DURATION ? " ms"
		                     : opt->type == OCU_CONF_SIZE   ? " bytes"
		                                                    : "");
	replace(v, (struct conf_value){.number = n});
	return 0;
}

static int from_string(struct conf_value *v, const char *text, struct ocu_error *err)
{
	size_t len = strnlen(text, CONF_STRING_MAX);
	if (len >= CONF_STRING_MAX)
		return bad(err, "too long");
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return bad(err, "has a control character");
	char *copy = strdup(text);
	if (!copy)
		return ocu_error_set(err, OCU_E_NOMEM, "out of memory");
	replace(v, (struct conf_value){.text = copy});
	return 0;
}

static int from_path(struct conf_value *v, const char *text, const char *base, struct ocu_error *err)
{
	if (text[0] == '\0' || text[0] == '/' || base[0] == '\0')
		return from_string(v, text, err);
	char full[CONF_STRING_MAX];
	const char *slash = base[strlen(base) - 1] == '/' ? "" : "/";
	if (snprintf(full, sizeof full, "%s%s%s", base, slash, text) >= (int)sizeof full)
		return bad(err, "too long");
	return from_string(v, full, err);
}

static int from_enum(struct conf_value *v, const struct ocu_conf_opt *opt, const char *text,
                     struct ocu_error *err)
{
	size_t len = strlen(text);
	for (const char *p = opt->range; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
		if (len && strcspn(p, "|") == len && strncmp(p, text, len) == 0)
			return from_string(v, text, err);
	return ocu_error_set(err, OCU_E_CONFIG, "expected one of %s", opt->range);
}

static int from_json(struct conf_value *v, const struct ocu_conf_opt *opt, const char *text,
                     struct ocu_error *err)
{
	OCU_JSON json_t *tree = NULL;
	if (ocu_json_parse(text, strlen(text), CONF_FILE_MAX, &tree, err))
		return err ? (err->code = OCU_E_CONFIG) : OCU_E_CONFIG;
	return conf_value_tree(v, opt, tree, err);
}

int conf_value_tree(struct conf_value *v, const struct ocu_conf_opt *opt, json_t *tree, struct ocu_error *err)
{
	if (!json_is_array(tree) && !json_is_object(tree))
		return bad(err, "expected a list or a mapping");
	struct ocu_schema *schema = NULL;
	int rc = opt->range ? ocu_schema_new_text(&schema, opt->range, err) : 0;
	if (!rc && schema)
		rc = ocu_schema_check(schema, tree, err);
	ocu_schema_free(schema);
	if (rc)
		return err ? (err->code = OCU_E_CONFIG) : OCU_E_CONFIG;
	replace(v, (struct conf_value){.tree = json_incref(tree)});
	return 0;
}

static int from_int(struct conf_value *v, const struct ocu_conf_opt *opt, const char *text,
                    struct ocu_error *err)
{
	int64_t n;
	const char *rest;
	if (!whole(text, &n, &rest) || rest[0] != '\0')
		return bad(err, "expected a whole number");
	return number(v, opt, n, err);
}

static int from_bool(struct conf_value *v, const char *text, struct ocu_error *err)
{
	bool yes = strcmp(text, "true") == 0;
	if (!yes && strcmp(text, "false") != 0)
		return bad(err, "expected true or false");
	replace(v, (struct conf_value){.number = yes});
	return 0;
}

static int from_units(struct conf_value *v, const struct ocu_conf_opt *opt, const char *text,
                      struct ocu_error *err)
{
	int64_t n;
	bool duration = opt->type == OCU_CONF_DURATION;
	if (!with_unit(text, duration ? durations : sizes, &n))
		return bad(err, duration ? "expected a duration like 250ms, 5s, 15m, 12h or 7d"
		                         : "expected a size like 4096, 64KiB, 8MiB or 1GiB");
	return number(v, opt, n, err);
}

int conf_value_text(struct conf_value *v, const struct ocu_conf_opt *opt, const char *text, const char *base,
                    struct ocu_error *err)
{
	switch (opt->type) {
	case OCU_CONF_STRING:
		return from_string(v, text, err);
	case OCU_CONF_PATH:
		return from_path(v, text, base, err);
	case OCU_CONF_INT:
		return from_int(v, opt, text, err);
	case OCU_CONF_BOOL:
		return from_bool(v, text, err);
	case OCU_CONF_DURATION:
	case OCU_CONF_SIZE:
		return from_units(v, opt, text, err);
	case OCU_CONF_ENUM:
		return from_enum(v, opt, text, err);
	case OCU_CONF_JSON:
		return from_json(v, opt, text, err);
	}
	return bad(err, "option of an unknown type");
}
