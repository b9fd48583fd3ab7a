/* netlink: see netlink.h. */
#include "sandboxd/netlink.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libocu/err.h"

/* One request; every message here is far smaller than this. */
struct message {
	struct nlmsghdr h;
	char body[1024];
};

static void begin(struct message *m, int type, int flags, const void *head, size_t len)
{
	memset(m, 0, sizeof *m);
	m->h.nlmsg_type = (uint16_t)type;
	m->h.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	m->h.nlmsg_len = NLMSG_LENGTH(len);
	memcpy(NLMSG_DATA(&m->h), head, len);
}

static struct rtattr *put(struct message *m, int type, const void *data, size_t len)
{
	struct rtattr *a = (struct rtattr *)(void *)((char *)m + NLMSG_ALIGN(m->h.nlmsg_len));

	a->rta_type = (unsigned short)type;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	if (len > 0)
		memcpy(RTA_DATA(a), data, len);
	m->h.nlmsg_len = (uint32_t)(NLMSG_ALIGN(m->h.nlmsg_len) + RTA_ALIGN(a->rta_len));
	return a;
}

/* Nested attributes: everything put between begin and end is inside. */
static void nest_end(struct message *m, struct rtattr *a)
{
	a->rta_len = (unsigned short)((char *)m + m->h.nlmsg_len - (char *)a);
}

static int talk(int fd, struct message *m, const char *what, struct ocu_error *err)
{
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
		char rest[1024];
	} answer;
	ssize_t n;

	if (send(fd, m, m->h.nlmsg_len, 0) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "%s", what);
	do
		n = recv(fd, &answer, sizeof answer, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "%s", what);
	if (n < (ssize_t)(sizeof answer.h + sizeof answer.e) || answer.h.nlmsg_type != NLMSG_ERROR)
		return ocu_error_set(err, OCU_E_IO, "%s: unexpected answer", what);
	if (answer.e.error)
		return ocu_error_errno(err, OCU_E_IO, -answer.e.error, "%s", what);
	return 0;
}

int netlink_open(struct ocu_error *err)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	return fd < 0 ? ocu_error_errno(err, OCU_E_IO, errno, "netlink socket") : fd;
}

int netlink_veth(int fd, const char *name, const char *peer, int peer_ns, struct ocu_error *err)
{
	struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
	struct rtattr *info, *data, *other;
	struct message m;

	begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof link);
	put(&m, IFLA_IFNAME, name, strlen(name) + 1);
	info = put(&m, IFLA_LINKINFO, NULL, 0);
	put(&m, IFLA_INFO_KIND, "veth", 4);
	data = put(&m, IFLA_INFO_DATA, NULL, 0);
	other = put(&m, VETH_INFO_PEER, &link, sizeof link);
	put(&m, IFLA_IFNAME, peer, strlen(peer) + 1);
	put(&m, IFLA_NET_NS_FD, &peer_ns, sizeof peer_ns);
	nest_end(&m, other);
	nest_end(&m, data);
	nest_end(&m, info);
	return talk(fd, &m, "making a veth pair", err);
}

int netlink_address(int fd, const char *name, uint32_t address, unsigned prefix, struct ocu_error *err)
{
	struct ifaddrmsg a = {.ifa_family = AF_INET, .ifa_prefixlen = (uint8_t)prefix};
	struct message m;

	a.ifa_index = if_nametoindex(name);
	begin(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &a, sizeof a);
	put(&m, IFA_LOCAL, &address, sizeof address);
	put(&m, IFA_ADDRESS, &address, sizeof address);
	return talk(fd, &m, "adding an address", err);
}

int netlink_up(int fd, const char *name, struct ocu_error *err)
{
	struct ifinfomsg link = {.ifi_family = AF_UNSPEC, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	struct message m;

	link.ifi_index = (int)if_nametoindex(name);
	begin(&m, RTM_NEWLINK, 0, &link, sizeof link);
	return talk(fd, &m, "setting a link up", err);
}

int netlink_default_route(int fd, uint32_t gateway, struct ocu_error *err)
{
	struct rtmsg r = {.rtm_family = AF_INET,
	                  .rtm_table = RT_TABLE_MAIN,
	                  .rtm_protocol = RTPROT_STATIC,
	                  .rtm_scope = RT_SCOPE_UNIVERSE,
	                  .rtm_type = RTN_UNICAST};
	struct message m;

	begin(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &r, sizeof r);
	put(&m, RTA_GATEWAY, &gateway, sizeof gateway);
	return talk(fd, &m, "adding the default route", err);
}
