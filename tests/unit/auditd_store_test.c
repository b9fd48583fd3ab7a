/* The store: batches, segments, restarts, and every state a crash can leave behind. */
#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/auditd_fixture.h"

static struct af f;
static struct ocu_trail_report rep;

static void setup(void)
{
	af_init(&f);
}

static void teardown(void)
{
	af_done(&f);
}

START_TEST(test_first_start)
{
	struct store_head h;
	af_must_open(&f);
	store_head(f.store, &h);
	ck_assert_uint_eq(h.records, 0);
	af_must_batch(&f, "gateway", 3);
	af_must_verify(&f, &rep);
	ck_assert_uint_eq(rep.records, 4);
	ck_assert_uint_eq(rep.sources, 2);
	ck_assert_uint_eq(af_count(&f, "\"action\":\"trail.opened\""), 1);
	store_head(f.store, &h);
	ck_assert_uint_eq(h.records, 4);
	ck_assert_mem_eq(h.hash, rep.head, 32);
}
END_TEST

START_TEST(test_restarts)
{
	for (int i = 0; i < 5; i++) {
		af_must_open(&f);
		af_must_batch(&f, "gateway", 2);
		af_close(&f);
	}
	af_must_verify(&f, &rep);
	ck_assert_uint_eq(rep.records, 11);
	ck_assert_uint_eq(rep.unsigned_bytes, 0);
	ck_assert_uint_eq(af_count(&f, "trail.recovered"), 0);
}
END_TEST

/* A stopped trail has no byte that is not signed for. */
START_TEST(test_close_trims)
{
	struct store_head h;
	struct stat st;
	af_must_open(&f);
	af_must_batch(&f, "gateway", 2);
	ck_assert_int_eq(stat(af_segment(&f, 1), &st), 0);
	store_head(f.store, &h);
	ck_assert_int_gt(st.st_size, (off_t)h.end);
	af_close(&f);
	ck_assert_int_eq(stat(af_segment(&f, 1), &st), 0);
	ck_assert_int_eq(st.st_size, (off_t)h.end);
}
END_TEST

START_TEST(test_rotation)
{
	f.opts.segment_size = 10000;
	af_must_open(&f);
	for (int i = 0; i < 40; i++) {
		af_must_batch(&f, i % 3 ? "gateway" : "sandboxd/a", 3);
		af_must_verify(&f, &rep);
	}
	ck_assert_uint_gt(rep.segments, 5);
	ck_assert_uint_eq(rep.records, 121);
	af_close(&f);
	af_must_open(&f);
	af_must_batch(&f, "brokerd", 1);
	af_must_verify(&f, &rep);
	ck_assert_uint_eq(rep.records, 122);
	ck_assert_uint_eq(rep.sources, 4);
}
END_TEST

/* By age: also when nothing more is written, also counted over a restart, never one without a record. */
START_TEST(test_rotation_by_age)
{
	f.opts.segment_age_ms = 300;
	af_must_open(&f);
	ck_assert_uint_eq(store_tend_every_ms(f.store), 300);
	af_must_batch(&f, "gateway", 1);
	af_close(&f);
	usleep(350000);
	af_must_open(&f);
	ck_assert_int_eq(store_tend(f.store, NULL), 0);
	af_must_verify(&f, &rep);
	ck_assert_uint_eq(rep.segments, 2);
	ck_assert_uint_eq(rep.records, 2);
	usleep(350000);
	ck_assert_int_eq(store_tend(f.store, NULL), 0);
	af_close(&f);
	af_must_open(&f);
	ck_assert_int_eq(store_tend(f.store, NULL), 0);
	af_must_batch(&f, "gateway", 1); /* into the empty one, however old */
	af_must_verify(&f, &rep);
	ck_assert_uint_eq(rep.segments, 2);
	af_must_batch(&f, "gateway", 1); /* which is old with a record in it */
	af_must_verify(&f, &rep);
	ck_assert_uint_eq(rep.segments, 3);
	ck_assert_uint_eq(rep.records, 4);
	f.opts.segment_age_ms = 0;
	af_close(&f);
	usleep(350000);
	af_must_open(&f);
	ck_assert_uint_eq(store_tend_every_ms(f.store), 0);
	af_must_batch(&f, "gateway", 1);
	ck_assert_int_eq(store_tend(f.store, NULL), 0);
	af_must_verify(&f, &rep);
	ck_assert_uint_eq(rep.segments, 3);
}
END_TEST

