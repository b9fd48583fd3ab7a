/* init: a whole deployment, once; and again without touching anything. */
#include <check.h>
#include <ftw.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libocu/buf.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/jwt.h"
#include "libocu/pki.h"
#include "operatord/occ/command.h"

static char dir[64], etc[128], state[128];
static struct args a;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void setup(void)
{
	snprintf(dir, sizeof dir, "/tmp/ocu-init-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(etc, sizeof etc, "%s/a/etc", dir);
	snprintf(state, sizeof state, "%s/state", dir);
	a = (struct args){.deployment = "/nowhere",
	                  .dir = etc,
	                  .state = state,
	                  .run = "/run/ocu-test",
	                  .trust_domain = "test.ocu",
	                  .caller = "alice",
	                  .no_chown = true};
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stdout));
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
}

static void teardown(void)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *in_etc(const char *name)
{
	static char path[256];

	snprintf(path, sizeof path, "%s/%s", etc, name);
	return path;
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	ck_assert_msg(lstat(in_etc(name), &st) == 0, "%s is missing", name);
	return st.st_mode & 0777;
}

/* shows: NFR-SEC-26, NFR-SEC-19 */
START_TEST(it_makes_what_the_daemons_load)
{
	static const char *const secret[] = {"pki/ca.key",
	                                     "pki/operatord/session.key",
	                                     "pki/operatord/caller.key",
	                                     "pki/auditd/envelope.key",
	                                     "pki/operator/operator.key",
	                                     "pki/gateway/mcp-session.key",
	                                     "pki/sandboxd/key.pem",
	                                     "pki/brokerd/token.key",
	                                     "pki/operatord/issued-tokens.json",
	                                     "caller.token"};
	static const char *const open_to_all[] = {"pki/ca.pem",
	                                          "pki/internal-jwks.json",
	                                          "pki/caller-jwks.json",
	                                          "pki/session-jwks.json",
	                                          "pki/operator-jwks.json",
	                                          "pki/envelope-jwks.json",
	                                          "gateway.yaml",
	                                          "operatord.yaml",
	                                          "brokerd.yaml",
	                                          "sandboxd.yaml",
	                                          "egressd.yaml",
	                                          "auditd.yaml",
	                                          "occ.yaml"};
	struct ocu_error err = {0};

	ck_assert_int_eq(run_init(&a), OCC_OK);
	for (size_t i = 0; i < sizeof secret / sizeof *secret; i++)
		ck_assert_msg(mode_of(secret[i]) == 0600, "%s", secret[i]);
	for (size_t i = 0; i < sizeof open_to_all / sizeof *open_to_all; i++)
		ck_assert_msg(mode_of(open_to_all[i]) == 0644, "%s", open_to_all[i]);
	ck_assert_int_eq(mode_of("pki/gateway"), 0700);
	ck_assert_int_eq(mode_of("pki/operator"), 0700);
	ck_assert_int_eq(mode_of("pki"), 0755);
	for (int c = OCU_COMP_NONE + 1; c < OCU_COMP_COUNT; c++) {
		struct ocu_identity *id = NULL;
		ck_assert_msg(
		    ocu_identity_load(&id, in_etc("pki"), "test.ocu", (enum ocu_component)c, &err) == 0, "%s",
		    err.text);
		ocu_identity_free(id);
	}
}
END_TEST

