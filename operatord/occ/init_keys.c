/* init_keys: CA, certificates, signing keys and the public sets that verify them, the owners of it all. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/jwt.h"
#include "libocu/keyfile.h"
#include "libocu/pki.h"
#include "operatord/occ/command.h"
#include "operatord/occ/init.h"

#define CERT_DAYS 397

/* name is a path below the PKI folder; returns it whole in path. 1 there, 0 not there, negative an error. */
static int there(struct init *in, const char *name, char path[INIT_PATH_MAX], struct ocu_error *err)
{
	int rc = init_path(path, INIT_PATH_MAX, err, "%s/%s", in->pki, name);

	return rc ? rc : access(path, F_OK) == 0;
}

static int ca(struct init *in, struct ocu_error *err)
{
	char path[INIT_PATH_MAX];
	int rc = there(in, "ca.pem", path, err);

	if (rc < 0)
		return rc;
	if (rc == 1)
		return init_kept(in, "pki/ca.pem");
	rc = ocu_pki_make_ca(in->pki, in->trust_domain, err);
	return rc ? rc : init_made(in, "pki/ca.pem");
}

/* The names of --dns that this daemon's certificate gets: those for all, and those for it alone. */
static void names_for(const struct init *in, const char *daemon, const char **out)
{
	size_t len = strlen(daemon);

	for (size_t i = 0; i < in->args->dns.n; i++) {
		const char *name = in->args->dns.item[i], *equals = strchr(name, '=');
		if (!equals)
			*out++ = name;
		else if ((size_t)(equals - name) == len && strncmp(name, daemon, len) == 0)
			*out++ = equals + 1;
	}
	*out = NULL;
}

static int certificate(struct init *in, enum ocu_component c, struct ocu_error *err)
{
	const char *name = ocu_component_name(c);
	const char *dns[LIST_MAX + 4] = {"localhost", name}, *ips[] = {"127.0.0.1", "::1", NULL};
	char file[64], service[32], path[INIT_PATH_MAX];
	int rc;

	snprintf(file, sizeof file, "%s/cert.pem", name);
	rc = there(in, file, path, err);
	snprintf(file, sizeof file, "pki/%s/cert.pem", name);
	if (rc < 0)
		return rc;
	if (rc == 1)
		return init_kept(in, file);
	snprintf(service, sizeof service, "ocu-%s", name);
	dns[2] = service;
	names_for(in, name, &dns[3]);
	const struct ocu_pki_cert cert = {.component = c, .dns = dns, .ips = ips, .days = CERT_DAYS};
	rc = ocu_pki_issue(in->pki, in->trust_domain, &cert, err);
	return rc ? rc : init_made(in, file);
}

static bool has_key(const json_t *set, const char *kid)
{
	const json_t *key;
	size_t i;

	json_array_foreach(json_object_get(set, "keys"), i, key)
	{
		if (strcmp(ocu_json_str(key, "kid", ""), kid) == 0)
			return true;
	}
	return false;
}

/* The public half of a key in its set. A key that was made anew joins the ones before it, so that what they
 * signed still verifies until it expires. */
static int publish(struct init *in, const struct ocu_signer *key, const char *jwks, struct ocu_error *err)
{
	OCU_JSON json_t *set = NULL;
	OCU_BUF struct ocu_buf text = OCU_BUF_INIT(OCU_KEYFILE_MAX);
	char path[INIT_PATH_MAX], name[64];
	int rc = there(in, jwks, path, err);

	snprintf(name, sizeof name, "pki/%s", jwks);
	if (rc == 1)
		rc = ocu_json_load_file(path, OCU_KEYFILE_MAX, &set, err);
	else if (rc == 0)
		set = json_pack("{s[]}", "keys");
	if (rc)
		return rc;
	if (has_key(set, ocu_signer_kid(key)))
		return init_kept(in, name);
	if (json_array_append_new(json_object_get(set, "keys"), ocu_signer_jwk(key)) ||
	    ocu_json_dump(set, &text) || ocu_buf_putc(&text, '\n'))
		return ocu_error_set(err, OCU_E_CONFIG, "%s is not a key set", path);
	rc = ocu_keyfile_replace(path, text.data, text.len, 0644, err);
	return rc ? rc : init_made(in, name);
}

