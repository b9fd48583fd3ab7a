/*
 * pki: making a deployment's keys, for `occ init` and for adding an instance later. Nothing that exists is
 * overwritten; a folder in which issuing failed half way is left as it was. Only ca.key signs, and only here.
 */
#include "libocu/pki.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/jwt.h"
#include "libocu/keyfile.h"
#include "libocu/pki_internal.h"

#define CA_DAYS       3650
#define LEAF_DAYS     397 /* when the caller names none */
#define LEAF_DAYS_MAX 3650
#define PEM_MAX       65536

struct issued {
	char dir[PATH_MAX - 64];
	char cert[PATH_MAX], key[PATH_MAX], token[PATH_MAX];
};

static void cleanup_pkey(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
}

static void cleanup_x509(X509 **x)
{
	X509_free(*x);
}

static void cleanup_signer(struct ocu_signer **s)
{
	ocu_signer_free(*s);
}

static int join(char *out, size_t size, const char *dir, const char *name, struct ocu_error *err)
{
	if (snprintf(out, size, "%s/%s", dir, name) >= (int)size)
		return ocu_error_set(err, OCU_E_INVALID, "path too long");
	return 0;
}

static int make_dir(const char *path, mode_t mode, struct ocu_error *err)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return ocu_error_errno(err, OCU_E_IO, errno, "making %s", path);
	return 0;
}

static int save_key(const EVP_PKEY *key, const char *path, struct ocu_error *err)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	char *data = NULL;
	long len = 0;
	int rc;

	if (bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1)
		len = BIO_get_mem_data(bio, &data);
	rc = len > 0 ? ocu_keyfile_create(path, data, (size_t)len, 0600, err)
	             : ocu_error_set(err, OCU_E_INTERNAL, "encoding a key");
	BIO_free(bio);
	return rc;
}

static int save_cert(X509 *cert, const char *path, struct ocu_error *err)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data = NULL;
	long len = 0;
	int rc;

	if (bio && PEM_write_bio_X509(bio, cert) == 1)
		len = BIO_get_mem_data(bio, &data);
	rc = len > 0 ? ocu_keyfile_create(path, data, (size_t)len, 0644, err)
	             : ocu_error_set(err, OCU_E_INTERNAL, "encoding a certificate");
	BIO_free(bio);
	return rc;
}

int ocu_pki_make_ca(const char *pki_dir, const char *trust_domain, struct ocu_error *err)
{
	__attribute__((cleanup(cleanup_pkey))) EVP_PKEY *key = NULL;
	__attribute__((cleanup(cleanup_x509))) X509 *cert = NULL;
	static const char empty_set[] = "{\"keys\":[]}\n";
	char key_path[PATH_MAX], cert_path[PATH_MAX], jwks_path[PATH_MAX], uri[OCU_SPIFFE_MAX];
	int rc;

	/* SPIFFE-ID section 2.1: lower case only. Any component's id under the domain shows whether the rest
	 * fits. */
	if (strspn(trust_domain, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != strlen(trust_domain) ||
	    ocu_peer_spiffe(trust_domain, OCU_COMP_AUDITD, NULL, uri, err) != 0)
		return ocu_error_set(err, OCU_E_INVALID, "not a usable trust domain: %.64s", trust_domain);
	snprintf(uri, sizeof uri, "spiffe://%s", trust_domain);
	if ((rc = make_dir(pki_dir, 0755, err)) ||
	    (rc = join(key_path, sizeof key_path, pki_dir, "ca.key", err)) ||
	    (rc = join(cert_path, sizeof cert_path, pki_dir, "ca.pem", err)) ||
	    (rc = join(jwks_path, sizeof jwks_path, pki_dir, "internal-jwks.json", err)))
		return rc;
	if (access(cert_path, F_OK) == 0 || access(key_path, F_OK) == 0)
		return ocu_error_set(err, OCU_E_EXISTS, "%s already holds a CA", pki_dir);
	key = EVP_EC_gen("P-256");
	if (!key)
		return ocu_error_set(err, OCU_E_INTERNAL, "generating a P-256 key");
	const struct ocu_pki_template t = {
	    .cn = "OCU deployment CA", .uri = uri, .days = CA_DAYS, .ca = true};
	if ((rc = ocu_pki_sign_cert(&cert, &t, key, NULL, NULL, err)) || (rc = save_key(key, key_path, err)))
		return rc;
	rc = save_cert(cert, cert_path, err);
	if (!rc)
		rc = ocu_keyfile_create(jwks_path, empty_set, sizeof empty_set - 1, 0644, err);
	if (rc) {
		unlink(key_path);
		unlink(cert_path);
	}
	return rc;
}

static int load_ca(const char *pki_dir, X509 **cert, EVP_PKEY **key, struct ocu_error *err)
{
	char path[PATH_MAX];
	OCU_FREE char *pem = NULL;
	char *secret = NULL;
	size_t len = 0;
	BIO *bio;
	int rc;

	if ((rc = join(path, sizeof path, pki_dir, "ca.pem", err)) ||
	    (rc = ocu_keyfile_read(path, PEM_MAX, false, &pem, NULL, err)) ||
	    (rc = join(path, sizeof path, pki_dir, "ca.key", err)) ||
	    (rc = ocu_keyfile_read(path, PEM_MAX, true, &secret, &len, err)))
		return rc;
	bio = BIO_new_mem_buf(pem, -1);
	*cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	BIO_free(bio);
	bio = BIO_new_mem_buf(secret, (int)len);
	/* An encrypted key would make OpenSSL ask on the terminal; an empty pass phrase stops that. */
	*key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"") : NULL;
	BIO_free(bio);
	ocu_keyfile_free(secret, len);
	if (!*cert || !*key || X509_check_private_key(*cert, *key) != 1)
		return ocu_error_set(err, OCU_E_CONFIG, "%s holds no usable CA", pki_dir);
	return 0;
}

