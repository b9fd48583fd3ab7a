/*
 * frame: how messages stand on the control channel, for both of its ends: u32 length (little endian), then
 * one protobuf message. The reader trusts nobody: a length over its maximum, a message that does not parse,
 * has a field that is not in the schema, or would unpack into more memory than its size explains, is a
 * violation.
 */
#ifndef OCU_GUEST_FRAME_H
#define OCU_GUEST_FRAME_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER      4
#define FRAME_REQUEST_MAX (1u << 20)  /* host to guest */
#define FRAME_REPLY_MAX   (12u << 20) /* guest to host */
#define FRAME_SMALL       (64u << 10) /* what a reader keeps allocated between large frames */

struct frame_reader {
	unsigned char *buf;
	size_t len; /* bytes in buf */
	size_t off; /* bytes of buf already handed out */
	size_t cap;
	size_t max; /* longest frame accepted right now; may be changed between frames */
};

void frame_reader_init(struct frame_reader *r, size_t max);
void frame_reader_done(struct frame_reader *r);
/* One read(2) of fd, which must not block. Returns bytes read, 0 at the end of the stream, -EAGAIN when there
 * is nothing now, another negative errno on failure. Memory follows what has arrived, never what a header
 * promises. */
long frame_reader_fill(struct frame_reader *r, int fd);
/* The next whole frame, valid until the next fill: 1 and *data, *len; 0 when more bytes are needed; -1 when
 * the announced length is 0 or over max. */
int frame_reader_next(struct frame_reader *r, const unsigned char **data, size_t *len);

/* Unpacks with a memory budget of 4 * len + 16 KiB and refuses unknown fields at any depth. NULL when
 * refused. Freed with protobuf_c_message_free_unpacked(m, NULL). */
ProtobufCMessage *frame_unpack(const ProtobufCMessageDescriptor *desc, const unsigned char *data, size_t len);
/* Header and message in one allocation; *len is set to the whole. NULL when out of memory or over max. */
unsigned char *frame_pack(const ProtobufCMessage *m, size_t max, size_t *len);

#endif
