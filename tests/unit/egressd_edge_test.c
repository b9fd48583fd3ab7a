/* An edge is opened where a drop of its session looks for it. */
/* shows: NFR-SEC-01, NFR-SEC-22 */
#include <check.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "egressd/edge.h"
#include "egressd/egress.h"
#include "egressd/policy.h"
#include "egressd/registry.h"
#include "egressd/stats.h"
#include "libocu/err.h"

static struct egress egress = {.limits = {.resolve_ms = 300, .names = 16}};
static struct worker *workers[2];
static struct policy *policy;

static void setup(void)
{
	stats_init();
	egress.registry = registry_new();
	ck_assert_int_eq(policy_new(&policy, "passthrough", NULL, 0, NULL), 0);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(worker_new(&workers[i], &egress, NULL), 0);
		ck_assert_int_eq(worker_start(workers[i], NULL), 0);
	}
}

static void teardown(void)
{
	for (unsigned i = 0; i < 2; i++)
		worker_stop_begin(workers[i], 0);
	for (unsigned i = 0; i < 2; i++) {
		worker_stop_wait(workers[i]);
		worker_free(workers[i]);
	}
	registry_free(egress.registry);
	policy_unref(policy);
}

static struct session *put(const char *id)
{
	struct session *s = NULL;
	ck_assert_int_eq(registry_put(egress.registry, id, "alice", policy, workers, 2, &s, NULL), 0);
	return s;
}

static int open_edge(struct worker *w, void *arg)
{
	int fds[3];
	for (unsigned i = 0; i < 3; i++)
		fds[i] = socket(AF_INET, i == 1 ? SOCK_DGRAM : SOCK_STREAM, 0);
	int rc = edge_open(w, arg, policy, fds, NULL);
	for (unsigned i = 0; rc && i < 3; i++)
		close(fds[i]);
	return rc;
}

static int has_edge(struct worker *w, void *arg)
{
	return edge_find(w, arg) != NULL;
}

START_TEST(only_its_own_worker_opens_the_edge_of_a_session)
{
	struct session *before = put("ses_a");
	session_unref(registry_take(egress.registry, "ses_a"));
	struct session *now = put("ses_a");
	ck_assert_ptr_ne(before->worker, now->worker);
	ck_assert_int_eq(worker_call(before->worker, open_edge, now), OCU_E_SESSION_GONE);
	ck_assert_int_eq(worker_call(before->worker, has_edge, now), 0);
	ck_assert(!atomic_load(&now->listening));
	ck_assert_int_eq(worker_call(now->worker, open_edge, now), 0);
	ck_assert_int_eq(worker_call(now->worker, has_edge, now), 1);
	session_unref(before);
	session_unref(now);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("egressd_edge");
	TCase *t = tcase_create("edge");
	tcase_add_test(t, only_its_own_worker_opens_the_edge_of_a_session);
	tcase_add_checked_fixture(t, setup, teardown);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
