/*
 * pki_cert: building and signing one X.509 certificate as SPIFFE's X509-SVID profile asks: P-256, exactly one
 * URI SAN, key usage critical, leaves that cannot sign. Names are put in as data, never through OpenSSL's
 * configuration syntax, so that no name can smuggle another one in.
 */
#include <openssl/bn.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <string.h>

#include "libocu/err.h"
#include "libocu/pki_internal.h"

#define NAMES_MAX   320
#define BACKDATE_S  300 /* hosts whose clocks differ a little accept a fresh certificate */
#define SECONDS_DAY 86400L

static void cleanup_names(GENERAL_NAMES **n)
{
	GENERAL_NAMES_free(*n);
}

static void cleanup_cert(X509 **x)
{
	X509_free(*x);
}

static bool dns_ok(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n < 254 &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._*") == n;
}

static bool add_name(GENERAL_NAMES *names, int type, void *value)
{
	GENERAL_NAME *g = value ? GENERAL_NAME_new() : NULL;

	if (g)
		GENERAL_NAME_set0_value(g, type, value);
	if (!g || sk_GENERAL_NAME_push(names, g) == 0) {
		if (g)
			GENERAL_NAME_free(g);
		else
			ASN1_STRING_free(value);
		return false;
	}
	return true;
}

static bool add_text(GENERAL_NAMES *names, int type, const char *text)
{
	ASN1_IA5STRING *s = ASN1_IA5STRING_new();

	if (s && ASN1_STRING_set(s, text, -1) != 1) {
		ASN1_IA5STRING_free(s);
		return false;
	}
	return add_name(names, type, s);
}

static int fill_names(GENERAL_NAMES *names, const struct ocu_pki_template *t, struct ocu_error *err)
{
	size_t n = 0;

	if (!add_text(names, GEN_URI, t->uri))
		return ocu_error_set(err, OCU_E_NOMEM, "certificate names");
	for (const char *const *d = t->dns; d && *d; d++, n++)
		if (!dns_ok(*d) || !add_text(names, GEN_DNS, *d))
			return ocu_error_set(err, OCU_E_INVALID, "not a usable DNS name: %.64s", *d);
	for (const char *const *i = t->ips; i && *i; i++, n++)
		if (!add_name(names, GEN_IPADD, a2i_IPADDRESS(*i)))
			return ocu_error_set(err, OCU_E_INVALID, "not a usable IP address: %.64s", *i);
	if (n > NAMES_MAX)
		return ocu_error_set(err, OCU_E_INVALID, "a certificate has %d names at most", NAMES_MAX);
	return 0;
}

static bool add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	bool ok;

	X509V3_set_ctx(&ctx, issuer ? issuer : cert, cert, NULL, NULL, 0);
	ext = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
	ok = ext && X509_add_ext(cert, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

static bool add_extensions(X509 *cert, X509 *issuer, bool ca)
{
	static const struct {
		int nid;
		const char *of_ca, *of_leaf;
	} table[] = {
	    {NID_basic_constraints, "critical,CA:TRUE,pathlen:0", "critical,CA:FALSE"},
	    {NID_key_usage, "critical,keyCertSign,cRLSign", "critical,digitalSignature"},
	    {NID_ext_key_usage, NULL, "serverAuth,clientAuth"},
	    {NID_subject_key_identifier, "hash", "hash"},
	    {NID_authority_key_identifier, NULL, "keyid:always"},
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		const char *value = ca ? table[i].of_ca : table[i].of_leaf;
		if (value && !add_ext(cert, issuer, table[i].nid, value))
			return false;
	}
	return true;
}

/* 127 random bits: unique without a database, positive, within RFC 5280's 20 octets. */
static bool set_serial(X509 *cert)
{
	unsigned char raw[16];
	BIGNUM *bn = NULL;
	bool ok = RAND_bytes(raw, sizeof raw) == 1;

	raw[0] = (unsigned char)((raw[0] & 0x7f) | 0x40);
	if (ok)
		bn = BN_bin2bn(raw, sizeof raw, NULL);
	ok = bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert));
	BN_free(bn);
	return ok;
}

static bool fill_base(X509 *cert, const struct ocu_pki_template *t, EVP_PKEY *key, X509 *issuer)
{
	X509_NAME *name = X509_get_subject_name(cert);

	return X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
	       X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)"OCU", -1, -1,
	                                  0) == 1 &&
	       X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)t->cn, -1, -1,
	                                  0) == 1 &&
	       X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : name) == 1 &&
	       X509_gmtime_adj(X509_getm_notBefore(cert), -BACKDATE_S) &&
	       X509_gmtime_adj(X509_getm_notAfter(cert), SECONDS_DAY * t->days) &&
	       X509_set_pubkey(cert, key) == 1;
}

int ocu_pki_sign_cert(X509 **ret, const struct ocu_pki_template *t, EVP_PKEY *key, X509 *issuer,
                      EVP_PKEY *issuer_key, struct ocu_error *err)
{
	__attribute__((cleanup(cleanup_names))) GENERAL_NAMES *names = GENERAL_NAMES_new();
	__attribute__((cleanup(cleanup_cert))) X509 *cert = X509_new();
	int rc;

	if (!names || !cert)
		return ocu_error_set(err, OCU_E_NOMEM, "certificate");
	rc = fill_names(names, t, err);
	if (rc)
		return rc;
	if (!fill_base(cert, t, key, issuer) || !add_extensions(cert, issuer, t->ca) ||
	    X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) != 1 ||
	    X509_sign(cert, issuer ? issuer_key : key, EVP_sha256()) == 0)
		return ocu_error_set(err, OCU_E_INTERNAL, "building a certificate for %.64s", t->cn);
	*ret = cert;
	cert = NULL;
	return 0;
}
