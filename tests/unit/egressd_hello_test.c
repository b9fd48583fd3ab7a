/* ClientHellos whole, in pieces, and wrong in every field. */
/* shows: NFR-SEC-08, NFR-SEC-17, NFR-SEC-51 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/hello.h"
#include "libocu/err.h"

static uint8_t body[20000], wire[40000];
static size_t body_len, wire_len;

static void put(uint8_t *to, size_t *len, const void *data, size_t n)
{
	memcpy(to + *len, data, n);
	*len += n;
}

static void u16(size_t v)
{
	put(body, &body_len, (uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

static void extension(unsigned type, const void *data, size_t n)
{
	u16(type);
	u16(n);
	put(body, &body_len, data, n);
}

static void server_name(const char *name)
{
	uint8_t ext[512];
	size_t n = strlen(name);
	ext[0] = (uint8_t)((n + 3) >> 8);
	ext[1] = (uint8_t)(n + 3);
	ext[2] = 0;
	ext[3] = (uint8_t)(n >> 8);
	ext[4] = (uint8_t)n;
	memcpy(ext + 5, name, n);
	extension(0, ext, n + 5);
}

static size_t ext_start;

static void begin(void)
{
	static const uint8_t head[34] = {3, 3};
	body_len = 0;
	put(body, &body_len, head, sizeof head);
	put(body, &body_len, "\0\0\2\x13\1\1\0", 7); /* no session id, one suite, null compression */
	ext_start = body_len;
	u16(0);
}

static void end(void)
{
	size_t n = body_len - ext_start - 2;
	body[ext_start] = (uint8_t)(n >> 8);
	body[ext_start + 1] = (uint8_t)n;
}

/* Frames the body as a handshake message in records of at most `piece` bytes. */
static void frame(size_t piece)
{
	uint8_t msg[sizeof body + 4] = {1, 0, (uint8_t)(body_len >> 8), (uint8_t)body_len};
	memcpy(msg + 4, body, body_len);
	wire_len = 0;
	for (size_t at = 0; at < body_len + 4; at += piece) {
		size_t n = body_len + 4 - at < piece ? body_len + 4 - at : piece;
		put(wire, &wire_len, (uint8_t[]){22, 3, 1, (uint8_t)(n >> 8), (uint8_t)n}, 5);
		put(wire, &wire_len, msg + at, n);
	}
}

static void usual(const char *name)
{
	begin();
	extension(43, "\2\3\4", 3);
	server_name(name);
	extension(16, "\0\3\2h2", 5);
	end();
	frame(16384);
}

static int parse(struct hello *h)
{
	return hello_parse(wire, wire_len, h, NULL);
}

START_TEST(reads_the_server_name)
{
	struct hello h;
	usual("WWW.Example.ORG");
	ck_assert_int_eq(parse(&h), 0);
	ck_assert(h.has_sni && !h.ech);
	ck_assert_str_eq(h.sni, "www.example.org");
}
END_TEST

START_TEST(asks_for_more_at_every_cut)
{
	struct hello h;
	usual("www.example.org");
	for (size_t n = 0; n < wire_len; n++) {
		uint8_t *copy = malloc(n ? n : 1);
		memcpy(copy, wire, n);
		ck_assert_int_eq(hello_parse(copy, n, &h, NULL), 1);
		free(copy);
	}
	memset(wire + wire_len, 0xee, 100); /* what follows is not ours to read */
	ck_assert_int_eq(hello_parse(wire, wire_len + 100, &h, NULL), 0);
}
END_TEST

START_TEST(joins_records)
{
	struct hello h;
	for (size_t piece = 2; piece < 60; piece++) {
		usual("www.example.org");
		frame(piece);
		ck_assert_int_eq(parse(&h), 0);
		ck_assert_str_eq(h.sni, "www.example.org");
		for (size_t n = 0; n < wire_len; n++)
			ck_assert_int_eq(hello_parse(wire, n, &h, NULL), 1);
	}
}
END_TEST

START_TEST(bounds_records_and_size)
{
	struct hello h;
	usual("www.example.org");
	frame(1); /* more records than any client needs */
	ck_assert_int_eq(parse(&h), OCU_E_EGRESS_PROTOCOL);
	begin();
	static const uint8_t zeros[16000];
	extension(21, zeros, sizeof zeros); /* padding */
	server_name("www.example.org");
	end();
	frame(16384);
	ck_assert_int_eq(parse(&h), 0);
	begin();
	extension(21, zeros, sizeof zeros);
	extension(21, zeros, 1000);
	server_name("www.example.org");
	end();
	frame(8000);
	ck_assert_int_eq(parse(&h), OCU_E_EGRESS_PROTOCOL);
}
END_TEST

