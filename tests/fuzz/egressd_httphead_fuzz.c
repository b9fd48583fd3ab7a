/* Request heads: what is accepted can be written again, and the rewritten head is accepted with the same
 * meaning. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/httphead.h"
#include "libocu/buf.h"
#include "libocu/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int same(struct http_span a, struct http_span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct http_head h, again;
	struct http_span authority, path;
	OCU_BUF struct ocu_buf out = OCU_BUF_INIT(1 << 20);

	http_looks_like((const char *)data, len);
	if (http_head_parse((const char *)data, len, &h, NULL))
		return 0;
	if (h.size > len || memcmp(data + h.size - 4, "\r\n\r\n", 4) != 0 ||
	    http_looks_like((const char *)data, len) != 1)
		abort();
	http_absolute(h.target, &authority, &path, NULL);
	if (http_head_write((const char *)data, &h, HTTP_DROP_UPGRADE, (struct http_span){0}, &out, NULL))
		abort();
	if (http_head_parse(out.data, out.len, &again, NULL) || again.size != out.len || again.upgrade)
		abort();
	if (!same(h.host, again.host) || !same(h.method, again.method) || !same(h.target, again.target) ||
	    h.body != again.body || h.length != again.length)
		abort();
	return 0;
}
