/*
 * trail_verify: the whole trail against its signed heads. The head in force is the newest of the last
 * segment; its two slots must both be signed and one generation apart, because a trail cut back to an older
 * head would need a slot that says so, and only auditd can write one. What follows the head is reported,
 * never vouched for.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/jwt.h"
#include "libocu/trail.h"
#include "libocu/trail_anchor.h"
#include "libocu/trail_segment.h"
#include "libocu/trail_walk.h"

struct verifier {
	int dirfd;
	const struct ocu_jwks *keys;
	struct ocu_trail_walk walk;
	struct ocu_trail_lines lines;
	struct ocu_trail_span span;
	enum ocu_trail_state state;
	uint64_t generation; /* newest of the segment before */
	struct ocu_trail_report *report;
};

/* auditd may be writing the slot at this moment; the moment is shorter than a read. */
#define SLOT_TRIES 5
/* And it may be removing what the archive has, one segment after the other. */
#define LIST_TRIES 16

static int read_heads(struct verifier *v, int fd, struct ocu_trail_slots *slots, struct ocu_error *err)
{
	for (int i = 0; i < SLOT_TRIES; i++) {
		int rc = ocu_trail_slots_read(fd, v->keys, slots, err);
		if (rc)
			return rc;
		if (ocu_trail_slots_settled(slots))
			return 0;
	}
	if (slots->why.code)
		return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "head slot does not verify: %.200s",
		                     slots->why.text);
	return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "the two heads do not follow each other");
}

/* A sealed segment has a successor. auditd may have made it since the folder was listed, and it makes the
 * successor before it seals: so look once more before saying that it is missing. */
static int check_sealed(struct verifier *v, uint64_t segment, struct ocu_error *err)
{
	uint64_t first;
	int rc = segment == v->span.last ? ocu_trail_list(v->dirfd, &first, &v->span.last, err) : 0;
	if (rc)
		return rc;
	if (segment == v->span.last && v->state != OCU_TRAIL_SEALED)
		return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "segment %" PRIu64 " is missing", segment + 1);
	return 0;
}

static int check_head(struct verifier *v, const struct ocu_trail_head *h, uint64_t segment,
                      struct ocu_error *err)
{
	if (h->segment != segment)
		return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "the head is that of segment %" PRIu64,
		                     h->segment);
	if (h->generation <= v->generation)
		return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "the head is older than the segment before");
	if (!h->sealed && v->state == OCU_TRAIL_SEALED)
		return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "the segment is not sealed");
	return h->sealed ? check_sealed(v, segment, err) : 0;
}

/* Offset behind the last byte after `from` that is not NUL. */
static int used_end(int fd, uint64_t from, uint64_t *ret, struct ocu_error *err)
{
	char buf[16384];
	uint64_t used = from;
	for (uint64_t at = from;;) {
		ssize_t n = pread(fd, buf, sizeof buf, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ocu_error_errno(err, OCU_E_IO, errno, "reading a segment");
		if (n == 0)
			break;
		for (ssize_t i = n; i > 0; i--)
			if (buf[i - 1]) {
				used = at + (uint64_t)i;
				break;
			}
		at += (uint64_t)n;
	}
	*ret = used;
	return 0;
}

/* Behind the last head: reported, or refused when nobody writes. Behind the end of a segment that another
 * follows: nothing may be there. */
static int check_tail(struct verifier *v, int fd, uint64_t segment, uint64_t end, struct ocu_error *err)
{
	uint64_t used = end;
	const char *line;
	size_t len;
	int rc = used_end(fd, end, &used, err);
	if (rc || used == end)
		return rc;
	if (segment != v->span.last || v->state == OCU_TRAIL_SEALED)
		return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "%llu bytes follow the end of segment %llu",
		                     (unsigned long long)(used - end), (unsigned long long)segment);
	ocu_trail_lines_seek(&v->lines, fd, end, used);
	while (ocu_trail_lines_next(&v->lines, &line, &len, NULL) > 0 &&
	       ocu_trail_walk_record(&v->walk, line, len, NULL) == 0)
		v->report->unsigned_records++;
	v->report->unsigned_bytes = used - end;
	snprintf(v->report->why, sizeof v->report->why,
	         "%llu bytes (%llu records) follow the signed head: not yet signed, or added by someone else",
	         (unsigned long long)v->report->unsigned_bytes,
	         (unsigned long long)v->report->unsigned_records);
	return v->state == OCU_TRAIL_AT_REST ? ocu_error_set(err, OCU_E_CHAIN_BROKEN, "%s", v->report->why)
	                                     : 0;
}

