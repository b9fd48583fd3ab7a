/*
 * httpd: the one HTTP server layer, over libmicrohttpd (epoll, thread pool). A route table names method,
 * pattern, body limit and handler; what it does not list is 404 or 405. A handler runs on a pool thread with
 * the whole body (or a file for large uploads) in hand, must not block for long, and may answer at once or
 * keep the request and answer later from any thread: the connection is suspended meanwhile. Every request
 * gets a trace id (answered as X-Correlation-Id). Slow or idle connections are closed; header and body sizes
 * are bounded; a message whose length could be read in two ways is refused.
 */
#ifndef OCU_HTTPD_H
#define OCU_HTTPD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ocu_error;
struct ocu_httpd;
struct ocu_http_req;

#define OCU_HTTP_BODY_FILE                                                                                   \
	1u /* body goes to an unlinked temporary file in opts.spool_dir, see ocu_http_body_fd */

struct ocu_http_route {
	const char *method;  /* "GET" ... ; "*" any */
	const char *pattern; /* "/v1/sessions/{id}"; a last "{name...}" takes the rest, slashes included */
	size_t
	    max_body; /* bytes; more is 413, refused from Content-Length before the body is read when given */
	unsigned flags;
	void (*handler)(struct ocu_http_req *r, void *arg);
	/* Runs when the headers are in, before any body byte is accepted; a non-zero return refuses the
	 * request with that error (authentication, quota). May be NULL. */
	int (*admit)(struct ocu_http_req *r, void *arg, struct ocu_error *err);
};

struct ocu_httpd_opts {
	const char *listen;    /* "127.0.0.1:8080"; "[::1]:0" */
	const char *cert_path; /* both NULL: plain HTTP; else PEM files, TLS 1.3 (1.2 when allow_tls12) */
	const char *key_path;
	bool allow_tls12;
	const struct ocu_http_route *routes; /* ends with {0} */
	void *arg;
	unsigned threads;          /* 0: 2 */
	unsigned max_conns;        /* 0: 1024 */
	unsigned max_conns_per_ip; /* 0: none */
	unsigned timeout_s;        /* idle or incomplete request; 0: 30 */
	const char *spool_dir;
	/* Error bodies: {"error":{"code":reason,"message":text,"correlation_id":trace}}; a daemon that needs
	 * another shape (JSON-RPC) sets this. */
	void (*error_body)(struct ocu_http_req *r, const struct ocu_error *err, void *arg);
	/* Called when a request is finished, also when the client went away. May be NULL. */
	void (*finished)(struct ocu_http_req *r, int status, uint64_t duration_us, void *arg);
};

int ocu_httpd_start(struct ocu_httpd **ret, const struct ocu_httpd_opts *o, struct ocu_error *err);
/* Turns new requests away with 503, waits at most drain_ms for those in flight (suspended ones included),
 * then calls on_gone of what is left, waits one second more, closes. A handler that even then has not
 * answered may still do so later: its request and the server's memory stay, and nothing of it calls the
 * daemon again, but for `drop` of its requests. False then: what that uses must stay, too. h may be NULL. */
bool ocu_httpd_stop(struct ocu_httpd *h, unsigned drain_ms);
int ocu_httpd_port(const struct ocu_httpd *h);

/* Reading a request. Strings are borrowed and live as long as the request; headers and the peer's address
 * only until a stream is started. */
const char *ocu_http_method(const struct ocu_http_req *r);
const char *
ocu_http_path(const struct ocu_http_req *r); /* decoded once; refused when it holds NUL or bad escapes */
const char *ocu_http_param(const struct ocu_http_req *r, const char *name); /* from the pattern */
const char *ocu_http_query(const struct ocu_http_req *r, const char *name);
const char *ocu_http_header(const struct ocu_http_req *r, const char *name); /* case-insensitive; NULL */
const char *ocu_http_bearer(const struct ocu_http_req *r); /* token of "Authorization: Bearer ..." or NULL */
const char *ocu_http_trace(const struct ocu_http_req *r);
const char *ocu_http_peer_ip(const struct ocu_http_req *r);
void ocu_http_body(const struct ocu_http_req *r, const char **data, size_t *len);
int ocu_http_body_fd(const struct ocu_http_req *r,
                     uint64_t *size); /* OCU_HTTP_BODY_FILE: descriptor, stays ours */
/* A slot the handler may use; `drop` runs when the request ends, of one that outlives its server after that.
 */
void ocu_http_set_user(struct ocu_http_req *r, void *user, void (*drop)(void *));
void *ocu_http_user(const struct ocu_http_req *r);
/* Called (once, any thread) when the client goes away before the answer, or before the end of a stream, and
 * when the server stops without waiting longer: to cancel work. The request stays valid and must still be
 * answered. It may run while another thread is answering. A client that closes its sending side counts as
 * gone. Set it before the handler returns. */
void ocu_http_on_gone(struct ocu_http_req *r, void (*gone)(struct ocu_http_req *r, void *user));

/* For admit(): this request may have fewer bytes than the route's max_body; more is refused as `code`. */
void ocu_http_body_limit(struct ocu_http_req *r, uint64_t max, int code);

/* Answering: exactly one of these per request, from any thread. After it the request must not be touched. */
void ocu_http_set_header(struct ocu_http_req *r, const char *name, const char *value); /* before answering */
void ocu_http_reply(struct ocu_http_req *r, int status, const char *content_type, const void *body,
                    size_t len);
void ocu_http_reply_json(struct ocu_http_req *r, int status, json_t *steal);
/* The client sees ocu_err_text(), never err->text, except for PARAMS and UNKNOWN_FIELD, whose text the schema
 * validator made for it. 401 gets "WWW-Authenticate: Bearer" unless the handler has set that header. */
void ocu_http_reply_error(struct ocu_http_req *r, const struct ocu_error *err);
/* Sends size bytes of fd from offset; takes fd. */
void ocu_http_reply_fd(struct ocu_http_req *r, int status, const char *content_type, int fd, uint64_t offset,
                       uint64_t size);
/* Cuts the connection of a request, in the middle of its answer too; what the client has not taken of it is
 * lost. From any thread, before `drop` has returned: a lock that `drop` takes is held meanwhile. */
void ocu_http_abort(struct ocu_http_req *r);
/* Server-sent events or other streams: start once, write any number (copied; at most 16 MiB each; OCU_E_BUSY
 * when over 1 MiB is unread by the client; OCU_E_CANCELLED when it is gone), end once, whatever the writes
 * said. */
int ocu_http_stream_start(struct ocu_http_req *r, int status, const char *content_type);
int ocu_http_stream_write(struct ocu_http_req *r, const void *data, size_t len);
void ocu_http_stream_end(struct ocu_http_req *r);

#endif
