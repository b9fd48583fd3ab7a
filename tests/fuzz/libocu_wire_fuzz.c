/*
 * The strict check on any bytes, for every message that crosses a bus: the first byte chooses the type. What
 * passes unpacks, holds no unknown field at any depth, and packs to a message that passes again.
 */
#include <stdint.h>
#include <stdlib.h>

#include "libocu/rpc.h"
#include "libocu/rpc_wire.h"
#include "proto/denylist.pb-c.h"
#include "proto/methods.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct ocu_rpc_method *const methods[] = {
#define X(sym, num, text, who, type) &ocu_m_##sym,
    OCU_METHOD_TABLE(X)
#undef X
};
#define METHODS (sizeof methods / sizeof *methods)

static void require(int condition)
{
	if (!condition)
		abort();
}

static void no_unknown(const ProtobufCMessage *m)
{
	require(m->n_unknown_fields == 0);
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		const char *at = (const char *)m + f->offset;

		if (f->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		if (f->label != PROTOBUF_C_LABEL_REPEATED) {
			if (*(ProtobufCMessage *const *)at)
				no_unknown(*(ProtobufCMessage *const *)at);
			continue;
		}
		for (size_t n = 0; n < *(const size_t *)((const char *)m + f->quantifier_offset); n++)
			no_unknown((*(ProtobufCMessage *const *const *)at)[n]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const ProtobufCMessageDescriptor *desc = &ocu__denylist__change__descriptor;
	ProtobufCMessage *m = NULL;
	uint8_t *again;
	size_t len;

	if (size == 0)
		return 0;
	if (data[0] < 2 * METHODS)
		desc = data[0] % 2 ? methods[data[0] / 2]->reply : methods[data[0] / 2]->request;
	if (ocu_wire_check(desc, data + 1, size - 1, NULL) != 0) {
		require(ocu_wire_unpack(desc, data + 1, size - 1, &m, NULL) != 0 && m == NULL);
		return 0;
	}
	require(ocu_wire_unpack(desc, data + 1, size - 1, &m, NULL) == 0);
	no_unknown(m);
	len = protobuf_c_message_get_packed_size(m);
	again = malloc(len + 1);
	require(again != NULL);
	protobuf_c_message_pack(m, again);
	require(ocu_wire_check(desc, again, len, NULL) == 0);
	free(again);
	protobuf_c_message_free_unpacked(m, NULL);
	return 0;
}
