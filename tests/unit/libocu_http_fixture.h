/* What the tests of the HTTP server share: a client that speaks bytes, and counters that can be waited for.
 */
#ifndef OCU_TEST_HTTP_FIXTURE_H
#define OCU_TEST_HTTP_FIXTURE_H

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libocu/err.h"
#include "libocu/httpd.h"
#include "libocu/waiting.h"

#define PATIENCE_S 60

static pthread_mutex_t event_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t event_cond;

__attribute__((constructor)) static void event_init(void)
{
	ocu_cond_init(&event_cond);
}

static inline void event_add(int *counter)
{
	pthread_mutex_lock(&event_lock);
	++*counter;
	pthread_cond_broadcast(&event_cond);
	pthread_mutex_unlock(&event_lock);
}

static inline int event_get(const int *counter)
{
	pthread_mutex_lock(&event_lock);
	int v = *counter;
	pthread_mutex_unlock(&event_lock);
	return v;
}

/* False when the counter did not get to want within PATIENCE_S. */
static inline bool event_wait(const int *counter, int want)
{
	struct timespec until = ocu_after_ms(PATIENCE_S * 1000);

	pthread_mutex_lock(&event_lock);
	while (*counter < want && ocu_cond_wait_until(&event_cond, &event_lock, &until))
		;
	bool ok = *counter >= want;
	pthread_mutex_unlock(&event_lock);
	return ok;
}

static inline struct ocu_httpd *http_start(struct ocu_httpd_opts o)
{
	struct ocu_httpd *h = NULL;
	struct ocu_error err = {0};

	o.listen = o.listen ? o.listen : "127.0.0.1:0";
	ck_assert_msg(ocu_httpd_start(&h, &o, &err) == 0, "%s", err.text);
	ck_assert_int_gt(ocu_httpd_port(h), 0);
	return h;
}

static inline int http_connect(const struct ocu_httpd *h)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)ocu_httpd_port(h))};
	const struct timeval tv = {.tv_sec = PATIENCE_S};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
	ck_assert_msg(connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0, "connect: %s", strerror(errno));
	return fd;
}

/* False when the other side is gone. */
static inline bool http_send_n(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static inline bool http_send(int fd, const char *text)
{
	return http_send_n(fd, text, strlen(text));
}

struct http_answer {
	int status; /* 0: the connection ended without an answer */
	char head[16384];
	char *body;
	size_t len;
};

static inline const char *http_field(const struct http_answer *a, const char *name)
{
	static char value[1024];
	char want[128];
	const char *p, *end;

	snprintf(want, sizeof want, "\r\n%s: ", name);
	p = strcasestr(a->head, want);
	if (!p)
		return NULL;
	p += strlen(want);
	end = strstr(p, "\r\n");
	snprintf(value, sizeof value, "%.*s", (int)(end - p), p);
	return value;
}

/* One answer with a Content-Length (or none, for status codes and methods that have no body). */
static inline void http_read_for(int fd, struct http_answer *a, bool head_only)
{
	size_t n = 0;
	const char *len;

	free(a->body);
	memset(a, 0, sizeof *a);
	while (n < sizeof a->head - 1 && !strstr(a->head, "\r\n\r\n")) {
		ssize_t got = recv(fd, a->head + n, 1, 0);
		if (got <= 0)
			return;
		n++;
	}
	a->status = atoi(a->head + 9);
	len = http_field(a, "Content-Length");
	a->len = len && !head_only ? strtoul(len, NULL, 10) : 0;
	a->body = calloc(1, a->len + 1);
	for (n = 0; n < a->len;) {
		ssize_t got = recv(fd, a->body + n, a->len - n, 0);
		ck_assert_msg(got > 0, "body cut short at %zu of %zu", n, a->len);
		n += (size_t)got;
	}
	if (a->status == 100)
		http_read_for(fd, a, head_only);
}

static inline void http_read(int fd, struct http_answer *a)
{
	http_read_for(fd, a, false);
}

static inline void http_answer_done(struct http_answer *a)
{
	free(a->body);
	a->body = NULL;
}

/* The other side has closed: no byte comes any more. What came instead is in buf. */
static inline bool http_closed_with(int fd, char *buf, size_t size)
{
	ssize_t n = recv(fd, buf, size, 0);

	ck_assert_msg(n >= 0 || errno == ECONNRESET, "the connection stays open");
	return n <= 0;
}

static inline bool http_closed(int fd)
{
	char c;

	return http_closed_with(fd, &c, 1);
}

/* Send, read one answer, close. */
static inline int http_once(const struct ocu_httpd *h, const char *request, struct http_answer *a)
{
	int fd = http_connect(h);

	http_send(fd, request);
	http_read(fd, a);
	close(fd);
	return a->status;
}

#endif
