/*
 * conf: loading in layers, each over the one before: defaults, the file, the environment. Every value goes
 * through conf_value, so that none is taken unchecked. An OCU_<DAEMON>_ variable that is no option is left
 * alone: Kubernetes puts such names (OCU_GATEWAY_SERVICE_HOST) into every container.
 */
#include "libocu/conf.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libocu/buf.h"
#include "libocu/conf_internal.h"
#include "libocu/err.h"

struct ocu_conf {
	const char *daemon;
	const struct ocu_conf_opt *table;
	size_t count;
	struct conf_value *values;
};

struct loading {
	struct ocu_conf *conf;
	const char *file; /* as the operator wrote it, for messages */
	char base[PATH_MAX];
	struct ocu_error *err;
};

static size_t find(const struct ocu_conf *c, const char *key)
{
	size_t i = 0;
	while (i < c->count && strcmp(c->table[i].key, key) != 0)
		i++;
	return i;
}

void conf_env_name(char *out, size_t size, const char *daemon, const char *key)
{
	snprintf(out, size, "OCU_%s_%s", daemon, key);
	for (char *p = out; *p; p++) {
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p - 'a' + 'A');
		else if (*p == '-')
			*p = '_';
	}
}

static int config_error(struct ocu_error *err, int rc)
{
	if (rc == OCU_E_NOMEM)
		return rc;
	if (err)
		err->code = OCU_E_CONFIG;
	return OCU_E_CONFIG;
}

static int load_defaults(struct loading *l)
{
	struct ocu_conf *c = l->conf;
	for (size_t i = 0; i < c->count; i++) {
		const struct ocu_conf_opt *opt = &c->table[i];
		if (find(c, opt->key) != i)
			return ocu_error_set(l->err, OCU_E_CONFIG, "option %s is in the table twice",
			                     opt->key);
		if (!opt->dflt)
			continue;
		int rc = conf_value_text(&c->values[i], opt, opt->dflt, l->base, l->err);
		if (rc) {
			ocu_error_add(l->err, "default of %s", opt->key);
			return rc;
		}
	}
	return 0;
}

/* Why this form of value cannot be for this option, or NULL. */
static const char *wrong_form(const struct ocu_conf_opt *opt, const struct conf_item *item)
{
	if (opt->type == OCU_CONF_JSON)
		return item->tree ? NULL : "expected a list or a mapping";
	if (item->tree)
		return "expected a single value";
	if (item->quoted)
		return opt->type == OCU_CONF_INT    ? "expected a whole number, without quotes"
		       : opt->type == OCU_CONF_BOOL ? "expected true or false, without quotes"
		                                    : NULL;
	if (item->text[0] == '\0' || strcmp(item->text, "~") == 0 || strcmp(item->text, "null") == 0)
		return "has no value (\"\" is the empty text)";
	return NULL;
}

static int take_item(void *arg, const struct conf_item *item)
{
	struct loading *l = arg;
	struct ocu_conf *c = l->conf;
	size_t i = find(c, item->key);
	if (i == c->count)
		return ocu_error_set(l->err, OCU_E_CONFIG, "%s:%zu: unknown key \"%.64s\"", l->file,
		                     item->line, item->key);
	const struct ocu_conf_opt *opt = &c->table[i];
	const char *wrong = wrong_form(opt, item);
	if (wrong)
		return ocu_error_set(l->err, OCU_E_CONFIG, "%s:%zu: %s: %s", l->file, item->line, opt->key,
		                     wrong);
	int rc = item->tree ? conf_value_tree(&c->values[i], opt, item->tree, l->err)
	                    : conf_value_text(&c->values[i], opt, item->text, l->base, l->err);
	if (rc)
		ocu_error_add(l->err, "%s:%zu: %s", l->file, item->line, opt->key);
	return rc;
}

static int load_file(struct loading *l)
{
	OCU_BUF struct ocu_buf text = OCU_BUF_INIT(CONF_FILE_MAX);
	int rc = ocu_buf_load_file(&text, l->file, l->err);
	if (rc)
		return config_error(l->err, rc);
	return conf_yaml_read(text.data ? text.data : "", text.len, l->file, take_item, l, l->err);
}

