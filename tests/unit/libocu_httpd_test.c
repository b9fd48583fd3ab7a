/* httpd: requests answered at once, and the requests that never get to a handler.
 *
 * shows: NFR-SEC-09, NFR-SEC-51, NFR-SEC-78
 */
#include <fcntl.h>
#include <jansson.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/stat.h>

#include "libocu/id.h"
#include "libocu_http_fixture.h"

#define LIMIT 1000
#define MUCH  (320 << 10)

static int handled, finished, last_status;

static void hello(struct ocu_http_req *r, void *arg)
{
	(void)arg;
	event_add(&handled);
	ocu_http_reply(r, 200, "text/plain", "hello\n", 6);
}

static void echo(struct ocu_http_req *r, void *arg)
{
	const char *data;
	size_t len;

	(void)arg;
	event_add(&handled);
	ocu_http_body(r, &data, &len);
	ck_assert_int_eq(data[len], 0);
	ocu_http_reply(r, 200, "application/octet-stream", data, len);
}

static void spool(struct ocu_http_req *r, void *arg)
{
	uint64_t size = 0;
	int fd = ocu_http_body_fd(r, &size);
	struct stat st;

	(void)arg;
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq((uint64_t)st.st_size, size);
	ck_assert_uint_eq(st.st_nlink, 0);
	ocu_http_reply_fd(r, 200, NULL, dup(fd), 0, size);
}

/* What the request looks like from inside, as JSON. */
static void show(struct ocu_http_req *r, void *arg)
{
	(void)arg;
	ocu_http_reply_json(r, 200,
	                    json_pack("{s:s, s:s, s:s*, s:s*, s:s*, s:s*, s:s, s:s}", "method",
	                              ocu_http_method(r), "path", ocu_http_path(r), "a",
	                              ocu_http_param(r, "a"), "rest", ocu_http_param(r, "rest"), "q",
	                              ocu_http_query(r, "q"), "bearer", ocu_http_bearer(r), "ip",
	                              ocu_http_peer_ip(r), "trace", ocu_http_trace(r)));
}

static int guard(struct ocu_http_req *r, void *arg, struct ocu_error *err)
{
	const char *t = ocu_http_bearer(r);

	(void)arg;
	if (!t || strcmp(t, "open") != 0)
		return ocu_error_set(err, OCU_E_UNAUTHENTICATED, "/secret/path on host7: no token");
	return 0;
}

static void part(struct ocu_http_req *r, void *arg)
{
	int fd = open(arg, O_RDONLY | O_CLOEXEC);

	ocu_http_reply_fd(r, 206, "text/plain", fd, 2, 3);
}

static void inject(struct ocu_http_req *r, void *arg)
{
	(void)arg;
	ocu_http_set_header(r, "X-Good", "1");
	ocu_http_set_header(r, "X-Bad", "a\r\nX-Injected: 1");
	ocu_http_reply(r, 200, NULL, NULL, 0);
}

static void twice(struct ocu_http_req *r, void *arg)
{
	(void)arg;
	ocu_http_reply(r, 200, NULL, "first", 5);
	ocu_http_reply(r, 500, NULL, "second", 6);
}

static void much(struct ocu_http_req *r, void *arg)
{
	static const char body[MUCH];

	(void)arg;
	event_add(&handled);
	ocu_http_reply(r, 200, "application/octet-stream", body, sizeof body);
}

static void params_error(struct ocu_http_req *r, void *arg)
{
	struct ocu_error err = {0};

	(void)arg;
	ocu_error_set(&err, OCU_E_PARAMS, "/x: expected string");
	ocu_http_reply_error(r, &err);
}

static const struct ocu_http_route routes[] = {
    {.method = "GET", .pattern = "/hello", .handler = hello},
    {.method = "POST", .pattern = "/echo", .max_body = LIMIT, .handler = echo},
    {.method = "PATCH", .pattern = "/echo", .max_body = LIMIT, .handler = echo},
    {.method = "PUT",
     .pattern = "/spool",
     .max_body = 3u << 20,
     .flags = OCU_HTTP_BODY_FILE,
     .handler = spool},
    {.method = "GET", .pattern = "/show/{a}/{rest...}", .handler = show},
    {.method = "GET", .pattern = "/guarded", .handler = show, .admit = guard},
    {.method = "POST", .pattern = "/guarded", .max_body = LIMIT, .handler = echo, .admit = guard},
    {.method = "GET", .pattern = "/part", .handler = part},
    {.method = "GET", .pattern = "/inject", .handler = inject},
    {.method = "GET", .pattern = "/twice", .handler = twice},
    {.method = "GET", .pattern = "/params", .handler = params_error},
    {.method = "GET", .pattern = "/much", .handler = much},
    {0},
};

