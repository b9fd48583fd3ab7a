/* Segments that leave the disk: when, in which order of steps, and what every stop in between leaves behind.
 * shows: NFR-COMP-01 (in part) */
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "auditd/anchor.h"
#include "auditd/follow.h"
#include "auditd/retire.h"
#include "libocu/trail_anchor.h"
#include "tests/unit/auditd_fixture.h"

#define DAY INT64_C(86400000)

static struct af f;
static struct retire r;
static struct ocu_trail_report rep;
static struct ocu_error err;
static int archive_says, record_says;
static unsigned events, questions;
static uint64_t collector_has, archive_has;
static bool dies;

static int record(void *arg, const struct ocu_event *ev, struct ocu_error *e)
{
	OCU_BUF struct ocu_buf text = OCU_BUF_INIT(OCU_EVENT_MAX);
	uint64_t number;
	(void)arg;
	if (record_says)
		return ocu_error_set(e, record_says, "the trail takes nothing");
	ck_assert_int_eq(ocu_event_render(ev, &text, NULL), 0);
	ck_assert_int_eq(store_begin(f.store, NULL), 0);
	ck_assert_int_eq(store_add(f.store, STORE_SELF, ocu_wall_ms(), text.data, text.len, &number, NULL),
	                 0);
	ck_assert_int_eq(store_commit(f.store, NULL), 0);
	events++;
	if (dies)
		_exit(0);
	return 0;
}

static uint64_t archived(void *arg)
{
	(void)arg;
	return archive_has;
}

static int confirm(void *arg, uint64_t segment, struct ocu_error *e)
{
	(void)arg;
	(void)segment;
	questions++;
	return archive_says ? ocu_error_set(e, archive_says, "the archive says no") : 0;
}

static uint64_t given(void *arg)
{
	(void)arg;
	return collector_has;
}

static void open_store(void)
{
	af_must_open(&f);
	r = (struct retire){.store = f.store,
	                    .signer = f.signer,
	                    .keys = f.keys,
	                    .hot_ms = 90 * DAY,
	                    .record = record,
	                    .archived = archived,
	                    .confirm = confirm,
	                    .given = given};
}

/* Some segments, all of now. */
static void setup(void)
{
	af_init(&f);
	f.opts.segment_size = OCU_TRAIL_HEADER + 2048;
	archive_says = record_says = 0;
	events = questions = 0;
	collector_has = archive_has = UINT64_MAX;
	dies = false;
	memset(&err, 0, sizeof err);
	open_store();
	for (int i = 0; i < 6; i++)
		af_must_batch(&f, i % 2 ? "gateway" : "brokerd", 12);
}

static void teardown(void)
{
	af_done(&f);
}

static int64_t days_on(unsigned n)
{
	return ocu_wall_ms() + n * DAY;
}

static uint64_t first(void)
{
	struct store_head h;
	store_head(f.store, &h);
	return h.first;
}

static uint64_t last(void)
{
	struct store_head h;
	store_head(f.store, &h);
	return h.segment;
}

static bool is_there(unsigned n)
{
	return access(af_segment(&f, n), F_OK) == 0;
}

static void must_remove(void)
{
	int rc = retire_step(&r, days_on(100), &err);
	ck_assert_msg(rc == 1, "%d %s", rc, err.text);
}

static void must_keep(int code, const char *why)
{
	uint64_t records = af_records(&f);
	ck_assert_int_eq(retire_step(&r, days_on(100), &err), code);
	ck_assert_msg(!code || strstr(err.text, why), "%s", err.text);
	ck_assert_uint_eq(first(), 1);
	ck_assert(is_there(1));
	ck_assert_uint_eq(af_records(&f), records);
	ck_assert_int_eq(unlinkat(store_dirfd(f.store), OCU_TRAIL_ANCHOR, 0), -1);
}

/* One after the other from the first on, each with its event, and never the one that is written to. */
START_TEST(test_from_the_first_on)
{
	uint64_t all = last();
	ck_assert_uint_gt(all, 3);
	for (unsigned n = 1; n < all; n++) {
		must_remove();
		ck_assert(!is_there(n));
		ck_assert_uint_eq(first(), n + 1);
		ck_assert_uint_eq(events, n);
		af_must_verify(&f, &rep);
		ck_assert_uint_eq(rep.archived_segments, n);
		ck_assert_uint_eq(rep.records, af_records(&f));
		if (n % 2) { /* and after a restart, every other time */
			af_close(&f);
			open_store();
			ck_assert_uint_eq(first(), n + 1);
		}
	}
	while (first() < last()) /* what the events filled */
		must_remove();
	ck_assert_int_eq(retire_step(&r, days_on(1000), &err), 0);
	ck_assert(is_there((unsigned)last()));
	af_close(&f);
	open_store();
	af_must_batch(&f, "sandboxd/a", 40);
	af_must_batch(&f, "gateway", 1);
	af_must_verify(&f, &rep);
	ck_assert_uint_eq(rep.unsigned_bytes, 0);
	ck_assert_uint_eq(af_count(&f, "trail.recovered"), 0);
	ck_assert_uint_eq(af_count(&f, "trail.opened"), 0); /* it is in the archive */
}
END_TEST

