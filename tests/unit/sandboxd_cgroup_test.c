/* Control groups that cannot be read: whether a sandbox is gone is never guessed. Folders take the place of
 * hierarchies.
 * shows: NFR-SEC-64, NFR-SEC-65 (in part) */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandboxd/cgroup.h"

#define CONTAINER "ocu-01J0000000000000000000000A"

static struct cgroups cg;
static char above[32];
static char own[64], parent[160], group[224], procs[256], of_root[192];

static void setup(void)
{
	snprintf(above, sizeof above, "/tmp/ocu-cgroup-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(above));
	cg = (struct cgroups){.v2 = true, .parent = "/ocu.0", .nroots = 1};
	snprintf(own, sizeof own, "%s/cgroup", above);
	snprintf(cg.roots[0], sizeof cg.roots[0], "%s", own);
	snprintf(of_root, sizeof of_root, "%s/cgroup.procs", own);
	snprintf(parent, sizeof parent, "%s/ocu.0", own);
	snprintf(group, sizeof group, "%s/" CONTAINER, parent);
	snprintf(procs, sizeof procs, "%s/cgroup.procs", group);
	ck_assert_int_eq(mkdir(own, 0700) | mkdir(parent, 0700) | mkdir(group, 0700), 0);
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -r %s", above);
	ck_assert_int_eq(system(command), 0);
}

static void says(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

START_TEST(a_group_is_empty_when_it_says_so)
{
	says(of_root, "");
	says(procs, "");
	ck_assert(cgroup_empty(&cg, CONTAINER));
	says(procs, "12\n");
	ck_assert(!cgroup_empty(&cg, CONTAINER));
}
END_TEST

START_TEST(a_group_that_is_gone_is_empty)
{
	says(of_root, "");
	ck_assert_int_eq(rmdir(group), 0);
	ck_assert(cgroup_empty(&cg, CONTAINER));
	ck_assert_int_eq(rmdir(parent), 0);
	ck_assert(cgroup_empty(&cg, CONTAINER));
}
END_TEST

START_TEST(one_that_cannot_be_read_is_not_empty)
{
	says(of_root, "");
	/* A folder can be opened and not be read. */
	ck_assert_int_eq(mkdir(procs, 0700), 0);
	ck_assert(!cgroup_empty(&cg, CONTAINER));
	/* Nor is one that is there and has no such file. */
	ck_assert_int_eq(rmdir(procs), 0);
	ck_assert(!cgroup_empty(&cg, CONTAINER));
	/* Nor one that cannot be looked for. */
	ck_assert_int_eq(rmdir(group) | rmdir(parent), 0);
	says(parent, "");
	ck_assert(!cgroup_empty(&cg, CONTAINER));
}
END_TEST

START_TEST(where_the_hierarchy_is_gone_nothing_is_known)
{
	ck_assert_int_eq(rmdir(group) | rmdir(parent), 0);
	ck_assert(!cgroup_empty(&cg, CONTAINER));
	ck_assert_int_eq(rmdir(own), 0);
	ck_assert(!cgroup_empty(&cg, CONTAINER));
	ck_assert_int_eq(mkdir(own, 0700), 0);
}
END_TEST

/* Which processes are in it cannot be said; that they are to end can. */
START_TEST(one_that_cannot_be_read_is_killed)
{
	char order[256], text[4] = "";
	FILE *f;

	snprintf(order, sizeof order, "%s/cgroup.kill", group);
	says(order, "");
	ck_assert_int_eq(mkdir(procs, 0700), 0);
	ck_assert_int_eq(cgroup_kill(&cg, CONTAINER), 0);
	f = fopen(order, "r");
	ck_assert_ptr_nonnull(fgets(text, sizeof text, f));
	ck_assert_str_eq(text, "1");
	fclose(f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sandboxd_cgroup");
	TCase *t = tcase_create("cgroup");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_group_is_empty_when_it_says_so);
	tcase_add_test(t, a_group_that_is_gone_is_empty);
	tcase_add_test(t, one_that_cannot_be_read_is_not_empty);
	tcase_add_test(t, where_the_hierarchy_is_gone_nothing_is_known);
	tcase_add_test(t, one_that_cannot_be_read_is_killed);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
