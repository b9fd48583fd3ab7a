/* lookup: c-ares sockets as watches, its timeouts as one timer, a direct-mapped cache in front. */
#include "egressd/lookup.h"

#include <ares.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/time.h>

#include "egressd/egress.h"
#include "egressd/worker.h"
#include "libocu/err.h"

struct dns_socket {
	struct grave grave;
	struct watch watch;
	struct lookups *owner;
	struct dns_socket *next;
};

struct question {
	struct lookups *owner;
	struct lookup_wait *waiting;
	struct question *next;
	char host[HOST_MAX + 1];
};

struct cached {
	uint64_t until_ms;
	size_t n;
	union addr addrs[LOOKUP_ADDRS_MAX];
	char host[HOST_MAX + 1];
};

struct lookups {
	struct worker *worker;
	ares_channel channel;
	struct timer timer;
	struct dns_socket *sockets;
	struct question *questions;
	struct cached *cache[LOOKUP_CACHE];
	uint64_t secret;
};

static void settle(struct lookups *l)
{
	struct timeval tv;
	struct timeval *next = ares_timeout(l->channel, NULL, &tv);

	if (!next)
		timers_cancel(&l->worker->timers, &l->timer);
	else
		timers_set(&l->worker->timers, &l->timer,
		           l->worker->now_ms + (uint64_t)next->tv_sec * 1000 +
		               (uint64_t)next->tv_usec / 1000 + 1);
}

static void on_timer(struct timer *t)
{
	struct lookups *l = (struct lookups *)((char *)t - offsetof(struct lookups, timer));

	ares_process_fd(l->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	settle(l);
}

static void on_socket(struct watch *w, uint32_t events)
{
	struct dns_socket *s = (struct dns_socket *)((char *)w - offsetof(struct dns_socket, watch));
	struct lookups *l = s->owner;
	bool failed = events & (EPOLLERR | EPOLLHUP);

	ares_process_fd(l->channel, failed || (events & EPOLLIN) ? w->fd : ARES_SOCKET_BAD,
	                failed || (events & EPOLLOUT) ? w->fd : ARES_SOCKET_BAD);
	settle(l);
}

static void free_socket(struct grave *g)
{
	free((char *)g - offsetof(struct dns_socket, grave));
}

/* c-ares closes its sockets itself, right after it says that it wants nothing of them any more. */
static void on_state(void *data, ares_socket_t fd, int readable, int writable)
{
	struct lookups *l = data;
	struct dns_socket **p = &l->sockets;
	uint32_t events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);

	while (*p && (*p)->watch.fd != fd)
		p = &(*p)->next;
	struct dns_socket *s = *p;
	if (!s && events) {
		s = calloc(1, sizeof *s);
		if (!s)
			return; /* the question times out */
		s->owner = l;
		s->watch = (struct watch){.fd = fd, .ready = on_socket};
		s->next = l->sockets;
		l->sockets = s;
	}
	if (s)
		worker_watch(l->worker, &s->watch, events);
	if (s && !events) {
		*p = s->next;
		s->grave.free = free_socket;
		worker_bury(l->worker, &s->grave);
	}
}

static struct cached **cache_slot(struct lookups *l, const char *host)
{
	uint64_t h = l->secret;

	for (; *host; host++)
		h = (h ^ (unsigned char)*host) * 0x100000001b3u;
	return &l->cache[(h >> 32) % LOOKUP_CACHE];
}

static void remember(struct lookups *l, const char *host, const union addr *addrs, size_t n, int ttl)
{
	uint64_t keep =
	    ttl > (int)(LOOKUP_KEEP_MS / 1000) ? LOOKUP_KEEP_MS : (uint64_t)(ttl > 0 ? ttl : 0) * 1000;
	struct cached **slot = cache_slot(l, host);

	free(*slot);
	*slot = keep ? malloc(sizeof **slot) : NULL;
	if (!*slot)
		return;
	(*slot)->until_ms = l->worker->now_ms + keep;
	(*slot)->n = n;
	memcpy((*slot)->addrs, addrs, n * sizeof *addrs);
	memcpy((*slot)->host, host, strlen(host) + 1);
}

