/* control: what operatord may ask: start, stop and list sandboxes, renew a session's token. */
#ifndef OCU_SANDBOXD_CONTROL_H
#define OCU_SANDBOXD_CONTROL_H

#include "libocu/rpc.h"

extern const struct ocu_rpc_entry control_table[]; /* arg: struct node */

/* Workers of the control server: stops run on them, starts do not, so that no number of starts delays a stop.
 */
#define CONTROL_WORKERS 16

#endif
