#include "auditd/follow.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "libocu/err.h"
#include "libocu/trail_anchor.h"

int follow_open(struct follow *f, const char *dir, struct ocu_error *err)
{
	*f = (struct follow){.fd = -1};
	f->dirfd = ocu_trail_dir_open(dir, err);
	return f->dirfd < 0 ? f->dirfd : ocu_trail_lines_init(&f->lines, err);
}

static void leave_segment(struct follow *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

void follow_close(struct follow *f)
{
	leave_segment(f);
	ocu_trail_lines_done(&f->lines);
	if (f->dirfd >= 0)
		close(f->dirfd);
	f->dirfd = -1;
}

/* Lets the lines run up to the segment's newest head. *ret_sealed: it will not get any more. */
static int extend(struct follow *f, uint64_t from, bool *ret_sealed, struct ocu_error *err)
{
	struct ocu_trail_slots slots;
	int rc = ocu_trail_slots_peek(f->fd, &slots, err);
	if (rc)
		return rc;
	const struct ocu_trail_head *h = ocu_trail_slots_newest(&slots);
	if (!h)
		return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "segment %" PRIu64 " has no readable head",
		                     f->segment);
	*ret_sealed = h->sealed;
	ocu_trail_lines_seek(&f->lines, f->fd, from, h->end);
	return 0;
}

/* Goes behind the opening of a segment. *ret_first: the number its first record has or will have. */
static int enter_segment(struct follow *f, uint64_t segment, uint64_t *ret_first, struct ocu_error *err)
{
	struct ocu_trail_opening o;
	struct ocu_trail_sources sources;
	const char *line;
	size_t len;
	bool sealed;
	leave_segment(f);
	f->segment = segment;
	f->fd = ocu_trail_segment_open(f->dirfd, segment, err);
	int rc = f->fd < 0 ? f->fd : extend(f, OCU_TRAIL_HEADER, &sealed, err);
	if (rc)
		return rc;
	rc = ocu_trail_lines_next(&f->lines, &line, &len, err);
	if (rc <= 0)
		return rc ? rc
		          : ocu_error_set(err, OCU_E_CHAIN_BROKEN, "segment %" PRIu64 " is empty", segment);
	ocu_trail_sources_init(&sources);
	rc = ocu_trail_opening_parse(&o, &sources, line, len, err);
	ocu_trail_sources_done(&sources);
	if (rc)
		return ocu_error_add(err, "segment %" PRIu64, segment);
	memcpy(f->trail, o.trail, sizeof f->trail);
	*ret_first = o.first;
	return 0;
}

int follow_seek(struct follow *f, uint64_t number, struct ocu_error *err)
{
	struct ocu_trail_span span;
	uint64_t first = 0;
	int rc = ocu_trail_span(f->dirfd, NULL, &span, err);
	if (!rc && span.last == 0)
		rc = ocu_error_set(err, OCU_E_NOT_FOUND, "the trail has no segment");
	/* From the end, because that is where it usually is. */
	for (uint64_t n = rc ? 0 : span.last; !rc && n >= span.first; n--) {
		rc = enter_segment(f, n, &first, err);
		if (!rc && first <= number)
			break;
	}
	f->number = (number > first ? number : first) - 1;
	return rc;
}

/* 1 and a line, 0 when there is none now. */
static int next_line(struct follow *f, const char **line, size_t *len, struct ocu_error *err)
{
	for (;;) {
		bool sealed;
		uint64_t first, at = f->lines.offset;
		int rc = ocu_trail_lines_next(&f->lines, line, len, err);
		if (rc)
			return rc;
		rc = extend(f, at, &sealed, err);
		if (rc)
			return rc;
		if (f->lines.limit > at)
			continue;
		if (!sealed)
			return 0;
		rc = enter_segment(f, f->segment + 1, &first, err);
		if (rc)
			return rc;
	}
}

int follow_next(struct follow *f, uint64_t limit, struct ocu_trail_record *ret, struct ocu_error *err)
{
	const char *line;
	size_t len;
	int rc = 0;
	if (f->number >= limit)
		return 0;
	do {
		rc = next_line(f, &line, &len, err);
		if (rc <= 0)
			return rc;
		rc = ocu_trail_record_parse(ret, line, len, err);
	} while (!rc && ret->number <= f->number);
	if (rc || ret->number != f->number + 1)
		return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "record %" PRIu64 " is malformed or missing",
		                     f->number + 1);
	f->number++;
	return 1;
}
