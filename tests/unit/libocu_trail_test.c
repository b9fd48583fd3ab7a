/* The verifier against a trail that somebody touched: every byte, every record, every segment. */
#include "tests/unit/libocu_trail_fixture.h"

static struct tf t;
static struct ocu_trail_report rep;

static void setup(void)
{
	tf_init(&t);
}

static void teardown(void)
{
	tf_done(&t);
}

static void make_small(void)
{
	tf_open(&t);
	tf_record(&t, "gateway", "{\"a\":1}");
	tf_record(&t, "sandboxd/node-1", "{\"a\":2}");
	tf_record(&t, "gateway", "{\"a\":3}");
	tf_record(&t, "gateway", "{\"a\":4}");
	tf_close(&t, false);
}

static int verify_as(enum ocu_trail_state state)
{
	return ocu_trail_verify_as(t.dir, state, t.keys, &rep, NULL);
}

static void make_segments(unsigned n)
{
	for (unsigned i = 1; i <= n; i++) {
		tf_open(&t);
		tf_record(&t, "gateway", "{\"a\":1}");
		tf_record(&t, "brokerd", "{\"a\":2}");
		tf_close(&t, i < n);
	}
}

static void expect_broken(const char *what)
{
	ck_assert_msg(tf_verify(&t, &rep) == OCU_E_CHAIN_BROKEN, "%s was not found", what);
	ck_assert_msg(rep.why[0], "%s: no reason given", what);
}

START_TEST(test_intact)
{
	make_small();
	ck_assert_int_eq(tf_verify(&t, &rep), 0);
	ck_assert_uint_eq(rep.records, 4);
	ck_assert_uint_eq(rep.sources, 2);
	ck_assert_uint_eq(rep.segments, 1);
	ck_assert_uint_eq(rep.unsigned_bytes, 0);
	ck_assert_str_eq(rep.why, "");
	unsigned char last[32];
	ocu_trail_hash_bytes(&t.last, last);
	ck_assert_mem_eq(rep.head, last, 32);
}
END_TEST

