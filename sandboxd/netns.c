/* netns: see netns.h. */
#include "sandboxd/netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <nftables/libnftables.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/log.h"
#include "sandboxd/netlink.h"

#define GUEST_LINK "eth0"
#define EDGE_LINK  "edge0"
#define TCP_PORT   10080
#define DNS_PORT   10053
#define FLOWS_MAX  "16384" /* connections of minutes ago and lookups of seconds ago count, too */
#define STR_(x)    #x
#define STR(x)     STR_(x)
#define TO_TCP     STR(TCP_PORT)
#define TO_DNS     STR(DNS_PORT)

/* What arrives at the edge is redirected or dropped; nothing is forwarded; the edge starts nothing of its
 * own. The kernel remembers every flow in memory of its own, which no limit of the sandbox counts: so there
 * is one for flows. */
static const char ruleset[] = "table ip ocu {\n"
                              " chain bound {\n"
                              "  type filter hook prerouting priority mangle;\n"
                              "  ct state new ct count over " FLOWS_MAX " drop\n"
                              " }\n"
                              " chain arrive {\n"
                              "  type nat hook prerouting priority dstnat;\n"
                              "  tcp dport 53 redirect to :" TO_DNS "\n"
                              "  udp dport 53 redirect to :" TO_DNS "\n"
                              "  meta l4proto tcp redirect to :" TO_TCP "\n"
                              " }\n"
                              " chain input {\n"
                              "  type filter hook input priority filter; policy drop;\n"
                              "  tcp dport { " TO_TCP ", " TO_DNS " } accept\n"
                              "  udp dport " TO_DNS " accept\n"
                              " }\n"
                              " chain forward { type filter hook forward priority filter; policy drop; }\n"
                              " chain output {\n"
                              "  type filter hook output priority filter; policy drop;\n"
                              "  ct state established,related accept\n"
                              " }\n"
                              "}\n";

static int own_netns(struct ocu_error *err)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? ocu_error_errno(err, OCU_E_IO, errno, "opening a network namespace") : fd;
}

static int enter(int ns, struct ocu_error *err)
{
	return setns(ns, CLONE_NEWNET) < 0
	           ? ocu_error_errno(err, OCU_E_IO, errno, "entering a network namespace")
	           : 0;
}

/* A thread that stayed in a sandbox's network would make the next thing it does there: better no thread. */
static void go_back(int home)
{
	if (setns(home, CLONE_NEWNET) < 0) {
		ocu_log(OCU_LOG_ERROR, "netns.lost", NULL, "error", strerror(errno), NULL);
		abort();
	}
}

static int write_sysctl(const char *path, const char *value, int needed, struct ocu_error *err)
{
	OCU_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT && !needed)
		return 0;
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "%s", path);
	return 0;
}

/* Every setting by hand: a new namespace copies some of them from the host's, whatever those are. */
static int no_forwarding_no_ipv6(struct ocu_error *err)
{
	static const struct {
		const char *path, *value;
		int needed;
	} settings[] = {
	    {"/proc/sys/net/ipv4/ip_forward", "0", 1},
	    {"/proc/sys/net/ipv4/conf/all/route_localnet", "0", 1},
	    {"/proc/sys/net/ipv4/conf/default/route_localnet", "0", 1},
	    {"/proc/sys/net/ipv6/conf/all/disable_ipv6", "1", 0},
	    {"/proc/sys/net/ipv6/conf/default/disable_ipv6", "1", 0},
	};

	for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
		int rc = write_sysctl(settings[i].path, settings[i].value, settings[i].needed, err);

		if (rc)
			return rc;
	}
	return 0;
}

static int load_ruleset(struct ocu_error *err)
{
	struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
	int rc = 0;

	if (!nft)
		return ocu_error_set(err, OCU_E_NOMEM, "nftables");
	nft_ctx_buffer_output(nft);
	nft_ctx_buffer_error(nft);
	if (nft_run_cmd_from_buffer(nft, ruleset) != 0)
		rc = ocu_error_set(err, OCU_E_UNSUPPORTED, "nftables: %.300s", nft_ctx_get_error_buffer(nft));
	nft_ctx_free(nft);
	return rc;
}

