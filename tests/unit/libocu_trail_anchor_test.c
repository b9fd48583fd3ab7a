/* A trail whose first segments are in the archive alone: what its anchor must say for it to verify.
 * shows: NFR-COMP-01 (in part), NFR-SEC-03 */
#include "libocu/trail_anchor.h"
#include "tests/unit/libocu_trail_fixture.h"

#define SEGMENTS 4

static struct tf t;
static struct ocu_trail_report rep;
static struct ocu_trail_anchor at[SEGMENTS + 1]; /* the end of each segment */

static void setup(void)
{
	tf_init(&t);
	for (unsigned n = 1; n <= SEGMENTS; n++) {
		tf_open(&t);
		for (int i = 0; i < 3; i++)
			tf_record(&t, i ? "gateway" : "brokerd", "{\"x\":1}");
		at[n] = (struct ocu_trail_anchor){
		    .segment = n, .records = t.number, .last = t.last, .time = TF_TIME};
		snprintf(at[n].trail, sizeof at[n].trail, "%s", t.trail);
		tf_close(&t, n < SEGMENTS);
	}
}

static void teardown(void)
{
	tf_done(&t);
}

static const char *anchor_path(void)
{
	static char path[120];
	snprintf(path, sizeof path, "%s/%s", t.dir, OCU_TRAIL_ANCHOR);
	return path;
}

static void put_anchor(const struct ocu_trail_anchor *a, const struct ocu_signer *signer)
{
	char text[OCU_TRAIL_ANCHOR_MAX];
	ck_assert_int_eq(ocu_trail_anchor_put(text, a, signer, NULL), 0);
	tf_write(anchor_path(), text, strlen(text));
}

static void drop(unsigned from, unsigned to)
{
	for (unsigned n = from; n <= to; n++)
		ck_assert_int_eq(unlink(tf_path(&t, n)), 0);
}

static void must_refuse(const char *why)
{
	ck_assert_int_eq(tf_verify(&t, &rep), OCU_E_CHAIN_BROKEN);
	ck_assert_msg(strstr(rep.why, why) != NULL, "%s", rep.why);
}

/* However many are gone, and with those that were to go and still are there. */
START_TEST(test_goes_on_behind_the_anchor)
{
	for (unsigned gone = 0; gone < SEGMENTS; gone++) {
		if (gone)
			drop(gone, gone);
		for (unsigned a = gone ? gone : 1; a < SEGMENTS; a++) {
			put_anchor(&at[a], t.signer);
			ck_assert_msg(tf_verify(&t, &rep) == 0, "%u gone, anchor %u: %s", gone, a, rep.why);
			ck_assert_uint_eq(rep.archived_segments, gone);
			ck_assert_uint_eq(rep.archived_records, UINT64_C(3) * gone);
			ck_assert_uint_eq(rep.records, UINT64_C(3) * SEGMENTS);
			ck_assert_uint_eq(rep.segments, SEGMENTS);
			ck_assert_uint_eq(rep.sources, 2);
		}
	}
}
END_TEST

static int from_number(void *arg, uint64_t number, const char *source, const char *event, uint64_t len)
{
	uint64_t *seen = arg;
	(void)source;
	(void)event;
	(void)len;
	if (*seen == 0)
		*seen = number;
	return 0;
}

START_TEST(test_its_records_keep_their_numbers)
{
	uint64_t first = 0;
	put_anchor(&at[2], t.signer);
	drop(1, 2);
	ck_assert_int_eq(ocu_trail_each(t.dir, from_number, &first, NULL), 0);
	ck_assert_uint_eq(first, 7);
}
END_TEST

/* What is missing is not in the archive because somebody who can remove files says so. */
START_TEST(test_a_missing_beginning_needs_an_anchor)
{
	drop(1, 2);
	must_refuse("segment 1 is missing, and there is no anchor");
	ck_assert_int_eq(ocu_trail_each(t.dir, from_number, &(uint64_t){0}, NULL), OCU_E_CHAIN_BROKEN);
	put_anchor(&at[1], t.signer);
	must_refuse("segment 2 is missing, and the anchor does not say");
	put_anchor(&at[2], t.signer);
	ck_assert_int_eq(tf_verify(&t, &rep), 0);
	drop(3, 3);
	must_refuse("segment 3 is missing, and the anchor does not say");
}
END_TEST

/* A gap behind the beginning is one as ever, and so is a trail of which nothing is left. */
START_TEST(test_an_anchor_excuses_nothing_else)
{
	put_anchor(&at[1], t.signer);
	drop(3, 3);
	must_refuse("segment 3 is missing");
	drop(1, 2);
	must_refuse("segment 2 is missing");
	drop(4, 4);
	must_refuse("segment 2 is missing");
}
END_TEST