/* Stopped after a new segment was made and before the one before was sealed. */
START_TEST(test_unsealed_segment_is_sealed_at_start)
{
	char *open1, *sealed;
	f.opts.segment_size = 9000;
	af_must_open(&f);
	af_must_batch(&f, "gateway", 3);
	size_t len = tf_read(af_segment(&f, 1), &open1);
	af_must_batch(&f, "gateway", 3); /* rotates first */
	af_close(&f);
	tf_write(af_segment(&f, 1), open1, len);
	af_must_verify(&f, &rep);
	af_must_open(&f);
	af_must_batch(&f, "gateway", 1);
	tf_read(af_segment(&f, 1), &sealed);
	ck_assert_ptr_nonnull(strstr(sealed, "\"state\":\"sealed\""));
	ck_assert_ptr_nonnull(strstr(sealed + OCU_TRAIL_SLOT, "\"state\":\"sealed\""));
	af_must_verify(&f, &rep);
	free(open1);
	free(sealed);
}
END_TEST

/* Time in records never goes back, whatever the clock does (NFR-SEC-48 (in part)). */
START_TEST(test_time_floor)
{
	uint64_t number;
	char *data;
	af_must_open(&f);
	int64_t now = ocu_wall_ms();
	ck_assert_int_eq(store_begin(f.store, NULL), 0);
	ck_assert_int_eq(store_add(f.store, "gateway", now + 3600000, "{\"x\":1}", 7, &number, NULL), 0);
	ck_assert_int_eq(store_add(f.store, "gateway", now, "{\"x\":2}", 7, &number, NULL), 0);
	ck_assert_int_eq(store_commit(f.store, NULL), 0);
	af_close(&f);
	af_must_open(&f);
	af_must_batch(&f, "gateway", 1);
	tf_read(af_segment(&f, 1), &data);
	char last[32] = "";
	unsigned seen = 0;
	for (char *p = data; (p = strstr(p, "{\"n\":")); p++, seen++) {
		char *time = strstr(p, "\"time\":\"") + 8;
		ck_assert_int_le(strncmp(last, time, 24), 0);
		memcpy(last, time, 24);
	}
	ck_assert_uint_eq(seen, 4);
	free(data);
}
END_TEST

/* --- crashes --- */

struct crash {
	char *before, *after; /* the file before and after one batch that nobody was answered for */
	size_t before_len, after_len;
	uint64_t records; /* acknowledged */
	uint64_t end, end_after;
};

static void make_crash(struct crash *c)
{
	struct store_head h;
	f.opts.preallocate = 0;
	af_must_open(&f);
	af_must_batch(&f, "gateway", 2);
	af_must_batch(&f, "brokerd", 1);
	c->records = af_records(&f);
	store_head(f.store, &h);
	c->end = h.end;
	c->before_len = tf_read(af_segment(&f, 1), &c->before);
	af_must_batch(&f, "gateway", 2);
	store_head(f.store, &h);
	c->end_after = h.end;
	c->after_len = tf_read(af_segment(&f, 1), &c->after);
	af_close(&f);
	ck_assert_uint_eq(c->before_len, c->end);
	ck_assert_uint_eq(c->after_len, c->end_after);
}

static void crash_done(struct crash *c)
{
	free(c->before);
	free(c->after);
}

/* Opens what the crash left, writes on, and checks that nothing acknowledged is gone. */
static void must_recover(const struct crash *c, bool noticed, uint64_t records, const char *what, size_t at)
{
	struct ocu_error err = {0};
	ck_assert_msg(af_open(&f, &err) == 0, "%s at %zu: %s", what, at, err.text);
	ck_assert_msg(af_records(&f) == records, "%s at %zu: %d records", what, at, (int)af_records(&f));
	af_must_batch(&f, "gateway", 1);
	af_close(&f);
	af_must_verify(&f, &rep);
	ck_assert_msg(rep.records == records + 1 + noticed, "%s at %zu", what, at);
	ck_assert_uint_eq(rep.unsigned_bytes, 0);
	ck_assert_uint_ge(rep.records, c->records);
	ck_assert_msg(af_count(&f, "trail.recovered") == noticed, "%s at %zu: recovery not recorded once",
	              what, at);
}

