/* gate: one function a state; each takes what it can from the input and says whether it needs more. */
#include "egressd/gate.h"

#include <stdio.h>
#include <string.h>

#include "egressd/hello.h"
#include "egressd/host.h"
#include "libocu/err.h"

#define CHUNK_LINE_MAX 256u
#define TRAILERS_MAX   64u
#define RECORD_HEADER  5u
#define MORE           1

void gate_init(struct gate *g, const char *host, uint16_t port)
{
	*g = (struct gate){.state = GATE_SNIFF, .host = host, .port = port};
	ocu_buf_init(&g->hold, HTTP_HEAD_MAX);
	ocu_buf_init(&g->answer, HTTP_HEAD_MAX);
}

void gate_done(struct gate *g)
{
	ocu_buf_done(&g->hold);
	ocu_buf_done(&g->answer);
}

bool gate_web_port(uint16_t port)
{
	return port == 80 || port == 443;
}

bool gate_undecided(const struct gate *g)
{
	return g->state == GATE_SNIFF || (g->state == GATE_HEAD && g->requests == 0);
}

bool gate_partial(const struct gate *g)
{
	return g->hold.len > 0 && g->state != GATE_UPGRADE && g->state != GATE_HELLO;
}

size_t gate_room(const struct gate *g)
{
	if (g->hold.len == 0 && (g->state == GATE_OPEN || g->state == GATE_SHUT || g->state == GATE_BODY ||
	                         g->state == GATE_CHUNK_DATA))
		return SIZE_MAX;
	return HTTP_HEAD_MAX - g->hold.len;
}

static int malformed(struct ocu_error *err, const char *what)
{
	return ocu_error_set(err, OCU_E_EGRESS_PROTOCOL, "malformed HTTP request: %s", what);
}

static void take(struct http_span *in, size_t n)
{
	in->p += n;
	in->len -= n;
}

/* ---- first bytes ---- */

static int sniff_tls(struct gate *g, struct http_span *in, struct ocu_buf *out, struct ocu_error *err)
{
	struct hello hello;
	int rc = hello_parse((const uint8_t *)in->p, in->len, &hello, err);

	if (rc)
		return rc;
	g->ech = hello.ech;
	if (!hello.has_sni)
		return ocu_error_set(err, OCU_E_EGRESS_SNI, "the ClientHello has no server name");
	if (strcmp(hello.sni, g->host) != 0)
		return ocu_error_set(err, OCU_E_EGRESS_SNI, "the server name is \"%s\"", hello.sni);
	if ((rc = ocu_buf_put(out, in->p, hello.size)))
		return rc;
	take(in, hello.size);
	g->proto = GATE_TLS;
	g->state = GATE_HELLO;
	return 0;
}

static int on_sniff(struct gate *g, struct http_span *in, struct ocu_buf *out, struct ocu_error *err)
{
	if (in->len == 0)
		return MORE;
	int tls = gate_web_port(g->port) ? (uint8_t)in->p[0] == 0x16
	                                 : hello_begins((const uint8_t *)in->p, in->len);
	if (tls < 0)
		return MORE;
	if (tls)
		return sniff_tls(g, in, out, err);
	int looks = gate_web_port(g->port) ? 1 : http_looks_like(in->p, in->len);
	if (looks < 0)
		return in->len < HTTP_HEAD_MAX ? MORE : malformed(err, "first line too long");
	g->proto = looks ? GATE_HTTP : GATE_OPAQUE;
	g->state = looks ? GATE_HEAD : GATE_OPEN;
	return 0;
}

/* In front of the second hello: the change_cipher_spec of middlebox compatibility (RFC 8446 D.4), an alert in
 * its stead, and early data, which the server has rejected with its HelloRetryRequest and would only skip. */
static int on_retry(struct gate *g, struct http_span *in, struct ocu_buf *out, struct ocu_error *err)
{
	size_t skip = g->left < in->len ? (size_t)g->left : in->len;

	take(in, skip);
	g->left -= skip;
	if (in->len < RECORD_HEADER)
		return MORE;
	const uint8_t *p = (const uint8_t *)in->p;
	if (p[0] == 0x17 && p[1] == 3) {
		g->left = RECORD_HEADER + (size_t)(p[3] << 8 | p[4]);
		return 0;
	}
	size_t pass = memcmp(p, "\x14\3\3\0\1", RECORD_HEADER) == 0   ? RECORD_HEADER + 1
	              : memcmp(p, "\x15\3\3\0\2", RECORD_HEADER) == 0 ? RECORD_HEADER + 2
	                                                              : 0;
	if (pass == 0)
		return sniff_tls(g, in, out, err);
	if (in->len < pass)
		return MORE;
	int rc = ocu_buf_put(out, p, pass);
	take(in, pass);
	return rc;
}

