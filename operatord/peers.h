/*
 * peers: the connections operatord dials on one node. Ordinary work and revocation have connections of their
 * own, so that a queue of starts never stands before a kill (NFR-SEC-55). The calls here block up to their
 * deadline, are idempotent, and carry no payload of any tool call.
 */
#ifndef OPERATORD_PEERS_H
#define OPERATORD_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/control.pb-c.h"
#include "proto/edge.pb-c.h"
#include "proto/mount.pb-c.h"

struct ocu_error;
struct ocu_identity;
struct ocu_rpc_client;
struct node_conf;
struct session;
struct settings;

struct peers {
	struct ocu_rpc_client *sandboxd, *brokerd, *egressd;
	struct ocu_rpc_client *sandboxd_revoke, *egressd_revoke;
};

#define REVOKE_INFLIGHT 1088 /* requests under way at once on a revoke connection */

/* Starts dialling; being connected is not waited for. */
int peers_open(struct peers *p, const struct node_conf *conf, const struct ocu_identity *id,
               struct ocu_error *err);
void peers_close(struct peers *p);
void peers_end(struct peers *p); /* ends the calls under way and refuses new ones */

int peers_mount_register(struct peers *p, const struct settings *cfg, const struct session *s,
                         const char *trace, struct ocu_error *err);
/* *ret_scrubbed, unless NULL: nothing of its files is left; false while brokerd still removes them. */
int peers_mount_release(struct peers *p, const char *session_id, bool scrub, const char *trace,
                        bool *ret_scrubbed, struct ocu_error *err);
int peers_edge_register(struct peers *p, const struct settings *cfg, const struct session *s,
                        const char *trace, struct ocu_error *err);
int peers_edge_drop(struct peers *p, const char *session_id, const char *reason, const char *trace,
                    struct ocu_error *err);
/* *ret is freed with ocu__control__start_reply__free_unpacked(). */
int peers_sandbox_start(struct peers *p, const struct settings *cfg, const struct session *s, const char *jwt,
                        const char *trace, Ocu__Control__StartReply **ret, struct ocu_error *err);
int peers_sandbox_stop(struct peers *p, const char *session_id, const char *reason, const char *trace,
                       struct ocu_error *err);
int peers_sandbox_token(struct peers *p, const char *session_id, const char *jwt, struct ocu_error *err);

/* What each holds now. OCU_E_UNAVAILABLE at once when not connected. Freed with the message's free_unpacked.
 */
int peers_sandboxes(struct peers *p, Ocu__Control__ListReply **ret, struct ocu_error *err);
int peers_mounts(struct peers *p, Ocu__Mount__ListReply **ret, struct ocu_error *err);
int peers_edges(struct peers *p, Ocu__Edge__ListReply **ret, struct ocu_error *err);

#endif
