/* The table of sandboxes: slots and uid ranges, states, what waits; and the text of evidence.
 * shows: NFR-SEC-14, NFR-SEC-46, NFR-SEC-64 */
#include <check.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/err.h"
#include "sandboxd/conf.h"
#include "sandboxd/evidence.h"
#include "sandboxd/jobs.h"
#include "sandboxd/node.h"
#include "sandboxd/session.h"

static struct node node;

static void setup(void)
{
	ck_assert_int_eq(sessions_new(&node.sessions, &node, 4, 1 << 30, NULL), 0);
}

static void teardown(void)
{
	sessions_free(node.sessions);
}

static struct session *add(const char *id)
{
	struct session *s = NULL;

	ck_assert_int_eq(session_add(node.sessions, &s, id, NULL), 0);
	return s;
}

static void remove_it(struct session *s)
{
	session_release_slot(s);
	session_set_state(s, SESSION_ENDED);
	session_forget(s);
	session_unref(s);
}

START_TEST(every_sandbox_has_uids_of_its_own)
{
	struct session *s[4], *extra = NULL;
	char id[16];

	for (int i = 0; i < 4; i++) {
		snprintf(id, sizeof id, "s%d", i);
		s[i] = add(id);
		ck_assert_uint_ge(s[i]->guest_uid, 1u << 30);
		ck_assert_uint_eq(s[i]->guest_uid % 65536, 0);
		for (int k = 0; k < i; k++)
			ck_assert_uint_ne(s[i]->guest_uid, s[k]->guest_uid);
	}
	ck_assert_int_eq(session_add(node.sessions, &extra, "s9", NULL), OCU_E_QUOTA);
	ck_assert_int_eq(session_add(node.sessions, &extra, "s1", NULL), OCU_E_EXISTS);
	ck_assert_uint_eq(sessions_alive(node.sessions), 4);
	remove_it(s[2]);
	ck_assert_uint_eq(sessions_alive(node.sessions), 3);
	extra = add("s9");
	for (int i = 0; i < 4; i++)
		if (i != 2)
			ck_assert_uint_ne(s[i]->guest_uid, extra->guest_uid);
	remove_it(extra);
	for (int i = 0; i < 4; i++)
		if (i != 2)
			remove_it(s[i]);
}
END_TEST

START_TEST(a_range_rests_before_it_is_used_again)
{
	struct session *s = add("first");
	uid_t uid = s->guest_uid;

	remove_it(s);
	for (int i = 0; i < 3; i++) {
		s = add("next");
		ck_assert_uint_ne(s->guest_uid, uid);
		remove_it(s);
	}
}
END_TEST

START_TEST(found_by_id_and_kept_while_used)
{
	struct session *s = add("one"), *found;

	snprintf(s->container, sizeof s->container, "c-one");
	found = session_find(node.sessions, "one");
	ck_assert_ptr_eq(found, s);
	ck_assert(sessions_know(node.sessions, "c-one"));
	ck_assert(!sessions_know(node.sessions, "c-two"));
	remove_it(s);
	ck_assert_ptr_null(session_find(node.sessions, "one"));
	ck_assert(!sessions_know(node.sessions, "c-one"));
	ck_assert_str_eq(found->id, "one");
	session_unref(found);
}
END_TEST

START_TEST(records_of_the_ended_are_bounded)
{
	char id[32];
	int found = 0;

	for (int i = 0; i < SESSION_ENDED_MAX + 100; i++) {
		struct session *s;

		snprintf(id, sizeof id, "s%d", i);
		s = add(id);
		session_release_slot(s);
		session_set_state(s, SESSION_ENDED);
		session_unref(s);
	}
	for (int i = 0; i < SESSION_ENDED_MAX + 100; i++) {
		struct session *s;

		snprintf(id, sizeof id, "s%d", i);
		s = session_find(node.sessions, id);
		found += s != NULL;
		session_unref(s);
	}
	ck_assert_int_le(found, SESSION_ENDED_MAX + 4);
	ck_assert_int_ge(found, SESSION_ENDED_MAX);
}
END_TEST

static void *ender(void *arg)
{
	struct session *s = arg;

	ck_assert(session_claim_end(s, SESSION_RUNNING));
	session_set_state(s, SESSION_ENDED);
	return NULL;
}

START_TEST(one_owns_the_end_and_others_wait)
{
	struct session *s = add("one");
	pthread_t t;

	ck_assert(!session_claim_end(s, SESSION_RUNNING));
	session_set_state(s, SESSION_RUNNING);
	pthread_create(&t, NULL, ender, s);
	ck_assert_int_eq(session_wait(s, 1u << SESSION_ENDED), SESSION_ENDED);
	pthread_join(t, NULL);
	ck_assert(!session_claim_end(s, SESSION_RUNNING));
	remove_it(s);
}
END_TEST

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static int ran;

