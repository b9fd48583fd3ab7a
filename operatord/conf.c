/* conf: see conf.h. */
#include "operatord/conf.h"

#include <string.h>

#include "libocu/daemon.h"
#include "libocu/err.h"
#include "libocu/json.h"

/* Host names are checked in full by egressd; here only what could never be one is kept out. */
static const char egress_allow_schema[] =
    "{\"type\":\"array\",\"maxItems\":1024,\"items\":{\"type\":\"object\",\"required\":[\"host\"],"
    "\"properties\":{\"host\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":253,"
    "\"pattern\":\"^([*][.])?[A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*$\"},"
    "\"ports\":{\"type\":\"array\",\"maxItems\":64,"
    "\"items\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":65535}}}}}";

/* The name is also that of objects in a cluster. The files' URL is told to clients as it stands here. */
#define NODE_URL "{\"type\":\"string\",\"maxLength\":200,\"pattern\":\"^tls[+]tcp://[][A-Za-z0-9.:_-]+$\"}"
#define FILES_URL                                                                                            \
	"{\"type\":\"string\",\"maxLength\":200,\"pattern\":\"^(https://[][A-Za-z0-9.:_-]+(/[A-Za-z0-9._/"   \
	"-]*)?)?$\"}"
static const char nodes_schema[] =
    "{\"type\":\"array\",\"maxItems\":64,\"items\":{\"type\":\"object\",\"required\":[\"name\","
    "\"sandboxd_control_url\",\"sandboxd_exec_url\",\"brokerd_url\",\"egressd_url\"],\"properties\":{"
    "\"name\":{\"type\":\"string\",\"maxLength\":32,\"pattern\":\"^([a-z0-9]([a-z0-9-]*[a-z0-9])?)?$\"},"
    "\"sandboxd_control_url\":" NODE_URL ",\"sandboxd_exec_url\":" NODE_URL ",\"brokerd_url\":" NODE_URL
    ",\"egressd_url\":" NODE_URL ",\"files_url\":" FILES_URL ",\"cordoned\":{\"type\":\"boolean\"}}}}";

static const char audiences_schema[] = "{\"type\":\"array\",\"minItems\":1,\"maxItems\":16,"
                                       "\"items\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":200}}";

#define SECOND 1000ll
#define MINUTE (60ll * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define KIB    1024ll
#define TIB    (KIB * KIB * KIB * KIB)

