/* addr: the deny-set as two tables. Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC
 * 6890). */
#include "egressd/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libocu/cleanup.h"

struct range4 {
	uint32_t net;
	unsigned bits;
	const char *name;
};

#define IP4(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

static const struct range4 denied4[] = {
    {IP4(0, 0, 0, 0), 8, "this-network"},
    {IP4(10, 0, 0, 0), 8, "private-use"},
    {IP4(100, 64, 0, 0), 10, "shared-address-space"},
    {IP4(127, 0, 0, 0), 8, "loopback"},
    {IP4(169, 254, 0, 0), 16, "link-local"}, /* 169.254.169.254 */
    {IP4(172, 16, 0, 0), 12, "private-use"},
    {IP4(168, 63, 129, 16), 32, "cloud-metadata"},
    {IP4(192, 0, 0, 0), 24, "ietf-protocol-assignments"},
    {IP4(192, 0, 2, 0), 24, "documentation"},
    {IP4(192, 31, 196, 0), 24, "as112"},
    {IP4(192, 52, 193, 0), 24, "amt"},
    {IP4(192, 88, 99, 0), 24, "6to4-relay"},
    {IP4(192, 168, 0, 0), 16, "private-use"},
    {IP4(192, 175, 48, 0), 24, "as112"},
    {IP4(198, 18, 0, 0), 15, "benchmarking"},
    {IP4(198, 51, 100, 0), 24, "documentation"},
    {IP4(203, 0, 113, 0), 24, "documentation"},
    {IP4(224, 0, 0, 0), 4, "multicast"},
    {IP4(240, 0, 0, 0), 4, "reserved"}, /* 255.255.255.255 too */
};

struct range6 {
	uint8_t net[16];
	unsigned bits;
	const char *name;
};

static const struct range6 denied6[] = {
    {{0}, 128, "unspecified"},
    {{[15] = 1}, 128, "loopback"},
    {{[10] = 0xff, [11] = 0xff}, 96, "ipv4-mapped"},
    {{0}, 96, "ipv4-compatible"},
    {{0x00, 0x64, 0xff, 0x9b}, 96, "nat64"},
    {{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, "nat64-local"},
    {{0x01}, 64, "discard-only"},
    {{0x01, 0, 0, 0, 0, 0, 0, 1}, 64, "dummy-prefix"},
    {{0x20, 0x01}, 32, "teredo"},
    {{0x20, 0x01}, 23, "ietf-protocol-assignments"},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, "documentation"},
    {{0x20, 0x02}, 16, "6to4"},
    {{0x26, 0x20, 0x00, 0x4f, 0x80}, 48, "as112"},
    {{0x3f, 0xfe}, 16, "6bone"},
    {{0x3f, 0xff}, 20, "documentation"},
    {{0x5f, 0x00}, 16, "srv6-sids"},
    {{0xfc}, 7, "unique-local"}, /* fd00:ec2::254 */
    {{0xfe, 0x80}, 10, "link-local"},
    {{0xfe, 0xc0}, 10, "site-local"},
    {{0xff}, 8, "multicast"},
};

static bool in_range6(const uint8_t a[16], const struct range6 *r)
{
	unsigned bytes = r->bits / 8, rest = r->bits % 8;

	if (memcmp(a, r->net, bytes) != 0)
		return false;
	return rest == 0 || ((a[bytes] ^ r->net[bytes]) >> (8 - rest)) == 0;
}

static const char *forbidden6(const uint8_t a[16])
{
	for (size_t i = 0; i < sizeof denied6 / sizeof *denied6; i++)
		if (in_range6(a, &denied6[i]))
			return denied6[i].name;
	/* 2000::/3 is the only global unicast space assigned; what lies outside is not a destination. */
	if (a[0] >> 5 != 1)
		return "not-global-unicast";
	/* ISATAP (RFC 5214): interface id 0:5efe or 200:5efe and an IPv4 address. */
	static const uint8_t isatap[] = {0x00, 0x00, 0x5e, 0xfe};
	if ((a[8] & 0xfd) == 0 && memcmp(a + 9, isatap + 1, 3) == 0)
		return "isatap";
	return NULL;
}

const char *addr_forbidden(const union addr *a)
{
	if (a->sa.sa_family == AF_INET6)
		return forbidden6(a->in6.sin6_addr.s6_addr);
	if (a->sa.sa_family != AF_INET)
		return "unknown-family";
	uint32_t ip = ntohl(a->in.sin_addr.s_addr);
	for (size_t i = 0; i < sizeof denied4 / sizeof *denied4; i++)
		if ((ip ^ denied4[i].net) >> (32 - denied4[i].bits) == 0)
			return denied4[i].name;
	return NULL;
}

static bool no_route(int code)
{
	return code == ENETUNREACH || code == EHOSTUNREACH || code == EADDRNOTAVAIL || code == ENETDOWN;
}

bool addr_is_local(const union addr *a)
{
	OCU_CLOSE int fd = socket(a->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	union addr to = *a, from = {0};
	socklen_t len = sizeof from;

	if (fd < 0)
		return errno != EAFNOSUPPORT;
	addr_set_port(&to, 9);
	/* Connecting a datagram socket only selects a route. For a local destination the kernel picks the
	 * destination itself as the source. */
	if (connect(fd, &to.sa, addr_len(&to)) < 0)
		return !no_route(errno);
	return getsockname(fd, &from.sa, &len) < 0 || addr_equal(&from, a, false);
}

bool addr_equal(const union addr *a, const union addr *b, bool with_port)
{
	if (a->sa.sa_family != b->sa.sa_family || (with_port && addr_port(a) != addr_port(b)))
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 16) == 0;
}

socklen_t addr_len(const union addr *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof a->in6 : sizeof a->in;
}

uint16_t addr_port(const union addr *a)
{
	return ntohs(a->sa.sa_family == AF_INET6 ? a->in6.sin6_port : a->in.sin_port);
}

void addr_set_port(union addr *a, uint16_t port)
{
	if (a->sa.sa_family == AF_INET6)
		a->in6.sin6_port = htons(port);
	else
		a->in.sin_port = htons(port);
}

void addr_format(const union addr *a, char out[ADDR_TEXT_MAX])
{
	char text[INET6_ADDRSTRLEN] = "?";
	bool six = a->sa.sa_family == AF_INET6;
	uint16_t port = addr_port(a);

	inet_ntop(a->sa.sa_family, six ? (const void *)&a->in6.sin6_addr : (const void *)&a->in.sin_addr,
	          text, sizeof text);
	if (port == 0)
		snprintf(out, ADDR_TEXT_MAX, "%s", text);
	else
		snprintf(out, ADDR_TEXT_MAX, six ? "[%s]:%u" : "%s:%u", text, port);
}