static bool has_name(const char *cert, const char *name)
{
	FILE *f = fopen(in_etc(cert), "r");
	X509 *x = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
	bool has = x && X509_check_host(x, name, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;

	ck_assert_ptr_nonnull(x);
	X509_free(x);
	fclose(f);
	return has;
}

/* A name of one daemon is not to be had with the certificate of another. */
START_TEST(names_are_for_all_or_for_one)
{
	a.dns =
	    (struct list){.item = {"box.example", "operatord=op.example", "operator=nobody.example"}, .n = 3};
	ck_assert_int_eq(run_init(&a), OCC_OK);
	ck_assert(has_name("pki/operatord/cert.pem", "op.example"));
	ck_assert(has_name("pki/operatord/cert.pem", "box.example"));
	ck_assert(has_name("pki/gateway/cert.pem", "box.example"));
	ck_assert(has_name("pki/gateway/cert.pem", "ocu-gateway"));
	ck_assert(!has_name("pki/gateway/cert.pem", "op.example"));
	ck_assert(!has_name("pki/operatord/cert.pem", "nobody.example"));
}
END_TEST

/* As many as a list holds, as long as names get: the daemon still loads its certificate. */
START_TEST(a_certificate_has_room_for_the_names_of_every_node)
{
	static char name[LIST_MAX][100];
	struct ocu_identity *id = NULL;
	struct ocu_error err = {0};

	for (size_t i = 0; i < LIST_MAX; i++) {
		snprintf(name[i], sizeof name[i], "brokerd=ocu-brokerd-node%03zu-%031d.%032d.svc", i, 0, 0);
		a.dns.item[a.dns.n++] = name[i];
	}
	ck_assert_int_eq(run_init(&a), OCC_OK);
	ck_assert(has_name("pki/brokerd/cert.pem", strchr(name[0], '=') + 1));
	ck_assert(has_name("pki/brokerd/cert.pem", strchr(name[LIST_MAX - 1], '=') + 1));
	ck_assert(!has_name("pki/operatord/cert.pem", strchr(name[0], '=') + 1));
	ck_assert_msg(ocu_identity_load(&id, in_etc("pki"), "test.ocu", OCU_COMP_BROKERD, &err) == 0, "%s",
	              err.text);
	ocu_identity_free(id);
}
END_TEST

START_TEST(the_first_token_is_a_good_one)
{
	const struct ocu_jwt_expect gateway = {.issuer = "ocu:test.ocu", .audience = "ocu-gateway"};
	const struct ocu_jwt_expect files = {.issuer = "ocu:test.ocu", .audience = "ocu-files"};
	OCU_BUF struct ocu_buf token = OCU_BUF_INIT(8192);
	OCU_JSON json_t *claims = NULL;
	OCU_JSON json_t *again = NULL;
	OCU_JSON json_t *records = NULL;
	struct ocu_jwks *keys = NULL;
	struct ocu_error err = {0};

	ck_assert_int_eq(run_init(&a), OCC_OK);
	ck_assert_int_eq(ocu_buf_load_file(&token, in_etc("caller.token"), &err), 0);
	ck_assert_int_eq(ocu_jwks_load(&keys, in_etc("pki/caller-jwks.json"), &err), 0);
	ck_assert_msg(ocu_jwt_verify(keys, token.data, token.len - 1, &gateway, &claims, &err) == 0, "%s",
	              err.text);
	ck_assert_int_eq(ocu_jwt_verify(keys, token.data, token.len - 1, &files, &again, &err), 0);
	ck_assert_str_eq(ocu_json_str(claims, "sub", ""), "alice");
	ck_assert_int_eq(
	    ocu_json_load_file(in_etc("pki/operatord/issued-tokens.json"), 65536, &records, &err), 0);
	ck_assert_str_eq(ocu_json_str(json_array_get(records, 0), "jti", ""),
	                 ocu_json_str(claims, "jti", "x"));
	ocu_jwks_free(keys);
}
END_TEST

static char listing[65536];

static int note(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)type;
	(void)ftw;
	size_t at = strlen(listing);
	snprintf(listing + at, sizeof listing - at, "%s %ld %ld.%09ld %o\n", path, (long)st->st_size,
	         (long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, st->st_mode);
	return 0;
}

START_TEST(a_second_run_changes_nothing)
{
	static char before[sizeof listing];

	ck_assert_int_eq(run_init(&a), OCC_OK);
	listing[0] = '\0';
	nftw(etc, note, 16, FTW_PHYS);
	memcpy(before, listing, sizeof before);
	a.trust_domain = NULL; /* not even with other wishes */
	a.caller = "mallory";
	ck_assert_int_eq(run_init(&a), OCC_OK);
	listing[0] = '\0';
	nftw(etc, note, 16, FTW_PHYS);
	ck_assert_str_eq(before, listing);
}
END_TEST

START_TEST(an_interrupted_run_is_completed)
{
	ck_assert_int_eq(run_init(&a), OCC_OK);
	unlink(in_etc("pki/session-jwks.json"));
	unlink(in_etc("caller.token"));
	unlink(in_etc("egressd.yaml"));
	ck_assert_int_eq(run_init(&a), OCC_OK);
	ck_assert_int_eq(mode_of("pki/session-jwks.json"), 0644);
	ck_assert_int_eq(mode_of("caller.token"), 0600);
	ck_assert_int_eq(mode_of("egressd.yaml"), 0644);
}
END_TEST

static size_t keys_in(const char *jwks)
{
	OCU_JSON json_t *set = NULL;

	ck_assert_int_eq(ocu_json_load_file(in_etc(jwks), 65536, &set, NULL), 0);
	return json_array_size(json_object_get(set, "keys"));
}

/* shows: NFR-SEC-10 */
START_TEST(a_new_key_joins_the_old_ones)
{
	ck_assert_int_eq(run_init(&a), OCC_OK);
	ck_assert_uint_eq(keys_in("pki/session-jwks.json"), 1);
	unlink(in_etc("pki/operatord/session.key"));
	ck_assert_int_eq(run_init(&a), OCC_OK);
	ck_assert_uint_eq(keys_in("pki/session-jwks.json"), 2);
	ck_assert_uint_eq(keys_in("pki/caller-jwks.json"), 1);
}
END_TEST

START_TEST(uids_go_to_the_folders_and_the_configuration)
{
	OCU_BUF struct ocu_buf yaml = OCU_BUF_INIT(8192);
	struct ocu_error err = {0};
	struct stat st;

	if (geteuid() != 0) {
		a.no_chown = false;
		ck_assert_int_eq(run_init(&a), OCC_USAGE);
		return;
	}
	a.no_chown = false;
	a.uids = "101,102,103,104,105";
	ck_assert_int_eq(run_init(&a), OCC_OK);
	ck_assert_int_eq(stat(in_etc("pki/egressd/key.pem"), &st), 0);
	ck_assert_uint_eq(st.st_uid, 104);
	ck_assert_int_eq(stat(in_etc("pki/sandboxd/key.pem"), &st), 0);
	ck_assert_uint_eq(st.st_uid, 0);
	ck_assert_int_eq(stat(in_etc("pki/operator/operator.key"), &st), 0);
	ck_assert_uint_eq(st.st_uid, 0);
	ck_assert_int_eq(ocu_buf_load_file(&yaml, in_etc("sandboxd.yaml"), &err), 0);
	ck_assert_ptr_nonnull(strstr(yaml.data, "brokerd_uid: 103\negressd_uid: 104\n"));
	ck_assert_ptr_null(strstr(yaml.data, "run_as"));
}
END_TEST

static int count_in_split(const char *daemon, const char *what)
{
	char root[300];

	snprintf(root, sizeof root, "%s/each/%s", dir, daemon);
	listing[0] = '\0';
	nftw(root, note, 16, FTW_PHYS);
	int n = 0;
	for (const char *p = strstr(listing, what); p; p = strstr(p + 1, what))
		n++;
	return n;
}

START_TEST(split_gives_each_daemon_its_own_and_no_other)
{
	static char each[128];
	char path[256];
	struct stat st;

	snprintf(each, sizeof each, "%s/each", dir);
	a.split = each;
	if (geteuid() == 0)
		a.no_chown = false;
	ck_assert_int_eq(run_init(&a), OCC_OK);
	ck_assert_int_eq(count_in_split("brokerd", "/pki/brokerd/key.pem"), 1);
	ck_assert_int_eq(count_in_split("brokerd", "/pki/ca.pem"), 1);
	ck_assert_int_eq(count_in_split("brokerd", "/pki/internal-jwks.json"), 1);
	ck_assert_int_eq(count_in_split("brokerd", "ca.key"), 0);
	ck_assert_int_eq(count_in_split("brokerd", "operatord"), 0);
	ck_assert_int_eq(count_in_split("brokerd", "caller.token"), 0);
	ck_assert_int_eq(count_in_split("operatord", "operator.key"), 0);
	ck_assert_int_eq(count_in_split("operatord", "session.key"), 1);
	snprintf(path, sizeof path, "%s/each/brokerd/pki/brokerd/key.pem", dir);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_uint_eq(st.st_uid, geteuid() == 0 ? 58103 : geteuid());
	/* A key that was made anew follows. */
	unlink(in_etc("pki/operatord/session.key"));
	snprintf(path, sizeof path, "%s/each/gateway/pki/session-jwks.json", dir);
	ck_assert_int_eq(stat(path, &st), 0);
	off_t size = st.st_size;
	ck_assert_int_eq(run_init(&a), OCC_OK);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_gt(st.st_size, size);
}
END_TEST

START_TEST(bad_options_make_nothing)
{
	static const char *const uids[] = {"",          "1",   "1,2,3,4",    "1,2,3,4,5,6",       "1,2,3,4,x",
	                                   "0,1,2,3,4", "1 2", "-1,2,3,4,5", "1,2,3,4,4294967295"};
	struct args good = a;

	for (size_t i = 0; i < sizeof uids / sizeof *uids; i++) {
		a = good;
		a.no_chown = false;
		a.uids = uids[i];
		ck_assert_msg(run_init(&a) == OCC_USAGE, "%s", uids[i]);
	}
	a = good;
	a.ttl = "soon";
	ck_assert_int_eq(run_init(&a), OCC_USAGE);
	a = good;
	a.caller = "";
	ck_assert_int_eq(run_init(&a), OCC_USAGE);
	ck_assert_int_ne(access(etc, F_OK), 0);
	a = good;
	a.trust_domain = "not a domain";
	ck_assert_int_eq(run_init(&a), OCC_FAILED);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("occ_init");
	TCase *c = tcase_create("init");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, it_makes_what_the_daemons_load);
	tcase_add_test(c, names_are_for_all_or_for_one);
	tcase_add_test(c, a_certificate_has_room_for_the_names_of_every_node);
	tcase_add_test(c, the_first_token_is_a_good_one);
	tcase_add_test(c, a_second_run_changes_nothing);
	tcase_add_test(c, an_interrupted_run_is_completed);
	tcase_add_test(c, a_new_key_joins_the_old_ones);
	tcase_add_test(c, uids_go_to_the_folders_and_the_configuration);
	tcase_add_test(c, split_gives_each_daemon_its_own_and_no_other);
	tcase_add_test(c, bad_options_make_nothing);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
