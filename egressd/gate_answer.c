/* gate_answer: what the server says, where it decides how the guest's bytes are read. */
#include <string.h>

#include "egressd/gate.h"
#include "egressd/hello.h"

/* A server that speaks first decides the protocol, unless what it says is the complaint of one that waited
 * for a request: then the guest's first bytes decide still. */
static void server_first(struct gate *g, const uint8_t *data, size_t len)
{
	bool waited =
	    (len >= 5 && memcmp(data, "HTTP/", 5) == 0) || (len >= 1 && (data[0] == 0x15 || data[0] == 0x16));

	if (len && !waited && g->hold.len == 0 && !gate_web_port(g->port)) {
		g->proto = GATE_OPAQUE;
		g->state = GATE_OPEN;
	}
}

/* The status of the first answer in b: 0 when not there yet, -1 when it is no HTTP answer. */
static int answer_status(const struct ocu_buf *b)
{
	if (b->len < 12)
		return memcmp(b->data, "HTTP/1.1 ???", b->len < 9 ? b->len : 9) == 0 ? 0 : -1;
	const char *d = b->data + 9;
	if (memcmp(b->data, "HTTP/1.1 ", 9) != 0 || d[0] < '1' || d[0] > '9' || d[1] < '0' || d[1] > '9' ||
	    d[2] < '0' || d[2] > '9')
		return -1;
	return (d[0] - '0') * 100 + (d[1] - '0') * 10 + (d[2] - '0');
}

static bool upgrade_settled(struct gate *g, const void *data, size_t len)
{
	struct ocu_buf *b = &g->answer;
	size_t room = HTTP_HEAD_MAX - b->len;

	ocu_buf_put(b, data, len < room ? len : room);
	for (;;) {
		int status = b->len ? answer_status(b) : 0;
		if (status == 0)
			return false;
		const char *end = memmem(b->data, b->len, "\r\n\r\n", 4);
		bool interim = status >= 100 && status < 200 && status != 101;
		if (!interim || (!end && b->len >= HTTP_HEAD_MAX)) {
			g->state = status == 101 ? GATE_OPEN : GATE_HEAD;
			g->proto = status == 101 ? GATE_OPAQUE : GATE_HTTP;
			g->seen = 0;
			ocu_buf_done(b);
			return true;
		}
		if (!end)
			return false;
		ocu_buf_consume(b, (size_t)(end + 4 - b->data));
	}
}

static bool hello_settled(struct gate *g, const void *data, size_t len)
{
	struct ocu_buf *b = &g->answer;
	size_t room = HTTP_HEAD_MAX - b->len, size = 0;
	enum hello_reply reply = HELLO_REPLY_MORE;
	bool cut = ocu_buf_put(b, data, len < room ? len : room) || len > room;

	/* Before a second hello the server has nothing more to say; what it does say is kept for then. */
	if (g->state == GATE_HELLO)
		reply = hello_reply((const uint8_t *)b->data, b->len, &size);
	if (reply == HELLO_REPLY_MORE && !cut)
		return false;
	if (reply == HELLO_REPLY_RETRY && !cut) {
		ocu_buf_consume(b, size);
		g->state = GATE_RETRY;
		return true;
	}
	/* A server that answers a hello with something else did not read it: it may take what comes next for
	 * anything, and gets nothing. */
	g->state = reply == HELLO_REPLY_GOES_ON ? GATE_OPEN : GATE_SHUT;
	ocu_buf_done(b);
	return true;
}

int gate_answer(struct gate *g, const void *data, size_t len, struct ocu_buf *out, struct ocu_error *err)
{
	bool settled = false;

	if (g->state == GATE_SNIFF)
		server_first(g, data, len);
	else if (g->state == GATE_UPGRADE)
		settled = upgrade_settled(g, data, len);
	else if (g->state == GATE_HELLO || g->state == GATE_RETRY)
		settled = hello_settled(g, data, len);
	return settled ? gate_feed(g, NULL, 0, out, err) : 0;
}
