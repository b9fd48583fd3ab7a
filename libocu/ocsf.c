/*
 * ocsf: the audit event as text and the check auditd makes on what it receives. Rendering is part of every
 * tool call: it appends straight to the buffer, without a tree in between. Sizes add up so that only `detail`
 * can make an event too large: five strings of at most 3 KiB, 16 KiB of detail and the envelope stay under
 * OCU_EVENT_MAX.
 */
#include "libocu/ocsf.h"

#include <stdbool.h>
#include <string.h>

#include "libocu/buf.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/id.h"
#include "libocu/json.h"

#define OCSF_VERSION "1.3.0"
#define STRING_MAX   1024
#define RENDERED_MAX 3072
#define DETAIL_MAX   16384

/* https://schema.ocsf.io/1.3.0: class, its category, its caption. */
static const struct class_row {
	enum ocu_ocsf_class uid;
	const char *head;
} classes[] = {
#define ROW(uid, category, name)                                                                             \
	{                                                                                                    \
		uid, "\"class_name\":\"" name "\",\"category_uid\":" #category                               \
	}
    ROW(OCU_OCSF_FILE_ACTIVITY, 1, "File System Activity"),
    ROW(OCU_OCSF_PROCESS_ACTIVITY, 1, "Process Activity"),
    ROW(OCU_OCSF_ACCOUNT_CHANGE, 3, "Account Change"),
    ROW(OCU_OCSF_AUTHENTICATION, 3, "Authentication"),
    ROW(OCU_OCSF_ENTITY_MANAGEMENT, 3, "Entity Management"),
    ROW(OCU_OCSF_NETWORK_ACTIVITY, 4, "Network Activity"),
    ROW(OCU_OCSF_DNS_ACTIVITY, 4, "DNS Activity"),
    ROW(OCU_OCSF_APP_LIFECYCLE, 6, "Application Lifecycle"),
    ROW(OCU_OCSF_API_ACTIVITY, 6, "API Activity"),
#undef ROW
};

/* severity_id: 1 Informational, 2 Low, 3 Medium. OCSF knows Success and Failure; a denial is a failure of the
 * attempt, told apart by `outcome`. */
static const struct outcome_row {
	const char *word;
	const char *status;
} outcomes[] = {
    [OCU_OUTCOME_SUCCESS] = {"success", "\"severity_id\":1,\"status\":\"Success\",\"status_id\":1"},
    [OCU_OUTCOME_FAILURE] = {"failure", "\"severity_id\":2,\"status\":\"Failure\",\"status_id\":2"},
    [OCU_OUTCOME_DENIED] = {"denied", "\"severity_id\":3,\"status\":\"Failure\",\"status_id\":2"},
};
#define OUTCOMES (sizeof outcomes / sizeof *outcomes)

static const struct class_row *class_find(long long uid)
{
	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
		if ((long long)classes[i].uid == uid)
			return &classes[i];
	return NULL;
}

/* Bytes one input byte can become: an escape is six, U+FFFD in place of a bad byte three. */
static size_t rendered_size(const char *s, size_t left, size_t *taken)
{
	unsigned char c = (unsigned char)*s;
	*taken = 1;
	if (c < 0x80)
		return c < 0x20 ? 6 : c == '"' || c == '\\' ? 2 : 1;
	size_t n = ocu_utf8_seq(s, left);
	if (n)
		*taken = n;
	return n ? n : 3;
}

/* How much of s is kept: at most STRING_MAX bytes that render to at most RENDERED_MAX, whole characters only.
 */
static size_t cut(const char *s, size_t len)
{
	size_t at = 0;
	size_t size = 0;
	while (at < len) {
		size_t taken;
		size += rendered_size(s + at, len - at, &taken);
		if (at + taken > STRING_MAX || size > RENDERED_MAX)
			return at;
		at += taken;
	}
	return at;
}

static void member(struct ocu_buf *out, const char *name, const char *value)
{
	/* One byte more than is kept, and the tail of a character that starts before it. */
	size_t len = strnlen(value, STRING_MAX + 4);
	/* Short strings cannot pass either bound: six times 512 is 3072. */
	if (len > STRING_MAX / 2)
		len = cut(value, len);
	ocu_buf_puts(out, name);
	ocu_buf_json_string(out, value, len);
}

static const char *or_else(const char *s, const char *dflt)
{
	return s && s[0] ? s : dflt;
}

static void metadata(struct ocu_buf *out)
{
	char uid[OCU_ID_MAX];
	ocu_id_new("", uid);
	ocu_buf_puts(out, ",\"metadata\":{\"version\":\"" OCSF_VERSION
	                  "\",\"product\":{\"name\":\"Open Computer Use\","
	                  "\"vendor_name\":\"OCU\",\"version\":\"" OCU_VERSION "\"},\"uid\":\"");
	ocu_buf_puts(out, uid);
	ocu_buf_puts(out, "\",\"log_name\":\"ocu.audit\"}");
}

