/*
 * mcp_load: a closed-loop load on one MCP endpoint: N keep-alive connections, each with one tools/call under
 * way. A reply counts only when it is a 200 with a result that is no tool error. Prints one JSON line with
 * calls/s and latency percentiles of the measured window. Used by tests/bench/bench.py against ours and its
 * peers alike.
 *
 *   mcp_load -c CONNS -n CALLS -w WARMUP [-s SESSION] [-t TOOL] [-a ARGUMENTS] HOST PORT    token in
 * OCU_TOKEN
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REPLY_MAX   65536
#define REQUEST_MAX 16384
#define CONNS_MAX   256

struct conn {
	int fd;
	size_t request_len;
	char request[REQUEST_MAX];
	double started;
	size_t len;
	char reply[REPLY_MAX + 1];
};

struct load {
	struct sockaddr_in to;
	int epoll;
	long warmup, wanted, done, bad;
	double window_start;
	unsigned *latency;
	char first_bad[300];
};

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static long number(const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end)
		die(text);
	return n;
}

static void fire(struct conn *c)
{
	c->len = 0;
	c->started = now();
	if (send(c->fd, c->request, c->request_len, MSG_NOSIGNAL) != (ssize_t)c->request_len)
		die("send");
}

static void dial(struct load *l, struct conn *c)
{
	int one = 1;
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&l->to, sizeof l->to))
		die("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) || epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &e))
		die("epoll");
}

static bool complete(const struct conn *c)
{
	const char *end = strstr(c->reply, "\r\n\r\n");
	if (!end)
		return false;
	size_t head = (size_t)(end - c->reply) + 4;
	const char *length = strcasestr(c->reply, "\r\ncontent-length:");
	if (length && length < end)
		return c->len >= head + strtoul(length + 17, NULL, 10);
	return c->len >= head + 5 && memcmp(c->reply + c->len - 5, "0\r\n\r\n", 5) == 0;
}

static bool good(const struct conn *c)
{
	return c->len > 12 && memcmp(c->reply + 9, "200", 3) == 0 && strstr(c->reply, "\"result\"") &&
	       !strstr(c->reply, "\"error\":") && !strstr(c->reply, "\"isError\":true");
}

static void count(struct load *l, const struct conn *c)
{
	if (!good(c) && l->bad++ == 0)
		snprintf(l->first_bad, sizeof l->first_bad, "%.299s", c->reply);
	l->done++;
	if (l->done == l->warmup)
		l->window_start = now();
	else if (l->done > l->warmup)
		l->latency[l->done - l->warmup - 1] = (unsigned)((now() - c->started) * 1e6);
}

static void drain(struct load *l, struct conn *c)
{
	for (;;) {
		ssize_t n = read(c->fd, c->reply + c->len, REPLY_MAX - c->len);
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0)
			die("the server closed the connection");
		c->len += (size_t)n;
	}
	c->reply[c->len] = 0;
	if (!complete(c))
		return;
	count(l, c);
	if (l->done < l->warmup + l->wanted)
		fire(c);
}

static int compare(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
	return (x > y) - (x < y);
}

static int report(struct load *l, double seconds)
{
	size_t n = (size_t)l->wanted;
	qsort(l->latency, n, sizeof *l->latency, compare);
	printf("{\"calls_per_s\":%.1f,\"p50_us\":%u,\"p99_us\":%u,\"bad\":%ld}\n", (double)n / seconds,
	       l->latency[n / 2], l->latency[n * 99 / 100], l->bad);
	if (l->bad)
		fprintf(stderr, "first bad reply: %s\n", l->first_bad);
	return l->bad ? 1 : 0;
}

int main(int argc, char **argv)
{
	static struct load l = {.warmup = 100, .wanted = 1000};
	static struct conn conns[CONNS_MAX];
	const char *tool = "noop", *args = "{}", *token = getenv("OCU_TOKEN");
	char body[8192];
	int o, n = 1, chats = 0;
	while ((o = getopt(argc, argv, "c:n:w:S:t:a:")) != -1)
		switch (o) {
		case 'c':
			n = (int)number(optarg);
			break;
		case 'n':
			l.wanted = number(optarg);
			break;
		case 'w':
			l.warmup = number(optarg);
			break;
		case 'S':
			chats = (int)number(optarg);
			break;
		case 't':
			tool = optarg;
			break;
		case 'a':
			args = optarg;
			break;
		default:
			return 2;
		}
	if (argc - optind != 2 || n < 1 || n > CONNS_MAX || l.wanted < 1 || l.warmup < 1) {
		fprintf(stderr, "usage: see the head of tests/bench/mcp_load.c\n");
		return 2;
	}
	l.to.sin_family = AF_INET;
	l.to.sin_port = htons((unsigned short)number(argv[optind + 1]));
	if (inet_pton(AF_INET, argv[optind], &l.to.sin_addr) != 1)
		die("address");
	int len = snprintf(body, sizeof body,
	                   "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
	                   "call\",\"params\":{\"name\":\"%s\",\"arguments\":%s}}",
	                   tool, args);
	for (int i = 0; i < n; i++) {
		char chat[64] = "";
		if (chats)
			snprintf(chat, sizeof chat, "X-Chat-Id: bench-%d\r\n", i % chats);
		conns[i].request_len = (size_t)snprintf(
		    conns[i].request, REQUEST_MAX,
		    "POST /mcp HTTP/1.1\r\nHost: %s:%s\r\nContent-Type: application/json\r\n"
		    "Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-11-25\r\n"
		    "%s%s%s%sContent-Length: %d\r\n\r\n%s",
		    argv[optind], argv[optind + 1], token ? "Authorization: Bearer " : "", token ? token : "",
		    token ? "\r\n" : "", chat, len, body);
	}
	l.latency = calloc((size_t)l.wanted + CONNS_MAX, sizeof *l.latency);
	l.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!l.latency || l.epoll < 0)
		die("setup");
	for (int i = 0; i < n; i++)
		dial(&l, &conns[i]);
	for (int i = 0; i < n; i++)
		fire(&conns[i]);
	while (l.done < l.warmup + l.wanted) {
		struct epoll_event ev[64];
		int k = epoll_wait(l.epoll, ev, 64, 30000);
		if (k <= 0)
			die("no reply for 30 s");
		for (int i = 0; i < k && l.done < l.warmup + l.wanted; i++)
			drain(&l, ev[i].data.ptr);
	}
	return report(&l, now() - l.window_start);
}
