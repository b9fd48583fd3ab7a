/* jwks, signer, b64url, keyfile: key sets that are refused, published vectors, keys on disk.
 *
 * shows: NFR-SEC-10, NFR-SEC-11 (in part), NFR-SEC-23
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/jwt.h"
#include "libocu/keyfile.h"

#define ED_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define EC_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define EC_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"

static char dir[64];

static void setup(void)
{
	snprintf(dir, sizeof dir, "/tmp/ocu-jwks-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
	char cmd[128];
	static const char *const names[] = {"k", "k.new", "set.json", "link"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(cmd, sizeof cmd, "%s/%s", dir, names[i]);
		unlink(cmd);
	}
	rmdir(dir);
}

static char *in_dir(const char *name)
{
	char *p = NULL;

	ck_assert_int_gt(asprintf(&p, "%s/%s", dir, name), 0);
	return p;
}

static int load_set(const char *json, struct ocu_jwks **ret)
{
	json_t *j = json_loads(json, 0, NULL);
	struct ocu_jwks *k = NULL;
	int rc;

	ck_assert_msg(j != NULL, "%s", json);
	rc = ocu_jwks_new(&k, j, NULL);
	json_decref(j);
	if (ret)
		*ret = k;
	else
		ocu_jwks_free(k);
	return rc;
}

static int verify_jws(const struct ocu_jwks *k, const char *kid, const char *jws)
{
	const char *dot = strrchr(jws, '.');
	unsigned char sig[512];
	long n = ocu_b64url_decode(dot + 1, strlen(dot + 1), sig, sizeof sig);

	ck_assert_int_gt(n, 0);
	return ocu_jwks_verify_raw(k, kid, jws, (size_t)(dot - jws), sig, (size_t)n, NULL);
}

/* RFC 8037 appendix A.4 and RFC 7515 appendix A.3. */
START_TEST(published_vectors)
{
	struct ocu_jwks *k = NULL;
	char *set = NULL;

	ck_assert_int_gt(
	    asprintf(&set,
	             "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\",\"kid\":\"ed\"},"
	             "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\",\"kid\":\"ec\"}]}",
	             ED_X, EC_X, EC_Y),
	    0);
	ck_assert_int_eq(load_set(set, &k), 0);
	static const char ed[] =
	    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-"
	    "09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
	static const char ec[] =
	    "eyJhbGciOiJFUzI1NiJ9."
	    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290"
	    "Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-"
	    "Kg6NU1Q";
	ck_assert_int_eq(verify_jws(k, "ed", ed), 0);
	ck_assert_int_eq(verify_jws(k, "ec", ec), 0);
	ck_assert_int_eq(verify_jws(k, "ec", ed), OCU_E_TOKEN_SIGNATURE);
	ck_assert_int_eq(verify_jws(k, "ed", ec), OCU_E_TOKEN_SIGNATURE);
	ck_assert_int_eq(verify_jws(k, "no", ed), OCU_E_TOKEN_KEY);
	ocu_jwks_free(k);
	free(set);
}
END_TEST

START_TEST(key_sets_that_are_refused)
{
#define ED(extra) "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "\"" extra "}"
#define SET(k)    "{\"keys\":[" k "]}"
	static const struct {
		const char *set;
		int want;
	} t[] = {
	    {SET(""), 0},
	    {SET(ED(",\"kid\":\"a\"")), 0},
	    {"{}", OCU_E_CONFIG},
	    {"[]", OCU_E_CONFIG},
	    {"{\"keys\":{}}", OCU_E_CONFIG},
	    {SET("1"), OCU_E_CONFIG},
	    {SET(ED("")), OCU_E_CONFIG},
	    {SET(ED(",\"kid\":\"\"")), OCU_E_CONFIG},
	    {SET(ED(",\"kid\":1")), OCU_E_CONFIG},
	    {SET(ED(",\"kid\":\"a\"") "," ED(",\"kid\":\"a\"")), OCU_E_CONFIG},
	    {SET(ED(",\"kid\":\"a\"") "," ED(",\"kid\":\"b\"")), 0},
	    /* a private half, or a secret, in a file that is public */
	    {SET(ED(",\"kid\":\"a\",\"d\":\"AAAA\"")), OCU_E_CONFIG},
	    {SET("{\"kty\":\"oct\",\"k\":\"AAAA\",\"kid\":\"a\"}"), OCU_E_CONFIG},
	    {SET(ED(",\"kid\":\"a\",\"sub\":\"\"")), OCU_E_CONFIG},
	    {SET(ED(",\"kid\":\"a\",\"sub\":5")), OCU_E_CONFIG},
	    {SET("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\",\"kid\":\"a\"}"), OCU_E_CONFIG},
	    {SET("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\"}"), OCU_E_CONFIG},
	    /* not on the curve */
	    {SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_X "\",\"kid\":\"a\"}"),
	     OCU_E_CONFIG},
	    {SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"kid\":\"a\"}"), OCU_E_CONFIG},
	    {SET("{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\",\"kid\":\"a\"}"), OCU_E_CONFIG},
	    /* somebody else's business: left out, not refused */
	    {SET("{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AAAA\",\"kid\":\"a\"}"), 0},
	    {SET("{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"AAAA\",\"y\":\"AAAA\",\"kid\":\"a\"}"), 0},
	    {SET(ED(",\"use\":\"enc\"")), 0},
	    {SET("{\"kty\":\"RSA\",\"alg\":\"RSA-OAEP\",\"n\":\"AQAB\",\"e\":\"AQAB\"}"), 0},
	};
	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		ck_assert_msg(load_set(t[i].set, NULL) == t[i].want, "row %zu", i);
}
END_TEST

