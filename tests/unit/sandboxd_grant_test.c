/* Exec grants: whose, for what, how long, signed by whom.
 * shows: NFR-SEC-09, NFR-SEC-10, NFR-SEC-11 (in part), NFR-SEC-48 (in part) */
#include <check.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/id.h"
#include "libocu/jwt.h"
#include "sandboxd/grant.h"

static char dir[] = "/tmp/ocu-grant-test-XXXXXX";
static char keys_path[64];
static struct ocu_signer *signer, *other;
static struct grants *grants;
static char session[OCU_ID_MAX];

static void write_keys(struct ocu_signer *s)
{
	json_t *jwks = json_pack("{s:[o]}", "keys", ocu_signer_jwk(s));

	ck_assert_int_eq(json_dump_file(jwks, keys_path, 0), 0);
	json_decref(jwks);
}

static void setup(void)
{
	struct ocu_error err = {0};

	memcpy(dir + sizeof dir - 7, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(keys_path, sizeof keys_path, "%s/session-jwks.json", dir);
	ck_assert_int_eq(ocu_signer_generate(&signer, NULL), 0);
	ck_assert_int_eq(ocu_signer_generate(&other, NULL), 0);
	write_keys(signer);
	ck_assert_msg(grants_new(&grants, dir, "test.local", "node-1", &err) == 0, "%s", err.text);
	ocu_id_new(OCU_ID_SESSION, session);
}

static void teardown(void)
{
	grants_free(grants);
	ocu_signer_free(signer);
	ocu_signer_free(other);
	unlink(keys_path);
	rmdir(dir);
}

/* A good grant with one claim as given ("" removes it). */
static char *make(struct ocu_signer *by, const char *claim, json_t *value)
{
	json_int_t now = ocu_wall_s();
	json_t *c = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "iss", "ocu:test.local/operatord",
	                      "aud", "ocu-exec", "sub", "alice", "sid", session, "inst", "node-1", "jti",
	                      "tok_1", "iat", now, "exp", now + 60);
	char *token = NULL;

	if (claim && value)
		json_object_set_new(c, claim, value);
	else if (claim)
		json_object_del(c, claim);
	ck_assert_int_eq(ocu_jwt_sign(by, c, &token, NULL), 0);
	json_decref(c);
	return token;
}

static int check(struct ocu_signer *by, const char *claim, json_t *value)
{
	char *token = make(by, claim, value);
	struct grant g;
	int rc = grants_check(grants, token, &g, NULL);

	free(token);
	return rc;
}

START_TEST(a_good_grant_says_who_and_what)
{
	char *token = make(signer, NULL, NULL);
	struct grant g;

	for (int i = 0; i < 3; i++) {
		memset(&g, 0, sizeof g);
		ck_assert_int_eq(grants_check(grants, token, &g, NULL), 0);
		ck_assert_str_eq(g.session, session);
		ck_assert_str_eq(g.caller, "alice");
		ck_assert_str_eq(g.id, "tok_1");
	}
	free(token);
}
END_TEST

START_TEST(others_are_refused)
{
	json_int_t now = ocu_wall_s();
	struct grant g;

	ck_assert_int_eq(check(other, NULL, NULL), OCU_E_TOKEN_KEY);
	ck_assert_int_eq(check(signer, "aud", json_string("ocu-gateway")), OCU_E_TOKEN_AUDIENCE);
	ck_assert_int_eq(check(signer, "iss", json_string("ocu:test.local")), OCU_E_TOKEN_ISSUER);
	ck_assert_int_eq(check(signer, "inst", json_string("node-2")), OCU_E_TOKEN_AUDIENCE);
	ck_assert_int_eq(check(signer, "inst", json_string("")), OCU_E_TOKEN_AUDIENCE);
	ck_assert_int_eq(check(signer, "inst", NULL), OCU_E_TOKEN_AUDIENCE);
	ck_assert_int_eq(check(signer, "exp", json_integer(now - 1)), OCU_E_TOKEN_EXPIRED);
	ck_assert_int_lt(check(signer, "exp", json_integer(now + 360)), 0);
	ck_assert_int_eq(check(signer, "sid", json_string("ses_short")), OCU_E_TOKEN_CLAIM);
	ck_assert_int_eq(check(signer, "sid", json_string("")), OCU_E_TOKEN_CLAIM);
	ck_assert_int_eq(check(signer, "sid", NULL), OCU_E_TOKEN_CLAIM);
	ck_assert_int_eq(grants_check(grants, "", &g, NULL), OCU_E_UNAUTHENTICATED);
	ck_assert_int_eq(grants_check(grants, "a.b.c", &g, NULL), OCU_E_TOKEN_MALFORMED);
}
END_TEST

