/*
 * fdpass: one packet is one handover. The socket's owner and mode and SO_PEERCRED on both sides decide who
 * takes part; a packet that is not exactly what was announced is refused whole, and no descriptor of it stays
 * open.
 */
#include "libocu/fdpass.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/rpc_wire.h"

/* A packet starts with this byte: the message after it may be empty, and an empty packet reads as the end. */
enum { FORMAT = 1 };
enum { BACKLOG = 8 };

static int unix_address(struct sockaddr_un *sa, const char *path, struct ocu_error *err)
{
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof sa->sun_path)
		return ocu_error_set(err, OCU_E_INVALID, "socket path of %zu bytes", len);
	memset(sa, 0, sizeof *sa);
	sa->sun_family = AF_UNIX;
	memcpy(sa->sun_path, path, len);
	return 0;
}

static int unix_socket(struct ocu_error *err)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	return fd >= 0 ? fd : ocu_error_errno(err, OCU_E_IO, errno, "unix socket");
}

/* Only a socket is removed: a path of any other kind was not made by us. */
static int remove_old_socket(const char *path, struct ocu_error *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : ocu_error_errno(err, OCU_E_IO, errno, "%s", path);
	if (!S_ISSOCK(st.st_mode))
		return ocu_error_set(err, OCU_E_EXISTS, "%s is there and is no socket", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return ocu_error_errno(err, OCU_E_IO, errno, "removing %s", path);
	return 0;
}

int ocu_fdpass_listen(const char *path, uid_t owner_uid, struct ocu_error *err)
{
	struct sockaddr_un sa;
	OCU_CLOSE int fd = -1;
	int rv = unix_address(&sa, path, err);

	if (rv != 0 || (rv = remove_old_socket(path, err)) != 0 || (rv = fd = unix_socket(err)) < 0)
		return rv;
	/* The mode of the socket's inode is taken from the descriptor, so there is no moment with a wider
	 * one. */
	if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "binding %s", path);
	if ((owner_uid != (uid_t)-1 && lchown(path, owner_uid, (gid_t)-1) < 0) || listen(fd, BACKLOG) < 0) {
		rv = ocu_error_errno(err, OCU_E_IO, errno, "listening on %s", path);
		unlink(path);
		return rv;
	}
	return ocu_steal_fd(&fd);
}

static int check_peer(int fd, uid_t want_uid, struct ocu_error *err)
{
	struct ucred cred;
	socklen_t len = sizeof cred;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "peer credentials");
	if (len != sizeof cred || cred.uid != want_uid)
		return ocu_error_set(err, OCU_E_PEER_UNKNOWN, "the peer runs as uid %u, not %u",
		                     (unsigned)cred.uid, (unsigned)want_uid);
	return 0;
}

int ocu_fdpass_accept(int listen_fd, uid_t want_uid, struct ocu_error *err)
{
	OCU_CLOSE int fd = -1;
	int rv;

	do
		fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "accepting");
	if ((rv = check_peer(fd, want_uid, err)) != 0)
		return rv;
	return ocu_steal_fd(&fd);
}

int ocu_fdpass_connect(const char *path, uid_t want_uid, struct ocu_error *err)
{
	struct sockaddr_un sa;
	OCU_CLOSE int fd = -1;
	int rv = unix_address(&sa, path, err);

	if (rv != 0 || (rv = fd = unix_socket(err)) < 0)
		return rv;
	if (connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
		return ocu_error_errno(err, OCU_E_UNAVAILABLE, errno, "connecting to %s", path);
	if ((rv = check_peer(fd, want_uid, err)) != 0)
		return rv;
	return ocu_steal_fd(&fd);
}

/* --- packets --- */

union control {
	struct cmsghdr align;
	char space[CMSG_SPACE(sizeof(int) * OCU_FDPASS_MAX)];
};

int ocu_fdpass_send(int fd, const ProtobufCMessage *header, const int *fds, size_t nfds,
                    struct ocu_error *err)
{
	uint8_t bytes[1 + OCU_FDPASS_HEADER] = {FORMAT};
	size_t len = protobuf_c_message_get_packed_size(header);
	struct iovec iov = {.iov_base = bytes, .iov_len = 1 + len};
	union control control = {.space = {0}};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t sent;

	if (nfds > OCU_FDPASS_MAX || len > OCU_FDPASS_HEADER)
		return ocu_error_set(err, OCU_E_INVALID, "packet of %zu bytes with %zu descriptors", len,
		                     nfds);
	protobuf_c_message_pack(header, bytes + 1);
	if (nfds > 0) {
		struct cmsghdr *c;

		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
	}
	do
		sent = sendmsg(fd, &msg, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return ocu_error_errno(err,
		                       errno == EPIPE || errno == ECONNRESET ? OCU_E_UNAVAILABLE : OCU_E_IO,
		                       errno, "sending a packet");
	return 0;
}

/* Collects the packet's descriptors; what is over the bound is closed. Returns how many came in all. */
static size_t take_descriptors(struct msghdr *msg, int fds[OCU_FDPASS_MAX])
{
	size_t total = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++, total++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (total < OCU_FDPASS_MAX)
				fds[total] = fd;
			else
				close(fd);
		}
	}
	return total;
}

static void close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n && i < OCU_FDPASS_MAX; i++)
		close(fds[i]);
}

/* Bytes of the packet, or an error. */
static ssize_t read_packet(int fd, struct msghdr *msg, struct ocu_error *err)
{
	ssize_t got;

	do
		got = recvmsg(fd, msg, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return ocu_error_errno(err, errno == ECONNRESET ? OCU_E_UNAVAILABLE : OCU_E_IO, errno,
		                       "receiving a packet");
	return got;
}

static int read_header(const ProtobufCMessageDescriptor *desc, const uint8_t *bytes, size_t len,
                       ProtobufCMessage **ret, struct ocu_error *err)
{
	if (len == 0)
		return ocu_error_set(err, OCU_E_UNAVAILABLE, "the peer closed");
	if (bytes[0] != FORMAT)
		return ocu_error_set(err, OCU_E_PARSE, "packet of an unknown format");
	return ocu_wire_unpack(desc, bytes + 1, len - 1, ret, err);
}

int ocu_fdpass_recv(int fd, const ProtobufCMessageDescriptor *desc, ProtobufCMessage **ret, int *fds,
                    size_t *nfds, struct ocu_error *err)
{
	uint8_t bytes[1 + OCU_FDPASS_HEADER];
	struct iovec iov = {.iov_base = bytes, .iov_len = sizeof bytes};
	union control control;
	struct msghdr msg = {.msg_iov = &iov,
	                     .msg_iovlen = 1,
	                     .msg_control = control.space,
	                     .msg_controllen = sizeof control.space};
	int came[OCU_FDPASS_MAX];
	ssize_t got = read_packet(fd, &msg, err);
	size_t n;
	int rv;

	if (got < 0)
		return (int)got;
	n = take_descriptors(&msg, came);
	if (msg.msg_flags & (MSG_CTRUNC | MSG_TRUNC) || n > OCU_FDPASS_MAX)
		rv = ocu_error_set(err, OCU_E_TOO_LARGE,
		                   "packet with more bytes or descriptors than are taken");
	else
		rv = read_header(desc, bytes, (size_t)got, ret, err);
	if (rv != 0) {
		close_all(came, n);
		return rv;
	}
	memcpy(fds, came, n * sizeof *fds);
	*nfds = n;
	return 0;
}