static void envelope(const struct ocu_event *ev, struct ocu_buf *out)
{
	char made[OCU_ID_MAX];
	const char *trace = ev->trace_id;
	if (!trace || !trace[0]) {
		ocu_id_new(OCU_ID_TRACE, made);
		trace = made;
	}
	member(out, ",\"trace_id\":", trace);
	member(out, ",\"session_id\":", or_else(ev->session_id, ""));
	member(out, ",\"actor_id\":", or_else(ev->actor_id, "unknown"));
	member(out, ",\"resource\":", or_else(ev->resource, ""));
	member(out, ",\"action\":", or_else(ev->action, "unknown"));
}

static int detail(const json_t *j, struct ocu_buf *out, struct ocu_error *err)
{
	ocu_buf_puts(out, ",\"unmapped\":");
	if (out->failed)
		return 0;
	size_t before = out->len;
	size_t max = out->max;
	if (max - before > DETAIL_MAX)
		out->max = before + DETAIL_MAX;
	int rc = ocu_json_dump_within(j, 1, out);
	out->max = max;
	if (rc)
		return ocu_error_set(err, rc, "event detail cannot be rendered: %s", ocu_err_text(rc));
	return 0;
}

int ocu_event_render(const struct ocu_event *ev, struct ocu_buf *out, struct ocu_error *err)
{
	const struct class_row *cl = class_find(ev->class_uid);
	if (!cl || (unsigned)ev->outcome >= OUTCOMES || ev->activity_id < 0 || ev->activity_id > 99)
		return ocu_error_set(err, OCU_E_INVALID, "event of an unknown class, activity or outcome");
	const struct outcome_row *oc = &outcomes[ev->outcome];
	int uid = (int)cl->uid;
	ocu_buf_printf(out, "{\"class_uid\":%d,%s,\"activity_id\":%d,\"type_uid\":%d,\"time\":%lld,%s", uid,
	               cl->head, ev->activity_id, uid * 100 + ev->activity_id, (long long)ocu_wall_ms(),
	               oc->status);
	if (ev->reason) {
		ocu_buf_puts(out, ",\"status_code\":\"");
		ocu_buf_puts(out, ocu_err_reason(ev->reason));
		ocu_buf_putc(out, '"');
	}
	metadata(out);
	envelope(ev, out);
	ocu_buf_puts(out, ",\"outcome\":\"");
	ocu_buf_puts(out, oc->word);
	ocu_buf_putc(out, '"');
	if (json_is_object(ev->detail)) {
		int rc = detail(ev->detail, out, err);
		if (rc)
			return rc;
	}
	ocu_buf_putc(out, '}');
	if (out->failed)
		return ocu_error_set(err, out->failed, "event does not fit: %s", ocu_err_text(out->failed));
	return 0;
}

static bool is_text(const json_t *v, size_t min)
{
	return json_is_string(v) && json_string_length(v) >= min;
}

static bool is_outcome(const json_t *v)
{
	const char *word = json_string_value(v);
	for (size_t i = 0; word && i < OUTCOMES; i++)
		if (strcmp(word, outcomes[i].word) == 0)
			return true;
	return false;
}

static const struct {
	const char *name;
	size_t min;
} mandatory[] = {
    {"trace_id", 1}, {"session_id", 0}, {"actor_id", 1}, {"resource", 0}, {"action", 1},
};

int ocu_event_check(const json_t *event, struct ocu_error *err)
{
	if (!json_is_object(event))
		return ocu_error_set(err, OCU_E_INVALID, "event is no object");
	const json_t *class_uid = json_object_get(event, "class_uid");
	if (!json_is_integer(class_uid) || !class_find(json_integer_value(class_uid)))
		return ocu_error_set(err, OCU_E_INVALID, "event: class_uid missing or unknown");
	const json_t *version = json_object_get(json_object_get(event, "metadata"), "version");
	if (!is_text(version, 1) || strncmp(json_string_value(version), "1.", 2) != 0)
		return ocu_error_set(err, OCU_E_INVALID, "event: metadata.version missing or not 1.x");
	const json_t *when = json_object_get(event, "time");
	if (!json_is_integer(when) || json_integer_value(when) <= 0)
		return ocu_error_set(err, OCU_E_INVALID, "event: time missing or no milliseconds");
	for (size_t i = 0; i < sizeof mandatory / sizeof *mandatory; i++)
		if (!is_text(json_object_get(event, mandatory[i].name), mandatory[i].min))
			return ocu_error_set(err, OCU_E_INVALID, "event: %s missing or no text",
			                     mandatory[i].name);
	if (!is_outcome(json_object_get(event, "outcome")))
		return ocu_error_set(err, OCU_E_INVALID, "event: outcome is not success, failure or denied");
	return 0;
}
