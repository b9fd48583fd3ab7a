/* The gate: the first byte chooses the port and the size of the pieces; whole and in pieces the same bytes
 * pass and the same verdict falls, and nothing passes that names another host. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/gate.h"
#include "libocu/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const uint16_t ports[] = {80, 443, 8080, 22};

static int run(struct gate *g, const uint8_t *data, size_t len, size_t step, struct ocu_buf *out)
{
	int rc = 0;

	while (len && rc == 0) {
		size_t n = len < step ? len : step, room = gate_room(g);
		if (room == 0)
			break;
		n = n < room ? n : room;
		rc = gate_feed(g, data, n, out, NULL);
		data += n;
		len -= n;
	}
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct gate whole, pieces;
	OCU_BUF struct ocu_buf a = OCU_BUF_INIT(1 << 20), b = OCU_BUF_INIT(1 << 20);

	if (len < 2)
		return 0;
	uint16_t port = ports[data[0] & 3];
	size_t step = 1 + (data[0] >> 2);
	gate_init(&whole, "a.example", port);
	gate_init(&pieces, "a.example", port);
	whole.proxied = pieces.proxied = data[1] & 1;
	if (whole.proxied) {
		whole.state = pieces.state = GATE_HEAD;
		whole.proto = pieces.proto = GATE_HTTP;
	}
	int one = run(&whole, data + 2, len - 2, HTTP_HEAD_MAX, &a),
	    many = run(&pieces, data + 2, len - 2, step, &b);
	/* In pieces a body passes up to the byte that breaks it; whole it may not have been looked at so
	 * finely. */
	size_t common = a.len < b.len ? a.len : b.len;
	if (one != many || (common && memcmp(a.data, b.data, common) != 0) || (one == 0 && a.len != b.len))
		abort();
	if (gate_undecided(&whole) && a.len)
		abort();
	gate_done(&whole);
	gate_done(&pieces);
	return 0;
}