static void rsa_set(unsigned bits, unsigned long exponent, char *out, size_t size)
{
	EVP_PKEY *pkey = EVP_RSA_gen(bits);
	unsigned char raw[1024];
	char n64[2048], e64[32];
	BIGNUM *n = NULL, *e = BN_new();
	int len;

	ck_assert_int_eq(EVP_PKEY_get_bn_param(pkey, "n", &n), 1);
	len = BN_bn2bin(n, raw);
	ocu_b64url_encode(raw, (size_t)len, n64);
	BN_set_word(e, exponent);
	len = BN_bn2bin(e, raw);
	ocu_b64url_encode(raw, (size_t)len, e64);
	snprintf(out, size, "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"%s\",\"e\":\"%s\"}]}", n64,
	         e64);
	BN_free(n);
	BN_free(e);
	EVP_PKEY_free(pkey);
}

START_TEST(weak_rsa_keys)
{
	char set[4096];

	rsa_set(2048, 65537, set, sizeof set);
	ck_assert_int_eq(load_set(set, NULL), 0);
	rsa_set(1024, 65537, set, sizeof set);
	ck_assert_int_eq(load_set(set, NULL), OCU_E_CONFIG);
	rsa_set(2048, 1, set, sizeof set);
	ck_assert_int_eq(load_set(set, NULL), OCU_E_CONFIG);
	rsa_set(2048, 65536, set, sizeof set);
	ck_assert_int_eq(load_set(set, NULL), OCU_E_CONFIG);
}
END_TEST

START_TEST(too_many_keys)
{
	json_t *list = json_array(), *set = json_pack("{s:o}", "keys", list);
	struct ocu_jwks *k = NULL;

	for (int i = 0; i < 257; i++)
		json_array_append_new(list, json_object());
	ck_assert_int_eq(ocu_jwks_new(&k, set, NULL), OCU_E_TOO_LARGE);
	json_decref(set);
}
END_TEST

START_TEST(files_of_key_sets)
{
	char *path = in_dir("set.json");
	struct ocu_error err = {0};
	struct ocu_jwks *k = NULL;

	ck_assert_int_ne(ocu_jwks_load(&k, path, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.text, path));
	ck_assert_int_eq(ocu_keyfile_create(path, "{\"keys\":[]}", 11, 0644, NULL), 0);
	ck_assert_int_eq(ocu_jwks_load(&k, path, NULL), 0);
	ocu_jwks_free(k);
	ck_assert_int_eq(ocu_keyfile_replace(path, "{\"keys\":", 8, 0644, NULL), 0);
	ck_assert_int_ne(ocu_jwks_load(&k, path, NULL), 0);
	free(path);
}
END_TEST

