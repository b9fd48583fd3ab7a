/* request: making, answering and freeing. */
#include "auditd/request.h"

#include <stdlib.h>

#include "auditd/lane.h"
#include "auditd/metrics.h"
#include "libocu/rpc.h"
#include "proto/audit.pb-c.h"

struct request *request_new(size_t n)
{
	struct request *r = calloc(1, sizeof *r + n * sizeof r->events[0]);
	if (r)
		r->n = n;
	return r;
}

void request_finish(struct request *r, const struct ocu_error *err)
{
	if (r->call && err) {
		ocu_rpc_fail(r->call, err);
	} else if (r->call) {
		Ocu__Audit__AppendReply reply = OCU__AUDIT__APPEND_REPLY__INIT;
		reply.first = r->first;
		ocu_rpc_reply(r->call, &reply.base);
	}
	if (r->done)
		r->done(r->done_arg, err);
	if (!err)
		metrics_accepted(r->lane->component, r->n);
	for (size_t i = 0; i < r->n; i++)
		free(r->events[i].owned);
	free(r);
}
