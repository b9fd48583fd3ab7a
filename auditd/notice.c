/* notice: rendering of auditd's own trail events. The resumed notice is always the last of the list. */
#include "auditd/notice.h"

#include <stdbool.h>
#include <string.h>

#include "auditd/recover.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/ocsf.h"

void notices_done(struct notices *n)
{
	for (size_t i = 0; i < n->n; i++)
		ocu_buf_done(&n->text[i]);
	n->n = 0;
}

static void render(struct notices *n, const char *action, enum ocu_outcome outcome, int reason,
                   const char *trail, const json_t *detail)
{
	if (n->n == NOTICES_MAX)
		return;
	struct ocu_event ev = {
	    .class_uid = OCU_OCSF_APP_LIFECYCLE,
	    .activity_id = 99,
	    .action = action,
	    .resource = trail,
	    .actor_id = "system:auditd",
	    .outcome = outcome,
	    .reason = reason,
	    .detail = detail,
	};
	struct ocu_buf *out = &n->text[n->n];
	ocu_buf_init(out, OCU_EVENT_MAX);
	if (ocu_event_render(&ev, out, NULL) == 0)
		n->n++;
	else
		ocu_buf_done(out);
}

void notice_opened(struct notices *n, const char *trail)
{
	render(n, "trail.opened", OCU_OUTCOME_SUCCESS, 0, trail, NULL);
}

void notice_recovered(struct notices *n, const struct recovery *r)
{
	OCU_JSON json_t *d = json_pack(
	    "{s:I, s:I, s:I, s:I, s:s, s:b, s:s}", "records", (json_int_t)r->head.number, "segment",
	    (json_int_t)r->segment, "end", (json_int_t)r->head.end, "cut_bytes", (json_int_t)r->cut_bytes,
	    "cut_sha256", r->cut_hash.hex, "cut_kept", (int)r->cut_kept, "why", r->why);
	render(n, "trail.recovered", OCU_OUTCOME_SUCCESS, 0, r->head.trail, d);
}

void notices_refused(struct notices *n, uint64_t events, const struct ocu_error *why)
{
	if (n->refused_batches == 0)
		n->since_ms = ocu_wall_ms();
	n->refused_events += events;
	n->refused_batches++;
	n->reason = why->code;
}

void notices_resume(struct notices *n)
{
	if (n->refused_batches == 0)
		return;
	char since[32];
	ocu_time_rfc3339(n->since_ms, since);
	OCU_JSON json_t *d = json_pack("{s:I, s:I, s:s}", "refused_events", (json_int_t)n->refused_events,
	                               "refused_batches", (json_int_t)n->refused_batches, "since", since);
	if (n->resumed)
		ocu_buf_done(&n->text[--n->n]);
	size_t before = n->n;
	render(n, "trail.resumed", OCU_OUTCOME_FAILURE, n->reason, "trail", d);
	n->resumed = n->n > before;
}

void notices_drop(struct notices *n, size_t k)
{
	if (k == 0)
		return;
	for (size_t i = 0; i < k; i++)
		ocu_buf_done(&n->text[i]);
	memmove(n->text, n->text + k, (n->n - k) * sizeof *n->text);
	n->n -= k;
	if (n->n == 0 && n->resumed) {
		n->resumed = false;
		n->refused_events = n->refused_batches = 0;
	}
}
