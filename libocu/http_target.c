/*
 * http_target: taking a request target apart. Escapes are decoded exactly once, here, and nothing later in
 * the product decodes again; what could be read in two ways (bad escapes, NUL, absolute-form, fragments) is
 * refused.
 */
#include <stdlib.h>
#include <string.h>

#include "libocu/httpd_internal.h"

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* In place; false on a bad escape, a NUL, a control character or a fragment. plus: '+' is a space (queries).
 */
static bool decode(char *s, bool plus)
{
	char *out = s;

	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		if (c < 0x20 || c == 0x7f || c == '#')
			return false;
		if (c == '%') {
			int hi = hex(s[1]);
			int lo = hi >= 0 ? hex(s[2]) : -1;
			if (lo < 0 || (hi == 0 && lo == 0))
				return false;
			c = (unsigned char)(hi << 4 | lo);
			s += 2;
		} else if (plus && c == '+') {
			c = ' ';
		}
		*out++ = (char)c;
	}
	*out = '\0';
	return true;
}

static int parse_query(struct http_target *t, char *q, struct ocu_error *err)
{
	char *next;

	for (; q; q = next) {
		char *value = NULL;
		next = strchr(q, '&');
		if (next)
			*next++ = '\0';
		if (!*q)
			continue;
		if (t->n_query == HTTP_QUERY_MAX)
			return ocu_error_set(err, OCU_E_TOO_LARGE, "at most %d query parameters",
			                     HTTP_QUERY_MAX);
		value = strchr(q, '=');
		if (value)
			*value++ = '\0';
		if (!decode(q, true) || (value && !decode(value, true)))
			return ocu_error_set(err, OCU_E_PARSE, "malformed query");
		t->query[t->n_query++] = (struct http_pair){.name = q, .value = value ? value : ""};
	}
	return 0;
}

int ocu_http_target_parse(struct http_target *t, const char *raw, struct ocu_error *err)
{
	size_t len = strnlen(raw, HTTP_TARGET_MAX + 1);
	char *query;
	int rc = 0;

	*t = (struct http_target){0};
	if (len > HTTP_TARGET_MAX)
		return ocu_error_set(err, OCU_E_TOO_LARGE, "request target over %d bytes", HTTP_TARGET_MAX);
	if (raw[0] != '/')
		return ocu_error_set(err, OCU_E_PARSE, "request target is not a path");
	t->buf = strdup(raw);
	if (!t->buf)
		return ocu_error_set(err, OCU_E_NOMEM, "request target");
	t->path = t->buf;
	query = strchr(t->buf, '?');
	if (query)
		*query++ = '\0';
	if (!decode(t->path, false))
		rc = ocu_error_set(err, OCU_E_PARSE, "malformed path");
	if (!rc)
		rc = parse_query(t, query, err);
	if (rc)
		ocu_http_target_done(t);
	return rc;
}

void ocu_http_target_done(struct http_target *t)
{
	free(t->buf);
	*t = (struct http_target){0};
}