static const struct ocu_conf_opt options[] = {
    OCU_CONF_COMMON(9191),
    {"rpc_listen", OCU_CONF_STRING, "tls+tcp://127.0.0.1:9201", 0, 0, NULL,
     "Session RPC for the gateway: no kill, denylist or quota message exists there"},
    {"feed_listen", OCU_CONF_STRING, "tls+tcp://127.0.0.1:9202", 0, 0, NULL,
     "Denylist changes are published here"},
    {"pull_listen", OCU_CONF_STRING, "tls+tcp://127.0.0.1:9203", 0, 0, NULL,
     "The whole denylist is read here"},
    {"api_listen", OCU_CONF_STRING, "127.0.0.1:9443", 0, 0, NULL, "Operator REST API (HTTPS)"},
    {"revoke_listen", OCU_CONF_STRING, "127.0.0.1:9444", 0, 0, NULL,
     "A second HTTPS listener with the revoke routes only, so that a flood on the first cannot delay a kill; "
     "\"\" turns it off"},
    {"sandboxd_control_url", OCU_CONF_STRING, "tls+tcp://127.0.0.1:9302", 0, 0, NULL,
     "Where sandboxd starts and stops sandboxes"},
    {"sandboxd_exec_url", OCU_CONF_STRING, "tls+tcp://127.0.0.1:9301", 0, 0, NULL,
     "Where the gateway is told to send tool calls"},
    {"brokerd_url", OCU_CONF_STRING, "tls+tcp://127.0.0.1:9401", 0, 0, NULL,
     "Where brokerd registers mounts"},
    {"egressd_url", OCU_CONF_STRING, "tls+tcp://127.0.0.1:9501", 0, 0, NULL,
     "Where egressd registers sessions"},
    {"nodes", OCU_CONF_JSON, "[]", 0, 0, nodes_schema,
     "Nodes that run sandboxes: list of {name, sandboxd_control_url, sandboxd_exec_url, brokerd_url, "
     "egressd_url, files_url, cordoned}; [] is one node, at the four addresses above. A cordoned node keeps "
     "its sessions and gets no new ones; files_url is told to MCP clients"},
    {"node_lost", OCU_CONF_DURATION, "5m", 0, DAY, NULL,
     "Sessions of a node whose sandboxd was away for this long are ended, so that their callers get new ones "
     "on another node; only with several nodes. 0s: they wait for it"},
    {"profile", OCU_CONF_ENUM, "trusted_operator", 0, 0, "trusted_operator|internal_workforce|untrusted",
     "Who may run code here; decides which sandbox tiers are permitted"},
    {"sessions_per_caller", OCU_CONF_INT, "16", 1, 10000, NULL, "Live sessions one caller may have"},
    {"sessions_total", OCU_CONF_INT, "500", 1, 10000, NULL, "Live sessions of the whole deployment"},
    {"starts_per_minute", OCU_CONF_INT, "120", 1, 100000, NULL,
     "Sessions one caller may start within a minute, whatever became of them"},
    {"session_idle", OCU_CONF_DURATION, "15m", SECOND, 15 * MINUTE, NULL,
     "A session nobody routed a call to for this long is ended"},
    {"session_max", OCU_CONF_DURATION, "0s", 0, 30 * DAY, NULL,
     "A session this old is ended, busy or not; 0s: no limit"},
    {"grant_ttl", OCU_CONF_DURATION, "60s", SECOND, 5 * MINUTE, NULL,
     "Life of an exec grant; at most half of session_idle is used"},
    {"session_token_ttl", OCU_CONF_DURATION, "30m", 10 * SECOND, 60 * MINUTE, NULL,
     "Life of a session JWT; a new one is sent at half of it"},
    {"reconcile_interval", OCU_CONF_DURATION, "1s", 100, MINUTE, NULL,
     "How often the registry is compared with what sandboxd, brokerd and egressd really hold"},
    {"token_audiences", OCU_CONF_JSON, "[\"ocu-gateway\",\"ocu-files\"]", 0, 0, audiences_schema,
     "Audiences of the caller tokens minted here"},
    {"token_ttl_max", OCU_CONF_DURATION, "90d", MINUTE, 400 * DAY, NULL,
     "Longest life of a caller token minted here"},
    {"image", OCU_CONF_STRING, "", 0, 0, NULL, "Sandbox image; \"\" is sandboxd's default"},
    {"memory", OCU_CONF_SIZE, "1GiB", 32 * KIB *KIB, TIB, NULL, "Memory limit of a sandbox"},
    {"cpu_percent", OCU_CONF_INT, "200", 1, 6400, NULL, "CPU limit of a sandbox, in percent of one core"},
    {"pids", OCU_CONF_INT, "512", 16, 65536, NULL, "Processes and threads of a sandbox"},
    {"scratch", OCU_CONF_SIZE, "512MiB", KIB *KIB, TIB, NULL, "Size of a sandbox's scratch space"},
    {"quota_bytes", OCU_CONF_SIZE, "2GiB", KIB *KIB, 64 * TIB, NULL,
     "Bytes a session may keep in /workspace"},
    {"quota_files", OCU_CONF_INT, "100000", 16, 100000000, NULL, "Files a session may keep in /workspace"},
    {"egress_rung", OCU_CONF_ENUM, "deny-all", 0, 0, "deny-all|passthrough", "Network of a sandbox"},
    {"egress_allow", OCU_CONF_JSON, "[]", 0, 0, egress_allow_schema,
     "Destinations allowed with passthrough: list of {host, ports}; no ports means 80 and 443"},
    {0},
};

static int check_strings(const struct ocu_conf *c, struct ocu_error *err)
{
	static const char *const urls[] = {"rpc_listen",           "feed_listen", "pull_listen",
	                                   "sandboxd_control_url", "brokerd_url", "sandboxd_exec_url",
	                                   "egressd_url",          "audit_url"};

	for (size_t i = 0; i < sizeof urls / sizeof *urls; i++)
		if (strncmp(ocu_conf_str(c, urls[i]), "tls+tcp://", 10) != 0)
			return ocu_error_set(err, OCU_E_CONFIG, "%s must start with tls+tcp://", urls[i]);
	if (strlen(ocu_conf_str(c, "image")) > TEXT_MAX)
		return ocu_error_set(err, OCU_E_CONFIG, "image: longer than %d bytes", TEXT_MAX);
	return 0;
}

static struct node_conf node_read(const json_t *item)
{
	return (struct node_conf){.name = ocu_json_str(item, "name", ""),
	                          .sandboxd_control_url = ocu_json_str(item, "sandboxd_control_url", ""),
	                          .sandboxd_exec_url = ocu_json_str(item, "sandboxd_exec_url", ""),
	                          .brokerd_url = ocu_json_str(item, "brokerd_url", ""),
	                          .egressd_url = ocu_json_str(item, "egressd_url", ""),
	                          .files_url = ocu_json_str(item, "files_url", ""),
	                          .cordoned = json_is_true(json_object_get(item, "cordoned"))};
}

/* Two nodes with one daemon would each take the other's sandboxes for orphans. */
static const char *shared(const struct node_conf *a, const struct node_conf *b)
{
	return strcmp(a->name, b->name) == 0                                   ? "name"
	       : strcmp(a->sandboxd_control_url, b->sandboxd_control_url) == 0 ? "sandboxd_control_url"
	       : strcmp(a->sandboxd_exec_url, b->sandboxd_exec_url) == 0       ? "sandboxd_exec_url"
	       : strcmp(a->brokerd_url, b->brokerd_url) == 0                   ? "brokerd_url"
	       : strcmp(a->egressd_url, b->egressd_url) == 0                   ? "egressd_url"
	                                                                       : NULL;
}

