/*
 * addr: which addresses the edge never dials, whatever name led to them: everything the IANA special-purpose
 * registries list (IPv4 and IPv6), multicast, addresses that embed an IPv4 address, cloud metadata services,
 * and for IPv6 all that is not global unicast (NFR-SEC-12). Always in force; no option opens a range.
 */
#ifndef EGRESSD_ADDR_H
#define EGRESSD_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDR_TEXT_MAX 64

union addr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* Name of the range that forbids the address ("private-use"), or NULL when it may be dialled. Anything but
 * AF_INET and AF_INET6 is forbidden. */
const char *addr_forbidden(const union addr *a);
/* Whether the address is one of this host's own: asks the kernel's routing, sends nothing. What nothing leads
 * to is not; where the kernel cannot be asked, it is taken to be. */
bool addr_is_local(const union addr *a);
bool addr_equal(const union addr *a, const union addr *b, bool with_port);
socklen_t addr_len(const union addr *a);
uint16_t addr_port(const union addr *a);
void addr_set_port(union addr *a, uint16_t port);
/* "192.0.2.1:443", "[2001:db8::1]:443"; without the port when it is 0. */
void addr_format(const union addr *a, char out[ADDR_TEXT_MAX]);

#endif