/* SIGKILL at any byte of the records, before the head was written. */
START_TEST(test_killed_at_every_byte)
{
	struct crash c;
	make_crash(&c);
	for (size_t n = 0; n <= c.end_after - c.end; n++) {
		struct ocu_buf file = OCU_BUF_INIT(1 << 20);
		ocu_buf_put(&file, c.before, c.before_len);
		ocu_buf_put(&file, c.after + c.end, n);
		tf_write(af_segment(&f, 1), file.data, file.len);
		ocu_buf_done(&file);
		must_recover(&c, n > 0, c.records, "killed", n);
	}
	crash_done(&c);
}
END_TEST

/* Power lost before the sync returned: the new head is on disk, but only a part of the records. */
START_TEST(test_head_without_its_records)
{
	struct crash c;
	make_crash(&c);
	for (size_t n = 0; n < c.end_after - c.end; n++) {
		char *file = malloc(c.after_len);
		memcpy(file, c.after, c.after_len);
		memset(file + c.end + n, 0, c.after_len - c.end - n);
		tf_write(af_segment(&f, 1), file, n % 2 ? c.after_len : c.end + n);
		free(file);
		must_recover(&c, true, c.records, "head without records", n);
	}
	crash_done(&c);
}
END_TEST

/* The same, but what was not written is in front of what was. */
START_TEST(test_hole_in_the_records)
{
	struct crash c;
	make_crash(&c);
	for (size_t n = 1; n < c.end_after - c.end; n++) {
		char *file = malloc(c.after_len);
		memcpy(file, c.after, c.after_len);
		memset(file + c.end, 0, n);
		tf_write(af_segment(&f, 1), file, c.after_len);
		free(file);
		must_recover(&c, true, c.records, "hole", n);
	}
	crash_done(&c);
}
END_TEST

/* The newer head itself is torn, at any byte that differs. */
START_TEST(test_torn_head)
{
	struct crash c;
	make_crash(&c);
	for (size_t n = 0; n < OCU_TRAIL_HEADER; n++) {
		if (c.before[n] == c.after[n])
			continue;
		char *file = malloc(c.after_len);
		memcpy(file, c.after, c.after_len);
		memcpy(file, c.before, n + 1); /* written up to here is still the old */
		tf_write(af_segment(&f, 1), file, c.after_len);
		bool old = memcmp(file, c.before, OCU_TRAIL_HEADER) == 0;
		free(file);
		must_recover(&c, true, c.records, old ? "old head" : "torn head", n);
		tf_rmdir(f.dir);
		ck_assert_int_eq(mkdir(f.dir, 0700), 0);
	}
	crash_done(&c);
}
END_TEST

/* The answer was on its way: everything is there and stays. */
START_TEST(test_killed_before_the_answer)
{
	struct crash c;
	make_crash(&c);
	tf_write(af_segment(&f, 1), c.after, c.after_len);
	must_recover(&c, false, c.records + 2, "before the answer", 0);
	crash_done(&c);
}
END_TEST

/* Recovery signs the end anew in both slots, first in the one that does not state it: a power failure there
 * leaves the other. So the first new head must replace the one that lost, not the one that won. */
START_TEST(test_recovery_replaces_the_lost_head_first)
{
	struct ocu_trail_head h;
	struct crash c;
	char *now;
	size_t signed_len;
	unsigned char sig[64];
	make_crash(&c);
	size_t lost = memcmp(c.before, c.after, OCU_TRAIL_SLOT) == 0 ? OCU_TRAIL_SLOT : 0;
	tf_write(af_segment(&f, 1), c.after, c.end);
	af_must_open(&f);
	tf_read(af_segment(&f, 1), &now);
	ck_assert_int_eq(ocu_trail_head_parse(&h, now + lost, &signed_len, sig, NULL), 0);
	uint64_t there = h.generation;
	ck_assert_int_eq(ocu_trail_head_parse(&h, now + (OCU_TRAIL_SLOT - lost), &signed_len, sig, NULL), 0);
	ck_assert_uint_eq(there + 1, h.generation);
	free(now);
	crash_done(&c);
}
END_TEST

