/*
 * netns: the network of one sandbox, as two namespaces joined by a veth pair. The guest's has one interface
 * and a default route to the other. The edge's has that interface and nothing else: no way on, forwarding
 * off; every TCP connection and every DNS query that arrives there is redirected to one of three sockets,
 * which egressd holds, and everything else is dropped. A namespace lives by the descriptors (and processes
 * and sockets) that refer to it and has no name on the host.
 */
#ifndef OCU_SANDBOXD_NETNS_H
#define OCU_SANDBOXD_NETNS_H

struct ocu_error;

#define NETNS_EDGE_ADDRESS  "100.64.0.1"
#define NETNS_GUEST_ADDRESS "100.64.0.2"
#define NETNS_PREFIX        30

struct netns_pair {
	int guest; /* descriptors of the namespaces, or -1 */
	int edge;
};

#define NETNS_PAIR_INIT ((struct netns_pair){-1, -1})

enum { NETNS_TCP, NETNS_DNS_UDP, NETNS_DNS_TCP, NETNS_SOCKETS };

/* Makes and joins a pair. Blocks for some milliseconds; the calling thread's own namespace is as before
 * afterwards. */
int netns_make(struct netns_pair *ret, struct ocu_error *err);
void netns_done(struct netns_pair *p);
/* The three sockets of Handover EDGE, bound in the edge namespace: TCP listener, UDP resolver, TCP resolver.
 * Fails while earlier ones are still open somewhere. */
int netns_sockets(const struct netns_pair *p, int fds[NETNS_SOCKETS], struct ocu_error *err);

#endif
