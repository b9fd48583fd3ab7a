/* The committer under many threads, with a disk that comes and goes, and the queries over what it wrote. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "auditd/committer.h"
#include "auditd/lane.h"
#include "auditd/own.h"
#include "auditd/query.h"
#include "auditd/request.h"
#include "libocu/json.h"
#include "tests/unit/auditd_fixture.h"

static struct af f;
static struct lanes lanes;
static struct committer *committer;
static struct own *own;
static struct ocu_trail_report rep;
static atomic_uint acknowledged, refused;

static void setup(void)
{
	struct ocu_error err = {0};
	af_init(&f);
	af_must_open(&f);
	lanes_init(&lanes, 1 << 20);
	ck_assert_int_eq(committer_start(&committer, f.store, &err), 0);
	ck_assert_int_eq(own_new(&own, &lanes, committer, &err), 0);
}

static void stop(void)
{
	own_free(own);
	own = NULL;
	committer_stop(committer);
	committer = NULL;
}

static void teardown(void)
{
	stop();
	lanes_done(&lanes);
	af_done(&f);
}

static void counted(void *arg, const struct ocu_error *err)
{
	(void)arg;
	atomic_fetch_add(err ? &refused : &acknowledged, 1);
}

static struct lane *lane_of(enum ocu_component c)
{
	struct ocu_peer p = {.component = c};
	struct lane *l = NULL;
	ck_assert_int_eq(lanes_get(&lanes, &p, &l, NULL), 0);
	return l;
}

static struct request *event_request(struct lane *lane, const char *session, const char *resource)
{
	struct ocu_buf text = OCU_BUF_INIT(OCU_EVENT_MAX);
	struct request *r = request_new(1);
	af_event(&text, session, resource);
	r->lane = lane;
	r->wall_ms = ocu_wall_ms();
	r->bytes = r->events[0].len = text.len;
	r->events[0].data = r->events[0].owned = ocu_buf_steal(&text);
	r->done = counted;
	return r;
}

#define THREADS 8ul
#define EACH    500ul

static void *producer(void *arg)
{
	struct lane *lane = arg;
	for (unsigned long i = 0; i < EACH; i++)
		committer_put(committer, event_request(lane, "ses_x", "load"));
	return NULL;
}

START_TEST(test_many_threads)
{
	pthread_t t[THREADS];
	for (unsigned long i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, producer,
		                                lane_of(i % 2 ? OCU_COMP_GATEWAY : OCU_COMP_BROKERD)),
		                 0);
	for (unsigned long i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	stop();
	ck_assert_uint_eq(atomic_load(&acknowledged), THREADS * EACH);
	ck_assert_uint_eq(atomic_load(&refused), 0);
	af_must_verify(&f, &rep);
	ck_assert_uint_eq(rep.records, THREADS * EACH + 1);
	ck_assert_uint_eq(rep.sources, 3);
}
END_TEST

/* The table of sources is full of those of earlier lives: only the one that finds no room in it is refused.
 */
START_TEST(test_no_room_for_a_source)
{
	char name[32];
	struct ocu_error err = {0};
	stop();
	af_must_batch(&f, "operatord", 1);
	for (unsigned i = 0; i < OCU_TRAIL_SOURCES_MAX - 2; i++) {
		snprintf(name, sizeof name, "sandboxd/node-%u", i);
		af_must_batch(&f, name, 1);
	}
	ck_assert_int_eq(committer_start(&committer, f.store, &err), 0);
	uint64_t before = af_records(&f);
	for (unsigned i = 0; i < 200; i++) {
		committer_put(committer, event_request(lane_of(OCU_COMP_GATEWAY), "ses_x", "new"));
		committer_put(committer, event_request(lane_of(OCU_COMP_OPERATORD), "ses_x", "known"));
	}
	stop();
	ck_assert_uint_eq(atomic_load(&refused), 200);
	ck_assert_uint_eq(atomic_load(&acknowledged), 200);
	/* And nothing says that the trail could not be written. */
	ck_assert_uint_eq(af_records(&f), before + 200);
	af_must_verify(&f, &rep);
	ck_assert_uint_eq(rep.sources, OCU_TRAIL_SOURCES_MAX);
}
END_TEST

static struct ocu_event own_event(const char *action)
{
	return (struct ocu_event){
	    .class_uid = OCU_OCSF_API_ACTIVITY, .action = action, .actor_id = "system:auditd"};
}

struct told {
	const char *action;
	uint64_t recorded, unreported;
};

static int count_told(void *arg, uint64_t number, const char *source, const char *event, uint64_t len)
{
	struct told *t = arg;
	OCU_JSON json_t *j = NULL;
	(void)number;
	(void)source;
	ck_assert_int_eq(ocu_json_parse(event, len, OCU_EVENT_MAX, &j, NULL), 0);
	if (strcmp(ocu_json_str(j, "action", ""), t->action) != 0)
		return 0;
	t->recorded += strcmp(ocu_json_str(j, "resource", ""), "several") != 0;
	t->unreported += (uint64_t)ocu_json_int(json_object_get(j, "unmapped"), "unreported_before", 0);
	return 0;
}

