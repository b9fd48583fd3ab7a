/* query: the segment is found by bisecting over the sealed heads, the records in it by reading. */
#include "auditd/query.h"

#include <stdio.h>
#include <string.h>

#include "auditd/store.h"
#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/trail_segment.h"

struct scan {
	const struct query *q;
	struct ocu_buf *out;
	char needle[QUERY_SESSION_MAX + 20];
	uint64_t found;
	uint64_t scanned;
	uint64_t next; /* set when a bound was hit */
};

/* Number of the last record of a segment before the current one. */
static int last_of(int dirfd, uint64_t segment, uint64_t *ret, struct ocu_error *err)
{
	struct ocu_trail_slots slots;
	OCU_CLOSE int fd = ocu_trail_segment_open(dirfd, segment, err);
	if (fd < 0)
		return fd;
	int rc = ocu_trail_slots_peek(fd, &slots, err);
	if (rc)
		return rc;
	const struct ocu_trail_head *h = ocu_trail_slots_newest(&slots);
	if (!h)
		return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "a segment without a head");
	*ret = h->number;
	return 0;
}

/* The first segment that may hold record `from`. */
static int find_segment(int dirfd, const struct store_head *head, uint64_t from, uint64_t *ret,
                        struct ocu_error *err)
{
	uint64_t low = head->first, high = head->segment;
	while (low < high) {
		uint64_t mid = low + (high - low) / 2;
		uint64_t last = 0;
		int rc = last_of(dirfd, mid, &last, err);
		if (rc)
			return rc;
		if (last >= from)
			high = mid;
		else
			low = mid + 1;
	}
	*ret = low;
	return 0;
}

/* The text is looked for first, because most records are of other sessions and parsing costs more than
 * searching. */
static bool of_session(const struct scan *s, const struct ocu_trail_record *r)
{
	if (!s->q->session_id[0])
		return true;
	if (!memmem(r->event, r->event_len, s->needle, strlen(s->needle)))
		return false;
	OCU_JSON json_t *event = NULL;
	return ocu_json_parse(r->event, r->event_len, OCU_EVENT_MAX, &event, NULL) == 0 &&
	       strcmp(ocu_json_str(event, "session_id", ""), s->q->session_id) == 0;
}

/* 1 when the page is full. */
static int take(struct scan *s, const char *line, size_t len, struct ocu_error *err)
{
	struct ocu_trail_record r;
	s->scanned += len + 1;
	int rc = ocu_trail_record_parse(&r, line, len, err);
	if (rc)
		return rc;
	if (r.number < s->q->from)
		return 0;
	if (s->found == s->q->limit || s->scanned > QUERY_SCAN_MAX || s->out->len + len + 1 > s->out->max) {
		s->next = r.number;
		return 1;
	}
	if (!of_session(s, &r))
		return 0;
	s->found++;
	ocu_buf_put(s->out, line, len);
	return ocu_buf_putc(s->out, '\n');
}

static int scan_segment(struct scan *s, struct ocu_trail_lines *lines, int dirfd, uint64_t segment,
                        const struct store_head *head, struct ocu_error *err)
{
	struct ocu_trail_slots slots;
	const char *line;
	size_t len;
	uint64_t end = head->end;
	OCU_CLOSE int fd = ocu_trail_segment_open(dirfd, segment, err);
	if (fd < 0)
		return fd;
	if (segment != head->segment) {
		int rc = ocu_trail_slots_peek(fd, &slots, err);
		const struct ocu_trail_head *h = rc ? NULL : ocu_trail_slots_newest(&slots);
		if (!h)
			return rc ? rc : ocu_error_set(err, OCU_E_CHAIN_BROKEN, "a segment without a head");
		end = h->end;
	}
	ocu_trail_lines_seek(lines, fd, OCU_TRAIL_HEADER, end);
	int rc = ocu_trail_lines_next(lines, &line, &len, err); /* the opening */
	while (rc > 0 && (rc = ocu_trail_lines_next(lines, &line, &len, err)) > 0) {
		rc = take(s, line, len, err);
		if (rc)
			return rc;
		rc = 1;
	}
	return rc;
}

int query_run(const struct query *q, int dirfd, const struct store_head *head, struct ocu_buf *out,
              uint64_t *ret_next, struct ocu_error *err)
{
	struct scan s = {.q = q, .out = out};
	struct ocu_trail_lines lines;
	uint64_t segment;
	*ret_next = 0;
	if (q->from > head->records)
		return 0;
	snprintf(s.needle, sizeof s.needle, "\"%s\"", q->session_id);
	int rc = find_segment(dirfd, head, q->from, &segment, err);
	if (!rc)
		rc = ocu_trail_lines_init(&lines, err);
	if (rc)
		return rc;
	for (; !rc && segment <= head->segment; segment++)
		rc = scan_segment(&s, &lines, dirfd, segment, head, err);
	ocu_trail_lines_done(&lines);
	if (rc < 0)
		return rc;
	*ret_next = s.next;
	return 0;
}
