#include "auditd/syslog.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libocu/buf.h"
#include "libocu/json.h"

#define MSGID_MAX 32

enum { NOTICE = 5, WARNING = 4, INFORMATIONAL = 6 };

/* PRINTUSASCII of RFC 5424; anything else would end the field or be no field. */
static bool printable(const char *s, size_t max)
{
	size_t n = strlen(s);
	for (const char *c = s; *c; c++)
		if (*c < 33 || *c > 126)
			return false;
	return n > 0 && n <= max;
}

void syslog_origin_init(struct syslog_origin *o, const char *host, unsigned facility)
{
	snprintf(o->host, sizeof o->host, "%s", printable(host, SYSLOG_HOST_MAX - 1) ? host : "-");
	o->facility = facility;
}

static unsigned severity(const char *outcome)
{
	if (strcmp(outcome, "failure") == 0)
		return WARNING;
	return strcmp(outcome, "denied") == 0 ? NOTICE : INFORMATIONAL;
}

int syslog_put(struct ocu_buf *out, const struct syslog_origin *o, const char *trail,
               const struct ocu_trail_record *r)
{
	OCU_JSON json_t *event = json_loadb(r->event, r->event_len, 0, NULL);
	const char *action = ocu_json_str(event, "action", "");
	char head[1024];
	int n =
	    snprintf(head, sizeof head,
	             "<%u>1 %.24s %s ocu %.*s %s [ocu@32473 trail=\"%s\" n=\"%" PRIu64 "\" hash=\"%.64s\"] ",
	             o->facility * 8 + severity(ocu_json_str(event, "outcome", "")), r->time, o->host,
	             (int)r->source_len, r->source, printable(action, MSGID_MAX) ? action : "-", trail,
	             r->number, r->hash);
	ocu_buf_printf(out, "%zu ", (size_t)n + r->event_len);
	ocu_buf_put(out, head, (size_t)n);
	ocu_buf_put(out, r->event, r->event_len);
	return out->failed;
}
