/*
 * handover: where sandboxd hands over a session's edge sockets. The socket's mode and the peer's uid decide
 * who may speak; a handover for a session that operatord has not registered, or with sockets of another kind,
 * is refused and its descriptors closed.
 */
#ifndef EGRESSD_HANDOVER_H
#define EGRESSD_HANDOVER_H

#include <sys/types.h>

struct egress;
struct handover;
struct ocu_error;

#define HANDOVER_PEERS 8 /* connections of sandboxd at once */

/* Takes listen_fd on success. */
int handover_start(struct handover **ret, struct egress *e, int listen_fd, uid_t sandboxd_uid,
                   struct ocu_error *err);
void handover_stop(struct handover *h); /* NULL allowed */

#endif
