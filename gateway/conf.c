/* conf: the gateway's options. */
#include "gateway/gateway.h"

#include <string.h>

static const char string_list[] = "{\"type\":\"array\",\"maxItems\":64,\"items\":{\"type\":\"string\","
                                  "\"minLength\":1,\"maxLength\":256}}";

static const char policy_list[] =
    "{\"type\":\"array\",\"maxItems\":256,\"items\":{\"type\":\"object\",\"required\":[\"caller\",\"tools\"],"
    "\"properties\":{\"caller\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":127},"
    "\"tools\":{\"type\":\"array\",\"minItems\":1,\"maxItems\":64,\"items\":{\"type\":\"string\"}},"
    "\"path_prefixes\":{\"type\":\"array\",\"maxItems\":64,\"items\":{\"type\":\"string\",\"pattern\":\"^/"
    "\"}}}}}";

static const struct ocu_conf_opt options[] = {
    OCU_CONF_COMMON(9190),
    {"listen", OCU_CONF_STRING, "127.0.0.1:8080", 0, 0, NULL, "Address MCP is served on"},
    {"public_url", OCU_CONF_STRING, "", 0, 0, NULL, "Base URL clients use; \"\" = http://<listen>"},
    {"operatord_url", OCU_CONF_STRING, "tls+tcp://127.0.0.1:9201", 0, 0, NULL, "operatord's session RPC"},
    {"denylist_feed_url", OCU_CONF_STRING, "tls+tcp://127.0.0.1:9202", 0, 0, NULL,
     "operatord's denylist feed"},
    {"denylist_pull_url", OCU_CONF_STRING, "tls+tcp://127.0.0.1:9203", 0, 0, NULL,
     "operatord's denylist, whole"},
    {"caller_jwks", OCU_CONF_STRING, "", 0, 0, NULL,
     "Keys of caller tokens; \"\" = <pki_dir>/caller-jwks.json"},
    {"token_issuer", OCU_CONF_STRING, "", 0, 0, NULL, "Accepted issuer; \"\" = ocu:<trust_domain>"},
    {"token_audience", OCU_CONF_STRING, "ocu-gateway", 0, 0, NULL, "This server's name in a token's aud"},
    {"authorization_servers", OCU_CONF_JSON, "[]", 0, 0, string_list,
     "Issuers named in the RFC 9728 metadata, for clients that can log in"},
    {"allowed_origins", OCU_CONF_JSON, "[]", 0, 0, string_list,
     "Origins of browser pages that may call, besides the public URL's own"},
    {"allowed_hosts", OCU_CONF_JSON, "[]", 0, 0, string_list,
     "Host header values accepted besides the public URL's and the listen address"},
    {"tool_policy", OCU_CONF_JSON, "[{\"caller\":\"*\",\"tools\":[\"*\"]}]", 0, 0, policy_list,
     "Who may call which tool; what no rule allows is denied"},
    {"tool_timeout", OCU_CONF_DURATION, "120s", 1000, 3600000, NULL, "Longest run of one bash_tool call"},
    {"inflight_per_caller", OCU_CONF_INT, "64", 1, 4096, NULL,
     "Requests under way per caller; more are refused"},
    {"threads", OCU_CONF_INT, "2", 1, 64, NULL, "HTTP threads"},
    {"max_connections", OCU_CONF_INT, "1024", 1, 65536, NULL, "Open HTTP connections"},
    {"max_connections_per_address", OCU_CONF_INT, "512", 0, 65536, NULL,
     "Of one client address; 0: all of them. Behind a reverse proxy every client has its address"},
    {0},
};

const struct ocu_daemon_spec gateway_spec = {
    .component = OCU_COMP_GATEWAY,
    .summary = "MCP gateway: authenticates callers and forwards their tool calls",
    .options = options,
};