START_TEST(no_name_is_no_error)
{
	struct hello h;
	begin();
	extension(43, "\2\3\4", 3);
	end();
	frame(16384);
	ck_assert_int_eq(parse(&h), 0);
	ck_assert(!h.has_sni);
	begin();
	body_len = ext_start; /* before extensions existed */
	frame(16384);
	ck_assert_int_eq(parse(&h), 0);
	ck_assert(!h.has_sni);
}
END_TEST

START_TEST(notes_encrypted_client_hello)
{
	struct hello h;
	begin();
	server_name("public.example");
	extension(0xfe0d, "\0\0\1\0\1\0\0\0\0\0", 10);
	end();
	frame(16384);
	ck_assert_int_eq(parse(&h), 0);
	ck_assert(h.ech);
	ck_assert_str_eq(h.sni, "public.example");
}
END_TEST

START_TEST(two_names_are_refused)
{
	struct hello h;
	begin();
	server_name("a.example");
	server_name("b.example");
	end();
	frame(16384);
	ck_assert_int_eq(parse(&h), OCU_E_EGRESS_PROTOCOL);
	begin();
	extension(0,
	          "\0\x18\0\0\x9"
	          "a.example\0\0\x9"
	          "b.example",
	          26);
	end();
	frame(16384);
	ck_assert_int_eq(parse(&h), OCU_E_EGRESS_PROTOCOL);
}
END_TEST

static const struct {
	const char *ext;
	size_t len;
	int want;
} bad_names[] = {
    {"", 0, OCU_E_EGRESS_PROTOCOL},
    {"\0\0", 2, OCU_E_EGRESS_PROTOCOL},
    {"\0\3\0\0\0", 5, OCU_E_EGRESS_PROTOCOL},   /* empty name */
    {"\0\4\1\0\1a", 6, OCU_E_EGRESS_PROTOCOL},  /* unknown kind */
    {"\0\5\0\0\1a", 6, OCU_E_EGRESS_PROTOCOL},  /* list longer than the extension */
    {"\0\4\0\0\2a", 6, OCU_E_EGRESS_PROTOCOL},  /* name longer than the list */
    {"\0\4\0\0\1ab", 7, OCU_E_EGRESS_PROTOCOL}, /* bytes behind the list */
    {"\0\x0c\0\0\x9"
     "127.0.0.1",
     14, OCU_E_EGRESS_SNI},
    {"\0\6\0\0\3a\0b", 8, OCU_E_EGRESS_SNI},
    {"\0\6\0\0\3a b", 8, OCU_E_EGRESS_SNI},
    {"\0\6\0\0\3::1", 8, OCU_E_EGRESS_SNI},
};

START_TEST(malformed_names_are_refused)
{
	struct hello h;
	begin();
	extension(0, bad_names[_i].ext, bad_names[_i].len);
	end();
	frame(16384);
	ck_assert_int_eq(parse(&h), bad_names[_i].want);
}
END_TEST

static const struct {
	size_t at; /* in the wire form of usual() */
	uint8_t value;
} flips[] = {
    {0, 23},   /* application data */
    {0, 0x80}, /* SSLv2 */
    {1, 2},    /* record version */
    {5, 2},    /* ServerHello */
    {6, 1},    /* message of 64 KiB and more */
    {9, 2},    /* legacy_version */
    {43, 33},  /* session id too long */
    {45, 3},   /* odd cipher suites */
    {45, 0},   /* none */
    {48, 0},   /* no compression method */
    {51, 1},   /* extensions shorter than they are */
    {51, 255}, /* longer than they are */
};

START_TEST(malformed_hellos_are_refused)
{
	struct hello h;
	usual("www.example.org");
	wire[flips[_i].at] = flips[_i].value;
	ck_assert_int_eq(parse(&h), OCU_E_EGRESS_PROTOCOL);
}
END_TEST

START_TEST(an_empty_record_is_refused)
{
	struct hello h;
	ck_assert_int_eq(hello_parse((const uint8_t *)"\x16\3\1\0\0", 5, &h, NULL), OCU_E_EGRESS_PROTOCOL);
	ck_assert_int_eq(hello_parse((const uint8_t *)"\x16\3\1\x40\1", 5, &h, NULL), OCU_E_EGRESS_PROTOCOL);
}
END_TEST

