/*
 * trail_record: record and opening lines. The event stands last but for the hash, so that a record is taken
 * apart from both ends without looking into the event.
 */
#include <stdio.h>
#include <string.h>

#include "libocu/buf.h"
#include "libocu/err.h"
#include "libocu/trail_format.h"
#include "libocu/trail_scan.h"

#define HASH_MEMBER ",\"hash\":\""
#define TRAILER     (sizeof HASH_MEMBER - 1 + OCU_TRAIL_HEX + 2) /* with `"}` */

static char *put(char *p, const char *text, size_t len)
{
	memcpy(p, text, len);
	return p + len;
}
#define put_lit(p, literal) put((p), (literal), sizeof(literal) - 1)

static char *put_number(char *p, uint64_t v)
{
	char digits[20];
	size_t n = 0;
	do
		digits[sizeof digits - ++n] = (char)('0' + v % 10);
	while (v /= 10);
	return put(p, digits + sizeof digits - n, n);
}

/* JSON allows tabs and line breaks between tokens and nowhere else, so a space means the same. */
static char *put_event(char *p, const char *event, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (unsigned char)event[i] < 0x20 ? ' ' : event[i];
	return p + len;
}

/* Hashes what stands from `line` to the end of the buffer and closes the line with it. */
static int close_line(struct ocu_buf *out, size_t line, struct ocu_trail_hasher *h,
                      struct ocu_trail_hash *ret, struct ocu_error *err)
{
	char tail[TRAILER + 1];
	int rc = out->failed;
	if (!rc)
		rc = ocu_trail_hash(h, out->data + line, out->len - line, ret);
	if (!rc) {
		char *p = put_lit(tail, HASH_MEMBER);
		p = put(p, ret->hex, OCU_TRAIL_HEX);
		put_lit(p, "\"}\n");
		rc = ocu_buf_put(out, tail, sizeof tail);
	}
	if (rc) {
		out->len = line;
		return ocu_error_set(err, rc, "trail line: %s", ocu_err_text(rc));
	}
	return 0;
}

int ocu_trail_record_put(struct ocu_buf *out, struct ocu_trail_hasher *h, const struct ocu_trail_new *r,
                         const struct ocu_trail_hash *prev, struct ocu_trail_hash *ret, struct ocu_error *err)
{
	char line[OCU_TRAIL_RECORD_MAX];
	size_t source_len = strlen(r->source);
	if (!ocu_trail_source_valid(r->source, source_len))
		return ocu_error_set(err, OCU_E_INVALID, "source name");
	if (r->event_len < 2 || r->event[0] != '{' || r->event[r->event_len - 1] != '}')
		return ocu_error_set(err, OCU_E_INVALID,
		                     "an event is a JSON object without surrounding space");
	if (r->event_len > OCU_EVENT_MAX)
		return ocu_error_set(err, OCU_E_TOO_LARGE, "event of %zu bytes", r->event_len);
	char *p = put_lit(line, "{\"n\":");
	p = put_number(p, r->number);
	p = put_lit(p, ",\"time\":\"");
	p = put(p, r->time, OCU_TRAIL_TIME);
	p = put_lit(p, "\",\"source\":\"");
	p = put(p, r->source, source_len);
	p = put_lit(p, "\",\"seq\":");
	p = put_number(p, r->sequence);
	p = put_lit(p, ",\"prev\":\"");
	p = put(p, prev->hex, OCU_TRAIL_HEX);
	p = put_lit(p, "\",\"event\":");
	p = put_event(p, r->event, r->event_len);
	size_t start = out->len;
	ocu_buf_put(out, line, (size_t)(p - line));
	return close_line(out, start, h, ret, err);
}

/* Cuts `,"hash":"..."}` off the end of the line. */
static bool scan_trailer(struct ocu_scan *s, const char *line, const char **hash, size_t *hashed)
{
	if ((size_t)(s->end - s->p) < TRAILER)
		return false;
	struct ocu_scan t = {s->end - TRAILER, s->end};
	if (!ocu_scan_lit(&t, HASH_MEMBER) || !ocu_scan_hex(&t, hash) || !ocu_scan_lit(&t, "}") ||
	    t.p != t.end)
		return false;
	s->end -= TRAILER;
	*hashed = (size_t)(s->end - line);
	return true;
}