static void job(void *arg)
{
	pthread_mutex_lock(&gate);
	ran += *(int *)arg;
	pthread_mutex_unlock(&gate);
}

START_TEST(jobs_are_bounded_and_all_done_in_the_end)
{
	struct jobs *j;
	int one = 1, rc, added = 0;

	ran = 0;
	ck_assert_int_eq(jobs_start(&j, 2, 10, NULL), 0);
	pthread_mutex_lock(&gate);
	while ((rc = jobs_add(j, job, &one, NULL)) == 0)
		ck_assert_int_le(++added, 12);
	ck_assert_int_eq(rc, OCU_E_BUSY);
	ck_assert_int_ge(added, 10);
	pthread_mutex_unlock(&gate);
	jobs_stop(j);
	ck_assert_int_eq(ran, added);
}
END_TEST

static void ck_text(const char *in, size_t len, size_t max, const char *want, int want_cut)
{
	int cut = -1;
	json_t *j = evidence_text(in, len, max, &cut);

	ck_assert_ptr_nonnull(j);
	ck_assert_str_eq(json_string_value(j), want);
	ck_assert_int_eq(cut, want_cut);
	json_decref(j);
}

START_TEST(evidence_is_text_whatever_it_was)
{
	char *control = malloc(10000), *dump;
	json_t *j;

	ck_text("plain", 5, 100, "plain", 0);
	ck_text("plain", 5, 3, "pla", 1);
	ck_text("", 0, 10, "", 0);
	ck_text("a\xff"
	        "b",
	        3, 100,
	        "a\xEF\xBF\xBD"
	        "b",
	        0);
	ck_text("a\0b", 3, 100,
	        "a\xEF\xBF\xBD"
	        "b",
	        0);
	/* Not through the middle of a character. */
	ck_text("aa\xE2\x82\xAC", 5, 4, "aa", 1);
	ck_text("aa\xE2\x82\xAC", 5, 5, "aa\xE2\x82\xAC", 0);
	/* What grows when it is escaped is cut sooner, so that the event always fits. */
	memset(control, 1, 10000);
	j = evidence_text(control, 10000, 4096, NULL);
	dump = json_dumps(j, JSON_ENCODE_ANY);
	ck_assert_uint_le(strlen(dump), 2 * 4096 + 2);
	free(dump);
	json_decref(j);
	free(control);
}
END_TEST

static struct ocu_conf *conf(const char *key, const char *value)
{
	struct ocu_conf *c = NULL;
	char name[64];

	snprintf(name, sizeof name, "OCU_SANDBOXD_%s", key);
	if (value)
		setenv(name, value, 1);
	ck_assert_int_eq(ocu_conf_load(&c, "sandboxd", sandboxd_options, NULL, NULL), 0);
	unsetenv(name);
	return c;
}

START_TEST(configurations_that_cannot_work_are_refused)
{
	static const struct {
		const char *key, *value;
	} bad[] = {{"GUEST_UID_BASE", "65537"}, {"MAX_SANDBOXES", "16384"}, {"SCRATCH_LIMIT", "1GiB"}};
	struct ocu_conf *c = conf("X", NULL);

	ck_assert_int_eq(sandboxd_conf_check(c, NULL), 0);
	ocu_conf_free(c);
	for (size_t i = 0; i < 3; i++) {
		struct ocu_error err = {0};

		if (i == 1)
			setenv("OCU_SANDBOXD_GUEST_UID_BASE", "4227792896", 1);
		c = conf(bad[i].key, bad[i].value);
		ck_assert_int_eq(sandboxd_conf_check(c, &err), OCU_E_CONFIG);
		ck_assert_uint_gt(strlen(err.text), 0);
		ocu_conf_free(c);
		unsetenv("OCU_SANDBOXD_GUEST_UID_BASE");
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sandboxd_session");
	TCase *t = tcase_create("session");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, every_sandbox_has_uids_of_its_own);
	tcase_add_test(t, a_range_rests_before_it_is_used_again);
	tcase_add_test(t, found_by_id_and_kept_while_used);
	tcase_add_test(t, records_of_the_ended_are_bounded);
	tcase_add_test(t, one_owns_the_end_and_others_wait);
	tcase_add_test(t, jobs_are_bounded_and_all_done_in_the_end);
	tcase_add_test(t, evidence_is_text_whatever_it_was);
	tcase_add_test(t, configurations_that_cannot_work_are_refused);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
