/* event: what auditd insists on before an event becomes evidence. */
#ifndef AUDITD_EVENT_H
#define AUDITD_EVENT_H

#include <stddef.h>

struct ocu_error;

/* Strict JSON, the mandatory members, at most OCU_EVENT_MAX bytes. *data and *len are narrowed to the object
 * itself. Where the event names a source of its own, *ret_owned is a new text without that (caller frees) and
 * *data is it. */
int event_accept(const char **data, size_t *len, char **ret_owned, struct ocu_error *err);

#endif