/* One flipped bit anywhere in the file, padding included; in the lines every bit of every byte. */
START_TEST(test_every_flipped_bit)
{
	char *data;
	make_small();
	size_t len = tf_read(tf_path(&t, 1), &data);
	int fd = open(tf_path(&t, 1), O_WRONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	for (size_t i = 0; i < len; i++) {
		int first = i < OCU_TRAIL_HEADER ? (int)(i % 8) : 0;
		int last = i < OCU_TRAIL_HEADER ? first : 7;
		for (int bit = first; bit <= last; bit++) {
			char flipped = (char)(data[i] ^ 1 << bit);
			ck_assert_int_eq(pwrite(fd, &flipped, 1, (off_t)i), 1);
			ck_assert_msg(tf_verify(&t, &rep) == OCU_E_CHAIN_BROKEN, "bit %d of byte %zu", bit,
			              i);
		}
		ck_assert_int_eq(pwrite(fd, data + i, 1, (off_t)i), 1);
	}
	close(fd);
	ck_assert_int_eq(tf_verify(&t, &rep), 0);
	free(data);
}
END_TEST

START_TEST(test_every_truncation)
{
	char *data;
	make_small();
	size_t len = tf_read(tf_path(&t, 1), &data);
	for (size_t n = len; n-- > 0;) {
		ck_assert_int_eq(truncate(tf_path(&t, 1), (off_t)n), 0);
		ck_assert_msg(tf_verify(&t, &rep) == OCU_E_CHAIN_BROKEN, "cut to %zu of %zu", n, len);
	}
	free(data);
}
END_TEST

/* Cuts the file into its lines (the header is line 0). */
static unsigned split(const char *data, size_t len, const char *line[16], size_t size[16])
{
	unsigned n = 1;
	line[0] = data;
	size[0] = OCU_TRAIL_HEADER;
	for (const char *p = data + OCU_TRAIL_HEADER; p < data + len; n++) {
		const char *end = memchr(p, '\n', (size_t)(data + len - p));
		line[n] = p;
		size[n] = (size_t)(end + 1 - p);
		p = end + 1;
	}
	return n;
}

static void write_order(const char *const *line, const size_t *size, const unsigned *order, unsigned n)
{
	struct ocu_buf file = OCU_BUF_INIT(1 << 20);
	for (unsigned i = 0; i < n; i++)
		ocu_buf_put(&file, line[order[i]], size[order[i]]);
	tf_write(tf_path(&t, 1), file.data, file.len);
	ocu_buf_done(&file);
}

/* Every line removed, doubled, and exchanged with every other. */
START_TEST(test_every_line_moved)
{
	const char *line[16];
	size_t size[16];
	unsigned order[32];
	char *data;
	make_small();
	size_t len = tf_read(tf_path(&t, 1), &data);
	unsigned n = split(data, len, line, size);
	ck_assert_uint_eq(n, 6);
	for (unsigned a = 1; a < n; a++) {
		unsigned k = 0;
		for (unsigned i = 0; i < n; i++)
			if (i != a)
				order[k++] = i;
		write_order(line, size, order, k);
		expect_broken("a removed line");
		k = 0;
		for (unsigned i = 0; i < n; i++) {
			order[k++] = i;
			if (i == a && i + 1 < n)
				order[k++] = i;
		}
		if (k > n) {
			write_order(line, size, order, k);
			expect_broken("a doubled line");
		}
		for (unsigned b = a + 1; b < n; b++) {
			for (unsigned i = 0; i < n; i++)
				order[i] = i == a ? b : i == b ? a : i;
			write_order(line, size, order, n);
			expect_broken("exchanged lines");
		}
	}
	for (unsigned i = 0; i < n; i++)
		order[i] = i;
	write_order(line, size, order, n);
	ck_assert_int_eq(tf_verify(&t, &rep), 0);
	free(data);
}
END_TEST

/* A line cut out of the middle at every pair of bytes would be many; at every byte of its length is enough.
 */
START_TEST(test_every_cut_inside)
{
	char *data;
	make_small();
	size_t len = tf_read(tf_path(&t, 1), &data);
	struct ocu_buf file = OCU_BUF_INIT(1 << 20);
	for (size_t at = OCU_TRAIL_HEADER; at < len; at++) {
		ocu_buf_reset(&file);
		ocu_buf_put(&file, data, at);
		ocu_buf_put(&file, data + at + 1, len - at - 1);
		tf_write(tf_path(&t, 1), file.data, file.len);
		ck_assert_msg(tf_verify(&t, &rep) == OCU_E_CHAIN_BROKEN, "byte %zu removed", at);
	}
	ocu_buf_done(&file);
	free(data);
}
END_TEST

/* Cutting the last record off, and stating the end before it with what the file itself offers: the older head
 * in both slots, alone, in the wrong slot, or the newer slot destroyed. */
START_TEST(test_cut_back_to_the_older_head)
{
	char *data;
	make_small();
	size_t len = tf_read(tf_path(&t, 1), &data);
	const char *older = data + (t.generation - 2) % 2 * OCU_TRAIL_SLOT;
	unsigned newer_at = (unsigned)((t.generation - 1) % 2);
	size_t last = len - 1;
	while (data[last - 1] != '\n')
		last--;
	char saved[OCU_TRAIL_SLOT];
	memcpy(saved, older, sizeof saved);
	for (int how = 0; how < 3; how++) {
		char *newer = data + newer_at * OCU_TRAIL_SLOT;
		if (how == 0)
			memcpy(newer, saved, sizeof saved);
		else
			memset(newer, how == 1 ? 0 : ' ', OCU_TRAIL_SLOT);
		tf_write(tf_path(&t, 1), data, last);
		expect_broken("a trail cut back to the older head");
	}
	free(data);
}
END_TEST

START_TEST(test_segments)
{
	make_segments(4);
	ck_assert_int_eq(tf_verify(&t, &rep), 0);
	ck_assert_uint_eq(rep.segments, 4);
	ck_assert_uint_eq(rep.records, 8);
}
END_TEST

START_TEST(test_every_missing_segment)
{
	char aside[200];
	make_segments(4);
	snprintf(aside, sizeof aside, "%s/aside", t.dir);
	for (uint64_t n = 1; n <= 4; n++) {
		ck_assert_int_eq(rename(tf_path(&t, n), aside), 0);
		expect_broken("a missing segment");
		ck_assert_int_eq(rename(aside, tf_path(&t, n)), 0);
	}
	/* All from one on. */
	for (uint64_t n = 4; n >= 1; n--) {
		ck_assert_int_eq(unlink(tf_path(&t, n)), 0);
		expect_broken("missing last segments");
	}
}
END_TEST

START_TEST(test_every_swapped_segment)
{
	char aside[200];
	make_segments(4);
	snprintf(aside, sizeof aside, "%s/aside", t.dir);
	for (uint64_t a = 1; a <= 4; a++)
		for (uint64_t b = a + 1; b <= 4; b++) {
			rename(tf_path(&t, a), aside);
			rename(tf_path(&t, b), tf_path(&t, a));
			rename(aside, tf_path(&t, b));
			expect_broken("swapped segments");
			rename(tf_path(&t, a), aside);
			rename(tf_path(&t, b), tf_path(&t, a));
			rename(aside, tf_path(&t, b));
		}
	ck_assert_int_eq(tf_verify(&t, &rep), 0);
}
END_TEST

START_TEST(test_bytes_after_a_sealed_segment)
{
	make_segments(2);
	int fd = open(tf_path(&t, 1), O_WRONLY | O_APPEND | O_CLOEXEC);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	close(fd);
	expect_broken("a byte after a sealed segment");
}
END_TEST

START_TEST(test_foreign_key)
{
	struct ocu_signer *other;
	make_small();
	ck_assert_int_eq(ocu_signer_generate(&other, NULL), 0);
	ocu_jwks_free(t.keys);
	t.keys = tf_keys(other);
	expect_broken("a foreign-signed head");
	ocu_signer_free(other);
}
END_TEST

/* The whole trail written anew by someone who has another key. */
START_TEST(test_rewritten_with_another_key)
{
	struct ocu_signer *mine = t.signer;
	ck_assert_int_eq(ocu_signer_generate(&t.signer, NULL), 0);
	make_small();
	expect_broken("a rewritten trail");
	ocu_signer_free(t.signer);
	t.signer = mine;
}
END_TEST

/* auditd in the middle of a batch: records after the head, then zeros. */
START_TEST(test_unsigned_tail)
{
	make_small();
	size_t covered = t.lines.len;
	tf_record(&t, "gateway", "{\"a\":5}");
	tf_record(&t, "egressd", "{\"a\":6}");
	int fd = open(tf_path(&t, 1), O_WRONLY | O_APPEND | O_CLOEXEC);
	size_t extra = t.lines.len - covered - 10; /* the last one not yet whole */
	static const char zeros[5000];
	ck_assert_int_eq(write(fd, t.lines.data + covered, extra), (ssize_t)extra);
	ck_assert_int_eq(write(fd, zeros, sizeof zeros), sizeof zeros);
	close(fd);
	ck_assert_int_eq(tf_verify(&t, &rep), 0);
	ck_assert_uint_eq(rep.records, 4);
	ck_assert_uint_eq(rep.sources, 2);
	ck_assert_uint_eq(rep.unsigned_records, 1);
	ck_assert_uint_eq(rep.unsigned_bytes, extra);
	ck_assert_ptr_nonnull(strstr(rep.why, "follow the signed head"));
	/* Nobody writes to it: then it is somebody's addition. */
	ck_assert_int_eq(verify_as(OCU_TRAIL_AT_REST), OCU_E_CHAIN_BROKEN);
	ck_assert_ptr_nonnull(strstr(rep.why, "(1 records) follow the signed head"));
	ck_assert_uint_eq(rep.unsigned_records, 1);
	ck_assert_uint_eq(rep.records, 4);
}
END_TEST

START_TEST(test_preallocated_tail)
{
	make_small();
	ck_assert_int_eq(truncate(tf_path(&t, 1), 1 << 20), 0);
	ck_assert_int_eq(tf_verify(&t, &rep), 0);
	ck_assert_uint_eq(rep.unsigned_bytes, 0);
	ck_assert_int_eq(verify_as(OCU_TRAIL_AT_REST), 0);
	int fd = open(tf_path(&t, 1), O_WRONLY | O_APPEND | O_CLOEXEC);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	close(fd);
	ck_assert_int_eq(verify_as(OCU_TRAIL_AT_REST), OCU_E_CHAIN_BROKEN);
	ck_assert_int_eq(verify_as(OCU_TRAIL_RUNNING), 0);
}
END_TEST

/* The last segment of an archive is sealed, and so is its end. */
START_TEST(test_bytes_after_the_last_sealed_segment)
{
	make_segments(3);
	ck_assert_int_eq(unlink(tf_path(&t, 3)), 0);
	ck_assert_int_eq(verify_as(OCU_TRAIL_SEALED), 0);
	int fd = open(tf_path(&t, 2), O_WRONLY | O_APPEND | O_CLOEXEC);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	close(fd);
	ck_assert_int_eq(verify_as(OCU_TRAIL_SEALED), OCU_E_CHAIN_BROKEN);
}
END_TEST

/* The number of the record is told. */
START_TEST(test_bad_record_number)
{
	char *data;
	make_small();
	size_t len = tf_read(tf_path(&t, 1), &data);
	char *third = strstr(data + OCU_TRAIL_HEADER, "{\"a\":3}");
	third[5] = '9';
	tf_write(tf_path(&t, 1), data, len);
	expect_broken("a changed record");
	ck_assert_uint_eq(rep.bad_record, 3);
	ck_assert_uint_eq(rep.records, 2);
	free(data);
}
END_TEST

/* --- well-formed and rightly signed, but not a trail: what only a faulty auditd would write --- */

static struct ocu_trail_hash other_hash(void)
{
	struct ocu_trail_hash h = OCU_TRAIL_HASH_ZERO;
	memset(h.hex, '7', OCU_TRAIL_HEX);
	return h;
}

/* A source of which the opening says it had a record. */
static void claim_source(const char *name)
{
	int at = ocu_trail_sources_add(&t.sources, name, strlen(name));
	ck_assert_int_ge(at, 0);
	t.sources.v[at].sequence = 1;
}

static void good_record(void)
{
	tf_record(&t, "gateway", "{\"a\":1}");
}

/* One thing is wrong with the second record. */
START_TEST(test_signed_wrong_records)
{
	tf_open(&t);
	good_record();
	if (_i == 0)
		t.number++;
	else if (_i == 1)
		t.number--;
	else if (_i == 2)
		t.sources.v[0].sequence++;
	else if (_i == 3)
		t.sources.v[0].sequence--;
	else if (_i == 4)
		t.last = other_hash();
	good_record();
	tf_close(&t, false);
	if (_i == 5)
		ck_assert_int_eq(tf_verify(&t, &rep), 0);
	else
		expect_broken("a signed wrong record");
}
END_TEST

/* One thing is wrong with the opening of the second segment. */
START_TEST(test_signed_wrong_openings)
{
	tf_open(&t);
	good_record();
	tf_close(&t, true);
	if (_i == 0)
		t.number++;
	else if (_i == 1)
		t.last = other_hash();
	else if (_i == 2)
		t.sources.v[0].sequence++;
	else if (_i == 3)
		claim_source("brokerd");
	else if (_i == 4)
		t.trail = "trl_OTHER";
	else if (_i == 5)
		t.segment++;
	else if (_i == 6)
		t.generation = 1; /* its heads are older than those of the segment before */
	tf_open(&t);
	t.segment = 2; /* in the heads and as the file's name */
	good_record();
	tf_close(&t, false);
	if (_i == 7)
		ck_assert_int_eq(tf_verify(&t, &rep), 0);
	else
		expect_broken("a signed wrong opening");
}
END_TEST

/* The first segment starts from nothing. */
START_TEST(test_signed_wrong_beginnings)
{
	if (_i == 0)
		t.number = 5;
	else if (_i == 1)
		t.last = other_hash();
	else if (_i == 2)
		claim_source("brokerd");
	tf_open(&t);
	good_record();
	tf_close(&t, false);
	if (_i == 3)
		ck_assert_int_eq(tf_verify(&t, &rep), 0);
	else
		expect_broken("a signed wrong beginning");
}
END_TEST

/* One thing is wrong with the newest head. */
START_TEST(test_signed_wrong_heads)
{
	struct ocu_trail_head h;
	char slot[OCU_TRAIL_SLOT];
	make_small();
	h = tf_here(&t);
	h.generation = t.generation - 1;
	uint64_t at = (h.generation & 1) * OCU_TRAIL_SLOT;
	if (_i == 0)
		h.number++;
	else if (_i == 1)
		h.last = other_hash();
	else if (_i == 2)
		snprintf(h.trail, sizeof h.trail, "trl_OTHER");
	else if (_i == 3)
		h.segment = 2;
	else if (_i == 4)
		h.end--;
	else if (_i == 5)
		h.end = t.before.end; /* the same records, one less of them */
	else if (_i == 6)
		h.generation += 2; /* not the next one */
	else if (_i == 7)
		h.sealed = true;
	ck_assert_int_eq(ocu_trail_head_put(slot, &h, t.signer, NULL), 0);
	int fd = open(tf_path(&t, 1), O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(pwrite(fd, slot, sizeof slot, (off_t)at), sizeof slot);
	close(fd);
	if (_i == 8)
		ck_assert_int_eq(tf_verify(&t, &rep), 0);
	else
		expect_broken("a signed wrong head");
}
END_TEST

START_TEST(test_heads_in_each_others_slot)
{
	char *data, first[OCU_TRAIL_SLOT];
	make_small();
	size_t len = tf_read(tf_path(&t, 1), &data);
	memcpy(first, data, sizeof first);
	memcpy(data, data + OCU_TRAIL_SLOT, OCU_TRAIL_SLOT);
	memcpy(data + OCU_TRAIL_SLOT, first, sizeof first);
	tf_write(tf_path(&t, 1), data, len);
	expect_broken("exchanged heads");
	free(data);
}
END_TEST

START_TEST(test_no_trail)
{
	struct ocu_error err = {0};
	expect_broken("an empty folder");
	ck_assert_int_eq(ocu_trail_verify("/nonexistent-trail", t.keys, &rep, &err), OCU_E_NOT_FOUND);
}
END_TEST

static int collect(void *arg, uint64_t number, const char *source, const char *event, uint64_t len)
{
	struct ocu_buf *out = arg;
	ocu_buf_printf(out, "%d %s %.*s\n", (int)number, source, (int)len, event);
	return number == 6 ? 42 : 0;
}

START_TEST(test_each)
{
	struct ocu_buf out = OCU_BUF_INIT(4096);
	make_segments(2);
	ck_assert_int_eq(ocu_trail_each(t.dir, collect, &out, NULL), 0);
	ck_assert_str_eq(
	    out.data, "1 gateway {\"a\":1}\n2 brokerd {\"a\":2}\n3 gateway {\"a\":1}\n4 brokerd {\"a\":2}\n");
	ocu_buf_done(&out);
}
END_TEST

START_TEST(test_each_stops)
{
	struct ocu_buf out = OCU_BUF_INIT(4096);
	make_segments(4);
	ck_assert_int_eq(ocu_trail_each(t.dir, collect, &out, NULL), 42);
	ocu_buf_done(&out);
}
END_TEST

/* White space between tokens may hold line breaks in JSON; a record is one line. */
START_TEST(test_line_breaks_in_events)
{
	tf_open(&t);
	tf_record(&t, "gateway", "{\n\t\"a\":\r\n1}");
	tf_close(&t, false);
	ck_assert_int_eq(tf_verify(&t, &rep), 0);
	ck_assert_uint_eq(rep.records, 1);
}
END_TEST

START_TEST(test_limits_of_a_record)
{
	struct ocu_trail_hash hash;
	struct ocu_buf out = OCU_BUF_INIT(OCU_TRAIL_RECORD_MAX);
	char *event = malloc(OCU_EVENT_MAX + 1);
	memset(event, ' ', OCU_EVENT_MAX + 1);
	event[0] = '{';
	event[OCU_EVENT_MAX] = event[OCU_EVENT_MAX - 1] = '}';
	struct ocu_trail_new r = {
	    .number = UINT64_C(9999999999999999999),
	    .sequence = UINT64_C(9999999999999999999),
	    .time = TF_TIME,
	    .source = "sandboxd/012345678901234567890123456789012345678901234567890123456789012",
	    .event = event,
	    .event_len = OCU_EVENT_MAX};
	ck_assert_int_eq(ocu_trail_record_put(&out, t.hasher, &r, &t.last, &hash, NULL), 0);
	struct ocu_trail_record back;
	ck_assert_int_eq(ocu_trail_record_parse(&back, out.data, out.len - 1, NULL), 0);
	ck_assert_uint_eq(back.number, r.number);
	ocu_buf_reset(&out);
	r.event_len++;
	ck_assert_int_eq(ocu_trail_record_put(&out, t.hasher, &r, &t.last, &hash, NULL), OCU_E_TOO_LARGE);
	r.event_len = 1;
	ck_assert_int_eq(ocu_trail_record_put(&out, t.hasher, &r, &t.last, &hash, NULL), OCU_E_INVALID);
	ck_assert_uint_eq(out.len, 0);
	r.event_len = OCU_EVENT_MAX;
	r.source = "not a name";
	ck_assert_int_eq(ocu_trail_record_put(&out, t.hasher, &r, &t.last, &hash, NULL), OCU_E_INVALID);
	ocu_buf_done(&out);
	free(event);
}
END_TEST

START_TEST(test_sources)
{
	struct ocu_trail_sources s;
	char name[32];
	ocu_trail_sources_init(&s);
	ck_assert_int_eq(ocu_trail_sources_find(&s, "gateway", 7), -1);
	for (int i = 0; i < OCU_TRAIL_SOURCES_MAX; i++) {
		int n = snprintf(name, sizeof name, "sandboxd/n-%d", i);
		ck_assert_int_eq(ocu_trail_sources_add(&s, name, (size_t)n), i);
		ck_assert_int_eq(ocu_trail_sources_add(&s, name, (size_t)n), i);
	}
	ck_assert_int_eq(ocu_trail_sources_add(&s, "one-more", 8), OCU_E_QUOTA);
	ck_assert_int_eq(ocu_trail_sources_find(&s, "sandboxd/n-77", 13), 77);
	ck_assert_int_eq(ocu_trail_sources_find(&s, "sandboxd/n-7", 12), 7);
	static const char *const bad[] = {"", "/", "a/", "/a", "a/b/c", "a b", "a\"b", "a\n"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_int_eq(ocu_trail_sources_add(&s, bad[i], strlen(bad[i])), OCU_E_INVALID);
	ocu_trail_sources_done(&s);
}
END_TEST

/* shows: NFR-SEC-03 */
int main(void)
{
	Suite *s = suite_create("libocu_trail");
	TCase *tc = tcase_create("trail");
	tcase_set_timeout(tc, 300);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_intact);
	tcase_add_test(tc, test_every_flipped_bit);
	tcase_add_test(tc, test_every_truncation);
	tcase_add_test(tc, test_every_line_moved);
	tcase_add_test(tc, test_every_cut_inside);
	tcase_add_test(tc, test_cut_back_to_the_older_head);
	tcase_add_test(tc, test_segments);
	tcase_add_test(tc, test_every_missing_segment);
	tcase_add_test(tc, test_every_swapped_segment);
	tcase_add_test(tc, test_bytes_after_a_sealed_segment);
	tcase_add_test(tc, test_foreign_key);
	tcase_add_test(tc, test_rewritten_with_another_key);
	tcase_add_test(tc, test_unsigned_tail);
	tcase_add_test(tc, test_preallocated_tail);
	tcase_add_test(tc, test_bytes_after_the_last_sealed_segment);
	tcase_add_test(tc, test_bad_record_number);
	tcase_add_loop_test(tc, test_signed_wrong_records, 0, 6);
	tcase_add_loop_test(tc, test_signed_wrong_openings, 0, 8);
	tcase_add_loop_test(tc, test_signed_wrong_beginnings, 0, 4);
	tcase_add_loop_test(tc, test_signed_wrong_heads, 0, 9);
	tcase_add_test(tc, test_heads_in_each_others_slot);
	tcase_add_test(tc, test_no_trail);
	tcase_add_test(tc, test_each);
	tcase_add_test(tc, test_each_stops);
	tcase_add_test(tc, test_line_breaks_in_events);
	tcase_add_test(tc, test_limits_of_a_record);
	tcase_add_test(tc, test_sources);
	suite_add_tcase(s, tc);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
