/* service: what operatord may ask of the edge (proto/edge.proto), and the denylist's cut. */
#ifndef EGRESSD_SERVICE_H
#define EGRESSD_SERVICE_H

#include "egressd/egress.h"
#include "libocu/denylist.h"
#include "libocu/rpc.h"

struct service {
	struct egress *egress;
	char boot_id[64];
};

void service_init(struct service *s, struct egress *e);
extern const struct ocu_rpc_entry service_table[]; /* arg: struct service */
/* For ocu_rpc_server_opts and ocu_denylist_opts; arg: struct service. */
void service_refused(const struct ocu_peer *peer, uint32_t method, const struct ocu_error *why, void *arg);
void service_denied(enum ocu_deny_kind kind, const char *value, void *arg);
/* Cuts a session: out of the registry, listeners and connections closed. Returns the connections cut. */
unsigned service_drop(struct egress *e, const char *session_id, const char *why, const char *trace);

#endif
