/*
 * identity: what a daemon loads at start to prove who it is. Everything that could only fail later, at the
 * first handshake, is checked here: the key fits the certificate, the certificate is ours, in date, signed by
 * the deployment's CA, and its one URI SAN is this component's SPIFFE id; the token key is published.
 */
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/jwt.h"
#include "libocu/keyfile.h"
#include "libocu/pki.h"

#define PEM_MAX 65536

static int make_path(char **ret, struct ocu_error *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int make_path(char **ret, struct ocu_error *err, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(ret, fmt, ap);
	va_end(ap);
	if (n < 0) {
		*ret = NULL;
		return ocu_error_set(err, OCU_E_NOMEM, "identity");
	}
	return 0;
}

static X509 *read_cert(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	return x;
}

static int no_passphrase(char *buf, int size, int rw, void *arg)
{
	(void)buf;
	(void)size;
	(void)rw;
	(void)arg;
	return -1;
}

static EVP_PKEY *read_key(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *k = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;

	BIO_free(bio);
	return k;
}

static const char *what_to_do(int code)
{
	switch (code) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return ": issue another one (occ init), or set this host's clock";
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return ": set this host's clock";
	default:
		return "";
	}
}

static int chain_check(X509 *cert, X509 *ca, const char *path, struct ocu_error *err)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int code = X509_V_ERR_UNSPECIFIED;

	if (store && ctx && X509_STORE_add_cert(store, ca) == 1 &&
	    X509_STORE_CTX_init(ctx, store, cert, NULL) == 1) {
		if (X509_verify_cert(ctx) == 1)
			code = X509_V_OK;
		else
			code = X509_STORE_CTX_get_error(ctx);
	}
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	if (code != X509_V_OK)
		return ocu_error_set(err, OCU_E_CONFIG, "%s does not verify against the CA: %s%s", path,
		                     X509_verify_cert_error_string(code), what_to_do(code));
	return 0;
}

/* The only URI SAN of the certificate; a second one would leave open who the holder is. */
static int uri_san(X509 *cert, char out[OCU_SPIFFE_MAX], const char *path, struct ocu_error *err)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	int uris = 0, usable = 0;

	for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		if (g->type != GEN_URI)
			continue;
		uris++;
		const char *s = (const char *)ASN1_STRING_get0_data(g->d.uniformResourceIdentifier);
		size_t n = (size_t)ASN1_STRING_length(g->d.uniformResourceIdentifier);
		if (n < OCU_SPIFFE_MAX && !memchr(s, '\0', n)) {
			memcpy(out, s, n);
			out[n] = '\0';
			usable++;
		}
	}
	GENERAL_NAMES_free(names);
	if (uris != 1 || usable != 1)
		return ocu_error_set(err, OCU_E_CONFIG, "%s needs exactly one URI SAN", path);
	return 0;
}

static int check_certificate(struct ocu_identity *id, enum ocu_component self, struct ocu_error *err)
{
	X509 *cert = read_cert(id->cert_pem);
	X509 *ca = read_cert(id->ca_pem);
	EVP_PKEY *key = read_key(id->key_pem);
	char spiffe[OCU_SPIFFE_MAX];
	int rc = 0;

	if (!cert || !ca || !key)
		rc = ocu_error_set(err, OCU_E_CONFIG, "%s is not usable PEM",
		                   !cert ? id->cert_path
		                   : !ca ? id->ca_path
		                         : id->key_path);
	else if (X509_check_private_key(cert, key) != 1)
		rc = ocu_error_set(err, OCU_E_CONFIG, "%s is not the key of %s", id->key_path, id->cert_path);
	if (!rc)
		rc = chain_check(cert, ca, id->cert_path, err);
	if (!rc)
		rc = uri_san(cert, spiffe, id->cert_path, err);
	if (!rc && ocu_peer_parse(&id->self, id->trust_domain, spiffe, err) != 0)
		rc = ocu_error_set(err, OCU_E_CONFIG, "%s is not for trust domain %s", id->cert_path,
		                   id->trust_domain);
	if (!rc && id->self.component != self)
		rc = ocu_error_set(err, OCU_E_CONFIG, "%s is the certificate of %s", id->cert_path,
		                   ocu_component_name(id->self.component));
	X509_free(cert);
	X509_free(ca);
	EVP_PKEY_free(key);
	/* Failed lookups leave entries in this thread's queue, where a TLS library would find them later. */
	ERR_clear_error();
	return rc;
}