/* ---- HTTP requests ---- */

static int check_authority(const struct gate *g, struct http_span authority, struct ocu_error *err)
{
	char host[HOST_MAX + 1];
	uint16_t port = 0;

	if (host_parse_authority(authority.p, authority.len, host, &port, NULL))
		return ocu_error_set(err, OCU_E_EGRESS_HOST, "the Host is no name");
	if (strcmp(host, g->host) != 0 || (port != 0 && port != g->port))
		return ocu_error_set(err, OCU_E_EGRESS_HOST, "the Host is \"%s\" port %u", host, port);
	return 0;
}

static int check_target(const struct gate *g, const struct http_head *h, struct http_span *path,
                        struct ocu_error *err)
{
	struct http_span authority;

	*path = (struct http_span){0};
	if (!g->proxied && (h->target.p[0] == '/' || http_span_is(h->target, "*")))
		return http_span_is(h->method, "CONNECT") ? malformed(err, "CONNECT") : 0;
	int rc = http_absolute(h->target, &authority, path, err);
	return rc ? rc : check_authority(g, authority, err);
}

static void after_request(struct gate *g)
{
	g->state = g->proxied ? GATE_SHUT : GATE_HEAD;
}

static void after_head(struct gate *g, const struct http_head *h, bool upgrading)
{
	g->requests++;
	g->trailers = 0;
	g->left = h->length;
	if (upgrading)
		g->state = GATE_UPGRADE;
	else if (h->body == HTTP_BODY_CHUNKED)
		g->state = GATE_CHUNK_SIZE;
	else if (h->body == HTTP_BODY_LENGTH && h->length)
		g->state = GATE_BODY;
	else
		after_request(g);
}

static int on_head(struct gate *g, struct http_span *in, struct ocu_buf *out, struct ocu_error *err)
{
	struct http_head h = {0};
	struct http_span path = {0};

	/* A head cannot have become complete without a new line end: a guest that sends single bytes costs
	 * one memchr each. */
	if (in->len < HTTP_HEAD_MAX &&
	    (in->len <= g->seen || !memchr(in->p + g->seen, '\n', in->len - g->seen))) {
		g->seen = in->len;
		return MORE;
	}
	g->seen = in->len;
	int rc = http_head_parse(in->p, in->len, &h, err);
	if (rc)
		return rc;
	g->seen = 0;
	if (!h.host.p)
		return ocu_error_set(err, OCU_E_EGRESS_HOST, "no Host header");
	if ((rc = check_authority(g, h.host, err)) || (rc = check_target(g, &h, &path, err)))
		return rc;

	/* Only a first request may leave HTTP: then the first answer tells whether it did. */
	bool upgrading = h.websocket && g->requests == 0 && !g->proxied && h.body == HTTP_BODY_NONE;
	unsigned rewrite =
	    (h.upgrade && !upgrading ? HTTP_DROP_UPGRADE : 0) | (g->proxied ? HTTP_FROM_PROXY : 0);
	if (rewrite)
		rc = http_head_write(in->p, &h, rewrite, path, out, err);
	else
		rc = ocu_buf_put(out, in->p, h.size);
	if (rc)
		return rc;
	after_head(g, &h, upgrading);
	take(in, h.size);
	return 0;
}

static int on_body(struct gate *g, struct http_span *in, struct ocu_buf *out, struct ocu_error *err)
{
	size_t n = g->left < in->len ? (size_t)g->left : in->len;

	(void)err;
	if (n == 0)
		return MORE;
	int rc = ocu_buf_put(out, in->p, n);
	if (rc)
		return rc;
	take(in, n);
	g->left -= n;
	if (g->left == 0) {
		if (g->state == GATE_CHUNK_DATA)
			g->state = GATE_CHUNK_END;
		else
			after_request(g);
	}
	return 0;
}

/* A whole CRLF line of at most max bytes, or MORE. */
static int whole_line(struct http_span *in, size_t max, struct http_span *line, struct ocu_error *err)
{
	const char *lf = in->len ? memchr(in->p, '\n', in->len) : NULL;

	if (!lf)
		return in->len < max ? MORE : malformed(err, "line too long");
	size_t n = (size_t)(lf - in->p);
	if (n == 0 || n >= max || lf[-1] != '\r' || memchr(in->p, '\r', n - 1))
		return malformed(err, "line end");
	*line = (struct http_span){in->p, n - 1};
	return 0;
}