START_TEST(test_forged_anchor)
{
	struct ocu_signer *other = NULL;
	char *text, head[OCU_TRAIL_SLOT + 1] = "", *file;
	ck_assert_int_eq(ocu_signer_generate(&other, NULL), 0);
	drop(1, 1);
	put_anchor(&at[1], other);
	must_refuse("the anchor does not verify");
	ocu_signer_free(other);
	/* Another number in a good one. */
	put_anchor(&at[1], t.signer);
	size_t len = tf_read(anchor_path(), &text);
	drop(2, 2);
	char *digit = strstr(text, "\"archived\":1") + strlen("\"archived\":");
	*digit = '2';
	tf_write(anchor_path(), text, len);
	must_refuse("the anchor does not verify");
	/* The signed seal of the segment that was removed is none. */
	tf_read(tf_path(&t, 3), &file);
	memcpy(head, file, OCU_TRAIL_SLOT);
	tf_write(anchor_path(), head, strcspn(head, " "));
	must_refuse("the anchor is malformed");
	free(text);
	free(file);
}
END_TEST

/* Signed by us, and not of this trail's records. */
START_TEST(test_anchor_that_does_not_connect)
{
	struct ocu_trail_anchor a = at[2];
	drop(1, 2);
	a.records--;
	put_anchor(&a, t.signer);
	must_refuse("does not go on where");
	a = at[2];
	a.last.hex[5] = a.last.hex[5] == '0' ? '1' : '0';
	put_anchor(&a, t.signer);
	must_refuse("not linked");
	a = at[2];
	a.trail[5] = 'X';
	put_anchor(&a, t.signer);
	must_refuse("another trail");
	/* The segment it is of is there: it must end as the anchor says. */
	a = at[3];
	a.last = at[2].last;
	put_anchor(&a, t.signer);
	must_refuse("the anchor is not of this segment's end");
}
END_TEST

START_TEST(test_anchor_in_every_shape)
{
	struct ocu_trail_anchor a;
	char text[OCU_TRAIL_ANCHOR_MAX + 1] = "";
	ck_assert_int_eq(ocu_trail_anchor_put(text, &at[2], t.signer, NULL), 0);
	size_t len = strlen(text);
	ck_assert_int_eq(ocu_trail_anchor_parse(&a, text, len, t.keys, NULL), 0);
	ck_assert_uint_eq(a.segment, 2);
	ck_assert_uint_eq(a.records, 6);
	ck_assert_str_eq(a.last.hex, at[2].last.hex);
	ck_assert_str_eq(a.trail, at[2].trail);
	ck_assert_str_eq(a.time, TF_TIME);
	for (size_t i = 0; i < len; i++) {
		ck_assert_int_eq(ocu_trail_anchor_parse(&a, text, i, t.keys, NULL), OCU_E_CHAIN_BROKEN);
		text[i] ^= 1;
		ck_assert_int_eq(ocu_trail_anchor_parse(&a, text, len, t.keys, NULL), OCU_E_CHAIN_BROKEN);
		text[i] ^= 1;
	}
	text[len] = '\n';
	ck_assert_int_eq(ocu_trail_anchor_parse(&a, text, len + 1, t.keys, NULL), OCU_E_CHAIN_BROKEN);
}
END_TEST

/* What was in the archive, put back beside what is here: the whole chain again. */
START_TEST(test_put_back)
{
	char *file[3];
	size_t len[3];
	for (unsigned n = 1; n <= 2; n++)
		len[n] = tf_read(tf_path(&t, n), &file[n]);
	put_anchor(&at[2], t.signer);
	drop(1, 2);
	tf_write(tf_path(&t, 2), file[2], len[2]);
	ck_assert_int_eq(tf_verify(&t, &rep), 0);
	ck_assert_uint_eq(rep.archived_segments, 1);
	tf_write(tf_path(&t, 1), file[1], len[1]);
	ck_assert_int_eq(tf_verify(&t, &rep), 0);
	ck_assert_uint_eq(rep.archived_segments, 0);
	*strstr(file[1] + OCU_TRAIL_HEADER, "\"x\":1") = '!';
	tf_write(tf_path(&t, 1), file[1], len[1]);
	must_refuse("record");
	free(file[1]);
	free(file[2]);
}
END_TEST

/* A folder of archived segments alone, and the anchor that came with a copy. */
START_TEST(test_sealed_alone)
{
	drop(SEGMENTS, SEGMENTS);
	put_anchor(&at[2], t.signer);
	ck_assert_int_eq(ocu_trail_verify_as(t.dir, OCU_TRAIL_SEALED, t.keys, &rep, NULL), 0);
	drop(1, 2);
	ck_assert_int_eq(ocu_trail_verify_as(t.dir, OCU_TRAIL_SEALED, t.keys, &rep, NULL), 0);
	ck_assert_uint_eq(rep.archived_segments, 2);
	unlink(anchor_path());
	ck_assert_int_eq(ocu_trail_verify_as(t.dir, OCU_TRAIL_SEALED, t.keys, &rep, NULL),
	                 OCU_E_CHAIN_BROKEN);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("libocu_trail_anchor");
	TCase *tc = tcase_create("anchor");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_goes_on_behind_the_anchor);
	tcase_add_test(tc, test_its_records_keep_their_numbers);
	tcase_add_test(tc, test_a_missing_beginning_needs_an_anchor);
	tcase_add_test(tc, test_an_anchor_excuses_nothing_else);
	tcase_add_test(tc, test_forged_anchor);
	tcase_add_test(tc, test_anchor_that_does_not_connect);
	tcase_add_test(tc, test_anchor_in_every_shape);
	tcase_add_test(tc, test_put_back);
	tcase_add_test(tc, test_sealed_alone);
	suite_add_tcase(s, tc);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