START_TEST(test_not_before_its_time)
{
	ck_assert_int_eq(retire_step(&r, days_on(89), &err), 0);
	ck_assert_uint_eq(questions, 0);
	must_remove();
}
END_TEST

/* Its file is young although its records are not: a clock was wrong. */
START_TEST(test_young_file)
{
	const struct timespec t[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) + 50L * 86400}};
	ck_assert_int_eq(utimensat(AT_FDCWD, af_segment(&f, 1), t, 0), 0);
	must_keep(0, "");
	ck_assert_uint_eq(questions, 0);
}
END_TEST

/* Its last record is young although the file and the seal are not. */
START_TEST(test_young_record)
{
	uint64_t number;
	af_done(&f);
	af_init(&f);
	f.opts.segment_size = OCU_TRAIL_HEADER + 400;
	open_store();
	ck_assert_int_eq(store_begin(f.store, NULL), 0);
	ck_assert_int_eq(store_add(f.store, "gateway", days_on(50), "{\"x\":1}", 7, &number, NULL), 0);
	ck_assert_int_eq(store_commit(f.store, NULL), 0);
	af_must_batch(&f, "gateway", 1);
	ck_assert_uint_eq(last(), 2);
	must_keep(0, "");
	ck_assert_uint_eq(questions, 0);
	ck_assert_int_eq(retire_step(&r, days_on(150), &err), 1);
}
END_TEST

START_TEST(test_every_no_keeps_it)
{
	archive_has = 0; /* which is no failure: it is waited for */
	must_keep(0, "");
	archive_has = 1;
	collector_has = 5;
	must_keep(OCU_E_UNAVAILABLE, "collector");
	ck_assert_uint_eq(questions, 0);
	collector_has = UINT64_MAX;
	archive_says = OCU_E_EXISTS;
	must_keep(OCU_E_EXISTS, "the archive says no");
	archive_says = 0;
	record_says = OCU_E_NO_SPACE;
	must_keep(OCU_E_NO_SPACE, "takes nothing");
	record_says = 0;
	must_remove();
	ck_assert_int_eq(retire_step(&r, days_on(100), &err), 0); /* it has the first alone */
}
END_TEST

static void change(unsigned segment, size_t at, char to)
{
	int fd = open(af_segment(&f, segment), O_RDWR);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, &to, 1, (off_t)at), 1);
	close(fd);
}

/* What does not verify here is evidence of its own, and no anchor will say that it was well. */
START_TEST(test_damage_stays)
{
	char *text;
	size_t len = tf_read(af_segment(&f, 1), &text);
	size_t at = (size_t)(strstr(text + OCU_TRAIL_HEADER, "\"i\":3") + 4 - text);
	change(1, at, '7');
	must_keep(OCU_E_CHAIN_BROKEN, "hash");
	change(1, at, text[at]);
	change(1, 20, 'x'); /* a head */
	must_keep(OCU_E_STATE, "not sealed");
	change(1, 20, text[20]);
	change(1, len, 'x'); /* behind its end */
	must_keep(OCU_E_CHAIN_BROKEN, "size");
	ck_assert_int_eq(truncate(af_segment(&f, 1), (off_t)len), 0);
	ck_assert_uint_eq(questions, 0);
	must_remove();
	free(text);
}
END_TEST

/* Stopped when the event was durable and nothing was done. */
START_TEST(test_stop_between_event_and_anchor)
{
	af_close(&f);
	pid_t pid = fork();
	if (pid == 0) {
		open_store();
		dies = true;
		retire_step(&r, days_on(100), &err);
		_exit(1);
	}
	int status = -1;
	waitpid(pid, &status, 0);
	ck_assert_int_eq(status, 0);
	af_must_verify(&f, &rep);
	ck_assert_uint_eq(rep.archived_segments, 0);
	open_store();
	ck_assert_uint_eq(af_count(&f, "segment.removed"), 1);
	must_remove();
	af_must_verify(&f, &rep);
	ck_assert_uint_eq(rep.archived_segments, 1);
}
END_TEST

