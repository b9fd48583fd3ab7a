/* httphead: a line reader, one table of the headers that decide anything, and the writer. */
#include "egressd/httphead.h"

#include <string.h>
#include <strings.h>

#include "libocu/buf.h"
#include "libocu/err.h"

static int malformed(struct ocu_error *err, const char *what)
{
	return ocu_error_set(err, OCU_E_EGRESS_PROTOCOL, "malformed HTTP request: %s", what);
}

/* tchar of RFC 9110 5.6.2. A table: a guest that sends its first line byte by byte has it read again each
 * time. */
static const bool token_chars[256] = {
    ['!'] = true,         ['#' ... '\''] = true, ['*'] = true,         ['+'] = true,
    ['-'] = true,         ['.'] = true,          ['0' ... '9'] = true, ['A' ... 'Z'] = true,
    ['^' ... 'z'] = true, ['|'] = true,          ['~'] = true,
};

static bool is_token_char(unsigned char c)
{
	return token_chars[c];
}

static bool is_token(struct http_span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_token_char((unsigned char)s.p[i]))
			return false;
	return s.len > 0;
}

bool http_span_is(struct http_span s, const char *text)
{
	return s.len == strlen(text) && strncasecmp(s.p, text, s.len) == 0;
}

static bool starts_with(struct http_span s, const char *text)
{
	return s.len >= strlen(text) && strncasecmp(s.p, text, strlen(text)) == 0;
}

int http_looks_like(const char *data, size_t len)
{
	size_t start = 0;

	/* Servers skip empty lines before a request, and some skip blanks. */
	while (start < len && strchr("\r\n \t", data[start]) && data[start])
		start++;
	size_t i = start;
	while (i < len && is_token_char((unsigned char)data[i]))
		i++;
	if (i == len)
		return -1;
	if (i == start || (data[i] != ' ' && data[i] != '\t'))
		return 0;
	/* "GET x" alone is HTTP/0.9; other requests say the version at the end of the line. */
	if (i - start == 3 && strncasecmp(data + start, "GET", 3) == 0)
		return 1;
	const char *lf = memchr(data + i, '\n', len - i);
	if (!lf)
		return -1;
	for (const char *p = data + i; p + 5 <= lf; p++)
		if (strncasecmp(p, "HTTP/", 5) == 0)
			return 1;
	return 0;
}

static int parse_request_line(struct http_span line, struct http_head *h, struct ocu_error *err)
{
	const char *sp = line.len ? memchr(line.p, ' ', line.len) : NULL;
	const char *sp2 = line.len ? memrchr(line.p, ' ', line.len) : NULL;

	if (!sp || sp == sp2)
		return malformed(err, "request line");
	h->method = (struct http_span){line.p, (size_t)(sp - line.p)};
	h->target = (struct http_span){sp + 1, (size_t)(sp2 - sp - 1)};
	struct http_span version = {sp2 + 1, (size_t)(line.p + line.len - sp2 - 1)};
	if (!is_token(h->method) || h->target.len == 0)
		return malformed(err, "request line");
	for (size_t i = 0; i < h->target.len; i++) {
		unsigned char c = (unsigned char)h->target.p[i];
		if (c <= ' ' || c == 0x7f)
			return malformed(err, "request target");
	}
	if (version.len != 8 || memcmp(version.p, "HTTP/1.", 7) != 0 ||
	    (version.p[7] != '0' && version.p[7] != '1'))
		return malformed(err, "version");
	h->minor = version.p[7] - '0';
	return 0;
}

int http_line_parse(const char *line, size_t len, struct http_span *name, struct http_span *value,
                    struct ocu_error *err)
{
	const char *colon = memchr(line, ':', len);

	if (!colon)
		return malformed(err, "header line");
	*name = (struct http_span){line, (size_t)(colon - line)};
	if (!is_token(*name))
		return malformed(err, "header name");
	const char *p = colon + 1, *end = line + len;
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*value = (struct http_span){p, (size_t)(end - p)};
	for (; p < end; p++)
		if (((unsigned char)*p < ' ' && *p != '\t') || *p == 0x7f)
			return malformed(err, "header value");
	return 0;
}

static int on_host(struct http_head *h, struct http_span v, struct ocu_error *err)
{
	if (h->host.p)
		return ocu_error_set(err, OCU_E_EGRESS_HOST, "two Host headers");
	h->host = v;
	return 0;
}

static int on_length(struct http_head *h, struct http_span v, struct ocu_error *err)
{
	uint64_t n = 0;

	if (h->body != HTTP_BODY_NONE || v.len == 0 || v.len > 18)
		return malformed(err, "Content-Length");
	for (size_t i = 0; i < v.len; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return malformed(err, "Content-Length");
		n = n * 10 + (uint64_t)(v.p[i] - '0');
	}
	h->body = HTTP_BODY_LENGTH;
	h->length = n;
	return 0;
}

static int on_transfer(struct http_head *h, struct http_span v, struct ocu_error *err)
{
	if (h->body != HTTP_BODY_NONE || h->minor == 0 || !http_span_is(v, "chunked"))
		return malformed(err, "Transfer-Encoding");
	h->body = HTTP_BODY_CHUNKED;
	return 0;
}

