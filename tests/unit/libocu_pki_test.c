/* pki, identity: what is issued can be loaded, verifies with stock OpenSSL rules, and nothing else is taken.
 *
 * shows: NFR-SEC-26, NFR-SEC-37
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libocu/json.h"
#include "libocu/jwt.h"
#include "libocu/keyfile.h"
#include "libocu_net_fixture.h"

static char *dir;

static void setup(void)
{
	struct ocu_error err = {0};

	dir = net_dir_new();
	ck_assert_msg(ocu_pki_make_ca(dir, TD, &err) == 0, "%s", err.text);
}

static void teardown(void)
{
	net_dir_free(dir);
}

static char *in_dir(const char *name)
{
	char *p = NULL;

	ck_assert_int_gt(asprintf(&p, "%s/%s", dir, name), 0);
	return p;
}

static X509 *read_cert(const char *name)
{
	char *path = in_dir(name);
	FILE *f = fopen(path, "r");
	X509 *x = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;

	ck_assert_msg(x != NULL, "%s", path);
	fclose(f);
	free(path);
	return x;
}

static unsigned mode_of(const char *name)
{
	char *path = in_dir(name);
	struct stat st;

	ck_assert_msg(stat(path, &st) == 0, "%s: %s", path, strerror(errno));
	free(path);
	return st.st_mode & 07777;
}

static int issue(const struct ocu_pki_cert *c)
{
	return ocu_pki_issue(dir, TD, c, NULL);
}

static const struct ocu_pki_cert gateway = {.component = OCU_COMP_GATEWAY, .days = 30};

static int load(const char *td, enum ocu_component c, struct ocu_error *err)
{
	struct ocu_identity *id = NULL;
	int rc = ocu_identity_load(&id, dir, td, c, err);

	ocu_identity_free(id);
	return rc;
}

START_TEST(the_ca)
{
	X509 *ca = read_cert("ca.pem");

	ck_assert_uint_eq(mode_of("ca.key"), 0600);
	ck_assert_int_eq(X509_check_ca(ca), 1);
	ck_assert_uint_eq(X509_get_key_usage(ca), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
	ck_assert_int_eq(X509_get_pathlen(ca), 0);
	ck_assert_int_eq(X509_verify(ca, X509_get0_pubkey(ca)), 1);
	X509_free(ca);
	/* a second time would orphan everything that was issued */
	ck_assert_int_eq(ocu_pki_make_ca(dir, TD, NULL), OCU_E_EXISTS);
}
END_TEST

START_TEST(trust_domains)
{
	static const char *const bad[] = {"", "a b", "A.example", "a/b", "a:b", "ex ample", "\xc3\xa4"};
	char *sub = in_dir("x");

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(ocu_pki_make_ca(sub, bad[i], NULL) == OCU_E_INVALID, "%s", bad[i]);
	free(sub);
}
END_TEST