static int load_files(struct ocu_identity *id, const char *pki_dir, const char *name, struct ocu_error *err)
{
	OCU_FREE char *token_path = NULL;
	OCU_FREE char *jwks_path = NULL;
	int rc;

	if ((rc = make_path(&id->ca_path, err, "%s/ca.pem", pki_dir)) ||
	    (rc = make_path(&id->cert_path, err, "%s/%s/cert.pem", pki_dir, name)) ||
	    (rc = make_path(&id->key_path, err, "%s/%s/key.pem", pki_dir, name)) ||
	    (rc = make_path(&token_path, err, "%s/%s/token.key", pki_dir, name)) ||
	    (rc = make_path(&jwks_path, err, "%s/internal-jwks.json", pki_dir)))
		return rc;
	if ((rc = ocu_keyfile_read(id->ca_path, PEM_MAX, false, &id->ca_pem, NULL, err)) ||
	    (rc = ocu_keyfile_read(id->cert_path, PEM_MAX, false, &id->cert_pem, NULL, err)) ||
	    (rc = ocu_keyfile_read(id->key_path, PEM_MAX, true, &id->key_pem, NULL, err)) ||
	    (rc = ocu_signer_load(&id->token_signer, token_path, err)))
		return rc;
	return ocu_jwks_load(&id->internal_keys, jwks_path, err);
}

/* A token key that is not published would make every call of this daemon fail at its peers. */
static int check_token_key(const struct ocu_identity *id, struct ocu_error *err)
{
	static const char probe[] = "token key check";
	unsigned char sig[64];
	int rc = ocu_signer_sign(id->token_signer, probe, sizeof probe, sig, err);

	if (!rc && ocu_jwks_verify_raw(id->internal_keys, ocu_signer_kid(id->token_signer), probe,
	                               sizeof probe, sig, sizeof sig, NULL) != 0)
		rc = ocu_error_set(err, OCU_E_CONFIG, "token.key is not in internal-jwks.json");
	return rc;
}

int ocu_identity_load(struct ocu_identity **ret, const char *pki_dir, const char *trust_domain,
                      enum ocu_component self, struct ocu_error *err)
{
	struct ocu_identity *id = calloc(1, sizeof *id);
	int rc;

	if (!id)
		return ocu_error_set(err, OCU_E_NOMEM, "identity");
	if (strlen(trust_domain) >= sizeof id->trust_domain) {
		rc = ocu_error_set(err, OCU_E_CONFIG, "trust domain too long");
	} else {
		memcpy(id->trust_domain, trust_domain, strlen(trust_domain) + 1);
		rc = load_files(id, pki_dir, ocu_component_name(self), err);
	}
	if (!rc)
		rc = check_certificate(id, self, err);
	if (!rc)
		rc = check_token_key(id, err);
	if (rc) {
		ocu_identity_free(id);
		/* Whatever is wrong with these files is for the operator to put right. */
		if (err && rc != OCU_E_NOMEM)
			err->code = OCU_E_CONFIG;
		return rc == OCU_E_NOMEM ? rc : OCU_E_CONFIG;
	}
	*ret = id;
	return 0;
}

void ocu_identity_free(struct ocu_identity *id)
{
	if (!id)
		return;
	ocu_keyfile_free(id->key_pem, id->key_pem ? strlen(id->key_pem) : 0);
	free(id->ca_pem);
	free(id->cert_pem);
	free(id->cert_path);
	free(id->key_path);
	free(id->ca_path);
	ocu_signer_free(id->token_signer);
	ocu_jwks_free(id->internal_keys);
	free(id);
}
