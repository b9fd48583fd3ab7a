/* httpd: requests answered later, from other threads; clients that go away meanwhile; streams; stopping.
 */
#include <sys/mman.h>

#include "libocu_http_fixture.h"

#define KEPT_MAX 64

static int handled, gone_calls, drops, finished;
static struct ocu_http_req *kept[KEPT_MAX];

static void drop(void *user)
{
	event_add(user);
}

static void on_gone(struct ocu_http_req *r, void *user)
{
	(void)r;
	ck_assert_ptr_eq(user, &drops);
	event_add(&gone_calls);
}

/* Its place and the count of places are one step: handlers run in several threads. */
static void keep_for_the_test(struct ocu_http_req *r)
{
	pthread_mutex_lock(&event_lock);
	kept[handled++] = r;
	pthread_cond_broadcast(&event_cond);
	pthread_mutex_unlock(&event_lock);
}

/* Keeps the request for the test to answer. */
static void keep(struct ocu_http_req *r, void *arg)
{
	(void)arg;
	ocu_http_set_user(r, &drops, drop);
	ocu_http_on_gone(r, on_gone);
	keep_for_the_test(r);
}

static void *answer_thread(void *r)
{
	ocu_http_reply(r, 200, "text/plain", "later\n", 6);
	return NULL;
}

/* Answered by a thread that may be faster than the handler's own return. */
static void race(struct ocu_http_req *r, void *arg)
{
	pthread_t t;

	(void)arg;
	ocu_http_on_gone(r, on_gone);
	ocu_http_set_user(r, &drops, drop);
	ck_assert_int_eq(pthread_create(&t, NULL, answer_thread, r), 0);
	pthread_detach(t);
}

static void stream(struct ocu_http_req *r, void *arg)
{
	(void)arg;
	ocu_http_set_user(r, &drops, drop);
	ocu_http_on_gone(r, on_gone);
	ck_assert_int_eq(ocu_http_stream_start(r, 200, "text/event-stream"), 0);
	keep_for_the_test(r);
}

static void hello(struct ocu_http_req *r, void *arg)
{
	(void)arg;
	ocu_http_reply(r, 200, "text/plain", "hello\n", 6);
}

static const struct ocu_http_route routes[] = {
    {.method = "GET", .pattern = "/keep", .handler = keep},
    {.method = "POST", .pattern = "/keep", .max_body = 100, .handler = keep},
    {.method = "GET", .pattern = "/race", .handler = race},
    {.method = "GET", .pattern = "/stream", .handler = stream},
    {.method = "GET", .pattern = "/hello", .handler = hello},
    {0},
};

static void on_finished(struct ocu_http_req *r, int status, uint64_t us, void *arg)
{
	(void)r;
	(void)status;
	(void)us;
	(void)arg;
	event_add(&finished);
}

static struct ocu_httpd *h;
static struct http_answer a;

static void setup(void)
{
	h = http_start((struct ocu_httpd_opts){.routes = routes, .finished = on_finished});
}

static void teardown(void)
{
	ocu_httpd_stop(h, 1000);
	http_answer_done(&a);
}

static const char get_keep[] = "GET /keep HTTP/1.1\r\nHost: x\r\n\r\n";
static const char get_stream[] = "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n";

