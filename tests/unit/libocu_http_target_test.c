/* http_target, http_route: what a request target is taken to mean, and which row it belongs to.
 *
 * shows: NFR-SEC-51, NFR-SEC-25
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/httpd_internal.h"

static void nop(struct ocu_http_req *r, void *arg)
{
	(void)r;
	(void)arg;
}

START_TEST(targets_that_are_taken)
{
	static const struct {
		const char *raw, *path;
	} t[] = {
	    {"/", "/"},         {"/a/b", "/a/b"},       {"/a%20b", "/a b"},         {"/%41%6a", "/Aj"},
	    {"/a+b", "/a+b"},   {"/%2e%2e/x", "/../x"}, {"/%252e", "/%2e"}, /* once, and never again */
	    {"/a%2Fb", "/a/b"}, {"//a", "//a"},         {"/\xc3\xa4", "/\xc3\xa4"}, {"/x?", "/x"},
	    {"/x?q=%3F", "/x"},
	};
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct http_target g;
		ck_assert_msg(ocu_http_target_parse(&g, t[i].raw, NULL) == 0, "%s", t[i].raw);
		ck_assert_str_eq(g.path, t[i].path);
		ocu_http_target_done(&g);
	}
}
END_TEST

START_TEST(targets_that_are_refused)
{
	static const char *const bad[] = {
	    "",         "a",       "*",        "http://h/a", "//%00", "/%",      "/%4",   "/%zz",
	    "/a%2",     "/%00",    "/a%00b",   "/a#b",       "/\x01", "/\x7f",   "/a\tb", "/x?a=%",
	    "/x?%00=1", "/x?a=%0", "/x?a=%00", "/x?a=b#c",   "?a=b",  "/x?\x02", "h:443", "/%-1",
	};
	struct http_target g;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		ck_assert_msg(ocu_http_target_parse(&g, bad[i], NULL) == OCU_E_PARSE, "%s", bad[i]);
		ck_assert_ptr_null(g.buf);
	}
}
END_TEST

START_TEST(targets_are_bounded)
{
	char *long_path = malloc(HTTP_TARGET_MAX + 2), *many = calloc(1, 1024);
	struct http_target g;

	memset(long_path, 'a', HTTP_TARGET_MAX + 1);
	long_path[0] = '/';
	long_path[HTTP_TARGET_MAX + 1] = '\0';
	ck_assert_int_eq(ocu_http_target_parse(&g, long_path, NULL), OCU_E_TOO_LARGE);
	long_path[HTTP_TARGET_MAX] = '\0';
	ck_assert_int_eq(ocu_http_target_parse(&g, long_path, NULL), 0);
	ocu_http_target_done(&g);
	size_t n = 2;
	many[0] = '/';
	many[1] = '?';
	for (int i = 0; i < HTTP_QUERY_MAX; i++) {
		many[n++] = 'a';
		many[n++] = '&';
	}
	ck_assert_int_eq(ocu_http_target_parse(&g, many, NULL), 0);
	ck_assert_uint_eq(g.n_query, HTTP_QUERY_MAX);
	ocu_http_target_done(&g);
	many[n] = 'a';
	ck_assert_int_eq(ocu_http_target_parse(&g, many, NULL), OCU_E_TOO_LARGE);
	free(long_path);
	free(many);
}
END_TEST

START_TEST(queries)
{
	struct http_target g;

	ck_assert_int_eq(ocu_http_target_parse(&g, "/x?a=1&&b=x+y%2b&c&d=&%65=e%3De&a=2", NULL), 0);
	static const char *const want[][2] = {{"a", "1"}, {"b", "x y+"}, {"c", ""},
	                                      {"d", ""},  {"e", "e=e"},  {"a", "2"}};
	ck_assert_uint_eq(g.n_query, 6);
	for (size_t i = 0; i < 6; i++) {
		ck_assert_str_eq(g.query[i].name, want[i][0]);
		ck_assert_str_eq(g.query[i].value, want[i][1]);
	}
	ocu_http_target_done(&g);
}
END_TEST

static const struct ocu_http_route routes[] = {
    {.method = "GET", .pattern = "/", .handler = nop},
    {.method = "GET", .pattern = "/v1/sessions", .handler = nop},
    {.method = "POST", .pattern = "/v1/sessions", .handler = nop},
    {.method = "GET", .pattern = "/v1/sessions/all", .handler = nop},
    {.method = "DELETE", .pattern = "/v1/sessions/{id}", .handler = nop},
    {.method = "GET", .pattern = "/v1/{kind}/{id}/x", .handler = nop},
    {.method = "PUT", .pattern = "/files/{fs}/{path...}", .handler = nop},
    {.method = "*", .pattern = "/any", .handler = nop},
    {0},
};