/* What recovery cuts is kept, and its hash is in the event. */
START_TEST(test_cut_bytes_are_kept)
{
	struct crash c;
	char name[200], *kept;
	make_crash(&c);
	tf_write(af_segment(&f, 1), c.before, c.before_len);
	int fd = open(af_segment(&f, 1), O_WRONLY | O_APPEND | O_CLOEXEC);
	ck_assert_int_eq(write(fd, "forged\n", 7), 7);
	close(fd);
	must_recover(&c, true, c.records, "forged tail", 0);
	snprintf(name, sizeof name, "%s/00000001-4.cut", f.dir);
	ck_assert_uint_eq(tf_read(name, &kept), 7);
	ck_assert_str_eq(kept, "forged\n");
	ck_assert_uint_eq(af_count(&f, "\"cut_bytes\":7"), 1);
	free(kept);
	crash_done(&c);
}
END_TEST

static void must_refuse(const char *what)
{
	struct ocu_error err = {0};
	ck_assert_msg(af_open(&f, &err) == OCU_E_CHAIN_BROKEN, "%s was taken", what);
	ck_assert_ptr_null(f.store);
}

/* An acknowledged record is gone or changed, or nobody signed: auditd does not go on over it, and changes
 * nothing. */
START_TEST(test_refuses_a_broken_trail)
{
	struct crash c;
	char *now;
	make_crash(&c);
	c.after[c.end - 100] ^= 1;
	tf_write(af_segment(&f, 1), c.after, c.after_len);
	must_refuse("a changed record");
	ck_assert_uint_eq(tf_read(af_segment(&f, 1), &now), c.after_len);
	ck_assert_mem_eq(now, c.after, c.after_len);
	free(now);
	c.after[c.end - 100] ^= 1;
	tf_write(af_segment(&f, 1), c.after, OCU_TRAIL_HEADER + 50);
	must_refuse("a file cut off in the opening");
	tf_write(af_segment(&f, 1), c.after, 5000);
	must_refuse("a file cut off in the header");
	memset(c.after, ' ', OCU_TRAIL_HEADER);
	tf_write(af_segment(&f, 1), c.after, c.after_len);
	must_refuse("a trail without heads");
	crash_done(&c);
}
END_TEST

START_TEST(test_refuses_missing_segments)
{
	f.opts.segment_size = 9000;
	af_must_open(&f);
	for (int i = 0; i < 4; i++)
		af_must_batch(&f, "gateway", 3);
	af_close(&f);
	char keep[200];
	snprintf(keep, sizeof keep, "%s/keep", f.dir);
	ck_assert_int_eq(rename(af_segment(&f, 4), keep), 0);
	must_refuse("a trail without its last segment");
	ck_assert_int_eq(rename(keep, af_segment(&f, 4)), 0);
	ck_assert_int_eq(rename(af_segment(&f, 2), keep), 0);
	must_refuse("a trail without a middle segment");
}
END_TEST

START_TEST(test_refuses_a_foreign_trail)
{
	struct ocu_jwks *mine = f.keys;
	struct ocu_signer *other;
	af_must_open(&f);
	af_must_batch(&f, "gateway", 3);
	af_close(&f);
	ck_assert_int_eq(ocu_signer_generate(&other, NULL), 0);
	f.opts.keys = tf_keys(other);
	must_refuse("a trail of another deployment");
	ocu_jwks_free((struct ocu_jwks *)f.opts.keys);
	ocu_signer_free(other);
	f.keys = mine;
}
END_TEST

/* --- a full disk: a file size limit fails at an exact byte --- */

static void limit(rlim_t size)
{
	struct rlimit r;
	getrlimit(RLIMIT_FSIZE, &r);
	r.rlim_cur = size;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &r), 0);
}

