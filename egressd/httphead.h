/*
 * httphead: the head of one HTTP/1.x request, read strictly (RFC 9110, 9112): what two implementations could
 * read differently is refused, so that the Host the edge checks is the Host the server uses and the length it
 * computes is the length the server computes.
 */
#ifndef EGRESSD_HTTPHEAD_H
#define EGRESSD_HTTPHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ocu_buf;
struct ocu_error;

#define HTTP_HEAD_MAX    ((size_t)16384)
#define HTTP_HEADERS_MAX 128u

struct http_span {
	const char *p;
	size_t len;
};

enum http_body { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED };

struct http_head {
	struct http_span method, target;
	struct http_span host; /* p NULL: no Host header */
	int minor;             /* HTTP/1.<minor>: 0 or 1 */
	enum http_body body;
	uint64_t length;
	bool upgrade;   /* has an Upgrade header */
	bool websocket; /* and it says exactly "websocket" */
	size_t size;    /* bytes of the head, blank line included */
};

/* Whether the first bytes of a connection begin an HTTP request: 1 yes, 0 no, -1 cannot be told yet. Errs
 * towards yes: what a lenient server would take for a request is one. */
int http_looks_like(const char *data, size_t len);

/* 1: the head is not complete. 0: *ret filled, pointing into data. OCU_E_EGRESS_PROTOCOL: malformed,
 * ambiguous, or over the maxima. */
int http_head_parse(const char *data, size_t len, struct http_head *ret, struct ocu_error *err);

/* One trailer or header line without its CRLF: the name in *name, the value trimmed in *value. */
int http_line_parse(const char *line, size_t len, struct http_span *name, struct http_span *value,
                    struct ocu_error *err);

enum http_rewrite {
	HTTP_DROP_UPGRADE = 1, /* without Upgrade and HTTP2-Settings: the server must not leave HTTP/1.x */
	HTTP_FROM_PROXY =
	    2, /* origin-form target, without Proxy-* and Connection, with "Connection: close" */
};

/* Appends the head, rewritten; target replaces the request's own when not NULL. */
int http_head_write(const char *data, const struct http_head *h, unsigned rewrite, struct http_span target,
                    struct ocu_buf *out, struct ocu_error *err);

bool http_span_is(struct http_span s, const char *text); /* case-insensitive */

/* Splits "http://authority/path?query" of an absolute-form target; path is "/" when there is none. Anything
 * that is not http:// is OCU_E_EGRESS_PROTOCOL. */
int http_absolute(struct http_span target, struct http_span *authority, struct http_span *path,
                  struct ocu_error *err);

#endif
