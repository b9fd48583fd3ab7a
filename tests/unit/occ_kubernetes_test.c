/* kubernetes: every daemon's keys are in its own secret and nowhere else; what is public is in none. */
#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/peer.h"
#include "operatord/occ/command.h"

static char dir[64], etc[128], out[128];
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
	snprintf(dir, sizeof dir, "/tmp/ocu-kubernetes-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(etc, sizeof etc, "%s/etc", dir);
	snprintf(out, sizeof out, "%s/out", dir);
	a = (struct args){.deployment = "/nowhere", .dir = etc, .no_chown = true};
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stdout));
	ck_assert_int_eq(run_init(&a), OCC_OK);
}

static void teardown(void)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static json_t *printed(int want)
{
	json_t *j = NULL;
	struct ocu_error err = {0};

	ck_assert_ptr_nonnull(freopen(out, "w", stdout));
	ck_assert_int_eq(run_kubernetes_secrets(&a), want);
	fflush(stdout);
	if (want == OCC_OK)
		ck_assert_msg(ocu_json_load_file(out, 1 << 20, &j, &err) == 0, "%s", err.text);
	return j;
}

static const char *name_of(const json_t *o)
{
	return ocu_json_str(json_object_get(o, "metadata"), "name", "");
}

static const json_t *object(const json_t *list, const char *name)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(list, "items"), i, o)
	{
		if (strcmp(name_of(o), name) == 0)
			return o;
	}
	ck_abort_msg("no object %s", name);
	return NULL;
}

/* shows: NFR-SEC-52, NFR-SEC-26 */
START_TEST(one_secret_for_each_daemon)
{
	a.prefix = "x";
	OCU_JSON json_t *list = printed(OCC_OK);
	const json_t *o, *other;
	const char *file;
	json_t *value;
	size_t i, k, keys = 0;

	for (int c = OCU_COMP_NONE + 1; c < OCU_COMP_COUNT; c++) {
		char name[64];
		snprintf(name, sizeof name, "x-%s", ocu_component_name((enum ocu_component)c));
		o = object(list, name);
		ck_assert_str_eq(ocu_json_str(o, "kind", ""), "Secret");
		ck_assert_ptr_nonnull(json_object_get(json_object_get(o, "data"), "key.pem"));
		ck_assert_ptr_nonnull(json_object_get(json_object_get(o, "data"), "token.key"));
	}
	ck_assert_ptr_nonnull(json_object_get(json_object_get(object(list, "x-ca"), "data"), "ca.key"));
	/* no value of a secret is found in another object */
	json_array_foreach(json_object_get(list, "items"), i, o)
	{
		json_object_foreach(json_object_get(o, "data"), file, value)
		{
			if (strcmp(file, "ca.pem") == 0)
				continue;
			keys++;
			json_array_foreach(json_object_get(list, "items"), k, other)
			{
				const char *name;
				json_t *held;
				json_object_foreach(json_object_get(other, "data"), name, held)
				{
					ck_assert_msg(held == value || !json_equal(held, value),
					              "%s of %s is in %s", file, name_of(o), name_of(other));
				}
			}
		}
	}
	ck_assert_uint_ge(keys, 25);
	o = object(list, "x-pki");
	ck_assert_str_eq(ocu_json_str(o, "kind", ""), "ConfigMap");
	ck_assert_uint_eq(
	    strncmp(ocu_json_str(json_object_get(o, "data"), "ca.pem", ""), "-----BEGIN CERT", 15), 0);
}
END_TEST

START_TEST(what_it_does_not_do)
{
	char path[256];

	a.prefix = "Not_a_name";
	json_decref(printed(OCC_USAGE));
	a.prefix = "";
	json_decref(printed(OCC_USAGE));
	a.prefix = NULL;
	/* outside of a cluster there is no API */
	a.apply = true;
	unsetenv("KUBERNETES_SERVICE_HOST");
	json_decref(printed(OCC_FAILED));
	a.apply = false;
	snprintf(path, sizeof path, "%s/pki/brokerd/token.key", etc);
	ck_assert_int_eq(unlink(path), 0);
	json_decref(printed(OCC_FAILED));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("occ_kubernetes");
	TCase *c = tcase_create("all");
	SRunner *r;

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, one_secret_for_each_daemon);
	tcase_add_test(c, what_it_does_not_do);
	suite_add_tcase(suite, c);
	r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
