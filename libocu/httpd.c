/*
 * httpd: starting and stopping a server. The listening socket is ours and handed to MHD; everything that
 * differs between libmicrohttpd 0.9.75 and 1.0 is in this file.
 */
#include "libocu/httpd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/httpd_internal.h"
#include "libocu/keyfile.h"

#define HEADER_MEMORY  (32u << 10) /* a connection's whole buffer: headers, and a window on the body */
#define BACKLOG        1024
#define PEM_MAX        65536
#define DFLT_THREADS   2
#define DFLT_CONNS     1024
#define DFLT_TIMEOUT_S 30
#define LAST_CHANCE_MS 1000 /* for handlers to answer once they were told to give up */
#define OPTIONS_MAX    16

/* Strict parsing: no Host, spaces in the target and the like are refused. */
#if MHD_VERSION >= 0x00097701
#define STRICT_OPTION                                                                                        \
	{                                                                                                    \
		MHD_OPTION_CLIENT_DISCIPLINE_LVL, 1, NULL                                                    \
	}
#else
#define STRICT_OPTION                                                                                        \
	{                                                                                                    \
		MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL                                                        \
	}
#endif

void ocu_httpd_unref(struct ocu_httpd *h)
{
	if (!h || atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (h->listen_fd >= 0)
		close(h->listen_fd);
	if (h->epoll_fd >= 0)
		close(h->epoll_fd);
	if (h->wake_fd >= 0)
		close(h->wake_fd);
	ocu_keyfile_free(h->key, h->key ? strlen(h->key) : 0);
	free(h->cert);
	free(h->watches);
	pthread_mutex_destroy(&h->lock);
	pthread_cond_destroy(&h->idle);
	free(h);
}

static void cleanup_httpd(struct ocu_httpd **h)
{
	ocu_httpd_unref(*h);
}

/* --- listening --- */

/* "127.0.0.1:8080", "[::1]:0": numeric, so that a name service never decides what is exposed. */
static int parse_listen(const char *text, struct sockaddr_storage *ret, socklen_t *len, struct ocu_error *err)
{
	char host[INET6_ADDRSTRLEN + 2];
	const char *colon = text ? strrchr(text, ':') : NULL;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	size_t n = colon ? (size_t)(colon - text) : 0;
	char *end = NULL;
	unsigned long port = 0;

	memset(ret, 0, sizeof *ret);
	if (colon && colon[1] >= '0' && colon[1] <= '9')
		port = strtoul(colon + 1, &end, 10);
	if (!end || *end || port > 65535 || n == 0 || n >= sizeof host)
		return ocu_error_set(err, OCU_E_CONFIG, "not an address and port: %.64s", text ? text : "");
	memcpy(host, text, n);
	host[n] = '\0';
	if (host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = '\0';
		*len = sizeof *v6;
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		if (inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1)
			return 0;
	} else {
		*len = sizeof *v4;
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		if (inet_pton(AF_INET, host, &v4->sin_addr) == 1)
			return 0;
	}
	return ocu_error_set(err, OCU_E_CONFIG, "not a numeric address: %.64s", text);
}

static int open_listener(struct ocu_httpd *h, struct ocu_error *err)
{
	struct sockaddr_storage sa;
	socklen_t len = 0;
	const int on = 1;
	int rc = parse_listen(h->opts.listen, &sa, &len, err);

	if (rc)
		return rc;
	h->listen_fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (h->listen_fd < 0 || setsockopt(h->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    bind(h->listen_fd, (struct sockaddr *)&sa, len) < 0 || listen(h->listen_fd, BACKLOG) < 0 ||
	    getsockname(h->listen_fd, (struct sockaddr *)&sa, &len) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "listening on %s", h->opts.listen);
	h->port = ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
	                                         : ((struct sockaddr_in *)&sa)->sin_port);
	return 0;
}

/* --- MHD --- */

/* Escapes are decoded in http_target.c and nowhere else. */
static size_t leave_escaped(void *cls, struct MHD_Connection *conn, char *s)
{
	(void)cls;
	(void)conn;
	return strlen(s);
}

static int start_mhd(struct ocu_httpd *h, struct ocu_error *err)
{
	const struct ocu_httpd_opts *o = &h->opts;
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC;
	struct MHD_OptionItem ops[OPTIONS_MAX] = {
	    {MHD_OPTION_LISTEN_SOCKET, h->listen_fd, NULL},
	    {MHD_OPTION_CONNECTION_MEMORY_LIMIT, HEADER_MEMORY, NULL},
	    {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)o->max_conns, NULL},
	    {MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)o->timeout_s, NULL},
	    {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)ocu_http_on_completed, h},
	    {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)ocu_http_on_connection, h},
	    {MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)ocu_http_on_target, h},
	    {MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)leave_escaped, NULL},
	    STRICT_OPTION,
	};
	unsigned n = 9;

	if (o->threads > 1)
		ops[n++] = (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)o->threads, NULL};
	if (o->max_conns_per_ip)
		ops[n++] = (struct MHD_OptionItem){MHD_OPTION_PER_IP_CONNECTION_LIMIT,
		                                   (intptr_t)o->max_conns_per_ip, NULL};
	if (h->cert) {
		const char *prio = o->allow_tls12 ? "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
		                                  : "NORMAL:-VERS-ALL:+VERS-TLS1.3";
		flags |= MHD_USE_TLS;
		ops[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, h->cert};
		ops[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, h->key};
		ops[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)prio};
	}
	ops[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
	h->mhd = MHD_start_daemon(flags, 0, NULL, NULL, ocu_http_on_request, h, MHD_OPTION_ARRAY, ops,
	                          MHD_OPTION_END);
	if (!h->mhd)
		return ocu_error_set(err, OCU_E_IO, "starting the HTTP server on %s%s", o->listen,
		                     h->cert ? " (are certificate and key usable?)" : "");
	h->listen_fd = -1;
	return 0;
}