/* The calling thread enters a new namespace; ret refers to it. */
static int make_one(int *ret, struct ocu_error *err)
{
	int rc;

	if (unshare(CLONE_NEWNET) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "making a network namespace");
	*ret = own_netns(err);
	if (*ret < 0)
		return *ret;
	rc = no_forwarding_no_ipv6(err);
	return rc;
}

static int configure_edge(struct ocu_error *err)
{
	OCU_CLOSE int nl = netlink_open(err);
	int rc;

	if (nl < 0)
		return nl;
	if ((rc = netlink_address(nl, EDGE_LINK, inet_addr(NETNS_EDGE_ADDRESS), NETNS_PREFIX, err)) ||
	    (rc = netlink_up(nl, EDGE_LINK, err)))
		return rc;
	return load_ruleset(err);
}

static int configure_guest(int edge, struct ocu_error *err)
{
	OCU_CLOSE int nl = netlink_open(err);
	int rc;

	if (nl < 0)
		return nl;
	if ((rc = netlink_veth(nl, GUEST_LINK, EDGE_LINK, edge, err)) || (rc = netlink_up(nl, "lo", err)) ||
	    (rc = netlink_address(nl, GUEST_LINK, inet_addr(NETNS_GUEST_ADDRESS), NETNS_PREFIX, err)) ||
	    (rc = netlink_up(nl, GUEST_LINK, err)))
		return rc;
	return netlink_default_route(nl, inet_addr(NETNS_EDGE_ADDRESS), err);
}

static int make_both(struct netns_pair *p, struct ocu_error *err)
{
	int rc;

	if ((rc = make_one(&p->edge, err)) || (rc = make_one(&p->guest, err)) ||
	    (rc = configure_guest(p->edge, err)) || (rc = enter(p->edge, err)))
		return rc;
	return configure_edge(err);
}

int netns_make(struct netns_pair *ret, struct ocu_error *err)
{
	OCU_CLOSE int home = own_netns(err);
	struct netns_pair p = NETNS_PAIR_INIT;
	int rc;

	if (home < 0)
		return home;
	rc = make_both(&p, err);
	go_back(home);
	if (rc) {
		netns_done(&p);
		return rc;
	}
	*ret = p;
	return 0;
}

void netns_done(struct netns_pair *p)
{
	if (p->guest >= 0)
		close(p->guest);
	if (p->edge >= 0)
		close(p->edge);
	*p = NETNS_PAIR_INIT;
}

static int open_socket(int type, int port, struct ocu_error *err)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	OCU_CLOSE int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	sa.sin_addr.s_addr = inet_addr(NETNS_EDGE_ADDRESS);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 || (type == SOCK_STREAM && listen(fd, 256) < 0))
		return ocu_error_errno(err, OCU_E_IO, errno, "edge socket %d", port);
	return ocu_steal_fd(&fd);
}

int netns_sockets(const struct netns_pair *p, int fds[NETNS_SOCKETS], struct ocu_error *err)
{
	static const struct {
		int type, port;
	} sockets[NETNS_SOCKETS] = {
	    [NETNS_TCP] = {SOCK_STREAM, TCP_PORT},
	    [NETNS_DNS_UDP] = {SOCK_DGRAM, DNS_PORT},
	    [NETNS_DNS_TCP] = {SOCK_STREAM, DNS_PORT},
	};
	OCU_CLOSE int home = own_netns(err);
	int rc, n = 0;

	if (home < 0)
		return home;
	if ((rc = enter(p->edge, err)))
		return rc;
	while (n < NETNS_SOCKETS && (fds[n] = open_socket(sockets[n].type, sockets[n].port, err)) >= 0)
		n++;
	go_back(home);
	if (n == NETNS_SOCKETS)
		return 0;
	rc = fds[n];
	while (n-- > 0)
		close(fds[n]);
	return rc;
}
