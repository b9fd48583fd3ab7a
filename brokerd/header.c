/* header: parsing. */
#include "brokerd/header.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "libocu/err.h"
#include "libocu/jwt.h"

void header_etag(const struct stat *st, char out[ETAG_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char text[160];
	/* Hashed, so that no inode number of the host is told. */
	int n = snprintf(text, sizeof text, "%llu %llu %lld.%09ld %lld.%09ld", (unsigned long long)st->st_ino,
	                 (unsigned long long)st->st_size, (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
	                 (long long)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
	memset(digest, 0, sizeof digest);
	EVP_Digest(text, (size_t)n, digest, NULL, EVP_sha256(), NULL);
	out[0] = '"';
	for (int i = 0; i < 16; i++)
		snprintf(out + 1 + (size_t)2 * i, 3, "%02x", digest[i]);
	memcpy(out + 33, "\"", 2);
}

bool header_etag_listed(const char *list, const char *etag, bool weak)
{
	size_t len = strlen(etag);
	for (const char *p = list; *p;) {
		p += strspn(p, " \t,");
		if (*p == '*')
			return true;
		bool is_weak = strncmp(p, "W/", 2) == 0;
		if (is_weak)
			p += 2;
		if (*p != '"')
			return false;
		const char *end = strchr(p + 1, '"');
		if (!end)
			return false;
		if ((!is_weak || weak) && (size_t)(end + 1 - p) == len && memcmp(p, etag, len) == 0)
			return true;
		p = end + 1;
	}
	return false;
}

/* Decimal digits only, at most 18; the character after them, or NULL. */
static const char *digits(const char *p, uint64_t *ret)
{
	size_t n = strspn(p, "0123456789");
	if (n == 0 || n > 18)
		return NULL;
	*ret = 0;
	for (size_t i = 0; i < n; i++)
		*ret = *ret * 10 + (uint64_t)(p[i] - '0');
	return p + n;
}

enum range_kind header_range(const char *value, uint64_t size, uint64_t *ret_from, uint64_t *ret_len)
{
	uint64_t from, to, n;
	const char *p;
	if (!value || strncmp(value, "bytes=", 6) != 0 || strchr(value, ','))
		return RANGE_NONE;
	value += 6;
	if (*value == '-') {
		p = digits(value + 1, &n);
		if (!p || *p)
			return RANGE_NONE;
		if (n == 0 || size == 0)
			return RANGE_UNSATISFIABLE;
		*ret_len = n < size ? n : size;
		*ret_from = size - *ret_len;
		return RANGE_PART;
	}
	p = digits(value, &from);
	if (!p || *p != '-')
		return RANGE_NONE;
	to = UINT64_MAX;
	if (p[1]) {
		p = digits(p + 1, &to);
		if (!p || *p || to < from)
			return RANGE_NONE;
	}
	if (from >= size)
		return RANGE_UNSATISFIABLE;
	*ret_from = from;
	*ret_len = (to < size - 1 ? to : size - 1) - from + 1;
	return RANGE_PART;
}

static int parse_bool(const char *s, bool *ret, struct ocu_error *err)
{
	if (strcmp(s, "true") != 0 && strcmp(s, "false") != 0)
		return ocu_error_set(err, OCU_E_PARAMS, "recursive: expected true or false");
	*ret = s[0] == 't';
	return 0;
}

static int parse_limit(const char *s, unsigned *ret, struct ocu_error *err)
{
	uint64_t n;
	const char *end = digits(s, &n);
	if (!end || *end || n < 1 || n > LIST_LIMIT_MAX)
		return ocu_error_set(err, OCU_E_PARAMS, "limit: expected 1 to %d", LIST_LIMIT_MAX);
	*ret = (unsigned)n;
	return 0;
}

static int parse_cursor(const char *s, char after[PATH_NORTH_MAX + 1], struct ocu_error *err)
{
	size_t len = strnlen(s, CURSOR_MAX);
	long n = len < CURSOR_MAX ? ocu_b64url_decode(s, len, (unsigned char *)after, PATH_NORTH_MAX) : -1;
	if (n > 0)
		after[n] = 0;
	if (n <= 0 || strlen(after) != (size_t)n || path_north_check(after, NULL) < 0)
		return ocu_error_set(err, OCU_E_PARAMS, "cursor: not one of ours");
	return 0;
}

int header_list_query(struct list_query *ret, const char *path, const char *recursive, const char *limit,
                      const char *cursor, struct ocu_error *err)
{
	*ret = (struct list_query){.limit = LIST_LIMIT};
	int r = path && *path ? path_north_check(path, err) : 0;
	if (r < 0)
		return r;
	if (path)
		memcpy(ret->path, path, strlen(path) + 1);
	if (recursive && (r = parse_bool(recursive, &ret->recursive, err)) < 0)
		return r;
	if (limit && (r = parse_limit(limit, &ret->limit, err)) < 0)
		return r;
	return cursor && *cursor ? parse_cursor(cursor, ret->after, err) : 0;
}

void header_cursor(const char *last, char out[CURSOR_MAX])
{
	ocu_b64url_encode(last, strlen(last), out);
}
