/*
 * edge_load: both ends of the edge's benchmark, so that neither end is what is measured. `serve` answers
 * "S<bytes>" with that many bytes and "P" with one byte; `fetch` measures throughput, `setup` the time of
 * connect, ask, answer. ocu-bench-edge_load serve PORT ocu-bench-edge_load fetch ADDRESS PORT BYTES STREAMS
 * {"mb_s":...} ocu-bench-edge_load setup ADDRESS PORT COUNT PARALLEL {"per_s":...,"p50_us":...,"p99_us":...}
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libocu/clock.h"

enum { BLOCK = 256 * 1024, THREADS_MAX = 64 };

struct job {
	struct sockaddr_in to;
	unsigned long long bytes;
	unsigned count;
	double *took_us;
	pthread_t thread;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void send_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		data += n;
		len -= (size_t)n;
	}
}

static int *fd_box(int fd)
{
	int *box = malloc(sizeof *box);

	if (!box)
		die("memory");
	*box = fd;
	return box;
}

static void *answer(void *arg)
{
	int fd = *(int *)arg;
	char *block = calloc(1, BLOCK), line[64];

	free(arg);
	ssize_t n = recv(fd, line, sizeof line - 1, 0);
	if (n > 0 && line[0] == 'S') {
		line[n] = '\0';
		for (unsigned long long left = strtoull(line + 1, NULL, 10); left;) {
			size_t part = left < BLOCK ? (size_t)left : BLOCK;
			send_all(fd, block, part);
			left -= part;
		}
	} else if (n > 0) {
		send_all(fd, "p", 1);
		recv(fd, line, sizeof line, 0);
	}
	close(fd);
	free(block);
	return NULL;
}

static _Noreturn void serve(unsigned short port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	const int one = 1;
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 1024) < 0)
		die("listen");
	for (;;) {
		pthread_t t;
		int fd = accept(listener, NULL, NULL);
		if (fd < 0)
			continue;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		if (pthread_create(&t, &attr, answer, fd_box(fd)) != 0)
			close(fd);
	}
}

static int dial(const struct sockaddr_in *to)
{
	const int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof *to) < 0)
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

static void *fetch(void *arg)
{
	struct job *j = arg;
	char *block = malloc(BLOCK), line[64];
	unsigned long long left = j->bytes;
	int fd = dial(&j->to);

	send_all(fd, line, (size_t)snprintf(line, sizeof line, "S%llu\n", j->bytes));
	while (left) {
		ssize_t n = recv(fd, block, BLOCK, 0);
		if (n <= 0)
			die("recv");
		left -= (unsigned long long)n;
	}
	close(fd);
	free(block);
	return NULL;
}

static void *setup(void *arg)
{
	const struct linger now = {.l_onoff = 1};
	struct job *j = arg;
	char byte;

	for (unsigned i = 0; i < j->count; i++) {
		uint64_t start = ocu_mono_ns();
		int fd = dial(&j->to);
		send_all(fd, "P\n", 2);
		if (recv(fd, &byte, 1, 0) != 1)
			die("recv");
		j->took_us[i] = (double)(ocu_mono_ns() - start) / 1e3;
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
		close(fd);
	}
	return NULL;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double run(struct job *jobs, unsigned n, void *(*fn)(void *))
{
	uint64_t start = ocu_mono_ns();

	for (unsigned i = 0; i < n; i++)
		if (pthread_create(&jobs[i].thread, NULL, fn, &jobs[i]) != 0)
			die("thread");
	for (unsigned i = 0; i < n; i++)
		pthread_join(jobs[i].thread, NULL);
	return (double)(ocu_mono_ns() - start) / 1e9;
}

static unsigned short port_of(const char *text)
{
	return (unsigned short)strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
	static struct job jobs[THREADS_MAX];

	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		serve(port_of(argv[2]));
	if (argc != 6 || (strcmp(argv[1], "fetch") != 0 && strcmp(argv[1], "setup") != 0))
		return 2;
	unsigned n = (unsigned)strtoul(argv[5], NULL, 10);
	unsigned long long amount = strtoull(argv[4], NULL, 10);
	if (n == 0 || n > THREADS_MAX || amount < n)
		return 2;
	bool fetching = argv[1][0] == 'f';
	double *took = calloc(fetching ? 1 : (size_t)amount, sizeof *took);
	for (unsigned i = 0; i < n; i++) {
		jobs[i].to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port_of(argv[3]))};
		if (inet_pton(AF_INET, argv[2], &jobs[i].to.sin_addr) != 1)
			die("address");
		jobs[i].bytes = amount / n;
		jobs[i].count = (unsigned)(amount / n);
		jobs[i].took_us = fetching ? NULL : took + (size_t)i * jobs[i].count;
	}
	double seconds = run(jobs, n, fetching ? fetch : setup);
	size_t all = (size_t)(amount / n * n);
	if (fetching) {
		printf("{\"mb_s\":%.1f}\n", (double)all / seconds / 1e6);
	} else {
		qsort(took, all, sizeof *took, by_size);
		printf("{\"per_s\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f}\n", (double)all / seconds,
		       took[all / 2], took[all - 1 - all / 100]);
	}
	free(took);
	return 0;
}
