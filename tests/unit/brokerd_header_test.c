/* header, magic, rate, siphash: what clients send is read strictly, and counted against them. */
/* shows: NFR-SEC-51, NFR-SEC-53 (in part), NFR-SEC-78, NFR-SEC-81 */
#include "brokerd/header.h"
#include "brokerd/magic.h"
#include "brokerd/rate.h"
#include "brokerd/siphash.h"
#include "tests/unit/brokerd_fixture.h"
#include "libocu/err.h"

static const struct {
	const char *value;
	uint64_t size;
	enum range_kind kind;
	uint64_t from, len;
} ranges[] = {
    {NULL, 10, RANGE_NONE, 0, 0},
    {"bytes=0-0", 10, RANGE_PART, 0, 1},
    {"bytes=0-9", 10, RANGE_PART, 0, 10},
    {"bytes=3-", 10, RANGE_PART, 3, 7},
    {"bytes=3-100", 10, RANGE_PART, 3, 7},
    {"bytes=-4", 10, RANGE_PART, 6, 4},
    {"bytes=-40", 10, RANGE_PART, 0, 10},
    {"bytes=9-9", 10, RANGE_PART, 9, 1},
    {"bytes=10-", 10, RANGE_UNSATISFIABLE, 0, 0},
    {"bytes=-0", 10, RANGE_UNSATISFIABLE, 0, 0},
    {"bytes=0-0", 0, RANGE_UNSATISFIABLE, 0, 0},
    {"bytes=-1", 0, RANGE_UNSATISFIABLE, 0, 0},
    {"bytes=5-4", 10, RANGE_NONE, 0, 0},
    {"bytes=", 10, RANGE_NONE, 0, 0},
    {"bytes=-", 10, RANGE_NONE, 0, 0},
    {"bytes=1-2,4-5", 10, RANGE_NONE, 0, 0},
    {"lines=1-2", 10, RANGE_NONE, 0, 0},
    {"bytes= 1-2", 10, RANGE_NONE, 0, 0},
    {"bytes=1-2x", 10, RANGE_NONE, 0, 0},
    {"bytes=99999999999999999999-", 10, RANGE_NONE, 0, 0},
    {"bytes=0-999999999999999999", 10, RANGE_PART, 0, 10},
};

START_TEST(byte_ranges)
{
	uint64_t from = 0, len = 0;
	ck_assert_int_eq(header_range(ranges[_i].value, ranges[_i].size, &from, &len), ranges[_i].kind);
	if (ranges[_i].kind == RANGE_PART) {
		ck_assert_uint_eq(from, ranges[_i].from);
		ck_assert_uint_eq(len, ranges[_i].len);
	}
}
END_TEST

START_TEST(entity_tags)
{
	struct stat a = {.st_ino = 1, .st_size = 5}, b = a;
	char x[ETAG_SIZE], y[ETAG_SIZE], list[200];
	header_etag(&a, x);
	header_etag(&b, y);
	ck_assert_str_eq(x, y);
	ck_assert_uint_eq(strlen(x), ETAG_SIZE - 1);
	b.st_mtim.tv_nsec = 1;
	header_etag(&b, y);
	ck_assert_str_ne(x, y);
	ck_assert(header_etag_listed(x, x, false));
	ck_assert(!header_etag_listed(y, x, false));
	ck_assert(header_etag_listed("*", x, false));
	snprintf(list, sizeof list, "\"z\", %s ,%s", y, x);
	ck_assert(header_etag_listed(list, x, false));
	snprintf(list, sizeof list, "W/%s", x);
	ck_assert(!header_etag_listed(list, x, false));
	ck_assert(header_etag_listed(list, x, true));
	ck_assert(!header_etag_listed("", x, true));
	ck_assert(!header_etag_listed("\"open", x, true));
	ck_assert(!header_etag_listed("bare", x, true));
}
END_TEST

static int query(struct list_query *q, const char *path, const char *recursive, const char *limit,
                 const char *cursor)
{
	return header_list_query(q, path, recursive, limit, cursor, NULL);
}

