/* pki_internal: the X.509 half of pki, used by pki.c only. */
#ifndef OCU_PKI_INTERNAL_H
#define OCU_PKI_INTERNAL_H

#include <openssl/evp.h>
#include <openssl/x509.h>

struct ocu_error;

/* What goes into one certificate. */
struct ocu_pki_template {
	const char *cn;
	const char *uri;        /* the one URI SAN */
	const char *const *dns; /* NULL-terminated; may be NULL */
	const char *const *ips; /* NULL-terminated; may be NULL */
	int days;
	bool ca;
};

/* A signed certificate over key. issuer NULL: self-signed with key itself. The caller frees *ret. */
int ocu_pki_sign_cert(X509 **ret, const struct ocu_pki_template *t, EVP_PKEY *key, X509 *issuer,
                      EVP_PKEY *issuer_key, struct ocu_error *err);

#endif
