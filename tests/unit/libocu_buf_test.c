/* buf: the maximum holds, a failed append changes nothing and sticks, and JSON strings are always valid JSON.
 */
#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libocu/buf.h"
#include "libocu/err.h"

START_TEST(appends_add_up)
{
	struct ocu_buf b = OCU_BUF_INIT(1000);
	ck_assert_int_eq(ocu_buf_puts(&b, "ab"), 0);
	ck_assert_int_eq(ocu_buf_putc(&b, 'c'), 0);
	ck_assert_int_eq(ocu_buf_put(&b, "d\0e", 3), 0);
	ck_assert_int_eq(ocu_buf_printf(&b, "%d-%s", 42, "z"), 0);
	ck_assert_uint_eq(b.len, 10);
	ck_assert_mem_eq(b.data, "abcd\0e42-z", 11);
	ocu_buf_done(&b);
	ck_assert_ptr_null(b.data);
	ck_assert_uint_eq(b.max, 1000);
}
END_TEST

START_TEST(maximum_can_be_filled_and_not_passed)
{
	for (size_t max = 0; max < 600; max += max < 10 || (max > 250 && max < 260) ? 1 : 37) {
		struct ocu_buf b = OCU_BUF_INIT(max);
		for (size_t i = 0; i < max; i++)
			ck_assert_int_eq(ocu_buf_putc(&b, 'x'), 0);
		ck_assert_uint_eq(b.len, max);
		ck_assert_int_eq(ocu_buf_putc(&b, 'y'), OCU_E_TOO_LARGE);
		ck_assert_uint_eq(b.len, max);
		ck_assert_uint_le(b.cap, max + 1);
		if (b.data)
			ck_assert_uint_eq(strlen(b.data), max);
		ocu_buf_done(&b);
	}
}
END_TEST

START_TEST(failure_changes_nothing_and_sticks)
{
	struct ocu_buf b = OCU_BUF_INIT(5);
	ocu_buf_puts(&b, "abc");
	ck_assert_int_eq(ocu_buf_puts(&b, "defg"), OCU_E_TOO_LARGE);
	ck_assert_str_eq(b.data, "abc");
	/* What would have fitted must not go in after a hole. */
	ck_assert_int_eq(ocu_buf_putc(&b, 'd'), OCU_E_TOO_LARGE);
	ck_assert_int_eq(ocu_buf_printf(&b, "d"), OCU_E_TOO_LARGE);
	ck_assert_int_eq(ocu_buf_json_string(&b, "", 0), OCU_E_TOO_LARGE);
	ck_assert_int_eq(ocu_buf_put(&b, "", 0), OCU_E_TOO_LARGE);
	ck_assert_str_eq(b.data, "abc");
	ck_assert_ptr_null(ocu_buf_steal(&b));
	ck_assert_int_eq(b.failed, 0);
	ck_assert_int_eq(ocu_buf_puts(&b, "abcde"), 0);
	ocu_buf_reset(&b);
	ck_assert_uint_eq(b.len, 0);
	ck_assert_str_eq(b.data, "");
	ocu_buf_done(&b);
}
END_TEST

START_TEST(huge_lengths_do_not_wrap)
{
	struct ocu_buf b = OCU_BUF_INIT(SIZE_MAX);
	ocu_buf_puts(&b, "abc");
	ck_assert_int_eq(ocu_buf_put(&b, "x", SIZE_MAX), OCU_E_TOO_LARGE);
	ocu_buf_reset(&b);
	ocu_buf_puts(&b, "abc");
	ck_assert_int_eq(ocu_buf_put(&b, "x", SIZE_MAX - 3), OCU_E_NOMEM);
	ck_assert_str_eq(b.data, "abc");
	ocu_buf_done(&b);
}
END_TEST