static int load_environment(struct loading *l)
{
	struct ocu_conf *c = l->conf;
	for (size_t i = 0; i < c->count; i++) {
		char name[128];
		conf_env_name(name, sizeof name, c->daemon, c->table[i].key);
		const char *text = getenv(name);
		int rc = text ? conf_value_text(&c->values[i], &c->table[i], text, l->base, l->err) : 0;
		if (rc) {
			ocu_error_add(l->err, "environment variable %s", name);
			return rc;
		}
	}
	return 0;
}

static int check_required(const struct loading *l)
{
	const struct ocu_conf *c = l->conf;
	for (size_t i = 0; i < c->count; i++)
		if (!c->values[i].set)
			return ocu_error_set(l->err, OCU_E_CONFIG, "%s: required key \"%s\" is missing",
			                     l->file ? l->file : c->daemon, c->table[i].key);
	return 0;
}

/* Where relative paths start: the folder of the file, without one the working directory. */
static int find_base(struct loading *l)
{
	if (!l->file)
		return getcwd(l->base, sizeof l->base) ? 0
		                                       : ocu_error_errno(l->err, OCU_E_IO, errno, "getcwd");
	char copy[PATH_MAX]; /* dirname() writes to what it is given */
	if (snprintf(copy, sizeof copy, "%s", l->file) >= (int)sizeof copy)
		return ocu_error_set(l->err, OCU_E_CONFIG, "configuration file: path too long");
	if (!realpath(dirname(copy), l->base))
		return ocu_error_errno(l->err, OCU_E_CONFIG, errno, "%s", l->file);
	return 0;
}

int ocu_conf_load(struct ocu_conf **ret, const char *daemon, const struct ocu_conf_opt *table,
                  const char *path, struct ocu_error *err)
{
	struct ocu_conf *c = calloc(1, sizeof *c);
	if (!c)
		return ocu_error_set(err, OCU_E_NOMEM, "out of memory");
	c->daemon = daemon;
	c->table = table;
	while (table[c->count].key)
		c->count++;
	c->values = calloc(c->count + 1, sizeof *c->values);
	struct loading l = {.conf = c, .file = path, .err = err};
	int rc = c->values ? find_base(&l) : ocu_error_set(err, OCU_E_NOMEM, "out of memory");
	if (!rc)
		rc = load_defaults(&l);
	if (!rc && path)
		rc = load_file(&l);
	if (!rc)
		rc = load_environment(&l);
	if (!rc)
		rc = check_required(&l);
	if (rc)
		ocu_conf_free(c);
	else
		*ret = c;
	return rc;
}

void ocu_conf_free(struct ocu_conf *c)
{
	if (!c)
		return;
	for (size_t i = 0; c->values && i < c->count; i++)
		conf_value_done(&c->values[i]);
	free(c->values);
	free(c);
}

#define TYPE(t) (1u << (t))

static const struct conf_value *get(const struct ocu_conf *c, const char *key, unsigned types)
{
	size_t i = find(c, key);
	if (i == c->count || !(TYPE(c->table[i].type) & types)) {
		fprintf(stderr, "conf: %s: no option \"%s\" of the type asked for\n", c->daemon, key);
		abort();
	}
	return &c->values[i];
}

const char *ocu_conf_str(const struct ocu_conf *c, const char *key)
{
	return get(c, key, TYPE(OCU_CONF_STRING) | TYPE(OCU_CONF_PATH) | TYPE(OCU_CONF_ENUM))->text;
}

int64_t ocu_conf_int(const struct ocu_conf *c, const char *key)
{
	return get(c, key, TYPE(OCU_CONF_INT) | TYPE(OCU_CONF_SIZE))->number;
}

bool ocu_conf_bool(const struct ocu_conf *c, const char *key)
{
	return get(c, key, TYPE(OCU_CONF_BOOL))->number != 0;
}

int64_t ocu_conf_ms(const struct ocu_conf *c, const char *key)
{
	return get(c, key, TYPE(OCU_CONF_DURATION))->number;
}

const json_t *ocu_conf_json(const struct ocu_conf *c, const char *key)
{
	return get(c, key, TYPE(OCU_CONF_JSON))->tree;
}