START_TEST(every_changed_byte_is_noticed)
{
	char *token = make(signer, NULL, NULL);
	size_t len = strlen(token);
	struct grant g;

	ck_assert_int_eq(grants_check(grants, token, &g, NULL), 0);
	for (size_t i = 0; i < len; i++) {
		char was = token[i];

		token[i] = was == 'A' ? 'B' : 'A';
		ck_assert_int_lt(grants_check(grants, token, &g, NULL), 0);
		token[i] = was;
	}
	ck_assert_int_eq(grants_check(grants, token, &g, NULL), 0);
	free(token);
}
END_TEST

START_TEST(a_known_grant_ends_like_any_other)
{
	char *token = make(signer, "exp", json_integer(ocu_wall_s() + 4));
	struct grant g;
	int rc = 0;

	ck_assert_int_eq(grants_check(grants, token, &g, NULL), 0);
	for (int i = 0; i < 6000 && rc == 0; i++) {
		poll(NULL, 0, 10);
		rc = grants_check(grants, token, &g, NULL);
	}
	ck_assert_int_eq(rc, OCU_E_TOKEN_EXPIRED);
	free(token);
}
END_TEST

START_TEST(rotated_keys_are_found)
{
	int rc = OCU_E_TOKEN_KEY;

	ck_assert_int_eq(check(other, NULL, NULL), OCU_E_TOKEN_KEY);
	write_keys(other);
	for (int i = 0; i < 6000 && rc; i++) {
		poll(NULL, 0, 10);
		rc = check(other, NULL, NULL);
	}
	ck_assert_int_eq(rc, 0);
	ck_assert_int_eq(check(signer, NULL, NULL), OCU_E_TOKEN_KEY);
	/* A file that cannot be read leaves the keys that were. */
	unlink(keys_path);
	poll(NULL, 0, 1100);
	ck_assert_int_eq(check(signer, NULL, NULL), OCU_E_TOKEN_KEY);
	ck_assert_int_eq(check(other, NULL, NULL), 0);
}
END_TEST

START_TEST(many_grants_find_their_places)
{
	char *token[2000];
	struct grant g;

	for (int i = 0; i < 2000; i++) {
		char id[32];

		snprintf(id, sizeof id, "tok_%d", i);
		token[i] = make(signer, "jti", json_string(id));
	}
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 2000; i++) {
			char id[32];

			snprintf(id, sizeof id, "tok_%d", i);
			ck_assert_int_eq(grants_check(grants, token[i], &g, NULL), 0);
			ck_assert_str_eq(g.id, id);
		}
	}
	for (int i = 0; i < 2000; i++)
		free(token[i]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sandboxd_grant");
	TCase *t = tcase_create("grant");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_good_grant_says_who_and_what);
	tcase_add_test(t, others_are_refused);
	tcase_add_test(t, every_changed_byte_is_noticed);
	tcase_add_test(t, a_known_grant_ends_like_any_other);
	tcase_add_test(t, rotated_keys_are_found);
	tcase_add_test(t, many_grants_find_their_places);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
