/* init_configs: one YAML file a daemon, with only what differs from the daemon's own defaults. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libocu/buf.h"
#include "libocu/err.h"
#include "libocu/keyfile.h"
#include "operatord/occ/init.h"

/* What every daemon's table has by default: libocu/conf.h, OCU_CONF_COMMON. */
#define DEFAULT_TRUST_DOMAIN "ocu.local"
#define DEFAULT_PKI          "/etc/ocu/pki"
#define DEFAULT_STATE        "/var/lib/ocu"
#define DEFAULT_RUN          "/run/ocu"
#define DEFAULT_BROKERD_UID  58103
#define DEFAULT_EGRESSD_UID  58104

static void text(struct ocu_buf *b, const char *key, const char *value, const char *dflt)
{
	if (strcmp(value, dflt) == 0)
		return;
	ocu_buf_printf(b, "%s: ", key);
	/* A JSON string is a YAML string, whatever is in it. */
	ocu_buf_json_string(b, value, strlen(value));
	ocu_buf_putc(b, '\n');
}

static void number(struct ocu_buf *b, const char *key, uid_t value, uid_t dflt)
{
	if (value != dflt)
		ocu_buf_printf(b, "%s: %u\n", key, (unsigned)value);
}

static void daemon_keys(const struct init *in, enum ocu_component c, struct ocu_buf *b)
{
	char run_as[16] = "";

	text(b, "trust_domain", in->trust_domain, DEFAULT_TRUST_DOMAIN);
	text(b, "pki_dir", in->pki, DEFAULT_PKI);
	text(b, "state_dir", in->state, DEFAULT_STATE);
	text(b, "run_dir", in->run, DEFAULT_RUN);
	if (in->chown && in->uid[c] != 0)
		snprintf(run_as, sizeof run_as, "%u", (unsigned)in->uid[c]);
	text(b, "run_as", run_as, "");
	if (c == OCU_COMP_SANDBOXD) {
		number(b, "brokerd_uid", in->uid[OCU_COMP_BROKERD], DEFAULT_BROKERD_UID);
		number(b, "egressd_uid", in->uid[OCU_COMP_EGRESSD], DEFAULT_EGRESSD_UID);
	}
	if (c == OCU_COMP_BROKERD || c == OCU_COMP_EGRESSD)
		number(b, "sandboxd_uid", in->uid[OCU_COMP_SANDBOXD], 0);
}

static int write_file(struct init *in, const char *name, const struct ocu_buf *b, struct ocu_error *err)
{
	char path[INIT_PATH_MAX];
	int rc = init_path(path, sizeof path, err, "%s/%s", in->dir, name);

	if (rc)
		return rc;
	if (access(path, F_OK) == 0)
		return init_kept(in, name);
	if (b->failed)
		return ocu_error_set(err, b->failed, "%s", name);
	rc = ocu_keyfile_create(path, b->data, b->len, 0644, err);
	return rc ? rc : init_made(in, name);
}

static int daemon_file(struct init *in, enum ocu_component c, struct ocu_error *err)
{
	OCU_BUF struct ocu_buf b = OCU_BUF_INIT(32768);
	const char *daemon = ocu_component_name(c);
	char name[64];

	ocu_buf_printf(&b,
	               "# ocu-%s of this deployment. Options not named here have their defaults:\n"
	               "# ocu-%s --print-example shows them all.\n",
	               daemon, daemon);
	daemon_keys(in, c, &b);
	snprintf(name, sizeof name, "%s.yaml", daemon);
	return write_file(in, name, &b, err);
}

static int occ_file(struct init *in, struct ocu_error *err)
{
	OCU_BUF struct ocu_buf b = OCU_BUF_INIT(32768);
	char trail[INIT_PATH_MAX + 16];

	snprintf(trail, sizeof trail, "%s/auditd", in->state);
	ocu_buf_puts(&b, "# Where occ finds this deployment.\n");
	text(&b, "pki_dir", in->pki, "");
	text(&b, "trail_dir", trail, "");
	return write_file(in, "occ.yaml", &b, err);
}

int init_configs(struct init *in, struct ocu_error *err)
{
	int rc = occ_file(in, err);

	for (int c = OCU_COMP_NONE + 1; rc == 0 && c < OCU_COMP_COUNT; c++)
		rc = daemon_file(in, (enum ocu_component)c, err);
	return rc;
}
