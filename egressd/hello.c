/* hello: records are checked and joined first, the message is read when it is whole. */
#include "egressd/hello.h"

#include <string.h>

#include "libocu/err.h"

#define RECORD_HANDSHAKE 22
#define RECORD_FIRST     RECORD_CCS /* servers skip some of these before a hello */
#define RECORD_LAST      24         /* heartbeat */
#define RECORD_VERSIONS  16         /* of the major version; Go's servers take any below for a first record */
#define RECORD_CCS       20
#define RECORD_ALERT     21
#define CLIENT_HELLO     1
#define SERVER_HELLO     2
#define EXT_SERVER_NAME  0
#define EXT_ECH          0xfe0d
#define NAME_HOST        0

struct reader {
	const uint8_t *p, *end;
};

static int malformed(struct ocu_error *err, const char *what)
{
	return ocu_error_set(err, OCU_E_EGRESS_PROTOCOL, "malformed ClientHello: %s", what);
}

/* A vector with a length of `bytes` bytes in front, as TLS writes them. */
static bool read_vector(struct reader *r, unsigned bytes, struct reader *v)
{
	size_t n = 0;

	if ((size_t)(r->end - r->p) < bytes)
		return false;
	for (unsigned i = 0; i < bytes; i++)
		n = n << 8 | *r->p++;
	if ((size_t)(r->end - r->p) < n)
		return false;
	*v = (struct reader){r->p, r->p + n};
	r->p += n;
	return true;
}

static size_t left(const struct reader *r)
{
	return (size_t)(r->end - r->p);
}

static int parse_server_name(struct reader ext, struct hello *ret, struct ocu_error *err)
{
	struct reader list, name;

	if (ret->has_sni)
		return malformed(err, "two server names");
	if (!read_vector(&ext, 2, &list) || left(&ext) || left(&list) < 1)
		return malformed(err, "server_name");
	uint8_t type = *list.p++;
	/* One host_name and nothing else: with several, servers differ in the one they take. */
	if (type != NAME_HOST || !read_vector(&list, 2, &name) || left(&list) || left(&name) == 0)
		return malformed(err, "server_name");
	if (host_parse((const char *)name.p, left(&name), ret->sni, NULL))
		return ocu_error_set(err, OCU_E_EGRESS_SNI, "the server name is no host name");
	ret->has_sni = true;
	return 0;
}

static int parse_extensions(struct reader exts, struct hello *ret, struct ocu_error *err)
{
	while (left(&exts)) {
		struct reader ext;
		if (left(&exts) < 2)
			return malformed(err, "extensions");
		unsigned type = (unsigned)(exts.p[0] << 8 | exts.p[1]);
		exts.p += 2;
		if (!read_vector(&exts, 2, &ext))
			return malformed(err, "extensions");
		if (type == EXT_ECH)
			ret->ech = true;
		if (type == EXT_SERVER_NAME) {
			int rc = parse_server_name(ext, ret, err);
			if (rc)
				return rc;
		}
	}
	return 0;
}

static int parse_body(struct reader body, struct hello *ret, struct ocu_error *err)
{
	struct reader v;

	if (left(&body) < 34 || body.p[0] != 3)
		return malformed(err, "version");
	body.p += 34; /* legacy_version, random */
	if (!read_vector(&body, 1, &v) || left(&v) > 32)
		return malformed(err, "session id");
	if (!read_vector(&body, 2, &v) || left(&v) < 2 || left(&v) % 2)
		return malformed(err, "cipher suites");
	if (!read_vector(&body, 1, &v) || left(&v) < 1)
		return malformed(err, "compression methods");
	if (left(&body) == 0)
		return 0; /* a hello of before TLS 1.0 extensions: no server name */
	if (!read_vector(&body, 2, &v) || left(&body))
		return malformed(err, "extensions");
	return parse_extensions(v, ret, err);
}

/* Checks the header of one record; 1 when the record is not all there. *size is what there is of its content.
 */
static int record(const struct reader *r, size_t *size, struct ocu_error *err)
{
	size_t have = left(r);

	if (have >= 1 && r->p[0] != RECORD_HANDSHAKE)
		return malformed(err, "record type");
	if (have >= 2 && r->p[1] != 3)
		return malformed(err, "record version");
	if (have < 5)
		return 1;
	size_t n = (size_t)(r->p[3] << 8 | r->p[4]);
	if (n == 0 || n > HELLO_MAX)
		return malformed(err, "record length");
	*size = n < have - 5 ? n : have - 5;
	return *size < n;
}

static unsigned read_u16(const uint8_t *p)
{
	return (unsigned)(p[0] << 8 | p[1]);
}

/* The lengths inside it must fit, which those of another protocol hardly do; the version is no sign, since
 * GnuTLS takes any from 3 on. */
