/* control: the mount RPC. The table is the whole of what another daemon can ask of brokerd, and operatord
 * alone may. */
#ifndef BROKERD_CONTROL_H
#define BROKERD_CONTROL_H

#include "libocu/rpc.h"

extern const struct ocu_rpc_entry control_table[]; /* arg: struct broker */
void control_refused(const struct ocu_peer *peer, uint32_t method, const struct ocu_error *why, void *arg);

#endif