START_TEST(no_flip_of_one_byte_reads_beyond)
{
	struct hello h;
	usual("www.example.org");
	for (size_t at = 0; at < wire_len; at++)
		for (unsigned v = 0; v < 256; v += 17) {
			uint8_t *copy = malloc(wire_len);
			memcpy(copy, wire, wire_len);
			copy[at] = (uint8_t)v;
			int rc = hello_parse(copy, wire_len, &h, NULL);
			ck_assert(rc == 0 || rc == 1 || rc == OCU_E_EGRESS_PROTOCOL ||
			          rc == OCU_E_EGRESS_SNI);
			free(copy);
		}
}
END_TEST

/* len 0: the text's own. */
static const struct {
	const char *bytes;
	size_t len;
	int want;
} beginnings[] = {
    {"\x16\3\1", 0, 1},
    {"\x16\2\1", 0, 1},
    {"\x14\3\3\0\1\1", 6, 1},
    {"\x15\3\1\0\2\1\x5a", 7, 1},
    {"\x17\3\3", 0, 1},
    {"\x18\3\3", 0, 1},
    {"\x16\0", 2, 1},
    {"\x16\x0f", 0, 1},
    {"\x16\x10", 0, 0},
    {"\x16", 0, -1},
    {"\x13\3\1", 0, 0},
    {"\x19\3\1", 0, 0},
    {"", 0, -1},
    {"GET", 0, 0},
    {"\x80\x1c\1\3\3\0\3\0\0\0\x10", 11, 1},   /* SSLv2: one cipher, a challenge */
    {"\x80\x1c\1\0\2\0\3\0\0\0\x10", 11, 1},   /* of its own version, */
    {"\x80\x1c\1\x0f\0\0\3\0\0\0\x10", 11, 1}, /* and of one there is not */
    {"\x80\x1c\1\3\3\0\3\0\0\0", 10, -1},      /* not all there */
    {"\x80\x1c\1\3\3\0\4\0\0\0\x0f", 11, 0},   /* half a cipher */
    {"\x80\x1c\1\3\3\0\0\0\0\0\x10", 11, 0},   /* none */
    {"\x80\x1c\1\3\3\0\3\0\0\0\x11", 11, 0},   /* longer than the message */
    {"\xc0\x1c\1\3\3\0\3\0\x21\0\x10", 11, 0}, /* a session id of 33 bytes */
    {"\x80\x08\1", 0, 0},
    {"\x80\x1c\2", 0, 0},
    {"\x80\x1c", 0, -1},
    {"\x81\5hello", 0, 0},                                /* WebSocket */
    {"\xff\xfd\1\xff\xfb\x1f\xff\xfb\x20\xff\xfb", 0, 0}, /* Telnet */
    {"\x94\0\1\xa4name\x90..", 11, 0},                    /* MessagePack-RPC */
    {"\x80\1\0\3\0\0\0\0\0\0\0", 11, 0},                  /* memcached, binary */
};

START_TEST(what_begins_like_tls_is_known)
{
	size_t len = beginnings[_i].len ? beginnings[_i].len : strlen(beginnings[_i].bytes);
	uint8_t *copy = malloc(len + 1);
	memcpy(copy, beginnings[_i].bytes, len);
	ck_assert_int_eq(hello_begins(copy, len), beginnings[_i].want);
	free(copy);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("egressd_hello");
	TCase *t = tcase_create("hello");
	tcase_add_test(t, reads_the_server_name);
	tcase_add_test(t, asks_for_more_at_every_cut);
	tcase_add_test(t, joins_records);
	tcase_add_test(t, bounds_records_and_size);
	tcase_add_test(t, no_name_is_no_error);
	tcase_add_test(t, notes_encrypted_client_hello);
	tcase_add_test(t, two_names_are_refused);
	tcase_add_loop_test(t, malformed_names_are_refused, 0, sizeof bad_names / sizeof *bad_names);
	tcase_add_loop_test(t, malformed_hellos_are_refused, 0, sizeof flips / sizeof *flips);
	tcase_add_test(t, an_empty_record_is_refused);
	tcase_add_loop_test(t, what_begins_like_tls_is_known, 0, sizeof beginnings / sizeof *beginnings);
	tcase_add_test(t, no_flip_of_one_byte_reads_beyond);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
