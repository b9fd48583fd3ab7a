/*
 * httpc: one blocking HTTP request. The server is trusted with nothing: its certificate must verify,
 * redirects are not followed, only http and https are spoken, and what it sends is bounded. The bearer goes
 * to the server only, never to a proxy.
 */
#include "libocu/httpc.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/err.h"

#define DFLT_TIMEOUT_MS 30000
#define DFLT_MAX_BODY   ((size_t)16 << 20)
#define HEADER_MAX      16384

static void cleanup_easy(CURL **c)
{
	curl_easy_cleanup(*c);
}

static void cleanup_list(struct curl_slist **l)
{
	curl_slist_free_all(*l);
}

static size_t collect(char *data, size_t one, size_t n, void *arg)
{
	struct ocu_buf *b = arg;

	return ocu_buf_put(b, data, one * n) == 0 ? one * n : 0;
}

/* A line end in a header would add another one; in the method, another request. */
static bool one_line(const char *s)
{
	return !s || !strpbrk(s, "\r\n");
}

static int add_line(struct curl_slist **list, const char *name, const char *value, struct ocu_error *err)
{
	char line[HEADER_MAX];
	struct curl_slist *more;

	if (!one_line(value) ||
	    snprintf(line, sizeof line, "%s%s%s", name, *name ? ": " : "", value) >= (int)sizeof line)
		return ocu_error_set(err, OCU_E_INVALID, "request header not usable");
	more = curl_slist_append(*list, line);
	if (!more)
		return ocu_error_set(err, OCU_E_NOMEM, "request headers");
	*list = more;
	return 0;
}

static int make_headers(const struct ocu_httpc_req *q, struct curl_slist **list, struct ocu_error *err)
{
	char bearer[HEADER_MAX];
	/* Bodies are small: no waiting for 100 Continue. A header that is only taken away would be signed all
	 * the same. */
	int rc = q->sigv4 ? 0 : add_line(list, "", "Expect:", err);

	if (!rc && q->bearer) {
		if (snprintf(bearer, sizeof bearer, "Bearer %s", q->bearer) >= (int)sizeof bearer)
			return ocu_error_set(err, OCU_E_INVALID, "bearer too long");
		rc = add_line(list, "Authorization", bearer, err);
	}
	if (!rc && q->body)
		rc = add_line(list, "Content-Type",
		              q->content_type ? q->content_type : "application/octet-stream", err);
	for (const char *const *h = q->headers; !rc && h && *h; h++)
		rc = add_line(list, "", *h, err);
	return rc;
}

static bool set_method(CURL *c, const struct ocu_httpc_req *q)
{
	const char *method = q->method ? q->method : "GET";

	if (strcmp(method, "HEAD") == 0)
		return curl_easy_setopt(c, CURLOPT_NOBODY, 1L) == CURLE_OK;
	if (q->body &&
	    (curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body_len) != CURLE_OK ||
	     curl_easy_setopt(c, CURLOPT_POSTFIELDS, q->body) != CURLE_OK))
		return false;
	return curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method) == CURLE_OK;
}

static bool set_options(CURL *c, const struct ocu_httpc_req *q, struct curl_slist *headers,
                        struct ocu_buf *body, char *why)
{
	const long timeout = q->timeout_ms ? (long)q->timeout_ms : DFLT_TIMEOUT_MS;

	return curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_URL, q->url) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
	       (!q->ca_path || (curl_easy_setopt(c, CURLOPT_CAINFO, q->ca_path) == CURLE_OK &&
	                        curl_easy_setopt(c, CURLOPT_CAPATH, NULL) == CURLE_OK)) &&
	       (!q->no_proxy || curl_easy_setopt(c, CURLOPT_PROXY, "") == CURLE_OK) &&
	       curl_easy_setopt(c, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, timeout) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, collect) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_WRITEDATA, body) == CURLE_OK && set_method(c, q);
}

static bool set_signature(CURL *c, const struct ocu_httpc_req *q)
{
	return !q->sigv4 || (curl_easy_setopt(c, CURLOPT_AWS_SIGV4, q->sigv4) == CURLE_OK &&
	                     curl_easy_setopt(c, CURLOPT_USERPWD, q->sigv4_key) == CURLE_OK);
}

/* The last response's, should an interim one have had it, too. */
static void take_headers(CURL *c, const char *const *names, struct ocu_httpc_resp *ret)
{
	struct curl_header *h;

	for (size_t i = 0; names && names[i] && i < OCU_HTTPC_HEADERS_MAX; i++)
		if (curl_easy_header(c, names[i], 0, CURLH_HEADER, -1, &h) == CURLHE_OK)
			snprintf(ret->header[i], sizeof ret->header[i], "%s", h->value);
}

static int failure(CURLcode code, const struct ocu_buf *body, const char *why, struct ocu_error *err)
{
	if (body->failed)
		return ocu_error_set(err, body->failed, "response body");
	switch (code) {
	case CURLE_OPERATION_TIMEDOUT:
		return ocu_error_set(err, OCU_E_TIMEOUT, "%s", why);
	case CURLE_PEER_FAILED_VERIFICATION:
		return ocu_error_set(err, OCU_E_PEER_UNKNOWN, "%s", why);
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return ocu_error_set(err, OCU_E_INVALID, "%s", why);
	case CURLE_SSL_CACERT_BADFILE:
		return ocu_error_set(err, OCU_E_CONFIG, "%s", why);
	default:
		return ocu_error_set(err, OCU_E_UNAVAILABLE, "%s", *why ? why : curl_easy_strerror(code));
	}
}

static int take_response(CURL *c, struct ocu_buf *body, struct ocu_httpc_resp *ret, struct ocu_error *err)
{
	const char *type = NULL;
	curl_off_t length = -1;
	long status = 0;
	size_t len = body->len;
	char *text;

	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(c, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	curl_easy_getinfo(c, CURLINFO_CONTENT_TYPE, &type);
	text = ocu_buf_steal(body);
	if (!text)
		return ocu_error_set(err, OCU_E_NOMEM, "response body");
	*ret = (struct ocu_httpc_resp){.status = (int)status, .body = text, .len = len, .length = length};
	snprintf(ret->content_type, sizeof ret->content_type, "%s", type ? type : "");
	return 0;
}

int ocu_httpc(const struct ocu_httpc_req *q, struct ocu_httpc_resp *ret, struct ocu_error *err)
{
	OCU_BUF struct ocu_buf body = OCU_BUF_INIT(q->max_body ? q->max_body : DFLT_MAX_BODY);
	OCU_CLEANUP(cleanup_list) struct curl_slist *headers = NULL;
	OCU_CLEANUP(cleanup_easy) CURL *c = curl_easy_init();
	char why[CURL_ERROR_SIZE] = "";
	CURLcode code;
	int rc;

	if (!c)
		return ocu_error_set(err, OCU_E_NOMEM, "HTTP client");
	if (!one_line(q->method))
		return ocu_error_set(err, OCU_E_INVALID, "request method not usable");
	rc = make_headers(q, &headers, err);
	if (rc)
		return rc;
	if (!set_options(c, q, headers, &body, why) || !set_signature(c, q))
		return ocu_error_set(err, OCU_E_INTERNAL, "setting up an HTTP request: %s", why);
	code = curl_easy_perform(c);
	if (code != CURLE_OK)
		return failure(code, &body, why, err);
	rc = take_response(c, &body, ret, err);
	if (!rc)
		take_headers(c, q->want_headers, ret);
	return rc;
}

void ocu_httpc_resp_done(struct ocu_httpc_resp *r)
{
	free(r->body);
	*r = (struct ocu_httpc_resp){0};
}
