/* conf_print: --help, the example file and the reference page, all from the table. */
#include <inttypes.h>
#include <string.h>

#include "libocu/buf.h"
#include "libocu/conf.h"
#include "libocu/conf_internal.h"

#define CELL_MAX   4096
#define OPTION_MAX 16384

static const char *const type_names[] = {
    [OCU_CONF_STRING] = "text",       [OCU_CONF_PATH] = "path",
    [OCU_CONF_INT] = "number",        [OCU_CONF_BOOL] = "true|false",
    [OCU_CONF_DURATION] = "duration", [OCU_CONF_SIZE] = "size",
    [OCU_CONF_ENUM] = "one of",       [OCU_CONF_JSON] = "list or mapping",
};

static void put_type(struct ocu_buf *b, const struct ocu_conf_opt *opt)
{
	ocu_buf_puts(b, type_names[opt->type]);
	if (opt->type == OCU_CONF_ENUM) {
		ocu_buf_putc(b, ' ');
		ocu_buf_puts(b, opt->range);
	}
	if (opt->min || opt->max)
		ocu_buf_printf(b, ", %" PRId64 " to %" PRId64 "%s", opt->min, opt->max,
		               opt->type == OCU_CONF_DURATION ? " ms"
		               : opt->type == OCU_CONF_SIZE   ? " bytes"
		                                              : "");
}

/* The default as YAML: texts in quotes, the rest as it stands. */
static void put_default(struct ocu_buf *b, const struct ocu_conf_opt *opt)
{
	if (opt->type == OCU_CONF_STRING || opt->type == OCU_CONF_PATH)
		ocu_buf_json_string(b, opt->dflt, strlen(opt->dflt));
	else
		ocu_buf_puts(b, opt->dflt);
}

/* In a table cell: the bar would end the cell. */
static void put_cell(struct ocu_buf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == '|')
			ocu_buf_putc(b, '\\');
		ocu_buf_putc(b, *s);
	}
}

static void help_option(struct ocu_buf *b, const char *daemon, const struct ocu_conf_opt *opt)
{
	(void)daemon;
	ocu_buf_printf(b, "  %s (", opt->key);
	put_type(b, opt);
	if (opt->dflt) {
		ocu_buf_puts(b, "; default ");
		put_default(b, opt);
	} else {
		ocu_buf_puts(b, "; required");
	}
	ocu_buf_printf(b, ")\n      %s\n", opt->doc);
}

static void example_option(struct ocu_buf *b, const char *daemon, const struct ocu_conf_opt *opt)
{
	(void)daemon;
	ocu_buf_printf(b, "\n# %s (", opt->doc);
	put_type(b, opt);
	if (opt->dflt) {
		ocu_buf_printf(b, ")\n%s: ", opt->key);
		put_default(b, opt);
		ocu_buf_putc(b, '\n');
	} else {
		ocu_buf_printf(b, "; required)\n#%s:\n", opt->key);
	}
}

static void reference_option(struct ocu_buf *b, const char *daemon, const struct ocu_conf_opt *opt)
{
	char env[128];
	conf_env_name(env, sizeof env, daemon, opt->key);
	struct ocu_buf cell = OCU_BUF_INIT(CELL_MAX);
	put_type(&cell, opt);
	ocu_buf_printf(b, "| `%s` | ", opt->key);
	put_cell(b, cell.data);
	ocu_buf_reset(&cell);
	if (opt->dflt)
		put_default(&cell, opt);
	ocu_buf_puts(b, opt->dflt ? " | `" : " | *required*");
	put_cell(b, opt->dflt && cell.data ? cell.data : "");
	ocu_buf_printf(b, "%s | `%s` | ", opt->dflt ? "`" : "", env);
	put_cell(b, opt->doc);
	ocu_buf_puts(b, " |\n");
	ocu_buf_done(&cell);
}

static void print_options(const char *daemon, const struct ocu_conf_opt *table, FILE *out,
                          void (*option)(struct ocu_buf *, const char *, const struct ocu_conf_opt *))
{
	struct ocu_buf b = OCU_BUF_INIT(OPTION_MAX);
	for (; table->key; table++) {
		ocu_buf_reset(&b);
		option(&b, daemon, table);
		if (b.data)
			fputs(b.data, out);
	}
	ocu_buf_done(&b);
}

void ocu_conf_print_help(const char *daemon, const struct ocu_conf_opt *table, FILE *out)
{
	char env[128];
	conf_env_name(env, sizeof env, daemon, "");
	fprintf(out, "Options of the configuration file; %s<KEY> in the environment overrides one:\n", env);
	print_options(daemon, table, out, help_option);
}

void ocu_conf_print_example(const char *daemon, const struct ocu_conf_opt *table, FILE *out)
{
	fprintf(out, "# Configuration of %s; every key with its default.\n", daemon);
	print_options(daemon, table, out, example_option);
}

void ocu_conf_print_reference(const char *daemon, const struct ocu_conf_opt *table, FILE *out)
{
	fprintf(out, "## %s\n\n| Key | Type | Default | Environment | Meaning |\n|---|---|---|---|---|\n",
	        daemon);
	print_options(daemon, table, out, reference_option);
}
