/* evidence: see evidence.h. */
#include "sandboxd/evidence.h"

#include <string.h>

#include "libocu/buf.h"
#include "libocu/err.h"
#include "libocu/log.h"
#include "sandboxd/node.h"
#include "sandboxd/session.h"

/* OCSF 1.3.0, Application Lifecycle: 3 Start, 4 Stop, 99 Other. */
static int activity_of(const char *action)
{
	if (strcmp(action, EVIDENCE_CREATE) == 0 || strcmp(action, EVIDENCE_START) == 0)
		return 3;
	if (strcmp(action, EVIDENCE_STOP) == 0 || strcmp(action, EVIDENCE_STOPPED) == 0)
		return 4;
	return 99;
}

static struct ocu_event event_of(const char *container, const char *session, const struct evidence *e)
{
	return (struct ocu_event){.class_uid = OCU_OCSF_APP_LIFECYCLE,
	                          .activity_id = activity_of(e->action),
	                          .action = e->action,
	                          .resource = container,
	                          .actor_id = "system:sandboxd",
	                          .session_id = session,
	                          .trace_id = e->trace ? e->trace : "",
	                          .outcome = e->code ? OCU_OUTCOME_FAILURE : OCU_OUTCOME_SUCCESS,
	                          .reason = e->code,
	                          .detail = e->detail};
}

int evidence_commit(struct session *s, const struct evidence *e, struct ocu_error *err)
{
	struct ocu_event ev = event_of(s->container, s->id, e);
	int rc = ocu_audit_commit(s->node->audit, &ev, err);

	json_decref(e->detail);
	return rc;
}

void evidence_report(struct session *s, const struct evidence *e)
{
	struct ocu_event ev = event_of(s->container, s->id, e);

	ocu_audit_report(s->node->audit, &ev);
	json_decref(e->detail);
}

int evidence_commit_container(struct node *n, const char *container, const struct evidence *e,
                              struct ocu_error *err)
{
	struct ocu_event ev = event_of(container, "", e);
	int rc = ocu_audit_commit(n->audit, &ev, err);

	json_decref(e->detail);
	return rc;
}

/* What a byte becomes in JSON; jansson writes everything else as it is. */
static size_t escaped_size(unsigned char c)
{
	if (c == '"' || c == '\\' || c == '\n' || c == '\t' || c == '\r' || c == '\b' || c == '\f')
		return 2;
	return c < 0x20 || c == 0x7f ? 6 : 1;
}

json_t *evidence_text(const void *data, size_t len, size_t max, int *cut)
{
	OCU_BUF struct ocu_buf out = OCU_BUF_INIT(max * 3 + 8);
	const char *s = data;
	size_t at = 0, size = 0;

	while (at < len) {
		size_t n = ocu_utf8_seq(s + at, len - at);
		size_t more = n == 1 ? escaped_size((unsigned char)s[at]) : n ? n : 3;

		if (at + (n ? n : 1) > max || size + more > 2 * max)
			break;
		if (n && s[at])
			ocu_buf_put(&out, s + at, n);
		else
			ocu_buf_puts(&out, "\xEF\xBF\xBD");
		size += more;
		at += n ? n : 1;
	}
	if (cut)
		*cut = at < len;
	return out.failed ? NULL : json_stringn(out.data ? out.data : "", out.len);
}