static void on_finished(struct ocu_http_req *r, int status, uint64_t us, void *arg)
{
	(void)r;
	(void)us;
	(void)arg;
	pthread_mutex_lock(&event_lock);
	last_status = status;
	pthread_mutex_unlock(&event_lock);
	event_add(&finished);
}

static struct ocu_httpd *h;
static struct http_answer a;

static void setup(void)
{
	h = http_start(
	    (struct ocu_httpd_opts){.routes = routes, .spool_dir = "/tmp", .finished = on_finished});
}

static void teardown(void)
{
	ocu_httpd_stop(h, 1000);
	http_answer_done(&a);
}

START_TEST(answers_and_keeps_the_connection)
{
	int fd = http_connect(h);

	for (int i = 0; i < 50; i++) {
		http_send(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
		http_read(fd, &a);
		ck_assert_int_eq(a.status, 200);
		ck_assert_str_eq(a.body, "hello\n");
		ck_assert_str_eq(http_field(&a, "Content-Type"), "text/plain");
	}
	/* pipelined */
	http_send(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\nPOST /echo HTTP/1.1\r\nHost: "
	              "x\r\nContent-Length: 3\r\n\r\nabc");
	http_read(fd, &a);
	ck_assert_str_eq(a.body, "hello\n");
	http_read(fd, &a);
	ck_assert_str_eq(a.body, "abc");
	close(fd);
	ck_assert(event_wait(&finished, 52));
	ck_assert_int_eq(last_status, 200);
}
END_TEST

START_TEST(unknown_paths_and_methods)
{
	int fd = http_connect(h);

	http_send(fd, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
	http_read(fd, &a);
	ck_assert_int_eq(a.status, 404);
	http_send(fd, "DELETE /echo HTTP/1.1\r\nHost: x\r\n\r\n");
	http_read(fd, &a);
	ck_assert_int_eq(a.status, 405);
	ck_assert_str_eq(http_field(&a, "Allow"), "POST, PATCH");
	/* neither costs the connection */
	http_send(fd, "HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	http_read_for(fd, &a, true);
	ck_assert_int_eq(a.status, 200);
	ck_assert_str_eq(http_field(&a, "Content-Length"), "6");
	http_send(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	http_read(fd, &a);
	ck_assert_str_eq(a.body, "hello\n");
	close(fd);
}
END_TEST

START_TEST(error_bodies)
{
	json_t *j;

	http_once(h, "GET /guarded HTTP/1.1\r\nHost: x\r\n\r\n", &a);
	ck_assert_int_eq(a.status, 401);
	ck_assert_str_eq(http_field(&a, "WWW-Authenticate"), "Bearer");
	/* the internal text stays inside */
	ck_assert_ptr_null(strstr(a.body, "host7"));
	j = json_loads(a.body, 0, NULL);
	const json_t *e = json_object_get(j, "error");
	ck_assert_str_eq(json_string_value(json_object_get(e, "code")), "unauthenticated");
	ck_assert_str_eq(json_string_value(json_object_get(e, "message")), "authentication required");
	ck_assert_str_eq(json_string_value(json_object_get(e, "correlation_id")),
	                 http_field(&a, "X-Correlation-Id"));
	json_decref(j);
	http_once(h, "GET /params HTTP/1.1\r\nHost: x\r\n\r\n", &a);
	ck_assert_int_eq(a.status, 400);
	ck_assert_ptr_nonnull(strstr(a.body, "/x: expected string"));
}
END_TEST

static void teapot(struct ocu_http_req *r, const struct ocu_error *err, void *arg)
{
	(void)arg;
	if (err->code == OCU_E_NOT_FOUND)
		ocu_http_reply(r, 404, "text/plain", "teapot", 6);
	else
		ocu_http_reply_error(r, err);
}

START_TEST(error_bodies_of_the_daemons_own)
{
	struct ocu_httpd *own =
	    http_start((struct ocu_httpd_opts){.routes = routes, .spool_dir = "/tmp", .error_body = teapot});

	ck_assert_int_eq(http_once(own, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n", &a), 404);
	ck_assert_str_eq(a.body, "teapot");
	/* one that itself asks for an error gets the default, not an endless loop */
	ck_assert_int_eq(http_once(own, "GET /guarded HTTP/1.1\r\nHost: x\r\n\r\n", &a), 401);
	ck_assert_ptr_nonnull(strstr(a.body, "unauthenticated"));
	ocu_httpd_stop(own, 1000);
}
END_TEST

START_TEST(correlation_ids)
{
	static const char *const bad[] = {"x",
	                                  "trc_",
	                                  "trc_01ARZ3NDEKTSV4RRFFQ69G5FA",
	                                  "trc_01ARZ3NDEKTSV4RRFFQ69G5FAVX",
	                                  "ses_01ARZ3NDEKTSV4RRFFQ69G5FAV",
	                                  "trc_01ARZ3NDEKTSV4RRFFQ69G5F\"V"};
	static const char good[] = "trc_01ARZ3NDEKTSV4RRFFQ69G5FAV";
	char req[256];

	snprintf(req, sizeof req, "GET /hello HTTP/1.1\r\nHost: x\r\nX-Correlation-Id: %s\r\n\r\n", good);
	http_once(h, req, &a);
	ck_assert_str_eq(http_field(&a, "X-Correlation-Id"), good);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(req, sizeof req, "GET /hello HTTP/1.1\r\nHost: x\r\nx-correlation-id: %s\r\n\r\n",
		         bad[i]);
		http_once(h, req, &a);
		ck_assert_str_ne(http_field(&a, "X-Correlation-Id"), bad[i]);
		ck_assert(ocu_id_valid(OCU_ID_TRACE, http_field(&a, "X-Correlation-Id")));
	}
}
END_TEST

static json_t *shown(const char *target, const char *headers)
{
	char req[1024];

	snprintf(req, sizeof req, "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", target, headers);
	ck_assert_int_eq(http_once(h, req, &a), 200);
	return json_loads(a.body, 0, NULL);
}

static const char *str(const json_t *j, const char *name)
{
	const char *s = json_string_value(json_object_get(j, name));

	return s ? s : "(none)";
}

START_TEST(requests_from_inside)
{
	json_t *j = shown("/show/one%20two/three/four?q=a%26b&q=second", "");

	ck_assert_str_eq(str(j, "method"), "GET");
	ck_assert_str_eq(str(j, "path"), "/show/one two/three/four");
	ck_assert_str_eq(str(j, "a"), "one two");
	ck_assert_str_eq(str(j, "rest"), "three/four");
	ck_assert_str_eq(str(j, "q"), "a&b");
	ck_assert_str_eq(str(j, "ip"), "127.0.0.1");
	ck_assert(ocu_id_valid(OCU_ID_TRACE, str(j, "trace")));
	json_decref(j);
}
END_TEST

START_TEST(bearers)
{
	static const char *const t[][2] = {
	    {"Authorization: Bearer abc\r\n", "abc"},
	    {"authorization: bEaReR   abc\r\n", "abc"},
	    {"Authorization: Bearer\r\n", "(none)"},
	    {"Authorization: Bearer \r\n", "(none)"},
	    {"Authorization: Basic abc\r\n", "(none)"},
	    {"Authorization: Bearerabc\r\n", "(none)"},
	    {"Authorization: Bearer abc\r\nAuthorization: Bearer def\r\n", "(none)"},
	    {"", "(none)"},
	};
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		json_t *j = shown("/show/a/b", t[i][0]);
		ck_assert_msg(strcmp(str(j, "bearer"), t[i][1]) == 0, "row %zu: %s", i, str(j, "bearer"));
		json_decref(j);
	}
}
END_TEST

START_TEST(malformed_targets)
{
	static const char *const bad[] = {"/hello%",        "/hello%00", "/%zz", "/hello?a=%",
	                                  "http://x/hello", "*",         "/a#b"};
	char req[256];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(req, sizeof req, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", bad[i]);
		ck_assert_msg(http_once(h, req, &a) == 400, "%s: %d", bad[i], a.status);
	}
	ck_assert_int_eq(event_get(&handled), 0);
}
END_TEST

START_TEST(bodies)
{
	char req[4096], body[LIMIT + 1];

	memset(body, 'b', LIMIT);
	body[LIMIT] = '\0';
	snprintf(req, sizeof req, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", LIMIT,
	         body);
	ck_assert_int_eq(http_once(h, req, &a), 200);
	ck_assert_str_eq(a.body, body);
	snprintf(req, sizeof req, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
	ck_assert_int_eq(http_once(h, req, &a), 200);
	ck_assert_uint_eq(a.len, 0);
	snprintf(req, sizeof req,
	         "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
	         "chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
	ck_assert_int_eq(http_once(h, req, &a), 200);
	ck_assert_str_eq(a.body, "abcde");
	/* A chunk extension is passed over, or the request refused (libmicrohttpd 1.0); never taken for data.
	 */
	snprintf(req, sizeof req,
	         "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
	         "chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n");
	if (http_once(h, req, &a) != 400) {
		ck_assert_int_eq(a.status, 200);
		ck_assert_str_eq(a.body, "abcde");
	}
}
END_TEST

/* The refusal comes before the body, and nothing of the body is taken for a request. */
START_TEST(announced_bodies_over_the_limit)
{
	static const char *const heads[] = {
	    "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n",
	    "PATCH /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n",
	    "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551615\r\n\r\n",
	    "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999999\r\n\r\n",
	    "GET /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n",
	};
	for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
		int fd = http_connect(h);
		http_send(fd, heads[i]);
		http_read(fd, &a);
		ck_assert_msg(a.status == 413, "row %zu: %d", i, a.status);
		http_send(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
		char rest[1024] = "";
		/* MHD 0.9.75 writes the head of its own refusals twice; it closes all the same */
		while (!http_closed_with(fd, rest, sizeof rest - 1))
			ck_assert_ptr_null(strstr(rest, "hello"));
		close(fd);
	}
	ck_assert_int_eq(event_get(&handled), 0);
}
END_TEST

START_TEST(chunked_bodies_over_the_limit)
{
	static const char head[] = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
	char chunk[1 + 4 + 0x1000 + 3] = "1000\r\n";
	int fd = http_connect(h);

	memset(chunk + 6, 'c', 0x1000);
	chunk[6 + 0x1000] = '\r';
	chunk[7 + 0x1000] = '\n';
	http_send(fd, head);
	http_send_n(fd, chunk, 6 + 0x1000 + 2);
	http_send(fd, "0\r\n\r\n");
	http_read(fd, &a);
	ck_assert_int_eq(a.status, 413);
	ck_assert(http_closed(fd));
	close(fd);
	/* one that does not end is cut off */
	fd = http_connect(h);
	http_send(fd, head);
	int sent = 0;
	while (sent < 100000 && http_send_n(fd, chunk, 6 + 0x1000 + 2))
		sent++;
	ck_assert_int_lt(sent, 100000);
	close(fd);
	ck_assert_int_eq(event_get(&handled), 0);
}
END_TEST

START_TEST(framing_that_could_be_read_two_ways)
{
	static const char smuggled[] = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
	static const char *const heads[] = {
	    "Content-Length: 0\r\nContent-Length: 32",
	    "Content-Length: 32\r\nContent-Length: 0",
	    "Content-Length: 5\r\nContent-Length: 5",
	    "Content-Length: 5, 5",
	    "Content-Length: +5",
	    "Content-Length: -5",
	    "Content-Length: 0x5",
	    "Content-Length: 5 5",
	    "Content-Length:",
	    "Content-Length: abc",
	    "Content-Length: 5\r\nTransfer-Encoding: chunked",
	    "Transfer-Encoding: chunked\r\nContent-Length: 5",
	    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
	    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
	    "Transfer-Encoding: chunked, chunked",
	    "Transfer-Encoding: gzip, chunked",
	    "Transfer-Encoding: xchunked",
	    "Transfer-Encoding: identity",
	    "Transfer-Encoding: \013chunked",
	    "Transfer-Encoding:",
	    "Host: y",
	};
	char req[1024], buf[65536];

	for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
		int fd = http_connect(h);
		size_t n = 0;
		ssize_t got;
		snprintf(req, sizeof req, "POST /echo HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n0\r\n\r\n%s%s",
		         heads[i], smuggled, smuggled);
		http_send(fd, req);
		shutdown(fd, SHUT_WR);
		while (n < sizeof buf - 1 && (got = recv(fd, buf + n, sizeof buf - 1 - n, 0)) > 0)
			n += (size_t)got;
		buf[n] = '\0';
		ck_assert_msg(strncmp(buf, "HTTP/1.1 400", 12) == 0, "row %zu (%s): %.60s", i, heads[i], buf);
		ck_assert_msg(!strstr(buf, "hello\n"), "row %zu (%s): the smuggled request was served", i,
		              heads[i]);
		close(fd);
	}
	ck_assert_int_eq(event_get(&handled), 0);
}
END_TEST

START_TEST(garbage)
{
	static const char *const bad[] = {
	    "\r\n\r\n\r\n\r\n",
	    "GET\r\n\r\n",
	    "GET /hello\r\n\r\n",
	    "\x16\x03\x01\x02\x00\x01",
	    "GET /hello HTTP/1.1\r\n\r\n" /* no Host */,
	    "GET /hello HTTP/9.9\r\nHost: x\r\n\r\n",
	    "GET  /hello HTTP/1.1\r\nHost x\r\n\r\n",
	    "GET /he llo HTTP/1.1\r\nHost: x\r\n\r\n",
	    "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
	    "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"};
	/* MHD may overlook an end that comes together with what it reads: then its time-out is the answer. */
	struct ocu_httpd *own =
	    http_start((struct ocu_httpd_opts){.routes = routes, .spool_dir = "/tmp", .timeout_s = 3});
	char rest[4096];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		int fd = http_connect(own);
		http_send(fd, bad[i]);
		shutdown(fd, SHUT_WR);
		http_read(fd, &a);
		ck_assert_msg(a.status == 0 || a.status >= 400, "row %zu: %d", i, a.status);
		while (!http_closed_with(fd, rest, sizeof rest))
			;
		close(fd);
	}
	ck_assert_int_eq(event_get(&handled), 0);
	ck_assert_int_eq(http_once(own, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", &a), 200);
	ocu_httpd_stop(own, 1000);
}
END_TEST

START_TEST(headers_are_bounded)
{
	const size_t size = 65536;
	char *big = malloc(size + 64);
	int n = snprintf(big, 64, "GET /hello HTTP/1.1\r\nHost: x\r\nX-Big: ");
	int fd = http_connect(h);

	memset(big + n, 'a', size);
	http_send_n(fd, big, (size_t)n + size);
	http_send(fd, "\r\n\r\n");
	http_read(fd, &a);
	ck_assert_msg(a.status == 0 || a.status == 431 || a.status == 414, "%d", a.status);
	ck_assert_int_eq(event_get(&handled), 0);
	close(fd);
	free(big);
}
END_TEST

START_TEST(bodies_in_files)
{
	const size_t n = 2u << 20;
	char *data = malloc(n), head[128];
	int fd = http_connect(h);

	for (size_t i = 0; i < n; i++)
		data[i] = (char)(i * 31 + (i >> 9));
	snprintf(head, sizeof head, "PUT /spool HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", n);
	http_send(fd, head);
	http_send_n(fd, data, n);
	http_read(fd, &a);
	ck_assert_int_eq(a.status, 200);
	ck_assert_uint_eq(a.len, n);
	ck_assert_mem_eq(a.body, data, n);
	http_send(fd, "PUT /spool HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
	http_read(fd, &a);
	ck_assert_int_eq(a.status, 200);
	ck_assert_uint_eq(a.len, 0);
	close(fd);
	free(data);
}
END_TEST

START_TEST(refused_before_the_body)
{
	int fd = http_connect(h);

	http_send(fd,
	          "POST /guarded HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
	http_read(fd, &a);
	ck_assert_int_eq(a.status, 401);
	ck_assert(http_closed(fd));
	close(fd);
	fd = http_connect(h);
	http_send(fd, "POST /guarded HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer open\r\nContent-Length: "
	              "5\r\n\r\nhello");
	http_read(fd, &a);
	ck_assert_int_eq(a.status, 200);
	close(fd);
	ck_assert_int_eq(event_get(&handled), 1);
}
END_TEST

START_TEST(parts_of_files)
{
	char path[] = "/tmp/ocu-part-XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_eq(write(fd, "0123456789", 10), 10);
	close(fd);
	struct ocu_httpd *own =
	    http_start((struct ocu_httpd_opts){.routes = routes, .spool_dir = "/tmp", .arg = path});
	ck_assert_int_eq(http_once(own, "GET /part HTTP/1.1\r\nHost: x\r\n\r\n", &a), 206);
	ck_assert_str_eq(a.body, "234");
	ocu_httpd_stop(own, 1000);
	unlink(path);
}
END_TEST

START_TEST(answers_cannot_be_split)
{
	http_once(h, "GET /inject HTTP/1.1\r\nHost: x\r\n\r\n", &a);
	ck_assert_int_eq(a.status, 200);
	ck_assert_str_eq(http_field(&a, "X-Good"), "1");
	ck_assert_ptr_null(http_field(&a, "X-Injected"));
	/* a second answer is dropped */
	ck_assert_int_eq(http_once(h, "GET /twice HTTP/1.1\r\nHost: x\r\n\r\n", &a), 200);
	ck_assert_str_eq(a.body, "first");
}
END_TEST

/* A byte now and then starts MHD's own time-out anew; the whole request has its deadline all the same. */
static void trickle(const char *start, const char *drip)
{
	struct ocu_httpd *own =
	    http_start((struct ocu_httpd_opts){.routes = routes, .spool_dir = "/tmp", .timeout_s = 1});
	const struct timeval tick = {.tv_usec = 200000};
	int fd = http_connect(own), ticks = 0;
	char c;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof tick);
	http_send(fd, start);
	/* each round waits for the server to close, at most one tick */
	while (ticks < 300 && recv(fd, &c, 1, 0) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
		http_send(fd, drip);
		ticks++;
	}
	ck_assert_msg(ticks < 150, "still open after %d ticks", ticks);
	close(fd);
	ocu_httpd_stop(own, 1000);
}

START_TEST(slow_headers)
{
	trickle("GET /hello HTTP/1.1\r\nHost: x\r\n", "X-A: b\r\n");
}
END_TEST

START_TEST(slow_bodies)
{
	trickle("PUT /spool HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", "x");
}
END_TEST

START_TEST(idle_connections)
{
	struct ocu_httpd *own =
	    http_start((struct ocu_httpd_opts){.routes = routes, .spool_dir = "/tmp", .timeout_s = 1});
	int fd = http_connect(own);

	ck_assert(http_closed(fd));
	close(fd);
	ocu_httpd_stop(own, 1000);
}
END_TEST

/* A client that takes a little now and then keeps MHD's own time-out from passing; an answer has a deadline
 * of its own, for its size, and is let go of with it. The buffers on the way are kept small. */
START_TEST(answers_that_are_not_taken)
{
	struct ocu_httpd *own = http_start((struct ocu_httpd_opts){
	    .routes = routes, .spool_dir = "/tmp", .timeout_s = 8, .finished = on_finished});
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)ocu_httpd_port(own))};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), ticks = 0;
	const int small = 2048, mss = 536;
	size_t taken = 0;
	char some[600];
	ssize_t n;

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof mss);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	http_send(fd, "GET /much HTTP/1.1\r\nHost: x\r\n\r\n");
	ck_assert(event_wait(&handled, 1));
	for (; event_get(&finished) == 0 && ticks < 1000; ticks++) {
		n = recv(fd, some, sizeof some, MSG_DONTWAIT);
		taken += n > 0 ? (size_t)n : 0;
		poll(NULL, 0, 100);
	}
	ck_assert_int_gt(event_get(&finished), 0);
	/* What the kernel has already still comes; the whole does not. */
	while ((n = recv(fd, some, sizeof some, 0)) > 0)
		taken += (size_t)n;
	ck_assert_msg(taken < MUCH, "%zu bytes in %d ticks", taken, ticks);
	close(fd);
	ocu_httpd_stop(own, 1000);
}
END_TEST

START_TEST(connections_per_address)
{
	struct ocu_httpd *own =
	    http_start((struct ocu_httpd_opts){.routes = routes, .spool_dir = "/tmp", .max_conns_per_ip = 2});
	int fd[3];

	for (int i = 0; i < 2; i++) {
		fd[i] = http_connect(own);
		http_send(fd[i], "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
		http_read(fd[i], &a);
		ck_assert_int_eq(a.status, 200);
	}
	fd[2] = http_connect(own);
	http_send(fd[2], "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	http_read(fd[2], &a);
	ck_assert_int_eq(a.status, 0);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	ocu_httpd_stop(own, 1000);
}
END_TEST

START_TEST(addresses_to_listen_on)
{
	static const char *const bad[] = {"",
	                                  "x",
	                                  "127.0.0.1",
	                                  "localhost:80",
	                                  "127.0.0.1:",
	                                  "127.0.0.1:x",
	                                  "127.0.0.1:65536",
	                                  "::1:80",
	                                  "[::1]",
	                                  "127.0.0.1:-1",
	                                  "300.0.0.1:80",
	                                  "127.0.0.1: 80",
	                                  ":80"};
	struct ocu_httpd *x = NULL;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		const struct ocu_httpd_opts o = {.listen = bad[i], .routes = routes, .spool_dir = "/tmp"};
		ck_assert_msg(ocu_httpd_start(&x, &o, NULL) == OCU_E_CONFIG, "%s", bad[i]);
	}
	char same[32];
	snprintf(same, sizeof same, "127.0.0.1:%d", ocu_httpd_port(h));
	const struct ocu_httpd_opts taken = {.listen = same, .routes = routes, .spool_dir = "/tmp"};
	ck_assert_int_eq(ocu_httpd_start(&x, &taken, NULL), OCU_E_IO);
	const struct ocu_httpd_opts no_spool = {.listen = "127.0.0.1:0", .routes = routes};
	ck_assert_int_eq(ocu_httpd_start(&x, &no_spool, NULL), OCU_E_INVALID);
	const struct ocu_httpd_opts half_tls = {
	    .listen = "127.0.0.1:0", .routes = routes, .spool_dir = "/tmp", .cert_path = "/x"};
	ck_assert_int_eq(ocu_httpd_start(&x, &half_tls, NULL), OCU_E_CONFIG);
	ck_assert_ptr_null(x);
	struct ocu_httpd *v6 =
	    http_start((struct ocu_httpd_opts){.listen = "[::1]:0", .routes = routes, .spool_dir = "/tmp"});
	ocu_httpd_stop(v6, 100);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libocu_httpd");
	TCase *c = tcase_create("httpd");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 120);
	tcase_add_test(c, answers_and_keeps_the_connection);
	tcase_add_test(c, unknown_paths_and_methods);
	tcase_add_test(c, error_bodies);
	tcase_add_test(c, error_bodies_of_the_daemons_own);
	tcase_add_test(c, correlation_ids);
	tcase_add_test(c, requests_from_inside);
	tcase_add_test(c, bearers);
	tcase_add_test(c, malformed_targets);
	tcase_add_test(c, bodies);
	tcase_add_test(c, announced_bodies_over_the_limit);
	tcase_add_test(c, chunked_bodies_over_the_limit);
	tcase_add_test(c, framing_that_could_be_read_two_ways);
	tcase_add_test(c, garbage);
	tcase_add_test(c, headers_are_bounded);
	tcase_add_test(c, bodies_in_files);
	tcase_add_test(c, refused_before_the_body);
	tcase_add_test(c, parts_of_files);
	tcase_add_test(c, answers_cannot_be_split);
	tcase_add_test(c, slow_headers);
	tcase_add_test(c, slow_bodies);
	tcase_add_test(c, idle_connections);
	tcase_add_test(c, answers_that_are_not_taken);
	tcase_add_test(c, connections_per_address);
	tcase_add_test(c, addresses_to_listen_on);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
