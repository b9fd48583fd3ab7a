/*
 * tool_cancel: the way of a cancellation. It goes to the sandbox under a grant of its own: the one its call
 * was sent with ends long before a long command does.
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/inflight.h"
#include "gateway/routes.h"
#include "gateway/sandboxes.h"
#include "gateway/tool.h"
#include "libocu/id.h"
#include "libocu/log.h"
#include "proto/exec.pb-c.h"
#include "proto/methods.h"

#define DEADLINE_MS 5000

struct cancelling {
	struct cancelling *next;
	struct gateway *g;
	char session[40];
	char call_id[40];
	char trace[OCU_ID_MAX]; /* the call's */
};

/* For inflight_find(). A call without a route will find that it is cancelled when it has one. */
static void mark(struct call *c, void *arg)
{
	struct cancelling **list = arg, *k;
	bool again = c->cancelled;
	c->cancelled = true;
	if (!c->url[0] || again)
		return;
	k = calloc(1, sizeof *k);
	if (!k) {
		ocu_log(OCU_LOG_WARN, "tool.not_cancelled", c->trace, "error", "out of memory", NULL);
		return;
	}
	k->g = c->ex->g;
	snprintf(k->session, sizeof k->session, "%s", c->session);
	snprintf(k->call_id, sizeof k->call_id, "%s", c->call_id);
	snprintf(k->trace, sizeof k->trace, "%s", c->trace);
	k->next = *list;
	*list = k;
}

static void replied(void *arg, const ProtobufCMessage *reply, const struct ocu_error *err)
{
	struct cancelling *k = arg;
	(void)reply;
	if (err)
		ocu_log_error(OCU_LOG_WARN, "tool.not_cancelled", k->trace, err);
	free(k);
}

static void routed(void *arg, const struct route *route, const struct ocu_error *failure)
{
	struct cancelling *k = arg;
	struct ocu_error err = {0};
	struct ocu_rpc_client *client = NULL;
	Ocu__Exec__CancelRequest q = OCU__EXEC__CANCEL_REQUEST__INIT;
	/* In another session than it was, the call has ended with that one. */
	if (route && strcmp(route->session_id, k->session) != 0) {
		free(k);
		return;
	}
	if (failure)
		err = *failure;
	else
		client = sandboxes_get(k->g->sandboxes, route->url, &err);
	if (client) {
		q.grant = (char *)route->grant;
		q.call_id = k->call_id;
		if (!ocu_rpc_call_async(client, &ocu_m_exec_cancel, &q.base, DEADLINE_MS, k->trace, replied,
		                        k, &err))
			return;
	}
	replied(k, NULL, &err);
}

void tool_cancel(struct exchange *ex, const json_t *id)
{
	struct cancelling *list = NULL;
	inflight_find(ex->g->inflight, ex, id, mark, &list);
	while (list) {
		struct cancelling *k = list;
		list = k->next;
		routes_get(ex->g->routes, &ex->caller, ex->hint, k->trace, routed, k);
	}
}