START_TEST(answers_from_another_thread)
{
	int fd[8];

	/* more waiting requests than the server has threads */
	for (int i = 0; i < 8; i++) {
		fd[i] = http_connect(h);
		http_send(fd[i], get_keep);
	}
	ck_assert(event_wait(&handled, 8));
	ck_assert_int_eq(http_once(h, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", &a), 200);
	for (int i = 7; i >= 0; i--)
		ocu_http_reply(kept[i], 200, NULL, "x", 1);
	for (int i = 0; i < 8; i++) {
		http_read(fd[i], &a);
		ck_assert_int_eq(a.status, 200);
		/* and the connection goes on */
		http_send(fd[i], "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
		http_read(fd[i], &a);
		ck_assert_str_eq(a.body, "hello\n");
		close(fd[i]);
	}
	ck_assert(event_wait(&drops, 8));
	ck_assert_int_eq(event_get(&gone_calls), 0);
}
END_TEST

START_TEST(answers_that_race_with_the_handler)
{
	for (int i = 0; i < 20; i++) {
		int fd = http_connect(h);
		for (int k = 0; k < 20; k++) {
			http_send(fd, "GET /race HTTP/1.1\r\nHost: x\r\n\r\n");
			http_read(fd, &a);
			ck_assert_str_eq(a.body, "later\n");
		}
		close(fd);
	}
	ck_assert(event_wait(&drops, 400));
	ck_assert_int_eq(event_get(&gone_calls), 0);
}
END_TEST

/* The point of on_gone: work for a client that has left is noticed while the connection is suspended. */
static void leave_while_waiting(const char *request, int how)
{
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	int fd = http_connect(h);

	http_send(fd, request);
	ck_assert(event_wait(&handled, 1));
	ck_assert_int_eq(event_get(&gone_calls), 0);
	if (how == SO_LINGER)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	if (how == SHUT_WR)
		shutdown(fd, SHUT_WR);
	else
		close(fd);
	ck_assert_msg(event_wait(&gone_calls, 1), "nobody noticed");
	/* it is still ours, and must be answered */
	ck_assert_str_eq(ocu_http_path(kept[0]), "/keep");
	ck_assert_int_eq(event_get(&drops), 0);
	ocu_http_reply(kept[0], 200, NULL, "x", 1);
	ck_assert(event_wait(&drops, 1));
	ck_assert(event_wait(&finished, 1));
	ck_assert_int_eq(event_get(&gone_calls), 1);
	if (how == SHUT_WR)
		close(fd);
}

START_TEST(a_client_that_closes_is_noticed)
{
	leave_while_waiting(get_keep, 0);
}
END_TEST

START_TEST(a_client_that_resets_is_noticed)
{
	leave_while_waiting(get_keep, SO_LINGER);
}
END_TEST

START_TEST(a_client_that_half_closes_is_noticed)
{
	leave_while_waiting(get_keep, SHUT_WR);
}
END_TEST

START_TEST(a_client_with_a_pipelined_request_is_noticed)
{
	leave_while_waiting("POST /keep HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /hello "
	                    "HTTP/1.1\r\nHost: x\r\n\r\n",
	                    0);
}
END_TEST

START_TEST(a_client_that_left_before_the_handler_returned_is_noticed)
{
	for (int i = 0; i < 30; i++) {
		int fd = http_connect(h);
		http_send(fd, get_keep);
		close(fd);
		ck_assert(event_wait(&handled, i + 1));
		ck_assert_msg(event_wait(&gone_calls, i + 1), "round %d", i);
		ocu_http_reply(kept[i], 200, NULL, NULL, 0);
	}
	ck_assert(event_wait(&drops, 30));
}
END_TEST

/* Leaving and answering at the same moment, many times: at most one gone, never after the drop. */
static void *closer(void *fd)
{
	close(*(int *)fd);
	return NULL;
}

START_TEST(leaving_races_with_answering)
{
	for (int i = 0; i < 60; i++) {
		pthread_t t;
		int fd = http_connect(h);
		http_send(fd, get_keep);
		ck_assert(event_wait(&handled, i + 1));
		pthread_create(&t, NULL, closer, &fd);
		ocu_http_reply(kept[i], 200, NULL, "x", 1);
		pthread_join(t, NULL);
		ck_assert(event_wait(&drops, i + 1));
	}
	ck_assert_int_le(event_get(&gone_calls), 60);
}
END_TEST

/* --- streams --- */

/* Reads until the stream's text so far (chunk framing removed) ends with want. */
static bool stream_reads(int fd, const char *want)
{
	char buf[65536];
	size_t n = 0;

	while (n < sizeof buf - 1) {
		ssize_t got = recv(fd, buf + n, sizeof buf - 1 - n, 0);
		if (got <= 0)
			return false;
		n += (size_t)got;
		buf[n] = '\0';
		if (strstr(buf, want))
			return true;
	}
	return false;
}

START_TEST(streams)
{
	int fd = http_connect(h);

	http_send(fd, get_stream);
	ck_assert(event_wait(&handled, 1));
	ck_assert(stream_reads(fd, "text/event-stream"));
	for (int i = 0; i < 20; i++) {
		char event[64];
		snprintf(event, sizeof event, "data: event %d\n\n", i);
		ck_assert_int_eq(ocu_http_stream_write(kept[0], event, strlen(event)), 0);
		ck_assert(stream_reads(fd, event));
	}
	ck_assert_int_eq(ocu_http_stream_write(kept[0], NULL, 0), 0);
	ocu_http_stream_end(kept[0]);
	ck_assert(stream_reads(fd, "0\r\n\r\n"));
	ck_assert(event_wait(&drops, 1));
	/* the connection survives a stream */
	http_send(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	http_read(fd, &a);
	ck_assert_str_eq(a.body, "hello\n");
	close(fd);
	ck_assert_int_eq(event_get(&gone_calls), 0);
}
END_TEST

START_TEST(a_stream_nobody_reads_is_bounded)
{
	char *block = calloc(1, 65536);
	int fd = http_connect(h), rc = 0, n = 0;

	memset(block, 's', 65536);
	http_send(fd, get_stream);
	ck_assert(event_wait(&handled, 1));
	while (n < 1000 && (rc = ocu_http_stream_write(kept[0], block, 65536)) == 0)
		n++;
	ck_assert_int_eq(rc, OCU_E_BUSY);
	ck_assert_int_ge(n, 16);
	ck_assert_int_eq(ocu_http_stream_write(kept[0], block, (16u << 20) + 1), OCU_E_TOO_LARGE);
	ocu_http_stream_end(kept[0]);
	/* all that was taken arrives */
	size_t total = 0;
	char *buf = malloc(65536);
	ssize_t got = 1;
	while (total < (size_t)n * 65536 && (got = recv(fd, buf, 65536, 0)) > 0)
		for (ssize_t i = 0; i < got; i++)
			total += buf[i] == 's';
	/* the head has a letter of its own in "stream", "ses" and the like */
	ck_assert_uint_ge(total, (size_t)n * 65536);
	close(fd);
	free(buf);
	free(block);
}
END_TEST

START_TEST(a_stream_whose_client_leaves)
{
	int fd = http_connect(h), rc = 0;

	http_send(fd, get_stream);
	ck_assert(event_wait(&handled, 1));
	ck_assert(stream_reads(fd, "text/event-stream"));
	close(fd);
	ck_assert_msg(event_wait(&gone_calls, 1), "nobody noticed");
	rc = ocu_http_stream_write(kept[0], "x", 1);
	ck_assert_int_eq(rc, OCU_E_CANCELLED);
	ck_assert(event_wait(&finished, 1));
	ck_assert_int_eq(event_get(&drops), 0);
	ocu_http_stream_end(kept[0]);
	ck_assert(event_wait(&drops, 1));
	ck_assert_int_eq(event_get(&gone_calls), 1);
}
END_TEST

START_TEST(a_stream_whose_client_leaves_with_data_on_its_way)
{
	char *block = calloc(1, 1 << 20);
	int fd = http_connect(h);

	http_send(fd, get_stream);
	ck_assert(event_wait(&handled, 1));
	for (int i = 0; i < 3; i++)
		ocu_http_stream_write(kept[0], block, 1 << 20);
	close(fd);
	ck_assert_msg(event_wait(&gone_calls, 1), "nobody noticed");
	ck_assert_int_eq(ocu_http_stream_write(kept[0], "x", 1), OCU_E_CANCELLED);
	ocu_http_stream_end(kept[0]);
	ck_assert(event_wait(&drops, 1));
	free(block);
}
END_TEST

START_TEST(an_answer_nobody_reads_can_be_cut)
{
	static char sink[1 << 20];
	const size_t size = 64u << 20;
	int fd = http_connect(h), file = memfd_create("answer", MFD_CLOEXEC);
	size_t got = 0;
	ssize_t n;

	ck_assert_int_eq(ftruncate(file, (off_t)size), 0);
	http_send(fd, get_keep);
	ck_assert(event_wait(&handled, 1));
	ocu_http_reply_fd(kept[0], 200, NULL, file, 0, size);
	ocu_http_abort(kept[0]); /* there: it is more than fits on the way */
	ck_assert(event_wait(&drops, 1));
	while ((n = recv(fd, sink, sizeof sink, 0)) > 0)
		got += (size_t)n;
	ck_assert_uint_lt(got, size);
	close(fd);
}
END_TEST

START_TEST(a_request_can_be_cut_before_its_answer)
{
	int fd = http_connect(h);

	http_send(fd, get_keep);
	ck_assert(event_wait(&handled, 1));
	ocu_http_abort(kept[0]);
	ocu_http_reply(kept[0], 200, NULL, "x", 1);
	ck_assert(event_wait(&drops, 1));
	ck_assert(http_closed(fd));
	close(fd);
}
END_TEST

START_TEST(a_head_request_for_a_stream)
{
	int fd = http_connect(h);

	http_send(fd, "HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n");
	http_read_for(fd, &a, true);
	ck_assert_int_eq(a.status, 200);
	ck_assert(event_wait(&handled, 1));
	ck_assert(event_wait(&gone_calls, 1));
	ck_assert_int_eq(ocu_http_stream_write(kept[0], "x", 1), OCU_E_CANCELLED);
	ocu_http_stream_end(kept[0]);
	ck_assert(event_wait(&drops, 1));
	close(fd);
}
END_TEST

/* --- stopping: each test stops its own server --- */

static struct ocu_httpd *own;
static int stopped;

static void *stopper(void *ms)
{
	ocu_httpd_stop(own, *(unsigned *)ms);
	event_add(&stopped);
	return NULL;
}

static pthread_t stop_in_thread(unsigned *ms)
{
	pthread_t t;

	ck_assert_int_eq(pthread_create(&t, NULL, stopper, ms), 0);
	return t;
}

START_TEST(stopping_waits_for_answers)
{
	unsigned ms = 60000;
	own = http_start((struct ocu_httpd_opts){.routes = routes, .finished = on_finished});
	int fd = http_connect(own), idle = http_connect(own);

	http_send(fd, get_keep);
	ck_assert(event_wait(&handled, 1));
	pthread_t t = stop_in_thread(&ms);
	/* new requests are turned away meanwhile, which also shows that the stop has begun */
	do {
		http_send(idle, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
		http_read(idle, &a);
	} while (a.status == 200);
	ck_assert_int_eq(a.status, 503);
	ck_assert_int_eq(event_get(&stopped), 0);
	ocu_http_reply(kept[0], 200, NULL, "done", 4);
	http_read(fd, &a);
	ck_assert_str_eq(a.body, "done");
	ck_assert(event_wait(&stopped, 1));
	pthread_join(t, NULL);
	ck_assert_int_eq(event_get(&gone_calls), 0);
	close(fd);
	close(idle);
}
END_TEST

START_TEST(stopping_tells_those_who_wait)
{
	unsigned ms = 50;
	own = http_start((struct ocu_httpd_opts){.routes = routes, .finished = on_finished});
	int fd = http_connect(own), sfd = http_connect(own);

	http_send(fd, get_keep);
	ck_assert(event_wait(&handled, 1));
	http_send(sfd, get_stream);
	ck_assert(event_wait(&handled, 2));
	ck_assert(stream_reads(sfd, "text/event-stream"));
	pthread_t t = stop_in_thread(&ms);
	ck_assert(event_wait(&gone_calls, 2));
	ocu_http_reply(kept[0], 503, NULL, NULL, 0);
	ck_assert(event_wait(&stopped, 1));
	pthread_join(t, NULL);
	/* the stream's owner finds out in its own time, after the server is gone */
	ck_assert_int_eq(ocu_http_stream_write(kept[1], "x", 1), OCU_E_CANCELLED);
	ocu_http_stream_end(kept[1]);
	ck_assert(event_wait(&drops, 2));
	close(fd);
	close(sfd);
}
END_TEST

START_TEST(stopping_does_not_wait_for_ever)
{
	unsigned ms = 50;
	own = http_start((struct ocu_httpd_opts){.routes = routes, .finished = on_finished});
	int fd = http_connect(own);

	http_send(fd, get_keep);
	ck_assert(event_wait(&handled, 1));
	pthread_t t = stop_in_thread(&ms);
	ck_assert(event_wait(&stopped, 1));
	pthread_join(t, NULL);
	ck_assert_int_eq(event_get(&gone_calls), 1);
	/* an answer that comes after all finds everything still in place */
	ocu_http_reply(kept[0], 200, NULL, "late", 4);
	ck_assert(event_wait(&drops, 1));
	ck_assert_int_eq(event_get(&finished), 0);
	close(fd);
}
END_TEST

START_TEST(stopping_under_load)
{
	for (int round = 0; round < 10; round++) {
		own = http_start((struct ocu_httpd_opts){.routes = routes});
		int fd[16];
		for (int i = 0; i < 16; i++) {
			fd[i] = http_connect(own);
			http_send(
			    fd[i],
			    "GET /race HTTP/1.1\r\nHost: x\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
		}
		ocu_httpd_stop(own, 5000);
		for (int i = 0; i < 16; i++)
			close(fd[i]);
	}
	ocu_httpd_stop(NULL, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libocu_httpd_async");
	TCase *c = tcase_create("async"), *s = tcase_create("stopping");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 60);
	tcase_set_timeout(s, 60);
	tcase_add_test(c, answers_from_another_thread);
	tcase_add_test(c, answers_that_race_with_the_handler);
	tcase_add_test(c, a_client_that_closes_is_noticed);
	tcase_add_test(c, a_client_that_resets_is_noticed);
	tcase_add_test(c, a_client_that_half_closes_is_noticed);
	tcase_add_test(c, a_client_with_a_pipelined_request_is_noticed);
	tcase_add_test(c, a_client_that_left_before_the_handler_returned_is_noticed);
	tcase_add_test(c, leaving_races_with_answering);
	tcase_add_test(c, streams);
	tcase_add_test(c, a_stream_nobody_reads_is_bounded);
	tcase_add_test(c, a_stream_whose_client_leaves);
	tcase_add_test(c, a_stream_whose_client_leaves_with_data_on_its_way);
	tcase_add_test(c, an_answer_nobody_reads_can_be_cut);
	tcase_add_test(c, a_request_can_be_cut_before_its_answer);
	tcase_add_test(c, a_head_request_for_a_stream);
	tcase_add_test(s, stopping_waits_for_answers);
	tcase_add_test(s, stopping_tells_those_who_wait);
	tcase_add_test(s, stopping_does_not_wait_for_ever);
	tcase_add_test(s, stopping_under_load);
	suite_add_tcase(suite, c);
	suite_add_tcase(suite, s);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
