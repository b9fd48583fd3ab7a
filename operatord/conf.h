/*
 * conf: operatord's options as one table, and the same as a struct for the code that decides by them. The
 * struct is read once at start and never changes.
 */
#ifndef OPERATORD_CONF_H
#define OPERATORD_CONF_H

#include <jansson.h>
#include <stdint.h>

#include "libocu/conf.h"
#include "operatord/admission.h"
#include "operatord/nodes.h"
#include "operatord/registry.h"

struct ocu_daemon_spec;
struct ocu_error;

extern const struct ocu_daemon_spec operatord_spec;

/* Strings and JSON are borrowed from the configuration. */
struct settings {
	const char *trust_domain;
	const char *pki_dir;
	const char *rpc_listen, *feed_listen, *pull_listen, *api_listen, *revoke_listen;
	const char *audit_url;
	struct node_conf node[NODES_MAX];
	size_t nodes; /* at least one */
	enum profile profile;
	struct registry_limits limits;
	unsigned starts_per_minute;
	int64_t session_idle_ms, session_max_ms, grant_ttl_ms, session_token_ttl_ms, reconcile_ms;
	int64_t node_lost_ms;
	const char *image;
	uint64_t memory_bytes, scratch_bytes, quota_bytes, quota_files;
	uint32_t cpu_percent, pids;
	const char *egress_rung;
	const json_t *egress_allow;
	const json_t *token_audiences;
	int64_t token_ttl_max_ms;
};

void settings_read(struct settings *s, const struct ocu_conf *c);

#endif