START_TEST(list_queries)
{
	struct list_query q;
	char cursor[CURSOR_MAX], deep[PATH_NORTH_MAX + 1];
	ck_assert_int_eq(query(&q, NULL, NULL, NULL, NULL), 0);
	ck_assert_str_eq(q.path, "");
	ck_assert(!q.recursive);
	ck_assert_uint_eq(q.limit, LIST_LIMIT);
	ck_assert_int_eq(query(&q, "a/b", "true", "1000", ""), 0);
	ck_assert(q.recursive);
	ck_assert_uint_eq(q.limit, 1000);
	ck_assert_int_eq(query(&q, "../a", NULL, NULL, NULL), OCU_E_PARAMS);
	ck_assert_int_eq(query(&q, NULL, "yes", NULL, NULL), OCU_E_PARAMS);
	ck_assert_int_eq(query(&q, NULL, NULL, "0", NULL), OCU_E_PARAMS);
	ck_assert_int_eq(query(&q, NULL, NULL, "1001", NULL), OCU_E_PARAMS);
	ck_assert_int_eq(query(&q, NULL, NULL, "-1", NULL), OCU_E_PARAMS);
	ck_assert_int_eq(query(&q, NULL, NULL, "1 ", NULL), OCU_E_PARAMS);
	for (size_t i = 0; i < PATH_NORTH_MAX; i++)
		deep[i] = i % 2 ? '/' : 'a';
	deep[PATH_NORTH_MAX - 1] = 'b';
	deep[PATH_NORTH_MAX] = 0;
	header_cursor(deep, cursor);
	ck_assert_int_eq(query(&q, NULL, NULL, NULL, cursor), 0);
	ck_assert_str_eq(q.after, deep);
	ck_assert_int_eq(query(&q, NULL, NULL, NULL, "!!"), OCU_E_PARAMS);
	header_cursor("../x", cursor);
	ck_assert_int_eq(query(&q, NULL, NULL, NULL, cursor), OCU_E_PARAMS);
	ck_assert_int_eq(query(&q, NULL, NULL, NULL, "YQBi"), OCU_E_PARAMS); /* a NUL inside */
}
END_TEST

START_TEST(types_come_from_bytes)
{
	ck_assert_str_eq(magic_type("\x89PNG\r\n\x1a\n....", 12), "image/png");
	ck_assert_str_eq(magic_type("\x89PNG\r\n\x1a", 7), "application/octet-stream");
	ck_assert_str_eq(magic_type("%PDF-1.7", 8), "application/pdf");
	ck_assert_str_eq(magic_type("<html><script>", 14), "text/plain; charset=utf-8");
	ck_assert_str_eq(magic_type("caf\xc3\xa9", 5), "text/plain; charset=utf-8");
	ck_assert_str_eq(magic_type("caf\xc3", 4), "text/plain; charset=utf-8"); /* cut in the middle */
	ck_assert_str_eq(magic_type("a\0b", 3), "application/octet-stream");
	ck_assert_str_eq(magic_type("\xff\xfe", 2), "application/octet-stream");
	ck_assert_str_eq(magic_type("", 0), "application/octet-stream");
}
END_TEST