START_TEST(an_issued_certificate)
{
	const char *const dns[] = {"localhost", "files.example.org", NULL};
	const char *const ips[] = {"127.0.0.1", "::1", NULL};
	const struct ocu_pki_cert c = {
	    .component = OCU_COMP_BROKERD, .instance = "b1", .dns = dns, .ips = ips, .days = 30};
	ck_assert_int_eq(issue(&c), 0);
	X509 *ca = read_cert("ca.pem"), *x = read_cert("brokerd/cert.pem");
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	int uris = 0;

	ck_assert_int_eq(X509_verify(x, X509_get0_pubkey(ca)), 1);
	ck_assert_int_eq(X509_check_ca(x), 0);
	ck_assert_uint_eq(X509_get_key_usage(x), KU_DIGITAL_SIGNATURE);
	ck_assert_uint_eq(X509_get_extended_key_usage(x), XKU_SSL_SERVER | XKU_SSL_CLIENT);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		if (g->type != GEN_URI)
			continue;
		uris++;
		ck_assert_str_eq((const char *)ASN1_STRING_get0_data(g->d.uniformResourceIdentifier),
		                 "spiffe://" TD "/ocu/brokerd/b1");
	}
	ck_assert_int_eq(uris, 1);
	ck_assert_int_eq(sk_GENERAL_NAME_num(names), 5);
	ck_assert_int_eq(X509_check_host(x, "localhost", 0, 0, NULL), 1);
	ck_assert_int_eq(X509_check_host(x, "other", 0, 0, NULL), 0);
	ck_assert_int_eq(X509_check_ip_asc(x, "127.0.0.1", 0), 1);
	ck_assert_int_eq(X509_check_ip_asc(x, "::1", 0), 1);
	int days = 0, secs = 0;
	ASN1_TIME_diff(&days, &secs, NULL, X509_get0_notAfter(x));
	ck_assert_int_ge(days, 29);
	ck_assert_int_le(days, 30);
	ck_assert_uint_eq(mode_of("brokerd"), 0700);
	ck_assert_uint_eq(mode_of("brokerd/key.pem"), 0600);
	ck_assert_uint_eq(mode_of("brokerd/token.key"), 0600);
	GENERAL_NAMES_free(names);
	X509_free(ca);
	X509_free(x);
}
END_TEST

START_TEST(too_many_names)
{
	const char *dns[322] = {NULL};
	const struct ocu_pki_cert c = {.component = OCU_COMP_GATEWAY, .dns = dns};
	struct ocu_error err = {0};

	for (size_t i = 0; i < 321; i++)
		dns[i] = "a";
	ck_assert_int_eq(ocu_pki_issue(dir, TD, &c, &err), OCU_E_INVALID);
	ck_assert_str_eq(err.text, "a certificate has 320 names at most");
	dns[320] = NULL;
	ck_assert_int_eq(issue(&c), 0);
}
END_TEST

START_TEST(names_that_are_not_names)
{
	static const char *const bad_dns[] = {"", "a b", "a,URI:spiffe://x", "a\nb", "a\"b"};
	static const char *const bad_ip[] = {"", "localhost", "127.0.0", "1.2.3.4,DNS:x", "::zz"};

	for (size_t i = 0; i < 5; i++) {
		const char *const one[] = {bad_dns[i], NULL}, *const ip[] = {bad_ip[i], NULL};
		const struct ocu_pki_cert c = {.component = OCU_COMP_GATEWAY, .dns = one};
		const struct ocu_pki_cert d = {.component = OCU_COMP_GATEWAY, .ips = ip};
		ck_assert_msg(issue(&c) == OCU_E_INVALID, "%s", bad_dns[i]);
		ck_assert_msg(issue(&d) == OCU_E_INVALID, "%s", bad_ip[i]);
	}
	const struct ocu_pki_cert inst = {.component = OCU_COMP_GATEWAY, .instance = "a/b"};
	ck_assert_int_ne(issue(&inst), 0);
	const struct ocu_pki_cert ever = {.component = OCU_COMP_GATEWAY, .days = 5000};
	ck_assert_int_eq(issue(&ever), OCU_E_INVALID);
	/* and nothing of the failed attempts is left in the way */
	ck_assert_int_eq(issue(&gateway), 0);
}
END_TEST

START_TEST(nothing_is_overwritten)
{
	X509 *before, *after;

	ck_assert_int_eq(issue(&gateway), 0);
	before = read_cert("gateway/cert.pem");
	ck_assert_int_eq(issue(&gateway), OCU_E_EXISTS);
	after = read_cert("gateway/cert.pem");
	ck_assert_int_eq(X509_cmp(before, after), 0);
	X509_free(before);
	X509_free(after);
	char *key = in_dir("egressd/token.key"), *sub = in_dir("egressd");
	mkdir(sub, 0700);
	ck_assert_int_eq(ocu_keyfile_create(key, "x", 1, 0600, NULL), 0);
	const struct ocu_pki_cert c = {.component = OCU_COMP_EGRESSD};
	ck_assert_int_eq(issue(&c), OCU_E_EXISTS);
	free(key);
	free(sub);
}
END_TEST