START_TEST(printf_at_every_edge)
{
	for (int have = 0; have < 8; have++) {
		for (int add = 0; add < 600; add++) {
			struct ocu_buf b = OCU_BUF_INIT(512);
			ocu_buf_put(&b, "1234567", (size_t)have);
			int rc = ocu_buf_printf(&b, "%0*d", add, 0);
			/* %0*d writes one digit at width 0. */
			size_t n = add ? (size_t)add : 1;
			if ((size_t)have + n <= 512) {
				ck_assert_int_eq(rc, 0);
				ck_assert_uint_eq(b.len, (size_t)have + n);
			} else {
				ck_assert_int_eq(rc, OCU_E_TOO_LARGE);
				ck_assert_uint_eq(b.len, (size_t)have);
			}
			if (b.data)
				ck_assert_uint_eq(strlen(b.data), b.len);
			ocu_buf_done(&b);
		}
	}
}
END_TEST

START_TEST(consume_drops_from_the_front)
{
	struct ocu_buf b = OCU_BUF_INIT(100);
	ocu_buf_consume(&b, 5);
	ocu_buf_puts(&b, "abcdef");
	ocu_buf_consume(&b, 2);
	ck_assert_str_eq(b.data, "cdef");
	ocu_buf_consume(&b, 0);
	ck_assert_str_eq(b.data, "cdef");
	ocu_buf_consume(&b, 100);
	ck_assert_uint_eq(b.len, 0);
	ck_assert_str_eq(b.data, "");
	ocu_buf_done(&b);
}
END_TEST

START_TEST(steal_gives_the_memory_away)
{
	struct ocu_buf b = OCU_BUF_INIT(100);
	char *s = ocu_buf_steal(&b);
	ck_assert_str_eq(s, "");
	free(s);
	ocu_buf_puts(&b, "text");
	s = ocu_buf_steal(&b);
	ck_assert_str_eq(s, "text");
	ck_assert_ptr_null(b.data);
	ck_assert_uint_eq(b.len, 0);
	free(s);
	ocu_buf_done(&b);
}
END_TEST