static int check_nodes(const json_t *list, struct ocu_error *err)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const struct node_conf a = node_read(json_array_get(list, i));
		for (size_t k = 0; k < i; k++) {
			const struct node_conf b = node_read(json_array_get(list, k));
			const char *what = shared(&a, &b);
			if (what)
				return ocu_error_set(err, OCU_E_CONFIG,
				                     "nodes: two have the same %s (node \"%s\")", what,
				                     a.name);
		}
	}
	return 0;
}

static int check(const struct ocu_conf *c, struct ocu_error *err)
{
	int rc = check_strings(c, err);

	if (rc == 0)
		rc = check_nodes(ocu_conf_json(c, "nodes"), err);
	if (rc)
		return rc;
	if (json_array_size(ocu_conf_json(c, "egress_allow")) > 0 &&
	    strcmp(ocu_conf_str(c, "egress_rung"), "deny-all") == 0)
		return ocu_error_set(err, OCU_E_CONFIG,
		                     "egress_allow has entries, but egress_rung is deny-all");
	return admission_profile_check(admission_profile(ocu_conf_str(c, "profile")), err);
}

const struct ocu_daemon_spec operatord_spec = {
    .component = OCU_COMP_OPERATORD,
    .summary = "session lifecycle, quotas, denylist and the kill switch",
    .options = options,
    .check = check,
};

static void read_addresses(struct settings *s, const struct ocu_conf *c)
{
	s->rpc_listen = ocu_conf_str(c, "rpc_listen");
	s->feed_listen = ocu_conf_str(c, "feed_listen");
	s->pull_listen = ocu_conf_str(c, "pull_listen");
	s->api_listen = ocu_conf_str(c, "api_listen");
	s->revoke_listen = ocu_conf_str(c, "revoke_listen");
	s->audit_url = ocu_conf_str(c, "audit_url");
}

static void read_nodes(struct settings *s, const struct ocu_conf *c)
{
	const json_t *list = ocu_conf_json(c, "nodes");

	for (s->nodes = 0; s->nodes < json_array_size(list); s->nodes++)
		s->node[s->nodes] = node_read(json_array_get(list, s->nodes));
	if (s->nodes > 0)
		return;
	s->node[s->nodes++] =
	    (struct node_conf){.name = "",
	                       .sandboxd_control_url = ocu_conf_str(c, "sandboxd_control_url"),
	                       .sandboxd_exec_url = ocu_conf_str(c, "sandboxd_exec_url"),
	                       .brokerd_url = ocu_conf_str(c, "brokerd_url"),
	                       .egressd_url = ocu_conf_str(c, "egressd_url"),
	                       .files_url = ""};
}

static void read_limits(struct settings *s, const struct ocu_conf *c)
{
	s->limits.per_caller = (unsigned)ocu_conf_int(c, "sessions_per_caller");
	s->limits.total = (unsigned)ocu_conf_int(c, "sessions_total");
	s->starts_per_minute = (unsigned)ocu_conf_int(c, "starts_per_minute");
	s->image = ocu_conf_str(c, "image");
	s->memory_bytes = (uint64_t)ocu_conf_int(c, "memory");
	s->cpu_percent = (uint32_t)ocu_conf_int(c, "cpu_percent");
	s->pids = (uint32_t)ocu_conf_int(c, "pids");
	s->scratch_bytes = (uint64_t)ocu_conf_int(c, "scratch");
	s->quota_bytes = (uint64_t)ocu_conf_int(c, "quota_bytes");
	s->quota_files = (uint64_t)ocu_conf_int(c, "quota_files");
	s->egress_rung = ocu_conf_str(c, "egress_rung");
	s->egress_allow = ocu_conf_json(c, "egress_allow");
}

void settings_read(struct settings *s, const struct ocu_conf *c)
{
	*s = (struct settings){
	    .trust_domain = ocu_conf_str(c, "trust_domain"),
	    .pki_dir = ocu_conf_str(c, "pki_dir"),
	    .profile = admission_profile(ocu_conf_str(c, "profile")),
	    .session_idle_ms = ocu_conf_ms(c, "session_idle"),
	    .session_max_ms = ocu_conf_ms(c, "session_max"),
	    .grant_ttl_ms = ocu_conf_ms(c, "grant_ttl"),
	    .session_token_ttl_ms = ocu_conf_ms(c, "session_token_ttl"),
	    .reconcile_ms = ocu_conf_ms(c, "reconcile_interval"),
	    .node_lost_ms = ocu_conf_ms(c, "node_lost"),
	    .token_audiences = ocu_conf_json(c, "token_audiences"),
	    .token_ttl_max_ms = ocu_conf_ms(c, "token_ttl_max"),
	};
	read_addresses(s, c);
	read_nodes(s, c);
	read_limits(s, c);
	/* The gateway asks for a route once a grant: asking marks activity, so a grant must end well before.
	 */
	if (s->grant_ttl_ms > s->session_idle_ms / 2)
		s->grant_ttl_ms = s->session_idle_ms / 2;
}