START_TEST(another_folder_for_another_instance)
{
	char *target = in_dir("node2");
	const struct ocu_pki_cert c = {.component = OCU_COMP_SANDBOXD, .instance = "node2", .dir = target};

	ck_assert_int_eq(issue(&c), 0);
	ck_assert_uint_eq(mode_of("node2/cert.pem"), 0644);
	free(target);
}
END_TEST

START_TEST(a_daemon_loads_who_it_is)
{
	struct ocu_identity *id = NULL, *other = NULL;
	struct ocu_error err = {0};
	const struct ocu_pki_cert auditd = {.component = OCU_COMP_AUDITD};
	unsigned char sig[64];

	ck_assert_int_eq(issue(&gateway), 0);
	ck_assert_int_eq(issue(&auditd), 0);
	ck_assert_msg(ocu_identity_load(&id, dir, TD, OCU_COMP_GATEWAY, &err) == 0, "%s", err.text);
	ck_assert_msg(ocu_identity_load(&other, dir, TD, OCU_COMP_AUDITD, &err) == 0, "%s", err.text);
	ck_assert_str_eq(id->self.spiffe, "spiffe://" TD "/ocu/gateway");
	ck_assert_int_eq(id->self.component, OCU_COMP_GATEWAY);
	ck_assert_str_eq(id->trust_domain, TD);
	ck_assert_ptr_nonnull(strstr(id->cert_pem, "BEGIN CERTIFICATE"));
	ck_assert_ptr_nonnull(strstr(id->key_pem, "BEGIN PRIVATE KEY"));
	/* each knows every daemon's token key, and that it is that daemon's */
	ck_assert_int_eq(ocu_signer_sign(other->token_signer, "x", 1, sig, NULL), 0);
	ck_assert_int_eq(ocu_jwks_verify_raw(id->internal_keys, ocu_signer_kid(other->token_signer), "x", 1,
	                                     sig, 64, NULL),
	                 0);
	char *path = in_dir("internal-jwks.json");
	json_t *set = json_load_file(path, 0, NULL);
	ck_assert_uint_eq(json_array_size(json_object_get(set, "keys")), 2);
	for (size_t i = 0; i < 2; i++) {
		const json_t *k = json_array_get(json_object_get(set, "keys"), i);
		ck_assert_str_eq(ocu_json_str(k, "sub", ""),
		                 i ? "spiffe://" TD "/ocu/auditd" : "spiffe://" TD "/ocu/gateway");
		ck_assert_ptr_null(json_object_get(k, "d"));
	}
	json_decref(set);
	free(path);
	ocu_identity_free(id);
	ocu_identity_free(other);
	ocu_identity_free(NULL);
}
END_TEST

/* Everything is an operator's mistake, found at start. */
static void spoil(const char *name, const char *with)
{
	char *path = in_dir(name);
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(with, f);
	fclose(f);
	free(path);
}

static void copy(const char *from, const char *to, mode_t mode)
{
	char *a = in_dir(from), *b = in_dir(to), *data = NULL;
	size_t n = 0;

	ck_assert_int_eq(ocu_keyfile_read(a, 65536, false, &data, &n, NULL), 0);
	ck_assert_int_eq(ocu_keyfile_replace(b, data, n, mode, NULL), 0);
	free(data);
	free(a);
	free(b);
}

