/*
 * The guest agent's own modules in a forked child, driven over a socket pair: everything of it but PID 1, its
 * confinement and the runtime around it.
 */
#ifndef OCU_TESTS_SANDBOXD_GUEST_FIXTURE_H
#define OCU_TESTS_SANDBOXD_GUEST_FIXTURE_H

#include <check.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandboxd/guest/channel.h"
#include "sandboxd/guest/files.h"
#include "sandboxd/guest/frame.h"
#include "sandboxd/guest/loop.h"
#include "sandboxd/guest/proc.h"
#include "sandboxd/guest/request.h"

#define GUEST_WAIT_MS 90000 /* longer than what a test asks the guest to wait */

struct guest {
	pid_t pid;
	int fd;
	struct frame_reader in;
	uint64_t last_id;
	char dir[64]; /* a folder of this test */
};

static inline void guest_child(int fd)
{
	const struct sigaction dflt = {.sa_handler = SIG_DFL};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* As the agent's main does: whoever runs the tests may ignore signals. */
	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &dflt, NULL);
	dup2(fd, 0);
	/* Among others the test's own end, which would keep the channel from ever ending. */
	close_range(3, ~0u, 0);
	if (loop_init() < 0 || proc_init() < 0 || channel_init(0, dup(0), request_handle) < 0)
		_exit(99);
	loop_run(proc_tick);
}

static inline void guest_open(struct guest *g)
{
	int pair[2];

	*g = (struct guest){0};
	snprintf(g->dir, sizeof g->dir, "/tmp/ocu-guest-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(g->dir));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	g->pid = fork();
	if (g->pid == 0)
		guest_child(pair[1]);
	close(pair[1]);
	g->fd = pair[0];
	frame_reader_init(&g->in, FRAME_REPLY_MAX);
}

/* Its exit status, once descriptor 0 has ended. */
static inline int guest_close(struct guest *g)
{
	int status = -1;

	close(g->fd);
	ck_assert_int_eq(waitpid(g->pid, &status, 0), g->pid);
	frame_reader_done(&g->in);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline uint64_t guest_send(struct guest *g, Ocu__Agent__Request *r)
{
	unsigned char *data;
	size_t len;

	r->id = ++g->last_id;
	data = frame_pack(&r->base, FRAME_REQUEST_MAX, &len);
	ck_assert_ptr_nonnull(data);
	for (size_t off = 0; off < len;) {
		ssize_t n = send(g->fd, data + off, len - off, MSG_NOSIGNAL);

		ck_assert_int_gt(n, 0);
		off += (size_t)n;
	}
	free(data);
	return r->id;
}

static inline Ocu__Agent__Reply *guest_receive(struct guest *g)
{
	const unsigned char *data;
	size_t len;
	int rc;

	while ((rc = frame_reader_next(&g->in, &data, &len)) == 0) {
		struct pollfd p = {.fd = g->fd, .events = POLLIN};

		ck_assert_int_eq(poll(&p, 1, GUEST_WAIT_MS), 1);
		if (frame_reader_fill(&g->in, g->fd) == 0)
			return NULL;
	}
	ck_assert_int_eq(rc, 1);
	return (Ocu__Agent__Reply *)frame_unpack(&ocu__agent__reply__descriptor, data, len);
}

static inline Ocu__Agent__Reply *guest_call(struct guest *g, Ocu__Agent__Request *r)
{
	uint64_t id = guest_send(g, r);
	Ocu__Agent__Reply *reply = guest_receive(g);

	ck_assert_ptr_nonnull(reply);
	ck_assert_uint_eq(reply->id, id);
	return reply;
}

static inline void guest_free(Ocu__Agent__Reply *r)
{
	ocu__agent__reply__free_unpacked(r, NULL);
}

/* Run with a shell. */
struct guest_run {
	const char *command, *cwd, *input;
	uint32_t timeout_ms, max_output;
};

static inline void guest_run_request(Ocu__Agent__Request *r, Ocu__Agent__Run *run, char **argv,
                                     const struct guest_run *what)
{
	argv[0] = (char *)"/bin/sh";
	argv[1] = (char *)"-c";
	argv[2] = (char *)what->command;
	ocu__agent__request__init(r);
	ocu__agent__run__init(run);
	run->argv = argv;
	run->n_argv = 3;
	run->cwd = (char *)(what->cwd ? what->cwd : "/");
	run->stdin.data = (uint8_t *)what->input;
	run->stdin.len = what->input ? strlen(what->input) : 0;
	run->timeout_ms = what->timeout_ms;
	run->max_output = what->max_output;
	r->op_case = OCU__AGENT__REQUEST__OP_RUN;
	r->run = run;
}

static inline Ocu__Agent__Reply *guest_sh(struct guest *g, struct guest_run what)
{
	Ocu__Agent__Request r;
	Ocu__Agent__Run run;
	char *argv[3];

	guest_run_request(&r, &run, argv, &what);
	return guest_call(g, &r);
}

static inline int guest_said(const ProtobufCBinaryData *b, const char *text)
{
	return b->len == strlen(text) && (b->len == 0 || memcmp(b->data, text, b->len) == 0);
}

#endif