START_TEST(a_signer_survives_the_disk)
{
	struct ocu_signer *a = NULL, *b = NULL;
	unsigned char s1[64], s2[64];
	char *path = in_dir("k");
	struct stat st;

	ck_assert_int_eq(ocu_signer_generate(&a, NULL), 0);
	umask(0);
	ck_assert_int_eq(ocu_signer_save(a, path, NULL), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(ocu_signer_save(a, path, NULL), OCU_E_EXISTS);
	ck_assert_int_eq(ocu_signer_load(&b, path, NULL), 0);
	ck_assert_str_eq(ocu_signer_kid(a), ocu_signer_kid(b));
	ck_assert_int_eq(ocu_signer_sign(a, "x", 1, s1, NULL), 0);
	ck_assert_int_eq(ocu_signer_sign(b, "x", 1, s2, NULL), 0);
	ck_assert_mem_eq(s1, s2, 64);
	ocu_signer_free(b);
	b = NULL;
	static const mode_t loose[] = {0640, 0604, 0620, 0601};
	for (size_t i = 0; i < 4; i++) {
		chmod(path, loose[i]);
		ck_assert_int_eq(ocu_signer_load(&b, path, NULL), OCU_E_CONFIG);
		ck_assert_ptr_null(b);
	}
	ocu_signer_free(a);
	ocu_signer_free(NULL);
	free(path);
}
END_TEST

/* RFC 8037 appendix A.3. The signer's kid is made the same way, so a set with it is found under it. */
START_TEST(kid_is_the_thumbprint)
{
	struct ocu_signer *s = NULL;
	unsigned char digest[32];
	char text[128], kid[64];

	ocu_signer_generate(&s, NULL);
	json_t *jwk = ocu_signer_jwk(s);
	ck_assert_ptr_null(json_object_get(jwk, "d"));
	ck_assert_str_eq(ocu_json_str(jwk, "kid", ""), ocu_signer_kid(s));
	snprintf(text, sizeof text, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\"}",
	         ocu_json_str(jwk, "x", ""));
	ck_assert_int_eq(EVP_Digest(text, strlen(text), digest, NULL, EVP_sha256(), NULL), 1);
	ocu_b64url_encode(digest, 32, kid);
	ck_assert_str_eq(kid, ocu_signer_kid(s));
	snprintf(text, sizeof text, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\"}", ED_X);
	EVP_Digest(text, strlen(text), digest, NULL, EVP_sha256(), NULL);
	ocu_b64url_encode(digest, 32, kid);
	ck_assert_str_eq(kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
	json_decref(jwk);
	ocu_signer_free(s);
}
END_TEST

START_TEST(files_that_are_no_signing_key)
{
	static const char *const bad[] = {
	    "", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "{}"};
	struct ocu_signer *s = NULL;
	char *path = in_dir("k");

	ck_assert_int_eq(ocu_signer_load(&s, path, NULL), OCU_E_NOT_FOUND);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		ck_assert_int_eq(ocu_keyfile_create(path, bad[i], strlen(bad[i]), 0600, NULL), 0);
		ck_assert_int_eq(ocu_signer_load(&s, path, NULL), OCU_E_CONFIG);
		unlink(path);
	}
	/* another kind of key; and one that is encrypted must not lead to a prompt */
	EVP_PKEY *ec = EVP_EC_gen("P-256"), *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	for (int i = 0; i < 2; i++) {
		FILE *f = fopen(path, "w");
		fchmod(fileno(f), 0600);
		if (i == 0)
			PEM_write_PKCS8PrivateKey(f, ec, NULL, NULL, 0, NULL, NULL);
		else
			PEM_write_PKCS8PrivateKey(f, ed, EVP_aes_128_cbc(), "secret", 6, NULL, NULL);
		fclose(f);
		ck_assert_int_eq(ocu_signer_load(&s, path, NULL), OCU_E_CONFIG);
	}
	EVP_PKEY_free(ec);
	EVP_PKEY_free(ed);
	ck_assert_ptr_null(s);
	free(path);
}
END_TEST

/* What a process of user and group 4242 makes of root's file, or of another's, with this mode: in a child,
 * because the way back is closed. */
static int read_as_4242(const char *path, uid_t owner, gid_t group, mode_t mode)
{
	char *data = NULL;
	size_t len = 0;
	int status = 0;

	ck_assert_int_eq(chown(path, owner, group), 0);
	ck_assert_int_eq(chmod(path, mode), 0);
	pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		if (setgroups(0, NULL) < 0 || setresgid(4242, 4242, 4242) < 0 ||
		    setresuid(4242, 4242, 4242) < 0)
			_exit(99);
		_exit(-ocu_keyfile_read(path, 10, true, &data, &len, NULL));
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

/* An orchestrator gives a process its secrets as root's files, readable by the process's group. */
START_TEST(keyfiles_of_an_orchestrator)
{
	char *path = in_dir("secret");

	if (geteuid() != 0)
		return;
	ck_assert_int_eq(chmod(dir, 0755), 0);
	ck_assert_int_eq(ocu_keyfile_create(path, "one", 3, 0600, NULL), 0);
	ck_assert_int_eq(read_as_4242(path, 0, 4242, 0440), 0);
	ck_assert_int_eq(read_as_4242(path, 0, 4242, 0640), 0);
	ck_assert_int_eq(read_as_4242(path, 0, 4242, 0444), OCU_E_CONFIG);
	ck_assert_int_eq(read_as_4242(path, 0, 4242, 0460), OCU_E_CONFIG);
	ck_assert_int_eq(read_as_4242(path, 4242, 4242, 0440), OCU_E_CONFIG);
	ck_assert_int_eq(read_as_4242(path, 4243, 4242, 0440), OCU_E_CONFIG);
	ck_assert_int_eq(read_as_4242(path, 0, 4243, 0444), OCU_E_CONFIG);
	free(path);
}
END_TEST

START_TEST(keyfiles)
{
	char *path = in_dir("k"), *link_path = in_dir("link"), *data = NULL;
	size_t len = 0;
	struct stat st;

	ck_assert_int_eq(ocu_keyfile_create(path, "one", 3, 0600, NULL), 0);
	ck_assert_int_eq(ocu_keyfile_create(path, "two", 3, 0600, NULL), OCU_E_EXISTS);
	ck_assert_int_eq(ocu_keyfile_read(path, 3, true, &data, &len, NULL), 0);
	ck_assert_uint_eq(len, 3);
	ck_assert_str_eq(data, "one");
	ocu_keyfile_free(data, len);
	data = NULL;
	ck_assert_int_eq(ocu_keyfile_read(path, 2, true, &data, &len, NULL), OCU_E_TOO_LARGE);
	ck_assert_int_eq(ocu_keyfile_read(dir, 10, false, &data, &len, NULL), OCU_E_CONFIG);
	ck_assert_ptr_null(data);
	ck_assert_int_eq(ocu_keyfile_replace(path, "three", 5, 0644, NULL), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0644);
	ck_assert_int_eq(ocu_keyfile_read(path, 10, true, &data, &len, NULL), OCU_E_CONFIG);
	ck_assert_int_eq(ocu_keyfile_read(path, 10, false, &data, &len, NULL), 0);
	ck_assert_str_eq(data, "three");
	ocu_keyfile_free(data, len);
	/* nothing is written through a link that was put there before */
	ck_assert_int_eq(symlink(path, link_path), 0);
	ck_assert_int_eq(ocu_keyfile_create(link_path, "x", 1, 0600, NULL), OCU_E_EXISTS);
	char *deeper = in_dir("none/k");
	ck_assert_int_eq(ocu_keyfile_create(deeper, "x", 1, 0600, NULL), OCU_E_IO);
	ocu_keyfile_free(NULL, 0);
	free(path);
	free(link_path);
	free(deeper);
}
END_TEST

START_TEST(b64url)
{
	static const char *const bad[] = {"A",   "AAAAA", "AA==", "A+",       "A/", "AB",
	                                  "AAB", "AA A",  "A\n",  "\xc3\xa4", "=A"};
	unsigned char in[64], out[64];
	char text[128];

	for (size_t i = 0; i < sizeof in; i++)
		in[i] = (unsigned char)(i * 37 + 11);
	for (size_t n = 0; n <= sizeof in; n++) {
		size_t len = ocu_b64url_encode(in, n, text);
		ck_assert_uint_eq(len, strlen(text));
		ck_assert_ptr_null(strpbrk(text, "+/="));
		ck_assert_int_eq(ocu_b64url_decode(text, len, out, sizeof out), (long)n);
		ck_assert_mem_eq(in, out, n);
		if (n)
			ck_assert_int_eq(ocu_b64url_decode(text, len, out, n - 1), -1);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(ocu_b64url_decode(bad[i], strlen(bad[i]), out, sizeof out) == -1, "%s", bad[i]);
	ck_assert_int_eq(ocu_b64url_decode("AA", 2, out, sizeof out), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libocu_jwks");
	TCase *c = tcase_create("jwks");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, published_vectors);
	tcase_add_test(c, key_sets_that_are_refused);
	tcase_add_test(c, weak_rsa_keys);
	tcase_add_test(c, too_many_keys);
	tcase_add_test(c, files_of_key_sets);
	tcase_add_test(c, a_signer_survives_the_disk);
	tcase_add_test(c, kid_is_the_thumbprint);
	tcase_add_test(c, files_that_are_no_signing_key);
	tcase_add_test(c, keyfiles);
	tcase_add_test(c, keyfiles_of_an_orchestrator);
	tcase_add_test(c, b64url);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
