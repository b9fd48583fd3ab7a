/*
 * http_route: finding the row of a route table that a decoded path and a method belong to. A parameter takes
 * one whole segment and is never empty; only a last "{name...}" may be empty or hold slashes. The first row
 * wins.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/httpd_internal.h"

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* One "{name}" or "{name...}" at p, which stands at '{'. The character after '}', or NULL. */
static const char *param_end(const char *p, bool *rest)
{
	const char *name = ++p;

	while (name_char(*p))
		p++;
	if (p == name)
		return NULL;
	*rest = strncmp(p, "...", 3) == 0;
	if (*rest)
		p += 3;
	return *p == '}' ? p + 1 : NULL;
}

static bool pattern_ok(const char *p)
{
	unsigned params = 0;
	bool rest = false;

	if (*p != '/')
		return false;
	while (*p) {
		if (*p != '{') {
			if (*p == '}')
				return false;
			p++;
			continue;
		}
		if (p[-1] != '/' || ++params > HTTP_PARAMS_MAX)
			return false;
		p = param_end(p, &rest);
		if (!p || (*p && *p != '/') || (rest && *p))
			return false;
	}
	return true;
}

int ocu_http_routes_check(const struct ocu_http_route *routes, struct ocu_error *err)
{
	for (const struct ocu_http_route *r = routes; r->method; r++)
		if (!r->pattern || !r->handler || !pattern_ok(r->pattern))
			return ocu_error_set(err, OCU_E_INVALID, "malformed route %s",
			                     r->pattern ? r->pattern : "");
	return 0;
}

struct span {
	const char *name;
	size_t at, len;
};

/* Number of parameters, or -1. Spans are offsets into path. */
static int match(const char *pattern, const char *path, struct span *spans)
{
	const char *start = path;
	int n = 0;

	while (*pattern) {
		if (*pattern != '{') {
			if (*pattern++ != *path++)
				return -1;
			continue;
		}
		bool rest = false;
		size_t len;
		spans[n].name = pattern + 1;
		pattern = param_end(pattern, &rest);
		len = rest ? strlen(path) : strcspn(path, "/");
		if (len == 0 && !rest)
			return -1;
		spans[n].at = (size_t)(path - start);
		spans[n++].len = len;
		path += len;
	}
	return *path ? -1 : n;
}

static int fill(struct http_match *m, const struct ocu_http_route *route, const char *path,
                const struct span *spans, int n, struct ocu_error *err)
{
	*m = (struct http_match){.route = route, .n_params = (unsigned)n};
	if (n == 0)
		return 0;
	m->buf = strdup(path);
	if (!m->buf)
		return ocu_error_set(err, OCU_E_NOMEM, "route");
	for (int i = 0; i < n; i++) {
		m->params[i] = (struct http_pair){.name = spans[i].name, .value = m->buf + spans[i].at};
		m->buf[spans[i].at + spans[i].len] = '\0';
	}
	return 0;
}

static bool method_fits(const struct ocu_http_route *r, const char *method)
{
	return strcmp(r->method, method) == 0 || strcmp(r->method, "*") == 0;
}

static int find(const struct ocu_http_route *routes, const char *method, const char *path,
                struct http_match *m, struct ocu_error *err)
{
	struct span spans[HTTP_PARAMS_MAX];
	bool other_method = false;

	for (const struct ocu_http_route *r = routes; r->method; r++) {
		int n = match(r->pattern, path, spans);
		if (n < 0)
			continue;
		if (method_fits(r, method))
			return fill(m, r, path, spans, n, err);
		other_method = true;
	}
	if (other_method)
		return ocu_error_set(err, OCU_E_UNKNOWN_METHOD, "method not allowed here");
	return ocu_error_set(err, OCU_E_NOT_FOUND, "no such resource");
}

int ocu_http_route_find(const struct ocu_http_route *routes, const char *method, const char *path,
                        struct http_match *m, struct ocu_error *err)
{
	int rc = find(routes, method, path, m, err);

	/* RFC 9110 9.3.2: HEAD is GET without the content, which MHD leaves out by itself. */
	if (rc == OCU_E_UNKNOWN_METHOD && strcmp(method, "HEAD") == 0)
		rc = find(routes, "GET", path, m, err);
	return rc;
}

void ocu_http_match_done(struct http_match *m)
{
	free(m->buf);
	*m = (struct http_match){0};
}

const char *ocu_http_match_param(const struct http_match *m, const char *name)
{
	size_t n = strlen(name);

	for (unsigned i = 0; i < m->n_params; i++)
		if (strncmp(m->params[i].name, name, n) == 0 && !name_char(m->params[i].name[n]))
			return m->params[i].value;
	return NULL;
}

void ocu_http_route_allow(const struct ocu_http_route *routes, const char *path, char *out, size_t size)
{
	struct span spans[HTTP_PARAMS_MAX];
	size_t at = 0;

	out[0] = '\0';
	for (const struct ocu_http_route *r = routes; r->method; r++) {
		if (match(r->pattern, path, spans) < 0)
			continue;
		int n = snprintf(out + at, size - at, "%s%s", at ? ", " : "", r->method);
		if (n < 0 || (size_t)n >= size - at)
			return;
		at += (size_t)n;
	}
}