static int load_tls(struct ocu_httpd *h, struct ocu_error *err)
{
	int rc;

	if (!h->opts.cert_path && !h->opts.key_path)
		return 0;
	if (!h->opts.cert_path || !h->opts.key_path)
		return ocu_error_set(err, OCU_E_CONFIG, "TLS needs a certificate and a key");
	rc = ocu_keyfile_read(h->opts.cert_path, PEM_MAX, false, &h->cert, NULL, err);
	return rc ? rc : ocu_keyfile_read(h->opts.key_path, PEM_MAX, true, &h->key, NULL, err);
}

static int check_options(const struct ocu_httpd_opts *o, struct ocu_error *err)
{
	for (const struct ocu_http_route *r = o->routes; r->method; r++)
		if ((r->flags & OCU_HTTP_BODY_FILE) && !o->spool_dir)
			return ocu_error_set(err, OCU_E_INVALID, "route %s needs a spool folder", r->pattern);
	return ocu_http_routes_check(o->routes, err);
}

int ocu_httpd_start(struct ocu_httpd **ret, const struct ocu_httpd_opts *o, struct ocu_error *err)
{
	OCU_CLEANUP(cleanup_httpd) struct ocu_httpd *h = NULL;
	int rc = check_options(o, err);

	if (rc)
		return rc;
	h = calloc(1, sizeof *h);
	if (!h)
		return ocu_error_set(err, OCU_E_NOMEM, "HTTP server");
	h->opts = *o;
	h->opts.threads = o->threads ? o->threads : DFLT_THREADS;
	h->opts.max_conns = o->max_conns ? o->max_conns : DFLT_CONNS;
	h->opts.timeout_s = o->timeout_s ? o->timeout_s : DFLT_TIMEOUT_S;
	h->listen_fd = h->epoll_fd = h->wake_fd = -1;
	atomic_init(&h->refs, 1);
	pthread_mutex_init(&h->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&h->idle, &attr);
	pthread_condattr_destroy(&attr);
	if ((rc = load_tls(h, err)) || (rc = open_listener(h, err)) || (rc = ocu_http_watch_start(h, err)))
		return rc;
	rc = start_mhd(h, err);
	if (rc) {
		ocu_http_watch_stop(h);
		return rc;
	}
	*ret = ocu_steal(&h);
	return 0;
}

