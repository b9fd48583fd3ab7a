/*
 * conf: a daemon's configuration as one table. Parsing, overrides, --help, --check, the reference page in
 * docs/ and the example file all come from the table. YAML file (a flat mapping of keys), scalars overridable
 * by OCU_<DAEMON>_<KEY> (upper case). Unknown key, duplicate key, wrong type or out of range: fatal with file
 * and line. Secrets appear only as paths (type PATH). JSON options are overridden by JSON text. Of YAML there
 * are no anchors, aliases, tags, merge keys or second documents; inside lists and mappings a plain scalar is
 * a number, boolean or null only when JSON writes it so.
 */
#ifndef OCU_CONF_H
#define OCU_CONF_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct ocu_error;
struct ocu_conf;

enum ocu_conf_type {
	OCU_CONF_STRING,
	OCU_CONF_PATH, /* absolute after loading: relative paths are taken from the config file's folder */
	OCU_CONF_INT,  /* min..max */
	OCU_CONF_BOOL,
	OCU_CONF_DURATION, /* "250ms" "5s" "15m" "12h" "7d"; read with ocu_conf_ms(); min/max in ms */
	OCU_CONF_SIZE,     /* "64KiB" "8MiB" "1GiB" or bytes; read with ocu_conf_int(); min/max in bytes */
	OCU_CONF_ENUM,     /* values: "a|b|c" in `range` */
	OCU_CONF_JSON,     /* list or mapping, checked with the JSON schema text in `range` */
};

struct ocu_conf_opt {
	const char *key; /* snake_case */
	enum ocu_conf_type type;
	const char *dflt;  /* as it would stand in the file; NULL: required; "" allowed for strings; JSON text
	                      for JSON */
	int64_t min, max;  /* INT, DURATION, SIZE; both 0: no range */
	const char *range; /* ENUM values or JSON schema */
	const char *doc;   /* one line */
};

/* Options every daemon has; put OCU_CONF_COMMON first in a table. `run_as` is "uid[:gid]" or a user name; ""
 * means stay as started. */
#define OCU_CONF_COMMON(metrics_port)                                                                        \
	{                                                                                                    \
	    "trust_domain",                                                                                  \
	    OCU_CONF_STRING,                                                                                 \
	    "ocu.local",                                                                                     \
	    0,                                                                                               \
	    0,                                                                                               \
	    NULL,                                                                                            \
	    "SPIFFE trust domain of this deployment"},                                                       \
	    {"pki_dir",                                                                                      \
	     OCU_CONF_PATH,                                                                                  \
	     "/etc/ocu/pki",                                                                                 \
	     0,                                                                                              \
	     0,                                                                                              \
	     NULL,                                                                                           \
	     "Folder made by `occ init`: ca.pem, internal-jwks.json and this daemon's own subfolder"},       \
	    {"state_dir",                                                                                    \
	     OCU_CONF_PATH,                                                                                  \
	     "/var/lib/ocu",                                                                                 \
	     0,                                                                                              \
	     0,                                                                                              \
	     NULL,                                                                                           \
	     "This daemon's durable state lives in <state_dir>/<daemon>"},                                   \
	    {"run_dir",                                                                                      \
	     OCU_CONF_PATH,                                                                                  \
	     "/run/ocu",                                                                                     \
	     0,                                                                                              \
	     0,                                                                                              \
	     NULL,                                                                                           \
	     "Sockets and other things gone after a reboot"},                                                \
	    {"run_as", OCU_CONF_STRING, "", 0, 0, NULL, "User to become after start: name or uid[:gid]"},    \
	    {"audit_url",                                                                                    \
	     OCU_CONF_STRING,                                                                                \
	     "tls+tcp://127.0.0.1:9601",                                                                     \
	     0,                                                                                              \
	     0,                                                                                              \
	     NULL,                                                                                           \
	     "Where auditd accepts events"},                                                                 \
	    {"metrics_listen",                                                                               \
	     OCU_CONF_STRING,                                                                                \
	     "127.0.0.1:" #metrics_port,                                                                     \
	     0,                                                                                              \
	     0,                                                                                              \
	     NULL,                                                                                           \
	     "Address of /metrics, /healthz and /readyz; \"\" turns it off"},                                \
	{                                                                                                    \
		"log_level", OCU_CONF_ENUM, "info", 0, 0, "debug|info|warn|error",                           \
		    "Least severe level that is logged"                                                      \
	}

/* table ends with {0}. path NULL: defaults and environment only. */
int ocu_conf_load(struct ocu_conf **ret, const char *daemon, const struct ocu_conf_opt *table,
                  const char *path, struct ocu_error *err);
void ocu_conf_free(struct ocu_conf *c);

/* Reading a key that is not in the table, or with the wrong type, aborts: it is a programming error. */
const char *ocu_conf_str(const struct ocu_conf *c, const char *key); /* STRING, PATH, ENUM */
int64_t ocu_conf_int(const struct ocu_conf *c, const char *key);     /* INT, SIZE */
bool ocu_conf_bool(const struct ocu_conf *c, const char *key);
int64_t ocu_conf_ms(const struct ocu_conf *c, const char *key);         /* DURATION */
const json_t *ocu_conf_json(const struct ocu_conf *c, const char *key); /* borrowed */

void ocu_conf_print_help(const char *daemon, const struct ocu_conf_opt *table, FILE *out);
void ocu_conf_print_example(const char *daemon, const struct ocu_conf_opt *table, FILE *out);   /* YAML */
void ocu_conf_print_reference(const char *daemon, const struct ocu_conf_opt *table, FILE *out); /* Markdown */

#endif
