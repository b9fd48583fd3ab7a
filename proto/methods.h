/*
 * Every RPC of the system: number, who may send it, request and reply. This list is the whole of what daemons
 * can ask of each other; each daemon serves the rows of its own bus. X(symbol, number, "name", peers, type
 * prefix). The peers here are the outer bound, enforced by the server for every row.
 */
#ifndef OCU_PROTO_METHODS_H
#define OCU_PROTO_METHODS_H

#include "libocu/peer.h"

/* clang-format off */
#define OCU_METHOD_TABLE(X)                                                                        \
	/* auditd:9601 */                                                                          \
	X(audit_append,     0x0101, "audit.Append",     OCU_PEER_ALL,                 ocu__audit__append)       \
	X(audit_head,       0x0102, "audit.Head",       OCU_PEER(OCU_COMP_OPERATORD), ocu__audit__head)         \
	/* operatord:9201, the agent-facing half */                                                \
	X(session_create,   0x0201, "session.Create",   OCU_PEER(OCU_COMP_GATEWAY),   ocu__session__create)     \
	X(session_route,    0x0202, "session.Route",    OCU_PEER(OCU_COMP_GATEWAY),   ocu__session__route)      \
	X(session_status,   0x0203, "session.Status",   OCU_PEER(OCU_COMP_GATEWAY),   ocu__session__status)     \
	X(session_destroy,  0x0204, "session.Destroy",  OCU_PEER(OCU_COMP_GATEWAY),   ocu__session__destroy)    \
	/* operatord:9203, reading the denylist */                                                 \
	X(denylist_pull,    0x0281, "denylist.Pull",    OCU_PEER(OCU_COMP_GATEWAY) | OCU_PEER(OCU_COMP_SANDBOXD) | \
	                            OCU_PEER(OCU_COMP_BROKERD) | OCU_PEER(OCU_COMP_EGRESSD), ocu__denylist__pull) \
	/* sandboxd:9301 */                                                                        \
	X(exec_run,         0x0301, "exec.Run",         OCU_PEER(OCU_COMP_GATEWAY),   ocu__exec__run)           \
	X(exec_view,        0x0302, "exec.View",        OCU_PEER(OCU_COMP_GATEWAY),   ocu__exec__view)          \
	X(exec_create_file, 0x0303, "exec.CreateFile",  OCU_PEER(OCU_COMP_GATEWAY),   ocu__exec__create_file)   \
	X(exec_str_replace, 0x0304, "exec.StrReplace",  OCU_PEER(OCU_COMP_GATEWAY),   ocu__exec__str_replace)   \
	X(exec_start,       0x0305, "exec.Start",       OCU_PEER(OCU_COMP_GATEWAY),   ocu__exec__start)         \
	X(exec_read,        0x0306, "exec.Read",        OCU_PEER(OCU_COMP_GATEWAY),   ocu__exec__read)          \
	X(exec_write,       0x0307, "exec.Write",       OCU_PEER(OCU_COMP_GATEWAY),   ocu__exec__write)         \
	X(exec_signal,      0x0308, "exec.Signal",      OCU_PEER(OCU_COMP_GATEWAY),   ocu__exec__signal)        \
	X(exec_resize,      0x0309, "exec.Resize",      OCU_PEER(OCU_COMP_GATEWAY),   ocu__exec__resize)        \
	X(exec_wait,        0x030a, "exec.Wait",        OCU_PEER(OCU_COMP_GATEWAY),   ocu__exec__wait)          \
	X(exec_cancel,      0x030b, "exec.Cancel",      OCU_PEER(OCU_COMP_GATEWAY),   ocu__exec__cancel)        \
	/* sandboxd:9302 */                                                                        \
	X(control_start,    0x0381, "control.Start",    OCU_PEER(OCU_COMP_OPERATORD), ocu__control__start)      \
	X(control_stop,     0x0382, "control.Stop",     OCU_PEER(OCU_COMP_OPERATORD), ocu__control__stop)       \
	X(control_token,    0x0383, "control.Token",    OCU_PEER(OCU_COMP_OPERATORD), ocu__control__token)      \
	X(control_list,     0x0384, "control.List",     OCU_PEER(OCU_COMP_OPERATORD), ocu__control__list)       \
	/* brokerd:9401 */                                                                         \
	X(mount_register,   0x0401, "mount.Register",   OCU_PEER(OCU_COMP_OPERATORD), ocu__mount__register)     \
	X(mount_release,    0x0402, "mount.Release",    OCU_PEER(OCU_COMP_OPERATORD), ocu__mount__release)      \
	X(mount_list,       0x0403, "mount.List",       OCU_PEER(OCU_COMP_OPERATORD), ocu__mount__list)         \
	/* egressd:9501 */                                                                         \
	X(edge_register,    0x0501, "edge.Register",    OCU_PEER(OCU_COMP_OPERATORD), ocu__edge__register)      \
	X(edge_drop,        0x0502, "edge.Drop",        OCU_PEER(OCU_COMP_OPERATORD), ocu__edge__drop)          \
	X(edge_list,        0x0503, "edge.List",        OCU_PEER(OCU_COMP_OPERATORD), ocu__edge__list)
/* clang-format on */

struct ocu_rpc_method;
#define X(sym, num, name, peers, type) extern const struct ocu_rpc_method ocu_m_##sym;
OCU_METHOD_TABLE(X)
#undef X

/* The row for a number, or NULL. */
const struct ocu_rpc_method *ocu_method_find(unsigned number);
const struct ocu_rpc_method *ocu_method_find_name(const char *name);

#endif
