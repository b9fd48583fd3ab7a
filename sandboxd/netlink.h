/*
 * netlink: the few things asked of the kernel's routing socket (rtnetlink(7)), in the network namespace of
 * the calling thread. One request, one acknowledgement.
 */
#ifndef OCU_SANDBOXD_NETLINK_H
#define OCU_SANDBOXD_NETLINK_H

#include <stdint.h>

struct ocu_error;

int netlink_open(struct ocu_error *err); /* fd */
/* A veth pair: `name` here, `peer` in the namespace of descriptor peer_ns. */
int netlink_veth(int fd, const char *name, const char *peer, int peer_ns, struct ocu_error *err);
/* address in network byte order. */
int netlink_address(int fd, const char *name, uint32_t address, unsigned prefix, struct ocu_error *err);
int netlink_up(int fd, const char *name, struct ocu_error *err);
int netlink_default_route(int fd, uint32_t gateway, struct ocu_error *err);

#endif
