/* What a guest may write to its control descriptor, as the host reads it: frames of any length, replies of
 * any content. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/agent.pb-c.h"
#include "sandboxd/guest/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A message that was accepted can be written again and is the same. */
static void again(const ProtobufCMessage *m)
{
	size_t len;
	unsigned char *frame = frame_pack(m, FRAME_REPLY_MAX, &len);
	ProtobufCMessage *back;

	if (!frame)
		return;
	back = frame_unpack(&ocu__agent__reply__descriptor, frame + FRAME_HEADER, len - FRAME_HEADER);
	if (!back || protobuf_c_message_get_packed_size(back) != len - FRAME_HEADER)
		abort();
	protobuf_c_message_free_unpacked(back, NULL);
	free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_reader in;
	const unsigned char *frame;
	int ends[2], rc = 0;
	size_t len;

	if (size < 1 || size > 65536 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return 0;
	/* The first byte says how much the reader takes at most. */
	frame_reader_init(&in, (size_t)data[0] * 64 + 1);
	if (write(ends[1], data + 1, size - 1) < 0)
		abort();
	close(ends[1]);
	while (rc >= 0 && frame_reader_fill(&in, ends[0]) > 0) {
		while ((rc = frame_reader_next(&in, &frame, &len)) == 1) {
			ProtobufCMessage *m;

			if (len == 0 || len > in.max)
				abort();
			m = frame_unpack(&ocu__agent__reply__descriptor, frame, len);
			if (!m)
				continue;
			again(m);
			protobuf_c_message_free_unpacked(m, NULL);
		}
	}
	frame_reader_done(&in);
	close(ends[0]);
	return 0;
}
