/* trail_each: every record in order for showing and exporting, up to the newest head of each segment. */
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/trail.h"
#include "libocu/trail_anchor.h"
#include "libocu/trail_segment.h"

struct reader {
	int dirfd;
	struct ocu_trail_lines lines;
	uint64_t number;
	bool begun; /* each was called */
	int (*each)(void *arg, uint64_t number, const char *source, const char *event, uint64_t len);
	void *arg;
};

static int one_record(struct reader *r, const char *line, size_t len, struct ocu_error *err)
{
	struct ocu_trail_record rec;
	char source[OCU_TRAIL_SOURCE_MAX];
	if (ocu_trail_record_parse(&rec, line, len, NULL) || rec.number != r->number + 1)
		return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "record %" PRIu64 " is malformed or missing",
		                     r->number + 1);
	r->number = rec.number;
	memcpy(source, rec.source, rec.source_len);
	source[rec.source_len] = '\0';
	r->begun = true;
	return r->each(r->arg, rec.number, source, rec.event, rec.event_len);
}

/* The first one here says where the numbers begin. */
static int one_opening(struct reader *r, bool begins, const char *line, size_t len, struct ocu_error *err)
{
	struct ocu_trail_opening o;
	struct ocu_trail_sources sources;
	ocu_trail_sources_init(&sources);
	int rc = ocu_trail_opening_parse(&o, &sources, line, len, NULL);
	ocu_trail_sources_done(&sources);
	if (!rc && begins)
		r->number = o.first - 1;
	if (rc || o.first == 0 || o.first != r->number + 1)
		return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "record %" PRIu64 " is malformed or missing",
		                     r->number + 1);
	return 0;
}

static int one_segment(struct reader *r, uint64_t segment, bool begins, struct ocu_error *err)
{
	struct ocu_trail_slots slots;
	const char *line;
	size_t len;
	OCU_CLOSE int fd = ocu_trail_segment_open(r->dirfd, segment, err);
	if (fd < 0)
		return fd;
	int rc = ocu_trail_slots_peek(fd, &slots, err);
	if (rc)
		return rc;
	const struct ocu_trail_head *h = ocu_trail_slots_newest(&slots);
	if (!h)
		return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "segment %llu has no readable head",
		                     (unsigned long long)segment);
	ocu_trail_lines_seek(&r->lines, fd, OCU_TRAIL_HEADER, h->end);
	bool opening = true;
	while ((rc = ocu_trail_lines_next(&r->lines, &line, &len, err)) > 0) {
		rc = opening ? one_opening(r, begins, line, len, err) : one_record(r, line, len, err);
		opening = false;
		if (rc)
			return rc;
	}
	return rc;
}

/* 1 when the first segment was removed between the list and the opening of it: there is another list. */
static int all_segments(struct reader *r, struct ocu_error *err)
{
	struct ocu_trail_span span, now;
	int rc = ocu_trail_span(r->dirfd, NULL, &span, err);
	if (rc || span.last == 0)
		return rc;
	for (uint64_t n = span.first; !rc && n <= span.last; n++)
		rc = one_segment(r, n, n == span.first && n > 1, err);
	if (rc == OCU_E_CHAIN_BROKEN && !r->begun && ocu_trail_span(r->dirfd, NULL, &now, NULL) == 0 &&
	    now.first > span.first)
		return 1;
	return rc;
}

int ocu_trail_each(const char *dir,
                   int (*each)(void *arg, uint64_t number, const char *source, const char *event,
                               uint64_t len),
                   void *arg, struct ocu_error *err)
{
	struct reader r = {.each = each, .arg = arg};
	OCU_CLOSE int dirfd = ocu_trail_dir_open(dir, err);
	if (dirfd < 0)
		return dirfd;
	r.dirfd = dirfd;
	int rc = ocu_trail_lines_init(&r.lines, err);
	if (!rc)
		while ((rc = all_segments(&r, err)) == 1 && !r.begun)
			;
	ocu_trail_lines_done(&r.lines);
	return rc;
}
