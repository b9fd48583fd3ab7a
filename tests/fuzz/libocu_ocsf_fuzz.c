/*
 * ocsf: the check on what auditd receives, and the promise of the other side: an event made of any strings
 * renders, is parsed by the strict parser and passes the check.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/buf.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/ocsf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a passing check must have established, read by other means. */
static void insist(const json_t *event)
{
	static const char *const texts[] = {"trace_id", "session_id", "actor_id",
	                                    "resource", "action",     "outcome"};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (!ocu_json_str(event, texts[i], NULL))
			abort();
	if (ocu_json_int(event, "class_uid", 0) < 1000 || ocu_json_int(event, "time", 0) <= 0)
		abort();
	if (!ocu_json_str(json_object_get(event, "metadata"), "version", NULL))
		abort();
}

static void check_received(const char *data, size_t size)
{
	json_t *j = NULL;
	struct ocu_error err = {0};
	if (ocu_json_parse(data, size, OCU_EVENT_MAX, &j, NULL))
		return;
	int rc = ocu_event_check(j, &err);
	if (rc == 0)
		insist(j);
	else if (rc != OCU_E_INVALID || !err.text[0])
		abort();
	json_decref(j);
}

/* The bytes cut into five strings at the NULs. */
static void render_made(const char *data, size_t size)
{
	char *copy = malloc(size + 6);
	memset(copy, 0, size + 6);
	memcpy(copy, data, size);
	const char *part[5];
	const char *at = copy;
	for (int i = 0; i < 5; i++) {
		part[i] = at;
		at += strlen(at);
		at += at < copy + size + 5;
	}
	struct ocu_event ev = {
	    .class_uid = OCU_OCSF_API_ACTIVITY,
	    .activity_id = 99,
	    .action = part[0],
	    .resource = part[1],
	    .actor_id = part[2],
	    .session_id = part[3],
	    .trace_id = part[4],
	    .outcome = (enum ocu_outcome)(size % 3),
	    .reason = OCU_E_DENIED,
	};
	struct ocu_buf b = OCU_BUF_INIT(OCU_EVENT_MAX);
	json_t *j = NULL;
	if (ocu_event_render(&ev, &b, NULL) || ocu_json_parse(b.data, b.len, OCU_EVENT_MAX, &j, NULL) ||
	    ocu_event_check(j, NULL))
		abort();
	insist(j);
	json_decref(j);
	ocu_buf_done(&b);
	free(copy);
}

/* shows: NFR-MAINT-11 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_received((const char *)data, size);
	render_made((const char *)data, size);
	return 0;
}