START_TEST(test_full_at_every_byte)
{
	struct ocu_error err = {0};
	struct store_head before, after;
	signal(SIGXFSZ, SIG_IGN);
	af_must_open(&f);
	af_must_batch(&f, "gateway", 1);
	for (rlim_t room = 0; room < 700; room += room < 40 ? 1 : 13) {
		store_head(f.store, &before);
		limit(before.end + room);
		int rc = af_batch(&f, "brokerd", 3, &err);
		store_head(f.store, &after);
		ck_assert_msg(rc == OCU_E_NO_SPACE, "%d with room for %d: %s", rc, (int)room, err.text);
		ck_assert_uint_eq(before.records, after.records);
		ck_assert_uint_eq(before.end, after.end);
		store_note_refused(f.store, 3, &err);
		/* Verifies while it is full. */
		af_must_verify(&f, &rep);
		ck_assert_uint_eq(rep.records, before.records);
		ck_assert_uint_eq(rep.unsigned_bytes, 0);
		limit(RLIM_INFINITY);
		af_must_batch(&f, "brokerd", 3);
		af_must_verify(&f, &rep);
		ck_assert_uint_eq(rep.records, before.records + 4); /* with one trail.resumed */
	}
	ck_assert_uint_gt(af_count(&f, "\"action\":\"trail.resumed\""), 10);
	ck_assert_uint_gt(af_count(&f, "\"refused_events\":3"), 10);
}
END_TEST

/* Too full for a new segment: the batch is refused, the old segment stays the last. */
START_TEST(test_full_at_rotation)
{
	struct ocu_error err = {0};
	signal(SIGXFSZ, SIG_IGN);
	f.opts.segment_size = 9000;
	af_must_open(&f);
	af_must_batch(&f, "gateway", 4);
	limit(4096);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(af_batch(&f, "gateway", 1, &err), OCU_E_NO_SPACE);
		store_note_refused(f.store, 1, &err);
	}
	limit(RLIM_INFINITY);
	af_must_verify(&f, &rep);
	ck_assert_uint_eq(rep.segments, 1);
	af_must_batch(&f, "gateway", 1);
	af_must_verify(&f, &rep);
	ck_assert_uint_eq(rep.segments, 2);
	ck_assert_uint_eq(af_count(&f, "\"refused_events\":3,\"refused_batches\":3"), 1);
}
END_TEST

/* A source met first in a refused batch leaves no trace in the next opening. */
START_TEST(test_source_of_a_refused_batch)
{
	struct ocu_error err = {0};
	struct store_head h;
	signal(SIGXFSZ, SIG_IGN);
	f.opts.segment_size = 10200;
	f.opts.preallocate = 0;
	af_must_open(&f);
	af_must_batch(&f, "gateway", 1);
	store_head(f.store, &h);
	limit(h.end + 10);
	ck_assert_int_eq(af_batch(&f, "egressd", 1, &err), OCU_E_NO_SPACE);
	limit(RLIM_INFINITY);
	af_must_batch(&f, "brokerd", 3);
	af_must_batch(&f, "egressd", 3); /* in the next segment */
	af_must_batch(&f, "gateway", 3);
	af_must_verify(&f, &rep);
	ck_assert_uint_gt(rep.segments, 1);
	af_close(&f);
	af_must_open(&f);
	af_must_batch(&f, "gateway", 1);
	af_must_verify(&f, &rep);
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_first_start);
	tcase_add_test(tc, test_restarts);
	tcase_add_test(tc, test_close_trims);
	tcase_add_test(tc, test_rotation);
	tcase_add_test(tc, test_rotation_by_age);
	tcase_add_test(tc, test_unsealed_segment_is_sealed_at_start);
	tcase_add_test(tc, test_time_floor);
	tcase_add_test(tc, test_killed_at_every_byte);
	tcase_add_test(tc, test_head_without_its_records);
	tcase_add_test(tc, test_hole_in_the_records);
	tcase_add_test(tc, test_torn_head);
	tcase_add_test(tc, test_killed_before_the_answer);
	tcase_add_test(tc, test_recovery_replaces_the_lost_head_first);
	tcase_add_test(tc, test_cut_bytes_are_kept);
	tcase_add_test(tc, test_refuses_a_broken_trail);
	tcase_add_test(tc, test_refuses_missing_segments);
	tcase_add_test(tc, test_refuses_a_foreign_trail);
	tcase_add_test(tc, test_full_at_every_byte);
	tcase_add_test(tc, test_full_at_rotation);
	tcase_add_test(tc, test_source_of_a_refused_batch);
}

/* shows: NFR-SEC-03, NFR-REL-12, NFR-REL-03, NFR-SEC-48 (in part) */
int main(void)
{
	return af_main("auditd_store", add);
}
