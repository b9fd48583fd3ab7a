/* bucket: see bucket.h. Signatures are libcurl's; the payload's hash is signed, so the store sees what we
 * sent. */
#include "auditd/bucket.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "auditd/holding.h"
#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/httpc.h"
#include "libocu/keyfile.h"

#define URL_MAX      1200
#define KEY_MAX      512
#define HEADERS_MAX  8
#define HEADER_LEN   160
#define ANSWER_MAX   65536
#define TIMEOUT_MS   30000u
#define BYTES_PER_MS 256
#define META         "x-amz-meta-ocu-sha256"

/* --- address and keys --- */

static bool plain(const char *s, const char *also)
{
	for (; *s; s++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789", *s | 0x20) && !strchr(also, *s))
			return false;
	return true;
}

int bucket_url_port(const char *url, struct ocu_error *err)
{
	char host[256], bucket[64], prefix[513] = "";
	int n = sscanf(url, "https://%255[^/]/%63[^/]/%512s", host, bucket, prefix);
	if (n < 2 || strlen(bucket) < 3 || !plain(bucket, ".-") || !plain(prefix, "._-/") ||
	    !plain(host, ".-:") || url[strlen(url) - 1] == '/' || strlen(url) > 900 || strstr(url, "/../"))
		return ocu_error_set(err, OCU_E_CONFIG,
		                     "archive_url: want https://host[:port]/bucket[/prefix]");
	char *colon = strrchr(host, ':'), *end = NULL;
	long port = colon ? strtol(colon + 1, &end, 10) : 443;
	if (port < 1 || port > 65535 || (end && *end))
		return ocu_error_set(err, OCU_E_CONFIG, "archive_url: the port is not a number up to 65535");
	return (int)port;
}

/* One line of a file, without its end. */
static int read_key(const char *path, bool secret, char out[KEY_MAX], struct ocu_error *err)
{
	char *text = NULL;
	size_t len = 0;
	int rc = ocu_keyfile_read(path, KEY_MAX - 1, secret, &text, &len, err);
	if (rc)
		return rc;
	snprintf(out, KEY_MAX, "%.*s", (int)strcspn(text, "\r\n"), text);
	ocu_keyfile_free(text, len);
	if (!*out || strpbrk(out, ": \t"))
		return ocu_error_set(err, OCU_E_CONFIG, "%s: want one line with the key and nothing else",
		                     path);
	return 0;
}

/* --- requests --- */

struct hashes {
	char sha256[65]; /* hexadecimal */
	char md5[32];    /* base64, as Content-MD5 has it */
};

static int hash(const void *data, size_t len, struct hashes *ret, struct ocu_error *err)
{
	unsigned char sha[32], md5[16];
	if (!EVP_Digest(data, len, sha, NULL, EVP_sha256(), NULL) ||
	    !EVP_Digest(data, len, md5, NULL, EVP_md5(), NULL))
		return ocu_error_set(err, OCU_E_INTERNAL, "hashing");
	for (size_t i = 0; i < sizeof sha; i++)
		snprintf(ret->sha256 + 2 * i, 3, "%02x", sha[i]);
	EVP_EncodeBlock((unsigned char *)ret->md5, md5, sizeof md5);
	return 0;
}

struct headers {
	char line[HEADERS_MAX][HEADER_LEN];
	const char *list[HEADERS_MAX + 1];
	size_t n;
};

static void put_header(struct headers *h, const char *name, const char *value)
{
	snprintf(h->line[h->n], HEADER_LEN, "%s: %s", name, value);
	h->list[h->n] = h->line[h->n];
	h->n++;
}

static void put_lock(struct headers *h, const struct bucket *b)
{
	const char *mode = strcmp(b->lock, "governance") == 0 ? "GOVERNANCE" : "COMPLIANCE";
	time_t until = time(NULL) + (time_t)b->days * 86400;
	char text[32];
	struct tm t;
	if (strcmp(b->lock, "none") == 0)
		return;
	gmtime_r(&until, &t);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &t);
	put_header(h, "x-amz-object-lock-mode", mode);
	put_header(h, "x-amz-object-lock-retain-until-date", text);
}

static int ask(const struct bucket *b, struct ocu_httpc_req *q, struct ocu_httpc_resp *ret,
               struct ocu_error *err)
{
	char access[KEY_MAX], secret[KEY_MAX], both[2 * KEY_MAX], sigv4[128];
	int rc = read_key(b->access_key, false, access, err);
	if (!rc)
		rc = read_key(b->secret_key, true, secret, err);
	if (rc)
		return rc;
	snprintf(both, sizeof both, "%s:%s", access, secret);
	snprintf(sigv4, sizeof sigv4, "aws:amz:%.64s:s3", b->region);
	q->sigv4 = sigv4;
	q->sigv4_key = both;
	q->ca_path = *b->ca ? b->ca : NULL;
	q->timeout_ms = TIMEOUT_MS + (uint32_t)(q->body_len / BYTES_PER_MS);
	q->max_body = ANSWER_MAX;
	q->no_proxy = true;
	rc = ocu_httpc(q, ret, err);
	explicit_bzero(secret, sizeof secret);
	explicit_bzero(both, sizeof both);
	q->sigv4 = q->sigv4_key = NULL;
	return rc;
}