static void note_progress(struct verifier *v)
{
	v->report->records = v->walk.number;
	v->report->sources = v->walk.sources.n;
	ocu_trail_hash_bytes(&v->walk.last, v->report->head);
	memcpy(v->report->trail, v->walk.trail, sizeof v->report->trail);
}

static int verify_segment(struct verifier *v, uint64_t segment, struct ocu_error *err)
{
	struct ocu_trail_slots slots;
	OCU_CLOSE int fd = ocu_trail_segment_open(v->dirfd, segment, err);
	if (fd < 0)
		return fd;
	int rc = read_heads(v, fd, &slots, err);
	if (rc)
		return rc;
	const struct ocu_trail_head *h = ocu_trail_slots_newest(&slots);
	rc = check_head(v, h, segment, err);
	if (!rc)
		rc = ocu_trail_walk_segment(&v->walk, &v->lines, fd, h, err);
	note_progress(v);
	if (!rc && v->span.anchored && segment == v->span.anchor.segment)
		rc = ocu_trail_walk_at_anchor(&v->walk, &v->span.anchor, err);
	if (rc) {
		v->report->bad_record = v->walk.number + 1;
		return rc;
	}
	v->generation = h->generation;
	if (segment == v->span.first)
		v->report->archived_records = v->walk.before;
	v->report->segments = segment;
	v->report->bytes += h->end;
	memcpy(v->report->head_time, h->time, sizeof v->report->head_time);
	return check_tail(v, fd, segment, h->end, err);
}

static void note_archived(struct verifier *v)
{
	v->report->archived_segments = v->span.first - 1;
	if (v->span.first == v->span.anchor.segment + 1)
		ocu_trail_walk_anchor(&v->walk, &v->span.anchor);
}

static int verify_all(struct verifier *v, struct ocu_error *err)
{
	int rc = ocu_trail_span(v->dirfd, v->keys, &v->span, err);
	if (rc)
		return rc;
	if (v->span.last == 0)
		return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "segment 1 is missing");
	if (v->span.anchored)
		note_archived(v);
	for (uint64_t n = v->span.first; n <= v->span.last; n++) {
		rc = verify_segment(v, n, err);
		if (rc)
			return ocu_error_add(err, "segment %llu", (unsigned long long)n);
	}
	return 0;
}

/* auditd may have removed the first segment, or some, between the list of the folder and the opening of it.
 */
static bool moved_on(const struct verifier *v)
{
	struct ocu_trail_span now;
	return v->span.first && v->report->segments == 0 &&
	       ocu_trail_span(v->dirfd, v->keys, &now, NULL) == 0 && now.first > v->span.first;
}

static int verify_once(struct verifier *v, struct ocu_error *err)
{
	int rc = ocu_trail_walk_init(&v->walk, err);
	if (!rc)
		rc = ocu_trail_lines_init(&v->lines, err);
	if (!rc)
		rc = verify_all(v, err);
	ocu_trail_lines_done(&v->lines);
	ocu_trail_walk_done(&v->walk);
	return rc;
}

int ocu_trail_verify_as(const char *dir, enum ocu_trail_state state, const struct ocu_jwks *envelope_keys,
                        struct ocu_trail_report *ret, struct ocu_error *err)
{
	struct ocu_error own = {0};
	struct verifier v;
	int rc, tries = 0;
	if (!err)
		err = &own;
	memset(ret, 0, sizeof *ret);
	OCU_CLOSE int dirfd = ocu_trail_dir_open(dir, err);
	if (dirfd < 0)
		return dirfd;
	do {
		v = (struct verifier){.dirfd = dirfd, .keys = envelope_keys, .report = ret, .state = state};
		memset(ret, 0, sizeof *ret);
		rc = verify_once(&v, err);
	} while (rc == OCU_E_CHAIN_BROKEN && tries++ < LIST_TRIES && moved_on(&v));
	if (rc == OCU_E_CHAIN_BROKEN)
		snprintf(ret->why, sizeof ret->why, "%.255s", err->text);
	return rc;
}

int ocu_trail_verify(const char *dir, const struct ocu_jwks *envelope_keys, struct ocu_trail_report *ret,
                     struct ocu_error *err)
{
	return ocu_trail_verify_as(dir, OCU_TRAIL_RUNNING, envelope_keys, ret, err);
}
