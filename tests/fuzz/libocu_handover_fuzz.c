/* A handover packet of any bytes, with up to six descriptors: refused or taken, no descriptor is left open by
 * it. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libocu/fdpass.h"
#include "proto/handover.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
	if (!condition)
		abort();
}

static void send_packet(int fd, const uint8_t *data, size_t size, size_t nfds)
{
	struct iovec iov = {.iov_base = (void *)data, .iov_len = size};
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * 8)];
	} control = {.space = {0}};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;

	if (nfds > 0) {
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		for (size_t i = 0; i < nfds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof fd, &fd, sizeof fd);
	}
	require(sendmsg(fd, &msg, MSG_NOSIGNAL) == (ssize_t)size);
}

/* The number that the next descriptor will get: the same before and after when nothing stayed open. */
static int next_descriptor(void)
{
	int fd = dup(STDERR_FILENO);

	require(fd >= 0);
	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ProtobufCMessage *m = NULL;
	int pair[2], came[OCU_FDPASS_MAX], before;
	size_t n = 0, nfds;

	if (size == 0 || size > (size_t)3 * OCU_FDPASS_HEADER)
		return 0;
	nfds = data[0] % 7;
	require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	before = next_descriptor();
	send_packet(pair[0], data + 1, size - 1, nfds);
	if (ocu_fdpass_recv(pair[1], &ocu__handover__handover__descriptor, &m, came, &n, NULL) == 0) {
		require(n == nfds && n <= OCU_FDPASS_MAX && m->n_unknown_fields == 0);
		for (size_t i = 0; i < n; i++)
			close(came[i]);
		protobuf_c_message_free_unpacked(m, NULL);
	}
	require(next_descriptor() == before);
	close(pair[0]);
	close(pair[1]);
	return 0;
}