static int signing_key(struct init *in, const char *file, const char *jwks, struct ocu_error *err)
{
	struct ocu_signer *key = NULL;
	char path[INIT_PATH_MAX], name[64];
	int rc = there(in, file, path, err);

	snprintf(name, sizeof name, "pki/%s", file);
	if (rc < 0)
		return rc;
	if (rc == 1) {
		rc = ocu_signer_load(&key, path, err);
		if (rc == 0)
			rc = init_kept(in, name);
	} else {
		rc = ocu_signer_generate(&key, err);
		if (rc == 0)
			rc = ocu_signer_save(key, path, err);
		if (rc == 0)
			rc = init_made(in, name);
	}
	if (rc == 0)
		rc = publish(in, key, jwks, err);
	ocu_signer_free(key);
	return rc;
}

static int random_key(struct init *in, const char *file, struct ocu_error *err)
{
	unsigned char key[32];
	char path[INIT_PATH_MAX], name[64];
	int rc = there(in, file, path, err);

	snprintf(name, sizeof name, "pki/%s", file);
	if (rc < 0)
		return rc;
	if (rc == 1)
		return init_kept(in, name);
	if (getrandom(key, sizeof key, 0) != (ssize_t)sizeof key)
		return ocu_error_errno(err, OCU_E_INTERNAL, errno, "getrandom");
	rc = ocu_keyfile_create(path, key, sizeof key, 0600, err);
	explicit_bzero(key, sizeof key);
	return rc ? rc : init_made(in, name);
}

static int operator_folder(struct init *in, struct ocu_error *err)
{
	char path[INIT_PATH_MAX];
	int rc = there(in, "operator", path, err);

	if (rc < 0)
		return rc;
	if (rc == 0 && mkdir(path, 0700) != 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "making %s", path);
	return 0;
}

int init_keys(struct init *in, struct ocu_error *err)
{
	static const char *const signers[][2] = {{"operatord/session.key", "session-jwks.json"},
	                                         {"operatord/caller.key", "caller-jwks.json"},
	                                         {"auditd/envelope.key", "envelope-jwks.json"},
	                                         {"operator/operator.key", "operator-jwks.json"}};
	int rc = ca(in, err);

	for (int c = OCU_COMP_NONE + 1; rc == 0 && c < OCU_COMP_COUNT; c++)
		rc = certificate(in, (enum ocu_component)c, err);
	if (rc == 0)
		rc = operator_folder(in, err);
	for (size_t i = 0; rc == 0 && i < sizeof signers / sizeof *signers; i++)
		rc = signing_key(in, signers[i][0], signers[i][1], err);
	return rc ? rc : random_key(in, "gateway/mcp-session.key", err);
}

/* Owners ------------------------------------------------------------------------------------------------- */

static int own(const char *path, uid_t uid, struct ocu_error *err)
{
	if (lchown(path, uid, uid) != 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "giving %s to uid %u", path, (unsigned)uid);
	return 0;
}

/* The folder of each daemon and what is known to be in it; nothing is followed, nothing else is touched. */
int init_owners(struct init *in, struct ocu_error *err)
{
	static const char *const files[] = {
	    "",           "cert.pem",     "key.pem",         "token.key",         "session.key",
	    "caller.key", "envelope.key", "mcp-session.key", "issued-tokens.json"};

	for (int c = OCU_COMP_NONE + 1; c < OCU_COMP_COUNT; c++) {
		for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
			char path[INIT_PATH_MAX];
			struct stat st;
			int rc = init_path(path, sizeof path, err, "%s/%s/%s", in->pki,
			                   ocu_component_name((enum ocu_component)c), files[i]);
			if (rc == 0 && lstat(path, &st) == 0 && st.st_uid != in->uid[c])
				rc = own(path, in->uid[c], err);
			if (rc)
				return rc;
		}
	}
	return 0;
}
