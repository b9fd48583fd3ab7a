/*
 * egress: what every part of the process shares: its limits, its evidence, the denylist and the number of
 * open connections. Made in main before the first thread, constant afterwards but for the atomics.
 */
#ifndef EGRESSD_EGRESS_H
#define EGRESSD_EGRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct ocu_audit;
struct ocu_denylist;
struct registry;
struct worker;

#define EGRESS_WORKERS_MAX 16u

struct limits {
	unsigned session_connections; /* open connections of one session */
	unsigned connect_rate; /* connections a second of one session, ten times as many at once; more wait */
	unsigned connections;  /* of all sessions; each takes two descriptors */
	unsigned names;        /* made-up addresses of one session */
	unsigned dns_rate;     /* lookups a second of one session */
	unsigned answer_ttl_s;
	unsigned head_ms;  /* for the bytes that name the destination */
	unsigned quiet_ms; /* how long a guest may say nothing before the server is dialled on ports not 80 or
	                      443 */
	unsigned resolve_ms;
	unsigned connect_ms;
	unsigned idle_ms;
	bool refuse_own; /* refuse addresses of this host */
	int family;      /* AF_INET, AF_INET6, AF_UNSPEC for both */
};

struct egress {
	struct limits limits;
	char *resolvers; /* "ip:port,ip:port" for c-ares, NULL: the system's */
	struct ocu_audit *audit;
	struct ocu_denylist *denylist;
	struct registry *registry;
	struct worker *workers[EGRESS_WORKERS_MAX];
	unsigned nworkers;
	atomic_uint open; /* connections */
};

#endif