/* The word between <Code> and </Code> of an error, as far as it is one. */
static void code_of(const struct ocu_httpc_resp *r, char out[64])
{
	const char *at = r->body ? strstr(r->body, "<Code>") : NULL;
	size_t n = at ? strspn(at + 6, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") : 0;
	snprintf(out, 64, "%.*s", (int)(n < 63 ? n : 63), at ? at + 6 : "");
}

static int refused(const struct ocu_httpc_resp *r, const char *method, struct ocu_error *err)
{
	char code[64];
	code_of(r, code);
	return ocu_error_set(err, r->status == 403 || r->status == 401 ? OCU_E_DENIED : OCU_E_UNAVAILABLE,
	                     "the store answers %s with %d %s", method, r->status, code);
}

/* What is wanted of the answer to HEAD; take() has them in this order. */
static const char *const wanted[] = {
    META, "x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date", "Last-Modified", "Date", NULL};

static struct holding take(const struct ocu_httpc_resp *r)
{
	return (struct holding){.size = r->length,
	                        .sha256 = r->header[0],
	                        .lock_mode = r->header[1],
	                        .lock_until = r->header[2],
	                        .put = r->header[3],
	                        .now = r->header[4]};
}

/* 1 and the answer, which the caller lets go of, when there is an object; 0 when there is none. */
static int look(const struct bucket *b, const char *url, struct ocu_httpc_resp *ret, struct ocu_error *err)
{
	struct headers h = {.n = 0};
	struct hashes empty;
	int rc = hash("", 0, &empty, err);
	put_header(&h, "x-amz-content-sha256", empty.sha256);
	struct ocu_httpc_req q = {.method = "HEAD", .url = url, .headers = h.list, .want_headers = wanted};
	if (!rc)
		rc = ask(b, &q, ret, err);
	if (rc)
		return rc;
	if (ret->status == 200)
		return 1;
	rc = ret->status == 404 ? 0 : refused(ret, "HEAD", err);
	ocu_httpc_resp_done(ret);
	return rc;
}

/* 1 when the object is there with these bytes, 0 when there is none. */
static int there(const struct bucket *b, const char *url, uint64_t size, const struct hashes *want,
                 struct ocu_error *err)
{
	struct ocu_httpc_resp r = {0};
	int rc = look(b, url, &r, err);
	if (rc <= 0)
		return rc;
	if (r.length != (int64_t)size || strcmp(r.header[0], want->sha256) != 0)
		rc = ocu_error_set(err, OCU_E_EXISTS, "%s is there with other bytes", url);
	ocu_httpc_resp_done(&r);
	return rc;
}

static int put(const struct bucket *b, const char *url, const void *data, size_t size,
               const struct hashes *of, struct ocu_error *err)
{
	struct ocu_httpc_resp r = {0};
	struct headers h = {.n = 0};
	put_header(&h, "x-amz-content-sha256", of->sha256);
	put_header(&h, "Content-MD5", of->md5);
	put_header(&h, META, of->sha256);
	put_lock(&h, b);
	struct ocu_httpc_req q = {
	    .method = "PUT",
	    .url = url,
	    .headers = h.list,
	    .body = data,
	    .body_len = size,
	    .content_type = "application/jsonl",
	};
	int rc = ask(b, &q, &r, err);
	if (!rc && r.status != 200)
		rc = refused(&r, "PUT", err);
	ocu_httpc_resp_done(&r);
	return rc;
}

/* The file in memory, its hashes and its address. *ret_data is the caller's to unmap. */
static int read_file(const struct bucket *b, const char *name, int fd, uint64_t size, void **ret_data,
                     struct hashes *ret, char url[URL_MAX], struct ocu_error *err)
{
	void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return ocu_error_errno(err, OCU_E_IO, errno, "mapping %s", name);
	snprintf(url, URL_MAX, "%s/%s", b->url, name);
	int rc = hash(data, size, ret, err);
	if (rc)
		munmap(data, size);
	else
		*ret_data = data;
	return rc;
}

int bucket_put(const struct bucket *b, const char *name, int fd, uint64_t size, struct ocu_error *err)
{
	char url[URL_MAX];
	struct hashes of;
	void *data = NULL;
	int rc = read_file(b, name, fd, size, &data, &of, url, err);
	if (rc)
		return rc;
	rc = there(b, url, size, &of, err);
	if (!rc)
		rc = put(b, url, data, size, &of, err);
	munmap(data, size);
	return rc > 0 ? 0 : rc;
}

int bucket_holds(const struct bucket *b, const char *name, int fd, struct holding_want *want,
                 struct ocu_error *err)
{
	char url[URL_MAX];
	struct hashes of;
	struct ocu_httpc_resp r = {0};
	void *data = NULL;
	int rc = read_file(b, name, fd, want->size, &data, &of, url, err);
	if (rc)
		return rc;
	munmap(data, want->size);
	want->sha256 = of.sha256;
	rc = look(b, url, &r, err);
	if (rc == 0)
		return ocu_error_set(err, OCU_E_NOT_FOUND, "the archive does not have it");
	if (rc < 0)
		return rc;
	const struct holding h = take(&r);
	rc = holding_check(&h, want, err);
	want->sha256 = NULL;
	ocu_httpc_resp_done(&r);
	return rc;
}