/* All addresses of the answer, or 0 when there are more than we would check. */
static size_t collect(const struct ares_addrinfo *ai, union addr *addrs, int *ttl)
{
	size_t n = 0;

	*ttl = LOOKUP_KEEP_MS / 1000;
	for (const struct ares_addrinfo_cname *c = ai->cnames; c; c = c->next)
		*ttl = c->ttl < *ttl ? c->ttl : *ttl;
	for (const struct ares_addrinfo_node *a = ai->nodes; a; a = a->ai_next) {
		if (n == LOOKUP_ADDRS_MAX)
			return 0;
		if ((size_t)a->ai_addrlen > sizeof *addrs)
			continue;
		addrs[n] = (union addr){0};
		memcpy(&addrs[n++], a->ai_addr, a->ai_addrlen);
		*ttl = a->ai_ttl < *ttl ? a->ai_ttl : *ttl;
	}
	return n;
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *ai)
{
	struct question *q = arg;
	struct lookups *l = q->owner;
	union addr addrs[LOOKUP_ADDRS_MAX];
	size_t n = 0;
	int ttl = 0;

	(void)timeouts;
	if (status == ARES_SUCCESS && ai)
		n = collect(ai, addrs, &ttl);
	if (ai)
		ares_freeaddrinfo(ai);
	if (n)
		remember(l, q->host, addrs, n, ttl);
	struct question **p = &l->questions;
	while (*p && *p != q)
		p = &(*p)->next;
	if (*p)
		*p = q->next;
	while (q->waiting) {
		struct lookup_wait *w = q->waiting;
		lookup_cancel(w);
		w->done(w, n ? 0 : OCU_E_EGRESS_RESOLVE, addrs, n);
	}
	free(q);
}

static struct question *ask(struct lookups *l, const char *host)
{
	struct question *q = calloc(1, sizeof *q);

	if (!q)
		return NULL;
	q->owner = l;
	memcpy(q->host, host, strlen(host) + 1);
	q->next = l->questions;
	l->questions = q;
	return q;
}

static struct cached *kept(struct lookups *l, const char *host)
{
	struct cached *c = *cache_slot(l, host);

	return c && strcmp(c->host, host) == 0 && c->until_ms > l->worker->now_ms ? c : NULL;
}

bool lookup_known(struct lookups *l, const char *host)
{
	return kept(l, host) != NULL;
}

void lookup_start(struct lookups *l, const char *host, struct lookup_wait *wait)
{
	const struct ares_addrinfo_hints hints = {.ai_family = l->worker->egress->limits.family,
	                                          .ai_socktype = SOCK_STREAM};
	struct cached *c = kept(l, host);

	wait->prev = NULL;
	if (c) {
		/* By value: what done() starts may replace the entry. */
		struct cached copy = *c;
		wait->done(wait, 0, copy.addrs, copy.n);
		return;
	}
	struct question *q = l->questions;
	while (q && strcmp(q->host, host) != 0)
		q = q->next;
	bool fresh = !q;
	if (!q && !(q = ask(l, host))) {
		wait->done(wait, OCU_E_EGRESS_RESOLVE, NULL, 0);
		return;
	}
	wait->next = q->waiting;
	wait->prev = &q->waiting;
	if (wait->next)
		wait->next->prev = &wait->next;
	q->waiting = wait;
	if (fresh) {
		ares_getaddrinfo(l->channel, host, NULL, &hints, on_answer, q);
		settle(l);
	}
}

void lookup_cancel(struct lookup_wait *wait)
{
	if (!wait->prev)
		return;
	*wait->prev = wait->next;
	if (wait->next)
		wait->next->prev = wait->prev;
	wait->prev = NULL;
}

static int open_channel(struct lookups *l, struct ocu_error *err)
{
	const struct egress *e = l->worker->egress;
	char lookups[] = "b";
	/* c-ares 1.18 does not heed ARES_FLAG_NOSEARCH in ares_getaddrinfo(): the empty list of domains
	 * keeps the system's away. */
	struct ares_options o = {
	    .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
	    .timeout = (int)e->limits.resolve_ms / 3 + 1,
	    .tries = 2,
	    .lookups = lookups,
	    .domains = NULL,
	    .ndomains = 0,
	    .sock_state_cb = on_state,
	    .sock_state_cb_data = l,
	};
	int rc = ares_init_options(&l->channel, &o,
	                           ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
	                               ARES_OPT_DOMAINS | ARES_OPT_SOCK_STATE_CB);
	if (rc != ARES_SUCCESS)
		return ocu_error_set(err, OCU_E_CONFIG, "resolver: %s", ares_strerror(rc));
	if (e->resolvers) {
		rc = ares_set_servers_ports_csv(l->channel, e->resolvers);
		if (rc != ARES_SUCCESS)
			return ocu_error_set(err, OCU_E_CONFIG, "resolvers: %s", ares_strerror(rc));
	}
	return 0;
}

int lookups_new(struct lookups **ret, struct worker *w, struct ocu_error *err)
{
	struct lookups *l = calloc(1, sizeof *l);

	if (!l || getrandom(&l->secret, sizeof l->secret, 0) != sizeof l->secret) {
		free(l);
		return ocu_error_set(err, OCU_E_NOMEM, "resolver");
	}
	l->worker = w;
	l->timer.fire = on_timer;
	int rc = open_channel(l, err);
	if (rc) {
		lookups_free(l);
		return rc;
	}
	*ret = l;
	return 0;
}

void lookups_free(struct lookups *l)
{
	if (!l)
		return;
	if (l->channel)
		ares_destroy(l->channel);
	timers_cancel(&l->worker->timers, &l->timer);
	for (unsigned i = 0; i < LOOKUP_CACHE; i++)
		free(l->cache[i]);
	free(l);
}