static void anchor_of(unsigned segment, struct ocu_trail_anchor *ret)
{
	struct ocu_trail_slots slots;
	int fd = ocu_trail_segment_open(store_dirfd(f.store), segment, NULL);
	ck_assert_int_eq(ocu_trail_slots_read(fd, f.keys, &slots, NULL), 0);
	const struct ocu_trail_head *h = ocu_trail_slots_newest(&slots);
	*ret = (struct ocu_trail_anchor){
	    .segment = segment, .records = h->number, .last = h->last, .time = TF_TIME};
	memcpy(ret->trail, h->trail, sizeof ret->trail);
	close(fd);
}

/* Stopped when the anchor was durable and the file was there: it goes without a second event, if the archive
 * still has it. */
START_TEST(test_stop_between_anchor_and_file)
{
	struct ocu_trail_anchor a;
	must_remove();
	anchor_of(2, &a);
	ck_assert_int_eq(anchor_write(store_dirfd(f.store), &a, f.signer, NULL), 0);
	af_close(&f);
	af_must_verify(&f, &rep);
	ck_assert_uint_eq(rep.archived_segments, 1);
	open_store();
	ck_assert_uint_eq(first(), 2);
	archive_says = OCU_E_NOT_FOUND;
	ck_assert_int_eq(retire_step(&r, days_on(100), &err), OCU_E_NOT_FOUND);
	archive_says = 0;
	must_remove();
	ck_assert_uint_eq(events, 1);
	ck_assert(!is_there(2));
	must_remove();
	ck_assert_uint_eq(events, 2);
	af_must_verify(&f, &rep);
	ck_assert_uint_eq(rep.archived_segments, 3);
}
END_TEST

static void must_not_open(const char *why)
{
	ck_assert_int_eq(af_open(&f, &err), OCU_E_CHAIN_BROKEN);
	ck_assert_msg(strstr(err.text, why) != NULL, "%s", err.text);
	ck_assert_ptr_null(f.store);
}

/* auditd does not go on with a trail whose beginning somebody took away. */
START_TEST(test_it_does_not_start_on_less)
{
	struct ocu_trail_anchor a;
	struct ocu_signer *other = NULL;
	int dirfd = open(f.dir, O_RDONLY | O_DIRECTORY);
	char *text;
	must_remove();
	must_remove();
	anchor_of(3, &a);
	af_close(&f);
	char path[120];
	snprintf(path, sizeof path, "%s/%s", f.dir, OCU_TRAIL_ANCHOR);
	size_t len = tf_read(path, &text);
	unlink(path);
	must_not_open("segment 1 is missing");
	/* By another's key. */
	ck_assert_int_eq(ocu_signer_generate(&other, NULL), 0);
	ck_assert_int_eq(anchor_write(dirfd, &a, other, NULL), 0);
	must_not_open("does not verify");
	/* Of a trail that was another. */
	a.segment = 2;
	ck_assert_int_eq(anchor_write(dirfd, &a, f.signer, NULL), 0);
	must_not_open("behind the anchor");
	/* One more taken away than it says. */
	tf_write(path, text, len);
	char *third;
	size_t third_len = tf_read(af_segment(&f, 3), &third);
	unlink(af_segment(&f, 3));
	must_not_open("segment 3 is missing");
	/* All of it taken away: no new trail begins beside the anchor of the old one. */
	tf_write(af_segment(&f, 3), third, third_len);
	open_store();
	af_close(&f);
	for (unsigned n = 3; n < 20; n++)
		unlink(af_segment(&f, n));
	must_not_open("segment 3 is missing");
	ocu_signer_free(other);
	close(dirfd);
	free(text);
	free(third);
}
END_TEST

/* Who follows from before the beginning gets what is here. */
START_TEST(test_followers_begin_where_it_does)
{
	struct follow w;
	struct ocu_trail_record rec;
	must_remove();
	must_remove();
	ck_assert_int_eq(follow_open(&w, f.dir, &err), 0);
	ck_assert_msg(follow_seek(&w, 1, &err) == 0, "%s", err.text);
	ck_assert_int_eq(follow_next(&w, UINT64_MAX, &rec, &err), 1);
	af_must_verify(&f, &rep);
	ck_assert_uint_eq(rec.number, rep.archived_records + 1);
	follow_close(&w);
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_from_the_first_on);
	tcase_add_test(tc, test_not_before_its_time);
	tcase_add_test(tc, test_young_file);
	tcase_add_test(tc, test_young_record);
	tcase_add_test(tc, test_every_no_keeps_it);
	tcase_add_test(tc, test_damage_stays);
	tcase_add_test(tc, test_stop_between_event_and_anchor);
	tcase_add_test(tc, test_stop_between_anchor_and_file);
	tcase_add_test(tc, test_it_does_not_start_on_less);
	tcase_add_test(tc, test_followers_begin_where_it_does);
}

int main(void)
{
	return af_main("auditd_retire", add);
}