/* internal-jwks.json gains the key, tagged with whom it may sign for. The caller holds the folder's lock. */
static int publish(const char *pki_dir, const struct ocu_signer *token, const char *spiffe,
                   struct ocu_error *err)
{
	OCU_JSON json_t *set = NULL;
	OCU_JSON json_t *jwk = NULL;
	OCU_BUF struct ocu_buf text = OCU_BUF_INIT(OCU_KEYFILE_MAX);
	char path[PATH_MAX];
	json_t *keys;
	int rc;

	if ((rc = join(path, sizeof path, pki_dir, "internal-jwks.json", err)) ||
	    (rc = ocu_json_load_file(path, OCU_KEYFILE_MAX, &set, err)))
		return rc;
	keys = json_object_get(set, "keys");
	jwk = ocu_signer_jwk(token);
	if (!json_is_array(keys) || !jwk || json_object_set_new(jwk, "sub", json_string(spiffe)) != 0 ||
	    json_array_append(keys, jwk) != 0)
		return ocu_error_set(err, OCU_E_CONFIG, "%s is not a key set", path);
	rc = ocu_json_dump(set, &text);
	if (rc || (rc = ocu_buf_putc(&text, '\n')))
		return ocu_error_set(err, rc, "%s", path);
	return ocu_keyfile_replace(path, text.data, text.len, 0644, err);
}

static int target_paths(struct issued *p, const char *pki_dir, const struct ocu_pki_cert *c,
                        struct ocu_error *err)
{
	const char *name = ocu_component_name(c->component);
	int n = c->dir ? snprintf(p->dir, sizeof p->dir, "%s", c->dir)
	               : snprintf(p->dir, sizeof p->dir, "%s/%s", pki_dir, name);
	int rc;

	if (n >= (int)sizeof p->dir)
		return ocu_error_set(err, OCU_E_INVALID, "path too long");
	if ((rc = join(p->cert, sizeof p->cert, p->dir, "cert.pem", err)) ||
	    (rc = join(p->key, sizeof p->key, p->dir, "key.pem", err)) ||
	    (rc = join(p->token, sizeof p->token, p->dir, "token.key", err)))
		return rc;
	if (access(p->cert, F_OK) == 0 || access(p->key, F_OK) == 0 || access(p->token, F_OK) == 0)
		return ocu_error_set(err, OCU_E_EXISTS, "%s already holds an identity", p->dir);
	return make_dir(p->dir, 0700, err);
}

/* The three files; whatever was written before a failure is taken away again. */
static int write_identity(const struct issued *p, X509 *cert, const EVP_PKEY *key,
                          const struct ocu_signer *token, struct ocu_error *err)
{
	int rc = save_key(key, p->key, err);

	if (rc)
		return rc;
	rc = save_cert(cert, p->cert, err);
	if (!rc)
		rc = ocu_signer_save(token, p->token, err);
	if (rc) {
		unlink(p->key);
		unlink(p->cert);
	}
	return rc;
}

static int issue_locked(const char *pki_dir, const struct ocu_pki_cert *c, const char *spiffe,
                        struct ocu_error *err)
{
	__attribute__((cleanup(cleanup_x509))) X509 *ca = NULL;
	__attribute__((cleanup(cleanup_pkey))) EVP_PKEY *ca_key = NULL;
	__attribute__((cleanup(cleanup_x509))) X509 *cert = NULL;
	__attribute__((cleanup(cleanup_pkey))) EVP_PKEY *key = NULL;
	__attribute__((cleanup(cleanup_signer))) struct ocu_signer *token = NULL;
	struct issued p;
	int rc;

	if ((rc = target_paths(&p, pki_dir, c, err)) || (rc = load_ca(pki_dir, &ca, &ca_key, err)) ||
	    (rc = ocu_signer_generate(&token, err)))
		return rc;
	key = EVP_EC_gen("P-256");
	if (!key)
		return ocu_error_set(err, OCU_E_INTERNAL, "generating a P-256 key");
	const struct ocu_pki_template t = {
	    .cn = ocu_component_name(c->component),
	    .uri = spiffe,
	    .dns = c->dns,
	    .ips = c->ips,
	    .days = c->days ? c->days : LEAF_DAYS,
	};
	if ((rc = ocu_pki_sign_cert(&cert, &t, key, ca, ca_key, err)) ||
	    (rc = write_identity(&p, cert, key, token, err)))
		return rc;
	rc = publish(pki_dir, token, spiffe, err);
	if (rc) {
		unlink(p.key);
		unlink(p.cert);
		unlink(p.token);
	}
	return rc;
}

int ocu_pki_issue(const char *pki_dir, const char *trust_domain, const struct ocu_pki_cert *c,
                  struct ocu_error *err)
{
	char spiffe[OCU_SPIFFE_MAX];
	int rc = ocu_peer_spiffe(trust_domain, c->component, c->instance, spiffe, err);

	if (rc)
		return rc;
	if (c->days < 0 || c->days > LEAF_DAYS_MAX)
		return ocu_error_set(err, OCU_E_INVALID, "a certificate lives 1 to %d days", LEAF_DAYS_MAX);
	/* Two issuers at once would lose each other's entry of the key set. */
	OCU_CLOSE int lock = open(pki_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "locking %s", pki_dir);
	rc = issue_locked(pki_dir, c, spiffe, err);
	ERR_clear_error();
	return rc;
}
