/*
 * Request targets and route matching: "METHOD target". What is taken must hold the promises of the headers:
 * the path starts with a slash and has no NUL, parameters are never empty but for the last, and together with
 * the pattern they give the path again.
 *
 * shows: NFR-SEC-51, NFR-SEC-25, NFR-MAINT-11
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/httpd_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void nop(struct ocu_http_req *r, void *arg)
{
	(void)r;
	(void)arg;
}

static const struct ocu_http_route routes[] = {
    {.method = "GET", .pattern = "/", .handler = nop},
    {.method = "GET", .pattern = "/a/{id}", .handler = nop},
    {.method = "PUT", .pattern = "/a/{id}/b/{other}", .handler = nop},
    {.method = "*", .pattern = "/f/{fs}/{path...}", .handler = nop},
    {.method = "GET", .pattern = "/{x}/{y}/{z}", .handler = nop},
    {0},
};

/* The pattern with its parameters put in. */
static void rebuild(const struct http_match *m, char *out, size_t size)
{
	const char *p = m->route->pattern;
	size_t n = 0;
	unsigned i = 0;

	while (*p && n < size - 1) {
		if (*p != '{') {
			out[n++] = *p++;
			continue;
		}
		const char *v = m->params[i++].value;
		size_t len = strlen(v);
		if (len > size - 1 - n)
			abort();
		memcpy(out + n, v, len);
		n += len;
		p = strchr(p, '}') + 1;
	}
	out[n] = '\0';
}

static void check_match(const char *method, const char *path)
{
	static char again[HTTP_TARGET_MAX + 64];
	char allow[128];
	struct http_match m = {0};

	if (ocu_http_route_find(routes, method, path, &m, NULL) == 0) {
		for (unsigned i = 0; i < m.n_params; i++)
			if (!*m.params[i].value && !strstr(m.params[i].name, "..."))
				abort();
		rebuild(&m, again, sizeof again);
		if (strcmp(again, path) != 0)
			abort();
	}
	ocu_http_match_done(&m);
	ocu_http_route_allow(routes, path, allow, sizeof allow);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct http_target t;
	char *target;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	target = strchr(text, ' ');
	if (target) {
		*target++ = '\0';
		if (ocu_http_target_parse(&t, target, NULL) == 0) {
			if (t.path[0] != '/' || strlen(t.path) > strlen(target) || t.n_query > HTTP_QUERY_MAX)
				abort();
			for (unsigned i = 0; i < t.n_query; i++)
				if (strlen(t.query[i].name) + strlen(t.query[i].value) > strlen(target))
					abort();
			check_match(text, t.path);
			ocu_http_target_done(&t);
		}
	}
	/* The same bytes as a pattern: well formed or refused, never a crash. */
	const struct ocu_http_route one[] = {{.method = "GET", .pattern = text, .handler = nop}, {0}};
	struct http_match m = {0};
	if (ocu_http_routes_check(one, NULL) == 0) {
		(void)ocu_http_route_find(one, "GET", "/a/b/c", &m, NULL);
		ocu_http_match_done(&m);
	}
	free(text);
	return 0;
}