START_TEST(rates_are_per_caller_and_monotonic)
{
	struct rate *r = NULL;
	struct rate_opts o = {.ops = 10, .bytes = 1000, .inflight = 3};
	ck_assert_int_eq(rate_new(&r, &o, NULL), 0);
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(rate_enter(r, "alice", 1000, NULL), 0);
		rate_leave(r, "alice");
	}
	ck_assert_int_eq(rate_enter(r, "alice", 1000, NULL), OCU_E_RATE);
	ck_assert_int_eq(rate_enter(r, "bob", 1000, NULL), 0);
	ck_assert_int_eq(rate_enter(r, "alice", 500, NULL),
	                 OCU_E_RATE); /* a clock going back earns nothing */
	ck_assert_int_eq(rate_enter(r, "alice", 1100, NULL), 0);
	ck_assert_int_eq(rate_enter(r, "alice", 1100, NULL), OCU_E_RATE);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(rate_enter(r, "alice", 10000, NULL), 0);
	ck_assert_int_eq(rate_enter(r, "alice", 10000, NULL), OCU_E_RATE); /* three under way */
	rate_leave(r, "alice");
	ck_assert_int_eq(rate_enter(r, "alice", 10000, NULL), 0);
	ck_assert_int_eq(rate_bytes(r, "alice", 5000, 10000, NULL), 0); /* overdrawn by 4000 */
	ck_assert_int_eq(rate_bytes(r, "alice", 1, 13000, NULL), OCU_E_RATE);
	ck_assert_int_eq(rate_bytes(r, "alice", 1, 14001, NULL), 0);
	ck_assert_int_eq(rate_bytes(r, "bob", UINT64_MAX, 14001, NULL), 0);
	ck_assert_int_eq(rate_bytes(r, "bob", 1, UINT64_MAX, NULL), OCU_E_RATE);
	for (int i = 0; i < 8; i++)
		rate_spend(r, "bob", UINT64_MAX); /* as much as anybody likes */
	ck_assert_int_eq(rate_bytes(r, "bob", 1, UINT64_MAX, NULL), OCU_E_RATE);
	ck_assert_int_eq(rate_bytes(r, "alice", 0, 20000, NULL), 0);
	rate_spend(r, "alice", 3000); /* overdrawn by 2000 */
	ck_assert_int_eq(rate_bytes(r, "alice", 0, 21000, NULL), OCU_E_RATE);
	ck_assert_int_eq(rate_bytes(r, "alice", 0, 22001, NULL), 0);
	rate_spend(r, "nobody", 1);
	rate_free(r);
}
END_TEST

START_TEST(many_callers_do_not_grow_the_table)
{
	struct rate *r = NULL;
	struct rate_opts o = {.ops = 1, .bytes = 1, .inflight = 1};
	char caller[32];
	ck_assert_int_eq(rate_new(&r, &o, NULL), 0);
	ck_assert_int_eq(rate_enter(r, "kept", 1, NULL), 0);
	for (int i = 0; i < 20000; i++) {
		snprintf(caller, sizeof caller, "c%d", i);
		ck_assert_int_eq(rate_enter(r, caller, 2 + (uint64_t)i, NULL), 0);
		rate_leave(r, caller);
	}
	ck_assert_int_eq(rate_enter(r, "kept", 100000, NULL), OCU_E_RATE); /* its request still counts */
	rate_free(r);
}
END_TEST

/* Vectors of the reference implementation: key 00..0f, message 00.. of each length. */
START_TEST(siphash_is_siphash)
{
	static const struct {
		size_t len;
		uint64_t want;
	} v[] = {{0, 0x726fdb47dd0e0e31}, {1, 0x74f839c593dc67fd},  {7, 0xab0200f58b01d137},
	         {8, 0x93f5f5799a932462}, {15, 0xa129ca6149be45e5}, {63, 0x958a324ceb064572}};
	const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
	unsigned char message[64];
	for (unsigned i = 0; i < sizeof message; i++)
		message[i] = (unsigned char)i;
	for (size_t i = 0; i < sizeof v / sizeof *v; i++)
		ck_assert_uint_eq(siphash(key, message, v[i].len), v[i].want);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("brokerd_header");
	TCase *c = tcase_create("header");
	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, byte_ranges, 0, sizeof ranges / sizeof *ranges);
	tcase_add_test(c, entity_tags);
	tcase_add_test(c, list_queries);
	tcase_add_test(c, types_come_from_bytes);
	tcase_add_test(c, rates_are_per_caller_and_monotonic);
	tcase_add_test(c, many_callers_do_not_grow_the_table);
	tcase_add_test(c, siphash_is_siphash);
	suite_add_tcase(suite, c);
	return run_suite(suite);
}