int ocu_httpd_port(const struct ocu_httpd *h)
{
	return h->port;
}

/* --- stopping --- */

static void signal_idle(struct ocu_httpd *h)
{
	if (atomic_load(&h->stopping) == HTTP_RUNNING)
		return;
	pthread_mutex_lock(&h->lock);
	pthread_cond_broadcast(&h->idle);
	pthread_mutex_unlock(&h->lock);
}

void ocu_http_unpin(struct ocu_httpd *h)
{
	if (atomic_fetch_sub(&h->pinning, 1) == 1)
		signal_idle(h);
}

bool ocu_http_enter(struct ocu_httpd *h)
{
	atomic_fetch_add(&h->inside, 1);
	if (atomic_load(&h->stopping) != HTTP_ABANDONED)
		return true;
	ocu_http_exit(h);
	return false;
}

void ocu_http_exit(struct ocu_httpd *h)
{
	if (atomic_fetch_sub(&h->inside, 1) == 1)
		signal_idle(h);
}

void ocu_http_leave(struct ocu_httpd *h)
{
	if (atomic_fetch_sub(&h->active, 1) == 1)
		signal_idle(h);
}

static bool wait_zero(struct ocu_httpd *h, _Atomic unsigned *count, unsigned ms)
{
	struct timespec until;
	bool zero;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&h->lock);
	while (!(zero = atomic_load(count) == 0))
		if (pthread_cond_timedwait(&h->idle, &h->lock, &until) == ETIMEDOUT)
			break;
	pthread_mutex_unlock(&h->lock);
	return zero || atomic_load(count) == 0;
}

/* Tells everything that is still waiting to give up, and ends the streams. */
static void cancel_suspended(struct ocu_httpd *h)
{
	struct ocu_http_req **list = NULL;
	size_t n = 0;

	pthread_mutex_lock(&h->lock);
	for (const struct ocu_http_req *r = h->suspended; r; r = r->next)
		n++;
	list = calloc(n + 1, sizeof *list);
	n = 0;
	for (struct ocu_http_req *r = list ? h->suspended : NULL; r; r = r->next) {
		atomic_fetch_add(&r->refs, 1);
		list[n++] = r;
	}
	pthread_mutex_unlock(&h->lock);
	for (size_t i = 0; i < n; i++) {
		ocu_http_client_gone(list[i]);
		ocu_http_req_unref(list[i], 1);
	}
	free(list);
}

/* MHD aborts the process when it is stopped with suspended connections. When a handler does not answer even
 * now, the server is left running with its callbacks cut off: the process is ending, and memory that a late
 * answer may touch must stay. */
static void abandon(struct ocu_httpd *h)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct ocu_httpd *list;

	atomic_store(&h->stopping, HTTP_ABANDONED);
	pthread_mutex_lock(&lock);
	h->abandoned = list;
	list = h;
	pthread_mutex_unlock(&lock);
	/* Who went in before this is out of the daemon's callback before the daemon takes anything apart. */
	wait_zero(h, &h->inside, LAST_CHANCE_MS);
}

bool ocu_httpd_stop(struct ocu_httpd *h, unsigned drain_ms)
{
	if (!h)
		return true;
	atomic_store(&h->stopping, HTTP_DRAINING);
	if (!wait_zero(h, &h->active, drain_ms)) {
		atomic_store(&h->stopping, HTTP_CLOSING);
		cancel_suspended(h);
	}
	/* Also after a full drain: an answering thread lets go of MHD only with its unpin. */
	if (!wait_zero(h, &h->pinning, LAST_CHANCE_MS)) {
		abandon(h);
		return false;
	}
	MHD_stop_daemon(h->mhd);
	ocu_http_watch_stop(h);
	ocu_httpd_unref(h);
	return true;
}
