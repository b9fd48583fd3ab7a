/* The edge's own resolution, against a resolver made here: what it answers, how long that is kept, how often
 * it is asked. */
/* shows: NFR-SEC-12, NFR-SEC-48 (in part) */
#include <arpa/inet.h>
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "egressd/egress.h"
#include "egressd/lookup.h"
#include "egressd/worker.h"
#include "libocu/err.h"

/* ---- a resolver: "t<TTL>-..." answers with that TTL, "nx..." does not exist, "mute..." gets no answer,
 * "many..." has more addresses than are checked, "alias<TTL>-..." is a CNAME with that TTL for an address
 * with TTL 300; every name below "corp" has an address ---- */

static int server = -1;
static atomic_uint asked;
static pthread_t server_thread;

static uint8_t *put_record(uint8_t *p, unsigned type, unsigned ttl, const void *data, unsigned len)
{
	const uint8_t head[12] = {
	    0xc0, 12, 0, (uint8_t)type, 0, 1, 0, 0, (uint8_t)(ttl >> 8), (uint8_t)ttl, 0, (uint8_t)len};
	memcpy(p, head, sizeof head);
	memcpy(p + sizeof head, data, len);
	return p + sizeof head + len;
}

static size_t answer(uint8_t *m, size_t len)
{
	const char *name = (const char *)m + 13;
	uint8_t *p = m + 12;
	unsigned ttl = 0, count = 0;

	while (*p)
		p += *p + 1;
	p += 5;
	bool wants_a = p[-3] == 1;
	if (len < 17 || strncmp(name, "mute", 4) == 0)
		return 0;
	bool corp = memmem(name, (size_t)((char *)p - name), "\4corp", 5);
	m[2] |= 0x80;
	m[3] = 0x80 | (strncmp(name, "nx", 2) == 0 && !corp ? 3 : 0);
	if (corp)
		count = 1;
	else if (strncmp(name, "many", 4) == 0)
		count = 40;
	else if (name[0] == 't' && name[1] != '-') {
		ttl = (unsigned)strtoul(name + 1, NULL, 10);
		count = 2;
	}
	for (unsigned i = 0; i < count && wants_a; i++)
		p = put_record(p, 1, ttl, (const uint8_t[]){93, 184, 215, (uint8_t)(i + 1)}, 4);
	if (strncmp(name, "alias", 5) == 0 && wants_a) {
		ttl = (unsigned)strtoul(name + 5, NULL, 10);
		p = put_record(p, 5, ttl, "\1x\0", 3);
		static const uint8_t record[] = {1, 'x', 0, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 93, 184, 215, 9};
		memcpy(p, record, sizeof record);
		p += sizeof record;
		count = 2;
	}
	m[6] = 0;
	m[7] = wants_a ? (uint8_t)count : 0;
	memset(m + 8, 0, 4);
	return (size_t)(p - m);
}

static void *serve(void *arg)
{
	uint8_t m[4096];
	struct sockaddr_in from;
	socklen_t len = sizeof from;

	for (;;) {
		ssize_t n = recvfrom(server, m, 2048, 0, (struct sockaddr *)&from, &len);
		if (n <= 1)
			return arg;
		asked++;
		size_t size = answer(m, (size_t)n);
		if (size)
			sendto(server, m, size, 0, (struct sockaddr *)&from, len);
	}
}

/* ---- the worker under test ---- */

static struct egress egress;
static struct worker *worker;

static void set_up(unsigned resolve_ms)
{
	static char where[64];
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof at;

	server = socket(AF_INET, SOCK_DGRAM, 0);
	ck_assert_int_eq(bind(server, (struct sockaddr *)&at, sizeof at), 0);
	getsockname(server, (struct sockaddr *)&at, &len);
	asked = 0;
	pthread_create(&server_thread, NULL, serve, NULL);
	snprintf(where, sizeof where, "127.0.0.1:%u", ntohs(at.sin_port));
	egress = (struct egress){.resolvers = where, .limits = {.resolve_ms = resolve_ms, .family = AF_INET}};
	ck_assert_int_eq(worker_new(&worker, &egress, NULL), 0);
	ck_assert_int_eq(worker_start(worker, NULL), 0);
}