START_TEST(test_own_events)
{
	struct ocu_event ev = own_event("auditor.read");
	ck_assert_int_eq(own_commit(own, &ev, NULL), 0);
	ck_assert_uint_eq(af_records(&f), 2); /* it is durable when commit returns */
	struct ocu_error why = {.code = OCU_E_PARSE, .text = "event 3: JSON line 1"};
	struct ocu_peer thief = {.component = OCU_COMP_GATEWAY, .spiffe = "spiffe://x/ocu/gateway"};
	own_append_refused(own, lane_of(OCU_COMP_GATEWAY), "trc_1", 3, &why);
	own_source_shaped(own, lane_of(OCU_COMP_GATEWAY), true);
	own_rpc_refused(own, &thief, 0x0102, &why);
	own_rpc_refused(own, NULL, 0x9999, &why);
	for (int i = 0; i < 300; i++)
		own_append_refused(own, lane_of(OCU_COMP_GATEWAY), "trc_1", 3, &why);
	stop();
	ck_assert_uint_eq(af_count(&f, "source.shaped"), 1);
	ck_assert_uint_eq(af_count(&f, "rpc.refused"), 2);
	ck_assert_uint_eq(af_count(&f, "\"resource\":\"audit.Head\""), 1);
	ck_assert_uint_ge(af_count(&f, "append.refused"), 10);
	ck_assert_uint_le(af_count(&f, "append.refused"), 100); /* of 301 */
	/* The rest is told without another one. */
	struct told all = {.action = "append.refused"};
	ck_assert_int_eq(ocu_trail_each(f.dir, count_told, &all, NULL), 0);
	ck_assert_uint_eq(all.recorded + all.unreported, 301);
	af_must_verify(&f, &rep);
}
END_TEST

static void limit(rlim_t size)
{
	struct rlimit r;
	getrlimit(RLIMIT_FSIZE, &r);
	r.rlim_cur = size;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &r), 0);
}

START_TEST(test_full_disk_and_back)
{
	struct ocu_event ev = own_event("auditor.read");
	struct ocu_error err = {0};
	struct store_head h;
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(own_commit(own, &ev, &err), 0);
	ck_assert_int_eq(committer_healthy(committer), 1);
	store_head(f.store, &h);
	limit(h.end + 100);
	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(own_commit(own, &ev, &err), OCU_E_NO_SPACE);
		ck_assert_int_eq(committer_healthy(committer), 0);
	}
	af_must_verify(&f, &rep);
	ck_assert_uint_eq(rep.records, 2);
	limit(RLIM_INFINITY);
	ck_assert_int_eq(own_commit(own, &ev, &err), 0);
	ck_assert_int_eq(committer_healthy(committer), 1);
	stop();
	ck_assert_uint_eq(af_count(&f, "\"refused_events\":5"), 1);
	af_must_verify(&f, &rep);
	ck_assert_uint_eq(rep.records, 4);
}
END_TEST

/* --- reading --- */

static struct ocu_buf page = OCU_BUF_INIT(QUERY_BYTES_MAX);

static unsigned ask(const char *session, uint64_t from, uint64_t count, uint64_t *next)
{
	struct query q = {.from = from, .limit = count};
	struct ocu_error err = {0};
	struct store_head h;
	unsigned lines = 0;
	snprintf(q.session_id, sizeof q.session_id, "%s", session);
	ocu_buf_reset(&page);
	store_head(f.store, &h);
	ck_assert_msg(query_run(&q, store_dirfd(f.store), &h, &page, next, &err) == 0, "%s", err.text);
	for (size_t i = 0; i < page.len; i++)
		lines += page.data[i] == '\n';
	return lines;
}

static uint64_t first_number(void)
{
	struct ocu_trail_record r;
	const char *end = memchr(page.data, '\n', page.len);
	ck_assert_int_eq(ocu_trail_record_parse(&r, page.data, (size_t)(end - page.data), NULL), 0);
	return r.number;
}

START_TEST(test_query)
{
	uint64_t next;
	stop();
	af_close(&f);
	f.opts.segment_size = 65536;
	af_must_open(&f);
	/* A stop in between ends a batch, and only a batch's end can start a segment. */
	for (int i = 0; i < 600; i++) {
		if (i % 50 == 0) {
			stop();
			ck_assert_int_eq(committer_start(&committer, f.store, NULL), 0);
		}
		committer_put(committer, event_request(lane_of(OCU_COMP_GATEWAY),
		                                       i % 100 == 7 ? "ses_rare" : "ses_often",
		                                       i == 50 ? "\"ses_rare\"" : "x"));
	}
	stop();
	uint64_t records = af_records(&f);
	af_must_verify(&f, &rep);
	ck_assert_uint_gt(rep.segments, 1);
	ck_assert_uint_eq(ask("", 1, 1000, &next), records);
	ck_assert_uint_eq(next, 0);
	ck_assert_uint_eq(ask("", 1, 10, &next), 10);
	ck_assert_uint_eq(next, 11);
	ck_assert_uint_eq(ask("ses_rare", 1, 100, &next), 6);
	ck_assert_uint_eq(next, 0);
	ck_assert_uint_eq(ask("ses_rare", 1, 4, &next), 4);
	ck_assert_uint_eq(ask("ses_rare", next, 4, &next), 2);
	ck_assert_uint_eq(ask("ses_none", 1, 4, &next), 0);
	for (uint64_t from = 1; from <= records; from++) {
		ck_assert_uint_eq(ask("", from, 1, &next), 1);
		ck_assert_uint_eq(first_number(), from);
		ck_assert_uint_eq(next, from < records ? from + 1 : 0);
	}
	ck_assert_uint_eq(ask("", records + 1, 1, &next), 0);
	ck_assert_uint_eq(ask("", UINT64_MAX, 1, &next), 0);
	ocu_buf_done(&page);
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_many_threads);
	tcase_add_test(tc, test_no_room_for_a_source);
	tcase_add_test(tc, test_own_events);
	tcase_add_test(tc, test_full_disk_and_back);
	tcase_add_test(tc, test_query);
}

/* shows: NFR-REL-12, NFR-SEC-56 */
int main(void)
{
	return af_main("auditd_committer", add);
}
