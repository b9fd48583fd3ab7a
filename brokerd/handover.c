/* handover: one thread, a few connections, one packet at a time. */
#include "brokerd/handover.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "brokerd/broker.h"
#include "brokerd/session.h"
#include "libocu/err.h"
#include "libocu/fdpass.h"
#include "libocu/id.h"
#include "libocu/log.h"
#include "proto/handover.pb-c.h"

#define CONNS   8 /* sandboxd keeps one; a new one may overlap the old when it restarts */
#define BACKLOG 8
#define SLOW_S  2 /* a peer that does not take its answer is dropped */

struct handover {
	struct broker *broker;
	uid_t peer;
	int wake;
	pthread_t thread;
	struct pollfd fd[2 + CONNS]; /* wake, listener, connections */
	unsigned conns;
};

int handover_listen(const char *path, uid_t owner, struct ocu_error *err)
{
	return ocu_fdpass_listen(path, owner, err);
}

static int take(struct handover *h, const Ocu__Handover__Handover *m, int *fds, size_t n,
                struct ocu_error *err)
{
	if (m->kind != OCU__HANDOVER__KIND__FUSE || n != 1)
		return ocu_error_set(err, OCU_E_PARAMS, "not one FUSE descriptor");
	if (!ocu_id_valid(OCU_ID_SESSION, m->session_id))
		return ocu_error_set(err, OCU_E_PARAMS, "malformed session id");
	int fd = fds[0];
	fds[0] = -1;
	return session_attach(h->broker, m->session_id, fd, m->guest_uid, err);
}

/* One packet; false when the connection is to be closed. */
static bool serve_packet(struct handover *h, int conn)
{
	ProtobufCMessage *m = NULL;
	int fds[OCU_FDPASS_MAX];
	size_t n = 0;
	struct ocu_error err = {0};
	Ocu__Handover__Result result = OCU__HANDOVER__RESULT__INIT;
	int r = ocu_fdpass_recv(conn, &ocu__handover__handover__descriptor, &m, fds, &n, &err);
	if (r < 0) {
		if (r != OCU_E_UNAVAILABLE)
			ocu_log_error(OCU_LOG_WARN, "handover.refused", NULL, &err);
		return false;
	}
	r = take(h, (const Ocu__Handover__Handover *)m, fds, n, &err);
	for (size_t i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	protobuf_c_message_free_unpacked(m, NULL);
	if (r < 0)
		ocu_log_error(OCU_LOG_WARN, "handover.refused", NULL, &err);
	result.code = r;
	result.text = err.text;
	return ocu_fdpass_send(conn, &result.base, NULL, 0, &err) == 0;
}

static void accept_one(struct handover *h)
{
	struct ocu_error err = {0};
	struct timeval slow = {.tv_sec = SLOW_S};
	int fd = ocu_fdpass_accept(h->fd[1].fd, h->peer, &err);
	if (fd < 0) {
		ocu_log_error(OCU_LOG_WARN, "handover.peer_refused", NULL, &err);
		return;
	}
	if (h->conns == CONNS) {
		ocu_log(OCU_LOG_WARN, "handover.too_many_connections", NULL, NULL);
		close(fd);
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &slow, sizeof slow);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &slow, sizeof slow);
	h->fd[2 + h->conns++] = (struct pollfd){.fd = fd, .events = POLLIN};
}

static void *run(void *arg)
{
	struct handover *h = arg;
	for (;;) {
		if (poll(h->fd, 2 + h->conns, -1) < 0 && errno != EINTR)
			break;
		if (h->fd[0].revents)
			break;
		for (unsigned i = h->conns; i-- > 0;) {
			struct pollfd *p = &h->fd[2 + i];
			if (!p->revents || serve_packet(h, p->fd))
				continue;
			close(p->fd);
			*p = h->fd[2 + --h->conns];
		}
		if (h->fd[1].revents)
			accept_one(h);
	}
	return NULL;
}

static void handover_free(struct handover *h)
{
	for (unsigned i = 0; i < 2 + h->conns; i++)
		if (h->fd[i].fd >= 0)
			close(h->fd[i].fd);
	free(h);
}

int handover_start(struct handover **ret, struct broker *b, int listen_fd, uid_t sandboxd_uid,
                   struct ocu_error *err)
{
	struct handover *h = calloc(1, sizeof *h);
	if (!h) {
		close(listen_fd);
		return ocu_error_set(err, OCU_E_NOMEM, "handover");
	}
	h->broker = b;
	h->peer = sandboxd_uid;
	h->wake = eventfd(0, EFD_CLOEXEC);
	h->fd[0] = (struct pollfd){.fd = h->wake, .events = POLLIN};
	h->fd[1] = (struct pollfd){.fd = listen_fd, .events = POLLIN};
	/* The kernel tells sandboxd who listens by whoever called listen() last: now that is this user and
	 * not root. */
	int e =
	    h->wake < 0 || listen(listen_fd, BACKLOG) < 0 ? errno : pthread_create(&h->thread, NULL, run, h);
	if (e) {
		handover_free(h);
		return ocu_error_errno(err, OCU_E_IO, e, "handover socket");
	}
	*ret = h;
	return 0;
}

void handover_stop(struct handover *h)
{
	if (!h)
		return;
	eventfd_write(h->wake, 1);
	pthread_join(h->thread, NULL);
	handover_free(h);
}
