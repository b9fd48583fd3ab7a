/*
 * session_rpc: the agent-facing half: what the gateway may ask. The gateway is trusted to have authenticated
 * the caller it names, and with nothing more: no kill, denylist or quota message exists here, another
 * caller's session does not exist, and a stolen gateway certificate gets sessions within quota and grants of
 * a minute.
 */
#ifndef OPERATORD_SESSION_RPC_H
#define OPERATORD_SESSION_RPC_H

struct control;
struct ocu_error;
struct ocu_rpc_server;

int session_rpc_start(struct ocu_rpc_server **ret, struct control *c, struct ocu_error *err);

#endif
