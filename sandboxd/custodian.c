/* custodian: see custodian.h. */
#include "sandboxd/custodian.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "libocu/err.h"
#include "libocu/fdpass.h"
#include "libocu/jail.h"
#include "libocu/log.h"

#define ANSWER_S  5
#define RETRY_MIN 20 /* ms between attempts to connect */
#define RETRY_MAX 500
#define TICK_MS   1000

struct custodian {
	struct custodian_opts o;
	char path[108];
	pthread_mutex_t lock; /* one handover at a time; also guards fd */
	int fd;
	bool broken; /* the conversation on fd cannot go on */
	int wake;    /* eventfd: stop, or broken */
	bool stopping;
	pthread_t thread;
};

static bool stopping(struct custodian *c)
{
	bool s;

	pthread_mutex_lock(&c->lock);
	s = c->stopping;
	pthread_mutex_unlock(&c->lock);
	return s;
}

static void wake_up(struct custodian *c)
{
	eventfd_write(c->wake, 1);
}

static int connect_once(struct custodian *c, struct ocu_error *err)
{
	const struct timeval limit = {.tv_sec = ANSWER_S};
	int fd = ocu_fdpass_connect(c->path, c->o.uid, err);

	if (fd < 0)
		return fd;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	pthread_mutex_lock(&c->lock);
	c->fd = fd;
	c->broken = false;
	pthread_mutex_unlock(&c->lock);
	return 0;
}

static void disconnect(struct custodian *c)
{
	pthread_mutex_lock(&c->lock);
	close(c->fd);
	c->fd = -1;
	pthread_mutex_unlock(&c->lock);
}

/* Waits for the end of the connection, a stop, or the next tick; true when connected still. */
static bool watch(struct custodian *c)
{
	struct pollfd p[] = {{.fd = c->fd, .events = POLLRDHUP}, {.fd = c->wake, .events = POLLIN}};
	eventfd_t n;
	bool broken;

	if (poll(p, 2, TICK_MS) < 0 && errno != EINTR)
		return false;
	if (p[1].revents)
		eventfd_read(c->wake, &n);
	pthread_mutex_lock(&c->lock);
	broken = c->broken || c->stopping;
	pthread_mutex_unlock(&c->lock);
	return !broken && !(p[0].revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static void serve_connection(struct custodian *c)
{
	ocu_log(OCU_LOG_INFO, "custodian.connected", NULL, "custodian", c->o.name, NULL);
	if (c->o.connected)
		c->o.connected(c->o.arg);
	while (watch(c))
		if (c->o.tick)
			c->o.tick(c->o.arg);
	disconnect(c);
	if (stopping(c))
		return;
	ocu_log(OCU_LOG_WARN, "custodian.lost", NULL, "custodian", c->o.name, NULL);
	if (c->o.lost)
		c->o.lost(c->o.arg);
}

static void *run(void *arg)
{
	struct custodian *c = arg;
	unsigned wait = RETRY_MIN;
	bool told = false;

	while (!stopping(c)) {
		struct ocu_error err = {0};
		struct pollfd p = {.fd = c->wake, .events = POLLIN};

		if (connect_once(c, &err) == 0) {
			serve_connection(c);
			wait = RETRY_MIN;
			told = false;
			continue;
		}
		/* A custodian that is not up yet is no event; one that is somebody else is. */
		if (!told && err.code == OCU_E_PEER_UNKNOWN)
			ocu_log_error(OCU_LOG_ERROR, "custodian.refused", NULL, &err);
		told = true;
		poll(&p, 1, (int)wait);
		wait = wait * 2 < RETRY_MAX ? wait * 2 : RETRY_MAX;
	}
	return NULL;
}

static int make_folder(const struct custodian_opts *o, struct ocu_error *err)
{
	char dir[sizeof((struct custodian *)0)->path];
	char *slash;
	int rc;

	snprintf(dir, sizeof dir, "%s", o->path);
	slash = strrchr(dir, '/');
	if (!o->make_folder || !slash || slash == dir)
		return 0;
	*slash = '\0';
	rc = ocu_jail_mkdir(dir, o->uid, o->uid, 0755, err);
	return rc ? ocu_error_add(err, "%s_socket", o->name) : 0;
}

int custodian_start(struct custodian **ret, const struct custodian_opts *o, struct ocu_error *err)
{
	struct custodian *c = calloc(1, sizeof *c);
	int rc;

	if (!c)
		return ocu_error_set(err, OCU_E_NOMEM, "custodian");
	c->o = *o;
	c->fd = -1;
	pthread_mutex_init(&c->lock, NULL);
	c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (snprintf(c->path, sizeof c->path, "%s", o->path) >= (int)sizeof c->path)
		rc = ocu_error_set(err, OCU_E_CONFIG, "%s_socket: path too long for a socket", o->name);
	else if (c->wake < 0)
		rc = ocu_error_errno(err, OCU_E_IO, errno, "eventfd");
	else if ((rc = make_folder(&c->o, err)) == 0 && (rc = pthread_create(&c->thread, NULL, run, c)))
		rc = ocu_error_errno(err, OCU_E_NOMEM, rc, "starting a thread");
	if (rc) {
		if (c->wake >= 0)
			close(c->wake);
		free(c);
		return rc;
	}
	*ret = c;
	return 0;
}

void custodian_stop(struct custodian *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->stopping = true;
	pthread_mutex_unlock(&c->lock);
	wake_up(c);
	pthread_join(c->thread, NULL);
	close(c->wake);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

int custodian_connected(struct custodian *c)
{
	int yes;

	pthread_mutex_lock(&c->lock);
	yes = c->fd >= 0 && !c->broken;
	pthread_mutex_unlock(&c->lock);
	return yes;
}

static int exchange(struct custodian *c, const Ocu__Handover__Handover *h, const int *fds, size_t nfds,
                    struct ocu_error *err)
{
	ProtobufCMessage *m = NULL;
	const Ocu__Handover__Result *r;
	int none[OCU_FDPASS_MAX];
	size_t n = 0;
	int rc;

	if (c->fd < 0 || c->broken)
		return ocu_error_set(err, OCU_E_UNAVAILABLE, "%s is not connected", c->o.name);
	if ((rc = ocu_fdpass_send(c->fd, &h->base, fds, nfds, err)) == 0)
		rc = ocu_fdpass_recv(c->fd, &ocu__handover__result__descriptor, &m, none, &n, err);
	if (rc) {
		/* A late answer would be taken for the next one's. */
		c->broken = true;
		wake_up(c);
		return ocu_error_set(err, OCU_E_UNAVAILABLE, "%s does not answer", c->o.name);
	}
	r = (const Ocu__Handover__Result *)m;
	if (r->code)
		rc = ocu_error_set(err, ocu_err_known(r->code) ? r->code : OCU_E_INTERNAL, "%s: %.200s",
		                   c->o.name, r->text);
	protobuf_c_message_free_unpacked(m, NULL);
	while (n > 0)
		close(none[--n]);
	return rc;
}

int custodian_hand(struct custodian *c, const Ocu__Handover__Handover *h, const int *fds, size_t nfds,
                   struct ocu_error *err)
{
	int rc;

	pthread_mutex_lock(&c->lock);
	rc = exchange(c, h, fds, nfds, err);
	pthread_mutex_unlock(&c->lock);
	return rc;
}