static int on_upgrade(struct http_head *h, struct http_span v, struct ocu_error *err)
{
	(void)err;
	h->websocket = !h->upgrade && http_span_is(v, "websocket");
	h->upgrade = true;
	return 0;
}

static const struct {
	const char *name;
	int (*seen)(struct http_head *h, struct http_span value, struct ocu_error *err);
} headers[] = {
    {"Host", on_host},
    {"Content-Length", on_length},
    {"Transfer-Encoding", on_transfer},
    {"Upgrade", on_upgrade},
};

static int parse_header(struct http_span line, struct http_head *h, struct ocu_error *err)
{
	struct http_span name = {0}, value = {0};
	int rc = http_line_parse(line.p, line.len, &name, &value, err);

	for (size_t i = 0; rc == 0 && i < sizeof headers / sizeof *headers; i++)
		if (http_span_is(name, headers[i].name))
			return headers[i].seen(h, value, err);
	return rc;
}

/* The next line, which must end in CRLF with no other CR or LF in it. 1: not there yet. */
static int next_line(const char *data, size_t len, size_t *pos, struct http_span *line, struct ocu_error *err)
{
	const char *lf = memchr(data + *pos, '\n', len - *pos);
	const char *p = data + *pos;

	if (!lf)
		return 1;
	if (lf == p || lf[-1] != '\r' || memchr(p, '\r', (size_t)(lf - 1 - p)))
		return malformed(err, "line end");
	*line = (struct http_span){p, (size_t)(lf - 1 - p)};
	*pos = (size_t)(lf + 1 - data);
	return 0;
}

int http_head_parse(const char *data, size_t len, struct http_head *ret, struct ocu_error *err)
{
	struct http_head h = {0};
	struct http_span line = {0};
	size_t pos = 0, max = len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX;

	for (unsigned n = 0;; n++) {
		int rc = next_line(data, max, &pos, &line, err);
		if (rc == 1)
			return len >= HTTP_HEAD_MAX ? malformed(err, "head too large") : 1;
		if (rc)
			return rc;
		if (n > 0 && line.len == 0)
			break;
		if (n > HTTP_HEADERS_MAX)
			return malformed(err, "too many headers");
		rc = n == 0 ? parse_request_line(line, &h, err) : parse_header(line, &h, err);
		if (rc)
			return rc;
	}
	h.size = pos;
	*ret = h;
	return 0;
}

static bool keep_header(struct http_span name, unsigned rewrite)
{
	if ((rewrite & HTTP_DROP_UPGRADE) &&
	    (http_span_is(name, "Upgrade") || http_span_is(name, "HTTP2-Settings")))
		return false;
	if ((rewrite & HTTP_FROM_PROXY) && (starts_with(name, "Proxy-") || http_span_is(name, "Connection") ||
	                                    http_span_is(name, "Keep-Alive")))
		return false;
	return true;
}

int http_head_write(const char *data, const struct http_head *h, unsigned rewrite, struct http_span target,
                    struct ocu_buf *out, struct ocu_error *err)
{
	struct http_span line = {0}, name = {0}, value = {0};
	size_t pos = 0;

	if (!target.p)
		target = h->target;
	ocu_buf_put(out, h->method.p, h->method.len);
	ocu_buf_putc(out, ' ');
	ocu_buf_put(out, target.p, target.len);
	ocu_buf_printf(out, " HTTP/1.%d\r\n", h->minor);
	next_line(data, h->size, &pos, &line, err);
	while (next_line(data, h->size, &pos, &line, err) == 0 && line.len) {
		if (http_line_parse(line.p, line.len, &name, &value, err) == 0 &&
		    keep_header(name, rewrite)) {
			ocu_buf_put(out, line.p, line.len);
			ocu_buf_put(out, "\r\n", 2);
		}
	}
	if (rewrite & HTTP_FROM_PROXY)
		ocu_buf_puts(out, "Connection: close\r\n");
	ocu_buf_puts(out, "\r\n");
	return out->failed ? ocu_error_set(err, out->failed, "rewriting a request") : 0;
}

int http_absolute(struct http_span target, struct http_span *authority, struct http_span *path,
                  struct ocu_error *err)
{
	static const char scheme[] = "http://";

	if (!starts_with(target, scheme))
		return ocu_error_set(err, OCU_E_EGRESS_PROTOCOL,
		                     "a proxy request takes an http:// target or CONNECT");
	const char *p = target.p + sizeof scheme - 1, *end = target.p + target.len, *stop = p;
	while (stop < end && !strchr("/?#\\", *stop))
		stop++;
	/* A fragment never travels, a backslash is a slash to some parsers and not to others, and a query
	 * without a path has no origin form. */
	if (stop < end && *stop != '/')
		return malformed(err, "request target");
	*authority = (struct http_span){p, (size_t)(stop - p)};
	*path = (struct http_span){stop, (size_t)(end - stop)};
	if (path->len == 0)
		*path = (struct http_span){"/", 1};
	return 0;
}
