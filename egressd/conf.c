/* conf: the one table, and what it becomes. */
#include "egressd/conf.h"

#include <ares.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "egressd/egress.h"
#include "egressd/names.h"
#include "libocu/buf.h"
#include "libocu/err.h"

/* Descriptors that connections may not take: listeners, lookups, RPC, the trail. */
#define DESCRIPTORS_KEPT 256ul

static const char resolver_list[] =
    "{\"type\":\"array\",\"maxItems\":8,\"items\":{\"type\":\"string\",\"minLength\":7,"
    "\"maxLength\":64,\"pattern\":\"^([0-9.]+|\\\\[[0-9a-fA-F:.]+\\\\]):[0-9]{1,5}$\"}}";

const struct ocu_conf_opt egressd_options[] = {
    OCU_CONF_COMMON(9194),
    {"rpc_listen", OCU_CONF_STRING, "tls+tcp://127.0.0.1:9501", 0, 0, NULL,
     "Where operatord registers and drops sessions"},
    {"handover_socket", OCU_CONF_STRING, "", 0, 0, NULL,
     "Where sandboxd hands over a session's sockets; \"\" is <run_dir>/handover/egressd.sock"},
    {"handover_wait", OCU_CONF_DURATION, "0", 0, 600000, NULL,
     "How long to wait at start for sandboxd to make room for that socket's folder"},
    {"sandboxd_uid", OCU_CONF_INT, "0", 0, 4294967294, NULL, "The only uid accepted on the handover socket"},
    {"denylist_feed_url", OCU_CONF_STRING, "tls+tcp://127.0.0.1:9202", 0, 0, NULL,
     "operatord's denylist feed"},
    {"denylist_pull_url", OCU_CONF_STRING, "tls+tcp://127.0.0.1:9203", 0, 0, NULL, "operatord's denylist"},
    {"resolvers", OCU_CONF_JSON, "[]", 0, 0, resolver_list,
     "DNS servers, \"ip:port\", that resolve the allowed names; none: those of /etc/resolv.conf"},
    {"families", OCU_CONF_ENUM, "both", 0, 0, "both|ipv4|ipv6",
     "Address families that are resolved and dialled"},
    {"refuse_own_addresses", OCU_CONF_BOOL, "true", 0, 0, NULL,
     "Refuse destinations that are addresses of this host"},
    {"workers", OCU_CONF_INT, "2", 1, EGRESS_WORKERS_MAX, NULL,
     "Threads that relay; a session stays on one of them"},
    {"session_connections", OCU_CONF_INT, "512", 1, 16384, NULL,
     "Open connections of one session; more are refused"},
    {"session_connects", OCU_CONF_INT, "50", 1, 100000, NULL,
     "Connections a second one session may open, ten times as many at once; more wait"},
    {"connections", OCU_CONF_INT, "65536", 1, 1000000, NULL,
     "Open connections of all sessions, at most half of the descriptors the process may have"},
    {"session_names", OCU_CONF_INT, "4096", 16, 65536, NULL,
     "Names of one session that have a made-up address"},
    {"session_lookups", OCU_CONF_INT, "100", 1, 10000, NULL,
     "Lookups a second of one session; more are dropped"},
    {"answer_ttl", OCU_CONF_DURATION, "10s", 1000, 300000, NULL, "TTL of a made-up address"},
    {"head_timeout", OCU_CONF_DURATION, "5s", 100, 60000, NULL,
     "How long the bytes that name the destination may take: ClientHello, request head"},
    {"quiet_timeout", OCU_CONF_DURATION, "300ms", 10, 10000, NULL,
     "How long a guest may wait before its server is dialled, on ports other than 80 and 443"},
    {"resolve_timeout", OCU_CONF_DURATION, "3s", 100, 30000, NULL, "How long resolving a name may take"},
    {"connect_timeout", OCU_CONF_DURATION, "5s", 100, 60000, NULL,
     "How long connecting to one address may take"},
    {"idle_timeout", OCU_CONF_DURATION, "15m", 1000, 86400000, NULL,
     "Connections without traffic are cut after this"},
    {0},
};