static int sslv2_begins(const uint8_t *p, size_t len)
{
	if (len < 3)
		return -1;
	unsigned size = read_u16(p) & 0x7fff;
	if (p[2] != CLIENT_HELLO || size < 9)
		return 0;
	if (len < 11)
		return -1;
	unsigned ciphers = read_u16(p + 5), session = read_u16(p + 7), challenge = read_u16(p + 9);
	return ciphers && ciphers % 3 == 0 && session <= 32 && 9 + ciphers + session + challenge <= size;
}

int hello_begins(const uint8_t *data, size_t len)
{
	if (len == 0)
		return -1;
	if (data[0] & 0x80)
		return sslv2_begins(data, len);
	if (data[0] < RECORD_FIRST || data[0] > RECORD_LAST)
		return 0;
	return len < 2 ? -1 : data[1] < RECORD_VERSIONS;
}

int hello_parse(const uint8_t *data, size_t len, struct hello *ret, struct ocu_error *err)
{
	uint8_t msg[HELLO_MAX];
	size_t have = 0, want = 4;
	struct reader r = {data, data + (len < HELLO_MAX ? len : HELLO_MAX)};

	for (unsigned records = 0;; records++) {
		size_t size = 0;
		if (records == HELLO_RECORDS_MAX)
			return malformed(err, "too many records");
		int rc = record(&r, &size, err);
		if (rc < 0)
			return rc;
		if (size) {
			memcpy(msg + have, r.p + 5, size);
			have += size;
			r.p += 5 + size;
		}
		if (have >= 1 && msg[0] != CLIENT_HELLO)
			return malformed(err, "message type");
		if (have >= 4)
			want = 4 + ((size_t)msg[1] << 16 | (size_t)msg[2] << 8 | msg[3]);
		if (want > HELLO_MAX)
			return malformed(err, "too large");
		if (have >= want && (have > want || rc == 1))
			return malformed(err, "more in its record");
		if (have == want)
			break;
		if (rc == 1)
			return len >= HELLO_MAX ? malformed(err, "too large") : 1;
	}
	struct hello parsed = {.size = (size_t)(r.p - data)};
	int rc = parse_body((struct reader){msg + 4, msg + want}, &parsed, err);
	if (rc == 0)
		*ret = parsed;
	return rc;
}

/* The random of a ServerHello that is a HelloRetryRequest (RFC 8446 4.1.3). */
static const uint8_t retry_random[32] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c,
                                         0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
                                         0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};

/* msg is what there is of the server's first handshake message, want how long it is. */
static enum hello_reply judge_reply(const uint8_t *msg, size_t have, size_t want)
{
	const size_t random_end = 6 + sizeof retry_random;
	bool hello = have && msg[0] == SERVER_HELLO;

	if (hello && have >= 4 && want < random_end)
		return HELLO_REPLY_NOT_TLS;
	if (hello && have >= random_end && memcmp(msg + 6, retry_random, sizeof retry_random) != 0)
		return HELLO_REPLY_GOES_ON;
	if (have < want)
		return HELLO_REPLY_MORE;
	if (have > want)
		return HELLO_REPLY_NOT_TLS;
	return HELLO_REPLY_RETRY;
}

enum hello_reply hello_reply(const uint8_t *data, size_t len, size_t *ret_size)
{
	uint8_t msg[HELLO_MAX];
	size_t have = 0, want = 4;
	struct reader r = {data, data + (len < HELLO_MAX ? len : HELLO_MAX)};

	for (;;) {
		if (left(&r) && (r.p[0] < RECORD_CCS || r.p[0] > RECORD_HANDSHAKE))
			return HELLO_REPLY_NOT_TLS;
		if (left(&r) >= 2 && r.p[1] != 3)
			return HELLO_REPLY_NOT_TLS;
		if (left(&r) < 5)
			return HELLO_REPLY_MORE;
		uint8_t type = r.p[0];
		size_t n = read_u16(r.p + 3);
		r.p += 5;
		bool whole = n <= left(&r);
		n = whole ? n : left(&r);
		/* A warning may come before a ServerHello, a change_cipher_spec after a HelloRetryRequest. */
		if (type == RECORD_HANDSHAKE) {
			memcpy(msg + have, r.p, n);
			have += n;
			if (have >= 4)
				want = 4 + ((size_t)msg[1] << 16 | (size_t)msg[2] << 8 | msg[3]);
		}
		r.p += n;
		enum hello_reply reply = judge_reply(msg, have, want);
		if (reply == HELLO_REPLY_RETRY && !whole)
			return HELLO_REPLY_NOT_TLS;
		*ret_size = (size_t)(r.p - data);
		if (reply != HELLO_REPLY_MORE || !whole)
			return reply;
	}
}