static int parse_chunk_size(struct http_span line, uint64_t *size, struct ocu_error *err)
{
	static const char hex[] = "0123456789abcdef";
	uint64_t n = 0;
	size_t i = 0;

	for (; i < line.len && line.p[i] != ';'; i++) {
		const char *digit = line.p[i] ? strchr(hex, line.p[i] | (line.p[i] >= 'A' ? 0x20 : 0)) : NULL;
		if (!digit || i >= 15)
			return malformed(err, "chunk size");
		n = n << 4 | (uint64_t)(digit - hex);
	}
	if (i == 0)
		return malformed(err, "chunk size");
	for (; i < line.len; i++)
		if (((unsigned char)line.p[i] < ' ' && line.p[i] != '\t') || line.p[i] == 0x7f)
			return malformed(err, "chunk extension");
	*size = n;
	return 0;
}

static int on_chunk_size(struct gate *g, struct http_span *in, struct ocu_buf *out, struct ocu_error *err)
{
	struct http_span line = {0};
	int rc = whole_line(in, CHUNK_LINE_MAX, &line, err);

	if (rc || (rc = parse_chunk_size(line, &g->left, err)) ||
	    (rc = ocu_buf_put(out, in->p, line.len + 2)))
		return rc;
	take(in, line.len + 2);
	g->state = g->left ? GATE_CHUNK_DATA : GATE_TRAILER;
	return 0;
}

static int on_chunk_end(struct gate *g, struct http_span *in, struct ocu_buf *out, struct ocu_error *err)
{
	if (in->len < 2)
		return in->len && in->p[0] != '\r' ? malformed(err, "chunk end") : MORE;
	if (memcmp(in->p, "\r\n", 2) != 0)
		return malformed(err, "chunk end");
	take(in, 2);
	g->state = GATE_CHUNK_SIZE;
	return ocu_buf_put(out, "\r\n", 2);
}

static int on_trailer(struct gate *g, struct http_span *in, struct ocu_buf *out, struct ocu_error *err)
{
	struct http_span line = {0}, name, value;
	int rc = whole_line(in, HTTP_HEAD_MAX, &line, err);

	if (rc)
		return rc;
	if (line.len &&
	    (++g->trailers > TRAILERS_MAX || http_line_parse(line.p, line.len, &name, &value, err)))
		return malformed(err, "trailer");
	if ((rc = ocu_buf_put(out, in->p, line.len + 2)))
		return rc;
	take(in, line.len + 2);
	if (line.len == 0)
		after_request(g);
	return 0;
}

static int on_open(struct gate *g, struct http_span *in, struct ocu_buf *out, struct ocu_error *err)
{
	int rc = in->len ? ocu_buf_put(out, in->p, in->len) : 0;

	(void)g;
	(void)err;
	take(in, in->len);
	return rc ? rc : MORE;
}

static int on_shut(struct gate *g, struct http_span *in, struct ocu_buf *out, struct ocu_error *err)
{
	(void)g;
	(void)out;
	(void)err;
	take(in, in->len);
	return MORE;
}

static int on_wait(struct gate *g, struct http_span *in, struct ocu_buf *out, struct ocu_error *err)
{
	(void)g;
	(void)in;
	(void)out;
	(void)err;
	return MORE;
}

static int (*const steps[])(struct gate *g, struct http_span *in, struct ocu_buf *out,
                            struct ocu_error *err) = {
    [GATE_SNIFF] = on_sniff,           [GATE_HEAD] = on_head,       [GATE_BODY] = on_body,
    [GATE_CHUNK_SIZE] = on_chunk_size, [GATE_CHUNK_DATA] = on_body, [GATE_CHUNK_END] = on_chunk_end,
    [GATE_TRAILER] = on_trailer,       [GATE_UPGRADE] = on_wait,    [GATE_HELLO] = on_wait,
    [GATE_RETRY] = on_retry,           [GATE_OPEN] = on_open,       [GATE_SHUT] = on_shut,
};

int gate_feed(struct gate *g, const void *data, size_t len, struct ocu_buf *out, struct ocu_error *err)
{
	bool held = g->hold.len > 0;
	int rc;

	if (held && len && ocu_buf_put(&g->hold, data, len))
		return malformed(err, "too much at once");
	struct http_span in =
	    held ? (struct http_span){g->hold.data, g->hold.len} : (struct http_span){data, len};
	while ((rc = steps[g->state](g, &in, out, err)) == 0)
		g->steps++;
	if (rc < 0)
		return rc;
	if (held)
		ocu_buf_consume(&g->hold, g->hold.len - in.len);
	else if (in.len && ocu_buf_put(&g->hold, in.p, in.len))
		return malformed(err, "too much at once");
	return 0;
}