static int families(const struct ocu_conf *c)
{
	const char *s = ocu_conf_str(c, "families");

	return strcmp(s, "ipv4") == 0 ? AF_INET : strcmp(s, "ipv6") == 0 ? AF_INET6 : AF_UNSPEC;
}

/* The list as c-ares takes it; NULL for an empty one. */
static int resolver_csv(const struct ocu_conf *c, char **ret, struct ocu_error *err)
{
	const json_t *list = ocu_conf_json(c, "resolvers");
	OCU_BUF struct ocu_buf b = OCU_BUF_INIT(1024);

	for (size_t i = 0; i < json_array_size(list); i++)
		ocu_buf_printf(&b, "%s%s", i ? "," : "", json_string_value(json_array_get(list, i)));
	if (b.failed)
		return ocu_error_set(err, OCU_E_CONFIG, "resolvers: too long");
	*ret = b.len ? ocu_buf_steal(&b) : NULL;
	return 0;
}

/* c-ares is the judge of addresses and ports. */
static int check_resolvers(const char *csv, struct ocu_error *err)
{
	ares_channel channel;
	int rc = ares_library_init(ARES_LIB_INIT_ALL);

	if (rc == ARES_SUCCESS)
		rc = ares_init_options(&channel, &(struct ares_options){0}, 0);
	if (rc != ARES_SUCCESS)
		return ocu_error_set(err, OCU_E_CONFIG, "resolver: %s", ares_strerror(rc));
	rc = csv ? ares_set_servers_ports_csv(channel, csv) : ARES_SUCCESS;
	ares_destroy(channel);
	return rc == ARES_SUCCESS ? 0 : ocu_error_set(err, OCU_E_CONFIG, "resolvers: %s", ares_strerror(rc));
}

int conf_check(const struct ocu_conf *c, struct ocu_error *err)
{
	char *csv = NULL;
	int rc = resolver_csv(c, &csv, err);

	if (rc == 0)
		rc = check_resolvers(csv, err);
	free(csv);
	if (rc == 0 && ocu_conf_int(c, "session_names") < ocu_conf_int(c, "session_connections"))
		rc = ocu_error_set(err, OCU_E_CONFIG,
		                   "session_names is less than session_connections: names in use are kept");
	return rc;
}

unsigned conf_workers(const struct ocu_conf *c)
{
	return (unsigned)ocu_conf_int(c, "workers");
}

void conf_handover_path(const struct ocu_conf *c, const char *run_dir, char *out, size_t size)
{
	const char *path = ocu_conf_str(c, "handover_socket");

	if (*path)
		snprintf(out, size, "%s", path);
	else
		snprintf(out, size, "%s/handover/egressd.sock", run_dir);
}

int conf_apply(const struct ocu_conf *c, unsigned long descriptors, struct egress *e, struct ocu_error *err)
{
	unsigned long most =
	    descriptors > 2 * DESCRIPTORS_KEPT ? (descriptors - DESCRIPTORS_KEPT) / 2 : descriptors / 4;
	unsigned long wanted = (unsigned long)ocu_conf_int(c, "connections");

	e->limits = (struct limits){
	    .session_connections = (unsigned)ocu_conf_int(c, "session_connections"),
	    .connect_rate = (unsigned)ocu_conf_int(c, "session_connects"),
	    .connections = (unsigned)(wanted < most ? wanted : most),
	    .names = (unsigned)ocu_conf_int(c, "session_names"),
	    .dns_rate = (unsigned)ocu_conf_int(c, "session_lookups"),
	    .answer_ttl_s = (unsigned)(ocu_conf_ms(c, "answer_ttl") / 1000),
	    .head_ms = (unsigned)ocu_conf_ms(c, "head_timeout"),
	    .quiet_ms = (unsigned)ocu_conf_ms(c, "quiet_timeout"),
	    .resolve_ms = (unsigned)ocu_conf_ms(c, "resolve_timeout"),
	    .connect_ms = (unsigned)ocu_conf_ms(c, "connect_timeout"),
	    .idle_ms = (unsigned)ocu_conf_ms(c, "idle_timeout"),
	    .refuse_own = ocu_conf_bool(c, "refuse_own_addresses"),
	    .family = families(c),
	};
	return resolver_csv(c, &e->resolvers, err);
}