START_TEST(routes_are_found)
{
	static const struct {
		const char *method, *path;
		int row; /* or an error */
		const char *param, *value;
	} t[] = {
	    {"GET", "/", 0, NULL, NULL},
	    {"GET", "/v1/sessions", 1, NULL, NULL},
	    {"POST", "/v1/sessions", 2, NULL, NULL},
	    {"GET", "/v1/sessions/all", 3, NULL, NULL},
	    {"DELETE", "/v1/sessions/all", 4, "id", "all"},
	    {"DELETE", "/v1/sessions/ses_1", 4, "id", "ses_1"},
	    {"DELETE", "/v1/sessions/", OCU_E_NOT_FOUND, NULL, NULL},
	    {"DELETE", "/v1/sessions/a/b", OCU_E_NOT_FOUND, NULL, NULL},
	    {"DELETE", "/v1/sessions/a/", OCU_E_NOT_FOUND, NULL, NULL},
	    {"GET", "/v1/a/b/x", 5, "kind", "a"},
	    {"GET", "/v1/a/b/x", 5, "id", "b"},
	    {"GET", "/v1//b/x", OCU_E_NOT_FOUND, NULL, NULL},
	    {"PUT", "/files/f/a", 6, "path", "a"},
	    {"PUT", "/files/f/a/b//c", 6, "path", "a/b//c"},
	    {"PUT", "/files/f/", 6, "path", ""},
	    {"PUT", "/files/f", OCU_E_NOT_FOUND, NULL, NULL},
	    {"PUT", "/files/f/../../x", 6, "path", "../../x"},
	    {"BREW", "/any", 7, NULL, NULL},
	    {"PUT", "/v1/sessions", OCU_E_UNKNOWN_METHOD, NULL, NULL},
	    {"get", "/v1/sessions", OCU_E_UNKNOWN_METHOD, NULL, NULL},
	    {"HEAD", "/v1/sessions", 1, NULL, NULL},
	    {"HEAD", "/files/f/a", OCU_E_UNKNOWN_METHOD, NULL, NULL},
	    {"GET", "/V1/sessions", OCU_E_NOT_FOUND, NULL, NULL},
	    {"GET", "/v1/sessions/", OCU_E_NOT_FOUND, NULL, NULL},
	    {"GET", "", OCU_E_NOT_FOUND, NULL, NULL},
	};
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct http_match m = {0};
		int rc = ocu_http_route_find(routes, t[i].method, t[i].path, &m, NULL);
		if (t[i].row < 0) {
			ck_assert_msg(rc == t[i].row, "row %zu: %d", i, rc);
			continue;
		}
		ck_assert_msg(rc == 0 && m.route == &routes[t[i].row], "row %zu: %d", i, rc);
		if (t[i].param)
			ck_assert_str_eq(ocu_http_match_param(&m, t[i].param), t[i].value);
		ck_assert_ptr_null(ocu_http_match_param(&m, "i"));
		ck_assert_ptr_null(ocu_http_match_param(&m, "idx"));
		ocu_http_match_done(&m);
	}
}
END_TEST

START_TEST(allow_names_every_method)
{
	char allow[32];

	ocu_http_route_allow(routes, "/v1/sessions", allow, sizeof allow);
	ck_assert_str_eq(allow, "GET, POST");
	ocu_http_route_allow(routes, "/none", allow, sizeof allow);
	ck_assert_str_eq(allow, "");
}
END_TEST

START_TEST(malformed_patterns)
{
	static const char *const bad[] = {"",       "v1",
	                                  "/{",     "/{}",
	                                  "/{a",    "/a{b}",
	                                  "/{a}b",  "/{a...}/b",
	                                  "/{A}",   "/{a..}",
	                                  "/a}",    "/{a}{b}",
	                                  "/{...}", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}",
	                                  "/{a/b}", "/{{a}}"};
	static const char *const good[] = {"/", "/a", "/{a}", "/{a...}", "/{a}/{b_2}", "/x/{a}/y/{rest...}"};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		const struct ocu_http_route r[] = {{.method = "GET", .pattern = bad[i], .handler = nop}, {0}};
		ck_assert_msg(ocu_http_routes_check(r, NULL) == OCU_E_INVALID, "%s", bad[i]);
	}
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		const struct ocu_http_route r[] = {{.method = "GET", .pattern = good[i], .handler = nop},
		                                   {0}};
		ck_assert_msg(ocu_http_routes_check(r, NULL) == 0, "%s", good[i]);
	}
	const struct ocu_http_route no_handler[] = {{.method = "GET", .pattern = "/"}, {0}};
	ck_assert_int_eq(ocu_http_routes_check(no_handler, NULL), OCU_E_INVALID);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libocu_http_target");
	TCase *c = tcase_create("target");

	tcase_add_test(c, targets_that_are_taken);
	tcase_add_test(c, targets_that_are_refused);
	tcase_add_test(c, targets_are_bounded);
	tcase_add_test(c, queries);
	tcase_add_test(c, routes_are_found);
	tcase_add_test(c, allow_names_every_method);
	tcase_add_test(c, malformed_patterns);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
