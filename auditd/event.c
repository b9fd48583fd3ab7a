/*
 * event: the check, and the dropping of source claims. The record states the source beside the event; a
 * member that could be mistaken for it must not stand inside.
 */
#include "auditd/event.h"

#include <jansson.h>
#include <stdbool.h>

#include "libocu/buf.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/ocsf.h"

/* OCSF 1.3.0 members that name who reported or logged an event, and the plain word. */
static const struct claim {
	const char *parent[2]; /* path of objects, NULL where it ends */
	const char *name;
} claims[] = {
    {{NULL, NULL}, "source"},
    {{"metadata", NULL}, "source"},
    {{"metadata", NULL}, "log_provider"},
    {{"metadata", NULL}, "loggers"},
    {{"metadata", "product"}, "feature"},
};

static json_t *parent_of(json_t *event, const struct claim *c)
{
	for (int i = 0; i < 2 && c->parent[i]; i++)
		event = json_object_get(event, c->parent[i]);
	return event;
}

static int drop_claims(json_t *event)
{
	int dropped = 0;
	for (size_t i = 0; i < sizeof claims / sizeof *claims; i++)
		dropped += json_object_del(parent_of(event, &claims[i]), claims[i].name) == 0;
	return dropped;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void narrow(const char **data, size_t *len)
{
	for (; *len && is_space(**data); (*len)--)
		(*data)++;
	while (*len && is_space((*data)[*len - 1]))
		(*len)--;
}

int event_accept(const char **data, size_t *len, char **ret_owned, struct ocu_error *err)
{
	OCU_JSON json_t *event = NULL;
	int rc = ocu_json_parse(*data, *len, OCU_EVENT_MAX, &event, err);
	if (!rc)
		rc = ocu_event_check(event, err);
	if (rc)
		return rc;
	narrow(data, len);
	if (drop_claims(event) == 0)
		return 0;
	struct ocu_buf text = OCU_BUF_INIT(OCU_EVENT_MAX);
	rc = ocu_json_dump(event, &text);
	size_t n = text.len;
	char *owned = ocu_buf_steal(&text);
	if (rc || !owned)
		return ocu_error_set(err, rc ? rc : OCU_E_NOMEM, "event without its source claim");
	*data = *ret_owned = owned;
	*len = n;
	return 0;
}