int ocu_trail_record_parse(struct ocu_trail_record *ret, const char *line, size_t len, struct ocu_error *err)
{
	struct ocu_scan s = {line, line + len};
	struct ocu_trail_record r;
	if (len > OCU_TRAIL_RECORD_MAX || !scan_trailer(&s, line, &r.hash, &r.hashed) ||
	    !ocu_scan_lit(&s, "{\"n\":") || !ocu_scan_number(&s, &r.number) ||
	    !ocu_scan_lit(&s, ",\"time\":\"") || !ocu_scan_time(&s, &r.time) ||
	    !ocu_scan_lit(&s, ",\"source\":\"") ||
	    !ocu_scan_word(&s, OCU_TRAIL_SOURCE_MAX, &r.source, &r.source_len) ||
	    !ocu_scan_lit(&s, ",\"seq\":") || !ocu_scan_number(&s, &r.sequence) ||
	    !ocu_scan_lit(&s, ",\"prev\":\"") || !ocu_scan_hex(&s, &r.prev) ||
	    !ocu_scan_lit(&s, ",\"event\":"))
		return ocu_error_set(err, OCU_E_PARSE, "not a record line");
	r.event = s.p;
	r.event_len = (size_t)(s.end - s.p);
	if (r.event_len < 2 || s.p[0] != '{' || s.end[-1] != '}')
		return ocu_error_set(err, OCU_E_PARSE, "a record without an event");
	*ret = r;
	return 0;
}

int ocu_trail_opening_put(struct ocu_buf *out, struct ocu_trail_hasher *h, const struct ocu_trail_opening *o,
                          const struct ocu_trail_sources *sources, const struct ocu_trail_hash *prev,
                          struct ocu_trail_hash *ret, struct ocu_error *err)
{
	size_t start = out->len;
	ocu_buf_printf(out, "{\"trail\":\"%s\",\"segment\":%llu,\"first\":%llu,\"time\":\"%s\",\"sources\":[",
	               o->trail, (unsigned long long)o->segment, (unsigned long long)o->first, o->time);
	const char *comma = "";
	for (uint32_t i = 0; i < sources->n; i++) {
		if (sources->v[i].sequence == 0)
			continue;
		ocu_buf_printf(out, "%s[\"%s\",%llu]", comma, sources->v[i].name,
		               (unsigned long long)sources->v[i].sequence);
		comma = ",";
	}
	ocu_buf_printf(out, "],\"prev\":\"%s\"", prev->hex);
	return close_line(out, start, h, ret, err);
}

/* `["name",1],["other",2]]`: the list after its opening bracket. */
static bool scan_sources(struct ocu_scan *s, struct ocu_trail_sources *sources)
{
	if (ocu_scan_lit(s, "]"))
		return true;
	do {
		const char *name;
		size_t len;
		uint64_t sequence;
		if (!ocu_scan_lit(s, "[\"") || !ocu_scan_word(s, OCU_TRAIL_SOURCE_MAX, &name, &len) ||
		    !ocu_scan_lit(s, ",") || !ocu_scan_number(s, &sequence) || !ocu_scan_lit(s, "]"))
			return false;
		uint32_t before = sources->n;
		int at = ocu_trail_sources_add(sources, name, len);
		if (at < 0 || sources->n == before)
			return false;
		sources->v[at].sequence = sequence;
	} while (ocu_scan_lit(s, ","));
	return ocu_scan_lit(s, "]");
}

int ocu_trail_opening_parse(struct ocu_trail_opening *ret, struct ocu_trail_sources *sources,
                            const char *line, size_t len, struct ocu_error *err)
{
	struct ocu_scan s = {line, line + len};
	struct ocu_trail_opening o;
	const char *time;
	if (!scan_trailer(&s, line, &o.hash, &o.hashed) || !ocu_scan_lit(&s, "{\"trail\":\"") ||
	    !ocu_scan_copy(&s, sizeof o.trail, o.trail) || !ocu_scan_lit(&s, ",\"segment\":") ||
	    !ocu_scan_number(&s, &o.segment) || !ocu_scan_lit(&s, ",\"first\":") ||
	    !ocu_scan_number(&s, &o.first) || !ocu_scan_lit(&s, ",\"time\":\"") ||
	    !ocu_scan_time(&s, &time) || !ocu_scan_lit(&s, ",\"sources\":[") || !scan_sources(&s, sources) ||
	    !ocu_scan_lit(&s, ",\"prev\":\"") || !ocu_scan_hex(&s, &o.prev) || s.p != s.end)
		return ocu_error_set(err, OCU_E_PARSE, "not an opening line");
	memcpy(o.time, time, OCU_TRAIL_TIME);
	o.time[OCU_TRAIL_TIME] = '\0';
	*ret = o;
	return 0;
}