/* So long that nothing is asked twice, however slow this machine is. */
static void patient(void)
{
	set_up(60000);
}

static void impatient(void)
{
	set_up(300);
}

static void teardown(void)
{
	struct sockaddr_in at;
	socklen_t len = sizeof at;

	worker_stop_begin(worker, 0);
	worker_stop_wait(worker);
	worker_free(worker);
	getsockname(server, (struct sockaddr *)&at, &len);
	sendto(server, "", 1, 0, (struct sockaddr *)&at, len);
	pthread_join(server_thread, NULL);
	close(server);
}

struct wish {
	struct lookup_wait wait; /* first */
	const char *host;
	bool cancel;
	int rc;
	size_t n;
	union addr first;
	atomic_uint done;
};

static void on_done(struct lookup_wait *w, int rc, const union addr *addrs, size_t n)
{
	struct wish *x = (struct wish *)w;
	x->rc = rc;
	x->n = n;
	if (n)
		x->first = addrs[0];
	x->done++;
}

static int start(struct worker *w, void *arg)
{
	struct wish *x = arg;
	x->wait.done = on_done;
	lookup_start(w->lookups, x->host, &x->wait);
	if (x->cancel)
		lookup_cancel(&x->wait);
	return 0;
}

static void await(struct wish *x)
{
	for (unsigned i = 0; i < 6000 && !x->done; i++)
		usleep(10000); /* the answer comes over the network */
	ck_assert_uint_eq(x->done, 1);
}

static struct wish ask(const char *host)
{
	struct wish x = {.host = host};
	ck_assert_int_eq(worker_call(worker, start, &x), 0);
	await(&x);
	return x;
}

START_TEST(gives_all_addresses)
{
	struct wish x = ask("t60-a.example");
	ck_assert_int_eq(x.rc, 0);
	ck_assert_uint_eq(x.n, 2);
	ck_assert_int_eq(x.first.in.sin_family, AF_INET);
	ck_assert_uint_eq(ntohl(x.first.in.sin_addr.s_addr) >> 8, 93u << 16 | 184u << 8 | 215);
}
END_TEST

START_TEST(keeps_an_answer_for_its_ttl)
{
	ask("t60-a.example");
	ask("t60-a.example");
	ck_assert_uint_eq(asked, 1);
	ask("t60-b.example");
	ck_assert_uint_eq(asked, 2);
	ask("t1-c.example");
	ck_assert_uint_eq(asked, 3);
	usleep(1100000);
	ask("t1-c.example");
	ck_assert_uint_eq(asked, 4);
}
END_TEST

static int known(struct worker *w, void *arg)
{
	return lookup_known(w->lookups, arg);
}

static int is_known(const char *host)
{
	char name[64];
	snprintf(name, sizeof name, "%s", host);
	return worker_call(worker, known, name);
}

START_TEST(says_what_it_keeps)
{
	ck_assert_int_eq(is_known("t1-a.example"), 0);
	ask("t1-a.example");
	ck_assert_int_eq(is_known("t1-a.example"), 1);
	ck_assert_int_eq(is_known("t1-b.example"), 0);
	ask("nx.example");
	ask("t0-a.example");
	ck_assert_int_eq(is_known("nx.example"), 0);
	ck_assert_int_eq(is_known("t0-a.example"), 0);
	usleep(1100000);
	ck_assert_int_eq(is_known("t1-a.example"), 0);
}
END_TEST

START_TEST(keeps_nothing_with_ttl_0)
{
	for (unsigned i = 1; i <= 3; i++) {
		ck_assert_int_eq(ask("t0-a.example").rc, 0);
		ck_assert_uint_eq(asked, i);
	}
}
END_TEST

