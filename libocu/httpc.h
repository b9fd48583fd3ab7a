/*
 * httpc: the one HTTP client layer, over libcurl. Blocking, TLS verified strictly against the given CA file,
 * redirects off, honours HTTPS_PROXY/NO_PROXY unless no_proxy is set (NFR-FLEX-08), bounded response.
 */
#ifndef OCU_HTTPC_H
#define OCU_HTTPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ocu_error;

#define OCU_HTTPC_HEADERS_MAX 6

struct ocu_httpc_req {
	const char *method; /* "GET" */
	const char *url;
	const char *bearer;       /* NULL: no Authorization */
	const char *content_type; /* of body */
	const void *body;
	size_t body_len;
	const char *ca_path;        /* NULL: system store */
	const char *const *headers; /* extra "Name: value"; NULL-terminated; may be NULL */
	uint32_t timeout_ms;        /* 0: 30000 */
	size_t max_body;            /* 0: 16 MiB */
	bool no_proxy;
	/* AWS signature version 4: "aws:amz:<region>:<service>" and "<access key>:<secret key>"; both or
	 * neither. */
	const char *sigv4, *sigv4_key;
	/* Names of response headers to be given, at most OCU_HTTPC_HEADERS_MAX; NULL-terminated; may be NULL.
	 */
	const char *const *want_headers;
};

struct ocu_httpc_resp {
	int status;
	char *body; /* NUL-terminated */
	size_t len;
	char content_type[128];
	/* The values of want_headers, in their order; "" for one that is not there; cut when longer. */
	char header[OCU_HTTPC_HEADERS_MAX][256];
	int64_t length; /* Content-Length as the server said it; -1: it did not */
};

int ocu_httpc(const struct ocu_httpc_req *q, struct ocu_httpc_resp *ret, struct ocu_error *err);
void ocu_httpc_resp_done(struct ocu_httpc_resp *r);

#endif
