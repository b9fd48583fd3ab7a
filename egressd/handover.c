/* handover: one thread, a poll set of the listener and a few connections. */
#include "egressd/handover.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "egressd/edge.h"
#include "egressd/egress.h"
#include "egressd/policy.h"
#include "egressd/registry.h"
#include "egressd/worker.h"
#include "libocu/denylist.h"
#include "libocu/err.h"
#include "libocu/fdpass.h"
#include "libocu/log.h"
#include "proto/handover.pb-c.h"

#define SLOT_STOP   0
#define SLOT_LISTEN 1
#define SLOT_PEERS  2
#define SLOTS       (SLOT_PEERS + HANDOVER_PEERS)

struct handover {
	struct egress *egress;
	uid_t sandboxd_uid;
	pthread_t thread;
	struct pollfd slots[SLOTS];
};

/* What each descriptor of an edge handover must be, in order. */
static const struct {
	int type;
	bool listening;
	const char *name;
} wanted[3] = {{SOCK_STREAM, true, "TCP listener"},
               {SOCK_DGRAM, false, "UDP resolver"},
               {SOCK_STREAM, true, "TCP resolver"}};

static int socket_option(int fd, int option)
{
	int value = -1;
	socklen_t len = sizeof value;

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) < 0 ? -1 : value;
}

static int check_sockets(const int *fds, size_t n, struct ocu_error *err)
{
	if (n != 3)
		return ocu_error_set(err, OCU_E_INVALID, "an edge has three sockets, not %zu", n);
	for (size_t i = 0; i < 3; i++)
		if (socket_option(fds[i], SO_DOMAIN) != AF_INET ||
		    socket_option(fds[i], SO_TYPE) != wanted[i].type ||
		    socket_option(fds[i], SO_ACCEPTCONN) != wanted[i].listening)
			return ocu_error_set(err, OCU_E_INVALID, "descriptor %zu is no IPv4 %s", i,
			                     wanted[i].name);
	return 0;
}

struct opening {
	const char *session_id;
	const int *fds;
	struct ocu_error *err;
};

/* On the worker, so that a policy or a drop that comes at the same time is before it or after it. */
static int open_edge(struct worker *w, void *arg)
{
	const struct opening *o = arg;
	struct policy *policy = NULL;
	struct session *s = registry_find(w->egress->registry, o->session_id, &policy);
	int rc = s ? edge_open(w, s, policy, o->fds, o->err)
	           : ocu_error_set(o->err, OCU_E_SESSION_GONE, "the session was dropped");

	policy_unref(policy);
	session_unref(s);
	return rc;
}

static int adopt(struct egress *e, const Ocu__Handover__Handover *header, const int *fds, size_t n,
                 struct ocu_error *err)
{
	if (header->kind != OCU__HANDOVER__KIND__EDGE)
		return ocu_error_set(err, OCU_E_INVALID, "this custodian takes edge sockets");
	struct session *s = registry_find(e->registry, header->session_id, NULL);
	if (!s)
		return ocu_error_set(err, OCU_E_NOT_FOUND, "the session is not registered");
	int rc = check_sockets(fds, n, err);
	if (rc == 0)
		rc = ocu_denylist_check(e->denylist, OCU_DENY_SESSION, s->id, err);
	if (rc == 0)
		rc = ocu_denylist_check(e->denylist, OCU_DENY_CALLER, s->caller, err);
	if (rc == 0)
		rc = worker_call(s->worker, open_edge, &(struct opening){header->session_id, fds, err});
	session_unref(s);
	return rc;
}

/* False: the connection is over. */
static bool serve(struct handover *h, int fd)
{
	Ocu__Handover__Result result = OCU__HANDOVER__RESULT__INIT;
	ProtobufCMessage *m = NULL;
	struct ocu_error err = {0};
	int fds[OCU_FDPASS_MAX];
	size_t n = 0;

	int rc = ocu_fdpass_recv(fd, &ocu__handover__handover__descriptor, &m, fds, &n, &err);
	if (rc == OCU_E_UNAVAILABLE)
		return false;
	if (rc == 0)
		rc = adopt(h->egress, (const Ocu__Handover__Handover *)m, fds, n, &err);
	if (rc) {
		ocu_log_error(OCU_LOG_WARN, "handover.refused", NULL, &err);
		for (size_t i = 0; i < n; i++)
			close(fds[i]);
	}
	result.code = rc;
	result.text = rc ? (char *)ocu_err_text(rc) : (char *)"";
	if (m)
		protobuf_c_message_free_unpacked(m, NULL);
	return ocu_fdpass_send(fd, &result.base, NULL, 0, NULL) == 0;
}

static void take_peer(struct handover *h)
{
	const struct timeval patience = {.tv_sec = 2};
	struct ocu_error err = {0};
	int fd = ocu_fdpass_accept(h->slots[SLOT_LISTEN].fd, h->sandboxd_uid, &err);

	if (fd < 0) {
		ocu_log_error(OCU_LOG_WARN, "handover.peer_refused", NULL, &err);
		return;
	}
	/* A peer that does not read its results must not hold the thread. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	for (int i = SLOT_PEERS; i < SLOTS; i++)
		if (h->slots[i].fd < 0) {
			h->slots[i].fd = fd;
			return;
		}
	close(fd);
}

static void *loop(void *arg)
{
	struct handover *h = arg;

	while (!(h->slots[SLOT_STOP].revents & POLLIN)) {
		if (poll(h->slots, SLOTS, -1) < 0)
			continue;
		if (h->slots[SLOT_LISTEN].revents)
			take_peer(h);
		for (int i = SLOT_PEERS; i < SLOTS; i++)
			if (h->slots[i].fd >= 0 && h->slots[i].revents && !serve(h, h->slots[i].fd)) {
				close(h->slots[i].fd);
				h->slots[i].fd = -1;
			}
	}
	return NULL;
}

static void handover_free(struct handover *h)
{
	for (int i = 0; i < SLOTS; i++)
		if (h->slots[i].fd >= 0 && i != SLOT_LISTEN)
			close(h->slots[i].fd);
	free(h);
}

int handover_start(struct handover **ret, struct egress *e, int listen_fd, uid_t sandboxd_uid,
                   struct ocu_error *err)
{
	struct handover *h = calloc(1, sizeof *h);

	if (!h)
		return ocu_error_set(err, OCU_E_NOMEM, "handover");
	h->egress = e;
	h->sandboxd_uid = sandboxd_uid;
	for (int i = 0; i < SLOTS; i++)
		h->slots[i] = (struct pollfd){.fd = -1, .events = POLLIN};
	h->slots[SLOT_STOP].fd = eventfd(0, EFD_CLOEXEC);
	h->slots[SLOT_LISTEN].fd = listen_fd;
	int rc = h->slots[SLOT_STOP].fd < 0 ? errno : pthread_create(&h->thread, NULL, loop, h);
	if (rc) {
		handover_free(h);
		return ocu_error_errno(err, OCU_E_IO, rc, "handover thread");
	}
	*ret = h;
	return 0;
}

void handover_stop(struct handover *h)
{
	if (!h)
		return;
	eventfd_write(h->slots[SLOT_STOP].fd, 1);
	pthread_join(h->thread, NULL);
	close(h->slots[SLOT_LISTEN].fd);
	handover_free(h);
}
