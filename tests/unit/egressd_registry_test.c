/* shows: NFR-SEC-01, NFR-SEC-22 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/policy.h"
#include "egressd/registry.h"
#include "libocu/err.h"

static struct registry *sessions;
static struct policy *policy;

static void setup(void)
{
	sessions = registry_new();
	ck_assert_int_eq(policy_new(&policy, "passthrough", NULL, 0, NULL), 0);
}

static void teardown(void)
{
	registry_free(sessions);
	policy_unref(policy);
}

static int put(const char *id, const char *caller)
{
	struct session *s = NULL;
	int rc = registry_put(sessions, id, caller, policy, NULL, 0, &s, NULL);
	session_unref(s);
	return rc;
}

START_TEST(registering_twice_is_one_session)
{
	struct policy *now = NULL, *next = NULL;
	ck_assert_int_eq(put("ses_a", "alice"), 0);
	struct session *a = registry_find(sessions, "ses_a", &now);
	ck_assert_ptr_eq(now, policy);
	policy_unref(now);
	ck_assert_int_eq(policy_new(&next, "deny-all", NULL, 0, NULL), 0);
	struct session *b = NULL;
	ck_assert_int_eq(registry_put(sessions, "ses_a", "alice", next, NULL, 0, &b, NULL), 0);
	ck_assert_ptr_eq(a, b);
	session_unref(b);
	session_unref(registry_find(sessions, "ses_a", &now));
	ck_assert_ptr_eq(now, next);
	policy_unref(now);
	policy_unref(next);
	ck_assert_uint_eq(registry_list(sessions, NULL, 0), 1);
	session_unref(a);
}
END_TEST

START_TEST(a_session_keeps_its_caller)
{
	ck_assert_int_eq(put("ses_a", "alice"), 0);
	ck_assert_int_eq(put("ses_a", "bob"), OCU_E_EXISTS);
	struct session *s = registry_find(sessions, "ses_a", NULL);
	ck_assert_str_eq(s->caller, "alice");
	session_unref(s);
}
END_TEST

START_TEST(taking_marks_and_forgets)
{
	ck_assert_int_eq(put("ses_a", "alice"), 0);
	struct session *held = registry_find(sessions, "ses_a", NULL), *s = registry_take(sessions, "ses_a");
	ck_assert_ptr_eq(held, s);
	ck_assert(s->dropped);
	ck_assert_ptr_null(registry_find(sessions, "ses_a", NULL));
	ck_assert_ptr_null(registry_take(sessions, "ses_a"));
	session_unref(s);
	session_unref(held);
	ck_assert_int_eq(put("ses_a", "bob"), 0); /* a new one of that name starts afresh */
	s = registry_find(sessions, "ses_a", NULL);
	ck_assert(!s->dropped);
	session_unref(s);
}
END_TEST

START_TEST(a_caller_loses_all_sessions_and_no_other)
{
	char id[32];
	unsigned taken = 0;
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(id, sizeof id, "ses_%u", i);
		ck_assert_int_eq(put(id, i % 3 ? "alice" : "bob"), 0);
	}
	for (struct session *s; (s = registry_take_caller(sessions, "bob")); session_unref(s), taken++)
		ck_assert_str_eq(s->caller, "bob");
	ck_assert_uint_eq(taken, 1000);
	ck_assert_uint_eq(registry_list(sessions, NULL, 0), 2000);
}
END_TEST

START_TEST(the_number_is_bounded)
{
	char id[32], caller[REGISTRY_CALLER_MAX + 2];
	for (unsigned i = 0; i < REGISTRY_MAX; i++) {
		snprintf(id, sizeof id, "ses_%u", i);
		ck_assert_int_eq(put(id, "a"), 0);
	}
	ck_assert_int_eq(put("ses_more", "a"), OCU_E_QUOTA);
	ck_assert_int_eq(put("ses_0", "a"), 0);
	session_unref(registry_take(sessions, "ses_0"));
	memset(caller, 'c', sizeof caller - 1);
	caller[sizeof caller - 1] = '\0';
	ck_assert_int_eq(put("ses_more", caller), OCU_E_TOO_LARGE);
	ck_assert_int_eq(put("ses_more", "a"), 0);
}
END_TEST

static void *churn(void *arg)
{
	char id[32];
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(id, sizeof id, "ses_%u", i % 7);
		put(id, "a");
		struct policy *p = NULL;
		struct session *s = i % 3 ? registry_find(sessions, id, &p) : registry_take(sessions, id);
		policy_unref(p);
		session_unref(s);
	}
	return arg;
}

START_TEST(threads_share_it)
{
	pthread_t t[4];
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, churn, NULL), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	ck_assert_uint_le(registry_list(sessions, NULL, 0), 7);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("egressd_registry");
	TCase *t = tcase_create("registry");
	tcase_add_test(t, registering_twice_is_one_session);
	tcase_add_test(t, a_session_keeps_its_caller);
	tcase_add_test(t, taking_marks_and_forgets);
	tcase_add_test(t, a_caller_loses_all_sessions_and_no_other);
	tcase_add_test(t, the_number_is_bounded);
	tcase_add_test(t, threads_share_it);
	tcase_add_checked_fixture(t, setup, teardown);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
