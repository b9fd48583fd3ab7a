/*
 * signer: an Ed25519 signing key, from a file nobody else can read or fresh from the kernel's randomness. The
 * private half never leaves this object except through ocu_signer_save().
 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/jwt.h"
#include "libocu/keyfile.h"

#define PEM_MAX 4096

struct ocu_signer {
	EVP_PKEY *pkey;
	char x[44];   /* public half, base64url */
	char kid[44]; /* RFC 7638 thumbprint */
};

/* RFC 7638: SHA-256 over the required members, in this order, without white space. */
static int fill_public(struct ocu_signer *s, struct ocu_error *err)
{
	unsigned char pub[32], digest[SHA256_DIGEST_LENGTH];
	size_t len = sizeof pub;
	char text[128];
	int n;

	if (EVP_PKEY_get_raw_public_key(s->pkey, pub, &len) != 1 || len != sizeof pub)
		return ocu_error_set(err, OCU_E_INTERNAL, "reading the public half of a signing key");
	ocu_b64url_encode(pub, sizeof pub, s->x);
	n = snprintf(text, sizeof text, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\"}", s->x);
	SHA256((const unsigned char *)text, (size_t)n, digest);
	ocu_b64url_encode(digest, sizeof digest, s->kid);
	return 0;
}

static int signer_new(struct ocu_signer **ret, EVP_PKEY *steal, struct ocu_error *err)
{
	struct ocu_signer *s = calloc(1, sizeof *s);
	int rc;

	if (!s) {
		EVP_PKEY_free(steal);
		return ocu_error_set(err, OCU_E_NOMEM, "signing key");
	}
	s->pkey = steal;
	rc = fill_public(s, err);
	if (rc) {
		ocu_signer_free(s);
		return rc;
	}
	*ret = s;
	return 0;
}

/* OpenSSL would ask on the terminal for the pass phrase of an encrypted key; a daemon must not. */
static int no_passphrase(char *buf, int size, int rw, void *arg)
{
	(void)buf;
	(void)size;
	(void)rw;
	(void)arg;
	return -1;
}

int ocu_signer_load(struct ocu_signer **ret, const char *pem_path, struct ocu_error *err)
{
	EVP_PKEY *pkey = NULL;
	char *pem = NULL;
	size_t len = 0;
	BIO *bio;
	int rc;

	rc = ocu_keyfile_read(pem_path, PEM_MAX, true, &pem, &len, err);
	if (rc)
		return rc;
	bio = BIO_new_mem_buf(pem, (int)len);
	if (bio)
		pkey = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	ocu_keyfile_free(pem, len);
	if (!pkey)
		return ocu_error_set(err, OCU_E_CONFIG, "%s holds no usable private key", pem_path);
	if (EVP_PKEY_get_id(pkey) != EVP_PKEY_ED25519) {
		EVP_PKEY_free(pkey);
		return ocu_error_set(err, OCU_E_CONFIG, "%s is not an Ed25519 key", pem_path);
	}
	return signer_new(ret, pkey, err);
}

int ocu_signer_generate(struct ocu_signer **ret, struct ocu_error *err)
{
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	if (!pkey)
		return ocu_error_set(err, OCU_E_INTERNAL, "generating an Ed25519 key");
	return signer_new(ret, pkey, err);
}

int ocu_signer_save(const struct ocu_signer *s, const char *pem_path, struct ocu_error *err)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	char *data = NULL;
	long len = 0;
	int rc;

	if (bio && PEM_write_bio_PKCS8PrivateKey(bio, s->pkey, NULL, NULL, 0, NULL, NULL) == 1)
		len = BIO_get_mem_data(bio, &data);
	if (len > 0)
		rc = ocu_keyfile_create(pem_path, data, (size_t)len, 0600, err);
	else
		rc = ocu_error_set(err, OCU_E_INTERNAL, "encoding a private key");
	BIO_free(bio);
	return rc;
}

void ocu_signer_free(struct ocu_signer *s)
{
	if (!s)
		return;
	EVP_PKEY_free(s->pkey);
	free(s);
}

const char *ocu_signer_kid(const struct ocu_signer *s)
{
	return s->kid;
}

json_t *ocu_signer_jwk(const struct ocu_signer *s)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "kty", "OKP", "crv", "Ed25519", "x", s->x, "kid",
	                 s->kid, "alg", "EdDSA", "use", "sig");
}

int ocu_signer_sign(const struct ocu_signer *s, const void *data, size_t len, unsigned char sig[64],
                    struct ocu_error *err)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t siglen = 64;
	int ok = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, s->pkey) == 1 &&
	         EVP_DigestSign(ctx, sig, &siglen, data, len) == 1 && siglen == 64;

	EVP_MD_CTX_free(ctx);
	return ok ? 0 : ocu_error_set(err, OCU_E_INTERNAL, "signing failed");
}
