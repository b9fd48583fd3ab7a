/* frame: reading and writing length-prefixed protobuf messages; see frame.h. */
#include "sandboxd/guest/frame.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void frame_reader_init(struct frame_reader *r, size_t max)
{
	*r = (struct frame_reader){.max = max};
}

void frame_reader_done(struct frame_reader *r)
{
	free(r->buf);
	*r = (struct frame_reader){.max = r->max};
}

/* Moves what is left to the front, gives back the memory of a large frame, and makes room for one more read.
 */
static int make_room(struct frame_reader *r)
{
	size_t left = r->len - r->off;
	size_t most = r->max + FRAME_HEADER > FRAME_SMALL ? r->max + FRAME_HEADER : FRAME_SMALL;
	size_t want = left < FRAME_SMALL / 2 ? FRAME_SMALL : left * 2;
	unsigned char *p;

	if (r->off > 0 && left > 0)
		memmove(r->buf, r->buf + r->off, left);
	r->len = left;
	r->off = 0;
	if (want > most)
		want = most > left ? most : left + FRAME_HEADER;
	if (r->cap >= want && r->cap <= 2 * want)
		return 0;
	p = realloc(r->buf, want);
	if (!p)
		return r->cap > left ? 0 : -ENOMEM;
	r->buf = p;
	r->cap = want;
	return 0;
}

long frame_reader_fill(struct frame_reader *r, int fd)
{
	long n;
	int rc = make_room(r);

	if (rc < 0)
		return rc;
	do
		n = read(fd, r->buf + r->len, r->cap - r->len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	r->len += (size_t)n;
	return n;
}

static uint32_t read_u32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

int frame_reader_next(struct frame_reader *r, const unsigned char **data, size_t *len)
{
	size_t have = r->len - r->off;
	size_t want;

	if (have < FRAME_HEADER)
		return 0;
	want = read_u32(r->buf + r->off);
	if (want == 0 || want > r->max)
		return -1;
	if (have < FRAME_HEADER + want)
		return 0;
	*data = r->buf + r->off + FRAME_HEADER;
	*len = want;
	r->off += FRAME_HEADER + want;
	return 1;
}

struct budget {
	size_t left;
};

static void *budget_alloc(void *arg, size_t n)
{
	struct budget *b = arg;

	if (n > b->left)
		return NULL;
	b->left -= n;
	return malloc(n);
}

static void budget_free(void *arg, void *p)
{
	(void)arg;
	free(p);
}

static bool all_known(const ProtobufCMessage *m);

static bool field_known(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	const char *at = (const char *)m + f->offset;

	if (f->type != PROTOBUF_C_TYPE_MESSAGE)
		return true;
	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		size_t n = *(const size_t *)(const void *)((const char *)m + f->quantifier_offset);
		ProtobufCMessage *const *list = *(ProtobufCMessage *const *const *)(const void *)at;

		for (size_t i = 0; i < n; i++)
			if (!all_known(list[i]))
				return false;
		return true;
	}
	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
		uint32_t which = *(const uint32_t *)(const void *)((const char *)m + f->quantifier_offset);

		if (which != f->id)
			return true;
	}
	return !*(ProtobufCMessage *const *)(const void *)at ||
	       all_known(*(ProtobufCMessage *const *)(const void *)at);
}

static bool all_known(const ProtobufCMessage *m)
{
	if (m->n_unknown_fields > 0)
		return false;
	for (unsigned i = 0; i < m->descriptor->n_fields; i++)
		if (!field_known(m, &m->descriptor->fields[i]))
			return false;
	return true;
}

ProtobufCMessage *frame_unpack(const ProtobufCMessageDescriptor *desc, const unsigned char *data, size_t len)
{
	struct budget budget = {.left = 4 * len + (16u << 10)};
	ProtobufCAllocator alloc;
	ProtobufCMessage *m;

	alloc.alloc = budget_alloc;
	alloc.free = budget_free;
	alloc.allocator_data = &budget;
	m = protobuf_c_message_unpack(desc, &alloc, len, data);
	if (m && !all_known(m)) {
		protobuf_c_message_free_unpacked(m, NULL);
		m = NULL;
	}
	return m;
}

unsigned char *frame_pack(const ProtobufCMessage *m, size_t max, size_t *len)
{
	size_t n = protobuf_c_message_get_packed_size(m);
	unsigned char *p;

	if (n == 0 || n > max)
		return NULL;
	p = malloc(FRAME_HEADER + n);
	if (!p)
		return NULL;
	p[0] = (unsigned char)n;
	p[1] = (unsigned char)(n >> 8);
	p[2] = (unsigned char)(n >> 16);
	p[3] = (unsigned char)(n >> 24);
	protobuf_c_message_pack(m, p + FRAME_HEADER);
	*len = FRAME_HEADER + n;
	return p;
}