static const struct {
	const char *in;
	size_t len;
	const char *out;
} strings[] = {
    {"", 0, "\"\""},
    {"plain", 5, "\"plain\""},
    {"a\"b\\c/d", 7, "\"a\\\"b\\\\c/d\""},
    {"\b\t\n\f\r", 5, "\"\\b\\t\\n\\f\\r\""},
    {"\0\x01\x1f\x7f", 4, "\"\\u0000\\u0001\\u001f\x7f\""},
    {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
    {"a\x80z", 3, "\"a\xef\xbf\xbdz\""},
    {"\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
    {"\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    {"\xe2\x82", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
    {"\xf4\x90\x80\x80", 4, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    {"\xff\"", 2, "\"\xef\xbf\xbd\\\"\""},
};

START_TEST(json_strings_are_escaped_and_repaired)
{
	for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
		struct ocu_buf b = OCU_BUF_INIT(100);
		ck_assert_int_eq(ocu_buf_json_string(&b, strings[i].in, strings[i].len), 0);
		ck_assert_str_eq(b.data, strings[i].out);
		ocu_buf_done(&b);
	}
}
END_TEST

/* Whatever the bytes, another parser accepts the result. */
START_TEST(json_strings_of_random_bytes_parse)
{
	srand(1);
	for (int round = 0; round < 20000; round++) {
		char raw[24];
		size_t len = (size_t)rand() % sizeof raw;
		/* Half of the bytes from the range that matters for UTF-8. */
		for (size_t i = 0; i < len; i++)
			raw[i] = (char)(rand() & 1 ? rand() % 256 : 0x80 + rand() % 128);
		struct ocu_buf b = OCU_BUF_INIT(1000);
		ck_assert_int_eq(ocu_buf_json_string(&b, raw, len), 0);
		json_t *j = json_loadb(b.data, b.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		ck_assert_ptr_nonnull(j);
		if (ocu_utf8_seq(raw, len) == len && len)
			ck_assert_mem_eq(json_string_value(j), raw, len);
		json_decref(j);
		ocu_buf_done(&b);
	}
}
END_TEST

START_TEST(json_string_that_does_not_fit_leaves_nothing)
{
	/* Needs 2 + 8 bytes; with less, nothing of it may stay behind. */
	for (size_t max = 2; max <= 10; max++) {
		struct ocu_buf b = OCU_BUF_INIT(max);
		ocu_buf_puts(&b, "ab");
		int rc = ocu_buf_json_string(&b, "\x01", 1);
		ck_assert_int_eq(rc, max < 10 ? OCU_E_TOO_LARGE : 0);
		ck_assert_str_eq(b.data, max < 10 ? "ab" : "ab\"\\u0001\"");
		ck_assert_uint_eq(b.len, strlen(b.data));
		ocu_buf_done(&b);
	}
}
END_TEST

/* Independent of the code under test: decode by the bit layout, then insist on the shortest form and on
 * range. */
static size_t reference_seq(const unsigned char *p, size_t len)
{
	static const unsigned long least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = p[0] < 0x80 ? 1 : (p[0] >> 5) == 6 ? 2 : (p[0] >> 4) == 14 ? 3 : (p[0] >> 3) == 30 ? 4 : 0;
	if (n <= 1 || n > len)
		return n > len ? 0 : n;
	unsigned long c = p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] >> 6) != 2)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : n;
}

START_TEST(utf8_agrees_with_the_definition)
{
	for (unsigned a = 0; a < 256; a++) {
		for (unsigned b = 0; b < 256; b++) {
			for (unsigned c = 0; c < 256; c += a < 0xe0 ? 51 : 1) {
				unsigned char s[4] = {(unsigned char)a, (unsigned char)b, (unsigned char)c,
				                      0x80};
				for (size_t len = 1; len <= 4; len++)
					if (ocu_utf8_seq((char *)s, len) != reference_seq(s, len))
						ck_abort_msg("%02x %02x %02x 80, %zu bytes", a, b, c, len);
			}
		}
	}
	ck_assert_uint_eq(ocu_utf8_seq("", 0), 0);
	ck_assert_uint_eq(ocu_utf8_seq("\xf0\x9f\x98\x28", 4), 0);
}
END_TEST

START_TEST(files_are_read_whole_or_not_at_all)
{
	char dir[] = "/tmp/ocu-buf-XXXXXX";
	char path[64], fifo[64];
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/file", dir);
	snprintf(fifo, sizeof fifo, "%s/fifo", dir);
	FILE *f = fopen(path, "w");
	for (int i = 0; i < 40000; i++)
		fputc('a' + i % 26, f);
	fclose(f);
	struct ocu_error err = {0};
	struct ocu_buf b = OCU_BUF_INIT(40000);
	ck_assert_int_eq(ocu_buf_load_file(&b, path, &err), 0);
	ck_assert_uint_eq(b.len, 40000);
	ck_assert_int_eq(b.data[39999], 'a' + 39999 % 26);
	ocu_buf_done(&b);
	b.max = 39999;
	ck_assert_int_eq(ocu_buf_load_file(&b, path, &err), OCU_E_TOO_LARGE);
	ck_assert_ptr_nonnull(strstr(err.text, path));
	ocu_buf_done(&b);
	ck_assert_int_eq(ocu_buf_load_file(&b, "/nonexistent/x", &err), OCU_E_NOT_FOUND);
	ck_assert_int_eq(ocu_buf_load_file(&b, dir, &err), OCU_E_IO);
	/* Nobody writes to it: reading must not wait for someone who does. */
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	ck_assert_int_eq(ocu_buf_load_file(&b, fifo, &err), OCU_E_IO);
	ocu_buf_done(&b);
	unlink(path);
	unlink(fifo);
	rmdir(dir);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libocu_buf");
	TCase *c = tcase_create("buf");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, appends_add_up);
	tcase_add_test(c, maximum_can_be_filled_and_not_passed);
	tcase_add_test(c, failure_changes_nothing_and_sticks);
	tcase_add_test(c, huge_lengths_do_not_wrap);
	tcase_add_test(c, printf_at_every_edge);
	tcase_add_test(c, consume_drops_from_the_front);
	tcase_add_test(c, steal_gives_the_memory_away);
	tcase_add_test(c, json_strings_are_escaped_and_repaired);
	tcase_add_test(c, json_strings_of_random_bytes_parse);
	tcase_add_test(c, json_string_that_does_not_fit_leaves_nothing);
	tcase_add_test(c, utf8_agrees_with_the_definition);
	tcase_add_test(c, files_are_read_whole_or_not_at_all);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
