/*
 * fdpass: descriptors over a unix SOCK_SEQPACKET socket (SCM_RIGHTS), one protobuf header a packet, the
 * peer's uid checked with SO_PEERCRED on both sides. Received descriptors are close-on-exec; a packet with a
 * wrong number of descriptors, truncated control data or unknown fields is refused and all its descriptors
 * closed.
 */
#ifndef OCU_FDPASS_H
#define OCU_FDPASS_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <sys/types.h>

struct ocu_error;

#define OCU_FDPASS_MAX    4 /* descriptors a packet */
#define OCU_FDPASS_HEADER 4096

/* Listens on path (mode 0600 owned by owner_uid when >= 0; an old socket there is removed). */
int ocu_fdpass_listen(const char *path, uid_t owner_uid, struct ocu_error *err); /* fd */
/* Accepts one connection; a peer whose uid is not want_uid is closed and OCU_E_PEER_UNKNOWN returned. */
int ocu_fdpass_accept(int listen_fd, uid_t want_uid, struct ocu_error *err);     /* fd */
int ocu_fdpass_connect(const char *path, uid_t want_uid, struct ocu_error *err); /* fd */
int ocu_fdpass_send(int fd, const ProtobufCMessage *header, const int *fds, size_t nfds,
                    struct ocu_error *err);
/* Blocks. *ret freed by the caller; *nfds set to how many came (at most OCU_FDPASS_MAX into fds).
 * OCU_E_UNAVAILABLE when the peer closed. */
int ocu_fdpass_recv(int fd, const ProtobufCMessageDescriptor *desc, ProtobufCMessage **ret, int *fds,
                    size_t *nfds, struct ocu_error *err);

#endif
