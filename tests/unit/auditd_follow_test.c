/* Following a trail that grows: where it goes on, what it does not give, and what it makes of damage. */
#include "auditd/follow.h"
#include "tests/unit/auditd_fixture.h"

static struct af f;
static struct follow w;
static struct ocu_error err;

static void setup(void)
{
	af_init(&f);
	f.opts.segment_size = OCU_TRAIL_HEADER + 4096; /* some dozens of records */
	af_must_open(&f);
	memset(&err, 0, sizeof err);
	ck_assert_int_eq(follow_open(&w, f.dir, &err), 0);
}

static void teardown(void)
{
	follow_close(&w);
	af_done(&f);
}

static void must_seek(uint64_t number)
{
	ck_assert_msg(follow_seek(&w, number, &err) == 0, "%s", err.text);
}

/* How many records come until none does, and that their numbers follow each other. */
static uint64_t take(uint64_t limit)
{
	struct ocu_trail_record r;
	uint64_t before = w.number, n = 0;
	int rc;
	while ((rc = follow_next(&w, limit, &r, &err)) > 0)
		ck_assert_uint_eq(r.number, before + ++n);
	ck_assert_msg(rc == 0, "%s", err.text);
	return n;
}

START_TEST(test_all_of_it_over_segments)
{
	for (int i = 0; i < 20; i++)
		af_must_batch(&f, "gateway", 20);
	uint64_t all = af_records(&f);
	must_seek(1);
	ck_assert_uint_eq(take(all), all);
	ck_assert_uint_gt(w.segment, 3);
	ck_assert_str_eq(w.trail, store_trail(f.store));
}
END_TEST

START_TEST(test_from_any_number)
{
	struct ocu_trail_record r;
	for (int i = 0; i < 6; i++)
		af_must_batch(&f, "gateway", 30);
	uint64_t all = af_records(&f);
	for (uint64_t n = 1; n <= all; n++) {
		must_seek(n);
		ck_assert_int_eq(follow_next(&w, all, &r, &err), 1);
		ck_assert_uint_eq(r.number, n);
	}
	must_seek(all + 1);
	ck_assert_uint_eq(take(UINT64_MAX), 0);
}
END_TEST

START_TEST(test_what_comes_later_is_given_later)
{
	must_seek(1);
	uint64_t seen = take(af_records(&f));
	for (int i = 0; i < 200; i++) {
		af_must_batch(&f, "gateway", 3);
		seen += take(af_records(&f));
		ck_assert_uint_eq(seen, af_records(&f));
	}
	ck_assert_uint_gt(w.segment, 3);
}
END_TEST

START_TEST(test_nothing_beyond_the_limit)
{
	af_must_batch(&f, "gateway", 30);
	must_seek(1);
	ck_assert_uint_eq(take(7), 7);
	ck_assert_uint_eq(take(7), 0);
	ck_assert_uint_eq(take(8), 1);
}
END_TEST

START_TEST(test_no_segment)
{
	char empty[64];
	tf_dir(empty);
	struct follow e;
	ck_assert_int_eq(follow_open(&e, empty, &err), 0);
	ck_assert_int_eq(follow_seek(&e, 1, &err), OCU_E_NOT_FOUND);
	follow_close(&e);
	tf_rmdir(empty);
}
END_TEST

/* The file and offset of the number of record 5. */
static int find_fifth(off_t *ret)
{
	for (unsigned segment = 1; segment < 10; segment++) {
		char text[8192];
		int fd = open(af_segment(&f, segment), O_RDWR | O_CLOEXEC);
		ck_assert_int_ge(fd, 0);
		ssize_t n = pread(fd, text, sizeof text, (off_t)OCU_TRAIL_HEADER);
		const char *at = n > 0 ? memmem(text, (size_t)n, "{\"n\":5,", 7) : NULL;
		if (at) {
			*ret = (off_t)OCU_TRAIL_HEADER + (at - text) + 5;
			return fd;
		}
		close(fd);
	}
	return -1;
}

START_TEST(test_damage_is_not_given)
{
	struct ocu_trail_record r;
	off_t at;
	af_must_batch(&f, "gateway", 10);
	int fd = find_fifth(&at);
	ck_assert_int_eq(pwrite(fd, "6", 1, at), 1);
	close(fd);
	must_seek(1);
	for (int i = 1; i < 5; i++)
		ck_assert_int_eq(follow_next(&w, UINT64_MAX, &r, &err), 1);
	ck_assert_int_eq(follow_next(&w, UINT64_MAX, &r, &err), OCU_E_CHAIN_BROKEN);
}
END_TEST

static void add(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_all_of_it_over_segments);
	tcase_add_test(tc, test_from_any_number);
	tcase_add_test(tc, test_what_comes_later_is_given_later);
	tcase_add_test(tc, test_nothing_beyond_the_limit);
	tcase_add_test(tc, test_no_segment);
	tcase_add_test(tc, test_damage_is_not_given);
}

int main(void)
{
	return af_main("auditd_follow", add);
}