START_TEST(identities_that_are_refused)
{
	const struct ocu_pki_cert auditd = {.component = OCU_COMP_AUDITD};
	struct ocu_error err = {0};

	ck_assert_int_eq(load(TD, OCU_COMP_GATEWAY, &err), OCU_E_CONFIG);
	ck_assert_int_eq(err.code, OCU_E_CONFIG);
	ck_assert_int_eq(issue(&gateway), 0);
	ck_assert_int_eq(issue(&auditd), 0);
	ck_assert_int_eq(load(TD, OCU_COMP_GATEWAY, NULL), 0);
	ck_assert_int_eq(load("other.domain", OCU_COMP_GATEWAY, NULL), OCU_E_CONFIG);
	/* somebody else's certificate, with its key */
	copy("gateway/cert.pem", "cert.bak", 0644);
	copy("gateway/key.pem", "key.bak", 0600);
	copy("auditd/cert.pem", "gateway/cert.pem", 0644);
	ck_assert_int_eq(load(TD, OCU_COMP_GATEWAY, &err), OCU_E_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.text, "is not the key of"));
	copy("auditd/key.pem", "gateway/key.pem", 0600);
	ck_assert_int_eq(load(TD, OCU_COMP_GATEWAY, &err), OCU_E_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.text, "certificate of auditd"));
	copy("cert.bak", "gateway/cert.pem", 0644);
	copy("key.bak", "gateway/key.pem", 0644);
	ck_assert_int_eq(load(TD, OCU_COMP_GATEWAY, &err), OCU_E_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.text, "accessible by group or others"));
	copy("key.bak", "gateway/key.pem", 0600);
	ck_assert_int_eq(load(TD, OCU_COMP_GATEWAY, NULL), 0);
	/* a token key nobody knows */
	copy("internal-jwks.json", "jwks.bak", 0644);
	spoil("internal-jwks.json", "{\"keys\":[]}");
	ck_assert_int_eq(load(TD, OCU_COMP_GATEWAY, NULL), OCU_E_CONFIG);
	copy("jwks.bak", "internal-jwks.json", 0644);
	ck_assert_int_eq(load(TD, OCU_COMP_GATEWAY, NULL), 0);
	static const char *const files[] = {"ca.pem", "gateway/cert.pem", "gateway/key.pem",
	                                    "gateway/token.key"};
	for (size_t i = 0; i < 4; i++) {
		copy(files[i], "bak", 0600);
		spoil(files[i], "-----BEGIN NONSENSE-----\n");
		ck_assert_msg(load(TD, OCU_COMP_GATEWAY, NULL) == OCU_E_CONFIG, "%s", files[i]);
		copy("bak", files[i], 0600);
	}
	ck_assert_int_eq(load(TD, OCU_COMP_GATEWAY, NULL), 0);
}
END_TEST

START_TEST(a_certificate_of_another_ca)
{
	char *mine = dir, *theirs = net_dir_new();

	ck_assert_int_eq(issue(&gateway), 0);
	dir = theirs;
	ck_assert_int_eq(ocu_pki_make_ca(dir, TD, NULL), 0);
	ck_assert_int_eq(issue(&gateway), 0);
	char *from = in_dir("ca.pem");
	dir = mine;
	char *to = in_dir("ca.pem"), *data = NULL;
	size_t n;
	ck_assert_int_eq(ocu_keyfile_read(from, 65536, false, &data, &n, NULL), 0);
	ck_assert_int_eq(ocu_keyfile_replace(to, data, n, 0644, NULL), 0);
	struct ocu_error err = {0};
	ck_assert_int_eq(load(TD, OCU_COMP_GATEWAY, &err), OCU_E_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.text, "does not verify"));
	/* and such a CA does not issue here either: its key is not ca.key */
	ck_assert_int_ne(issue(&(struct ocu_pki_cert){.component = OCU_COMP_AUDITD}), 0);
	free(data);
	free(from);
	free(to);
	net_dir_free(theirs);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libocu_pki");
	TCase *c = tcase_create("pki");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, the_ca);
	tcase_add_test(c, trust_domains);
	tcase_add_test(c, an_issued_certificate);
	tcase_add_test(c, names_that_are_not_names);
	tcase_add_test(c, too_many_names);
	tcase_add_test(c, nothing_is_overwritten);
	tcase_add_test(c, another_folder_for_another_instance);
	tcase_add_test(c, a_daemon_loads_who_it_is);
	tcase_add_test(c, identities_that_are_refused);
	tcase_add_test(c, a_certificate_of_another_ca);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