START_TEST(an_alias_counts_with_its_own_ttl)
{
	ck_assert_int_eq(ask("alias0-a.example").rc, 0);
	ask("alias0-a.example");
	ck_assert_uint_eq(asked, 2);
	ask("alias60-a.example");
	ask("alias60-a.example");
	ck_assert_uint_eq(asked, 3);
}
END_TEST

START_TEST(failures_are_told_and_not_kept)
{
	ck_assert_int_eq(ask("nx.example").rc, OCU_E_EGRESS_RESOLVE);
	ck_assert_int_eq(ask("nx.example").rc, OCU_E_EGRESS_RESOLVE);
	ck_assert_uint_eq(asked, 2);
	ck_assert_int_eq(ask("t-none.example").rc, OCU_E_EGRESS_RESOLVE); /* no address at all */
	ck_assert_int_eq(ask("many.example").rc, OCU_E_EGRESS_RESOLVE);   /* more than would be checked */
}
END_TEST

/* As on a host of a Kubernetes cluster: a search domain, and names that are looked for below it first. */
static void with_search_domain(void)
{
	setenv("LOCALDOMAIN", "corp", 1);
	setenv("RES_OPTIONS", "ndots:5", 1);
	patient();
	unsetenv("LOCALDOMAIN");
	unsetenv("RES_OPTIONS");
}

START_TEST(a_name_is_asked_for_as_it_is)
{
	ck_assert_int_eq(ask("nx.example").rc, OCU_E_EGRESS_RESOLVE);
	ck_assert_int_eq(ask("t-none.example").rc, OCU_E_EGRESS_RESOLVE);
	ck_assert_uint_eq(ask("t60-a.example").n, 2);
	ck_assert_uint_eq(asked, 3);
}
END_TEST

START_TEST(silence_is_a_failure_in_time)
{
	ck_assert_int_eq(ask("mute.example").rc, OCU_E_EGRESS_RESOLVE);
}
END_TEST

static int start_all(struct worker *w, void *arg)
{
	struct wish *x = arg;
	for (unsigned i = 0; i < 50; i++)
		start(w, &x[i]);
	return 0;
}

START_TEST(questions_under_way_are_asked_once)
{
	struct wish x[50] = {0};
	for (unsigned i = 0; i < 50; i++) {
		x[i].host = "t0-a.example";
		x[i].cancel = i % 2;
	}
	ck_assert_int_eq(worker_call(worker, start_all, x), 0);
	for (unsigned i = 0; i < 50; i += 2)
		await(&x[i]);
	ck_assert_uint_eq(asked, 1);
	for (unsigned i = 1; i < 50; i += 2)
		ck_assert_uint_eq(x[i].done, 0);
}
END_TEST

START_TEST(a_stop_ends_what_is_asked)
{
	static struct wish x;
	x = (struct wish){.host = "mute.example"};
	ck_assert_int_eq(worker_call(worker, start, &x), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("egressd_lookup");
	TCase *t = tcase_create("lookup");
	tcase_add_test(t, gives_all_addresses);
	tcase_add_test(t, keeps_an_answer_for_its_ttl);
	tcase_add_test(t, says_what_it_keeps);
	tcase_add_test(t, keeps_nothing_with_ttl_0);
	tcase_add_test(t, an_alias_counts_with_its_own_ttl);
	tcase_add_test(t, failures_are_told_and_not_kept);
	tcase_add_test(t, questions_under_way_are_asked_once);
	tcase_add_test(t, a_stop_ends_what_is_asked);
	tcase_add_checked_fixture(t, patient, teardown);
	tcase_set_timeout(t, 120);
	suite_add_tcase(s, t);
	t = tcase_create("lookup, impatient");
	tcase_add_test(t, silence_is_a_failure_in_time);
	tcase_add_checked_fixture(t, impatient, teardown);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	t = tcase_create("lookup, search domain");
	tcase_add_test(t, a_name_is_asked_for_as_it_is);
	tcase_add_checked_fixture(t, with_search_domain, teardown);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
