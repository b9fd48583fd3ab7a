/*
 * handover: the unix socket sandboxd hands /dev/fuse descriptors over. Only sandboxd's user is let in; a
 * packet is one descriptor and the session it belongs to, and is answered. Descriptors of unregistered
 * sessions are closed.
 */
#ifndef BROKERD_HANDOVER_H
#define BROKERD_HANDOVER_H

#include <sys/types.h>

struct broker;
struct handover;
struct ocu_error;

/* Listens; called with the rights to make the socket. */
int handover_listen(const char *path, uid_t owner, struct ocu_error *err);
/* Serves the socket in a thread of its own; takes fd. */
int handover_start(struct handover **ret, struct broker *b, int listen_fd, uid_t sandboxd_uid,
                   struct ocu_error *err);
void handover_stop(struct handover *h); /* NULL is fine */

#endif
