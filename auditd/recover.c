/* recover: reads the last segment, decides where the trail ends, and puts the file into that state. */
#include "auditd/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/trail_anchor.h"
#include "libocu/trail_segment.h"

#define CUT_MAX (16u << 20) /* a batch is at most 8 MiB; what is more was not ours */

void recovery_done(struct recovery *r)
{
	ocu_trail_walk_done(&r->walk);
	free(r->cut);
	r->cut = NULL;
}

static int walk_to(struct recovery *r, int fd, const struct ocu_trail_head *h, struct ocu_error *err)
{
	struct ocu_trail_lines lines = {0};
	int rc = ocu_trail_walk_init(&r->walk, err);
	if (!rc)
		rc = ocu_trail_lines_init(&lines, err);
	if (!rc)
		rc = ocu_trail_walk_segment(&r->walk, &lines, fd, h, err);
	ocu_trail_lines_done(&lines);
	if (!rc && r->walk.segment != r->segment)
		rc = ocu_error_set(err, OCU_E_CHAIN_BROKEN, "it is segment %llu",
		                   (unsigned long long)r->walk.segment);
	return rc;
}

/* Tries one slot; a slot that cannot be the end leaves its reason. */
static int try_head(struct recovery *r, int fd, const struct ocu_trail_head *h, struct ocu_error *err)
{
	int rc = walk_to(r, fd, h, err);
	if (rc == 0)
		r->head = *h;
	else
		ocu_trail_walk_done(&r->walk);
	return rc;
}

static int choose_end(struct recovery *r, int fd, const struct ocu_trail_slots *slots, struct ocu_error *err)
{
	const struct ocu_trail_head *newest = ocu_trail_slots_newest(slots);
	if (!newest)
		return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "neither head of segment %llu verifies: %.200s",
		                     (unsigned long long)r->segment, slots->why.text);
	if (newest->sealed)
		return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "segment %llu is missing",
		                     (unsigned long long)r->segment + 1);
	if (!ocu_trail_slots_settled(slots)) {
		r->torn = true;
		snprintf(r->why, sizeof r->why, "%.150s",
		         slots->why.code ? slots->why.text : "the two heads do not follow each other");
	}
	int rc = try_head(r, fd, newest, err);
	if (rc != OCU_E_CHAIN_BROKEN || !ocu_trail_slots_settled(slots))
		return rc;
	r->torn = true;
	snprintf(r->why, sizeof r->why, "%.150s", err->text);
	return try_head(r, fd, &slots->head[newest == &slots->head[0]], err);
}

/* Takes what follows the end, without trailing zeros, and its hash. */
static int examine_tail(struct recovery *r, int fd, struct ocu_error *err)
{
	r->cut = malloc(CUT_MAX);
	if (!r->cut)
		return ocu_error_set(err, OCU_E_NOMEM, "recovery");
	ssize_t n = pread(fd, r->cut, CUT_MAX, (off_t)r->head.end);
	if (n < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "reading a segment");
	while (n > 0 && r->cut[n - 1] == '\0')
		n--;
	r->cut_bytes = (size_t)n;
	r->torn |= n > 0;
	return ocu_trail_hash(r->walk.hasher, r->cut, r->cut_bytes, &r->cut_hash);
}

/* A trail that begins behind an anchor must go on where that says: one line tells. */
static int check_anchor(const struct ocu_trail_span *span, int dirfd, struct ocu_error *err)
{
	struct ocu_trail_walk walk;
	struct ocu_trail_lines lines = {0};
	const char *line;
	size_t len;
	OCU_CLOSE int fd = ocu_trail_segment_open(dirfd, span->anchor.segment + 1, err);
	if (fd < 0)
		return fd;
	int rc = ocu_trail_walk_init(&walk, err);
	if (!rc)
		rc = ocu_trail_lines_init(&lines, err);
	if (!rc) {
		ocu_trail_walk_anchor(&walk, &span->anchor);
		ocu_trail_lines_seek(&lines, fd, OCU_TRAIL_HEADER, UINT64_MAX);
		rc = ocu_trail_lines_next(&lines, &line, &len, err);
		if (rc > 0)
			rc = ocu_trail_walk_opening(&walk, line, len, err);
	}
	ocu_trail_lines_done(&lines);
	ocu_trail_walk_done(&walk);
	return rc ? ocu_error_add(err, "behind the anchor of segment %llu",
	                          (unsigned long long)span->anchor.segment)
	          : 0;
}

int recover_find(struct recovery *r, int dirfd, const struct ocu_jwks *keys, struct ocu_error *err)
{
	struct ocu_trail_slots slots;
	struct ocu_trail_span span;
	struct ocu_error own = {0};
	err = err ? err : &own;
	memset(r, 0, sizeof *r);
	int rc = ocu_trail_span(dirfd, keys, &span, err);
	if (!rc && span.anchored)
		rc = check_anchor(&span, dirfd, err);
	if (rc || span.last == 0)
		return rc;
	r->first = span.first;
	r->segment = span.last;
	OCU_CLOSE int fd = ocu_trail_segment_open(dirfd, r->segment, err);
	if (fd < 0)
		return fd;
	rc = ocu_trail_slots_read(fd, keys, &slots, err);
	if (!rc)
		rc = choose_end(r, fd, &slots, err);
	if (!rc)
		rc = examine_tail(r, fd, err);
	if (rc) {
		recovery_done(r);
		ocu_error_add(err, "segment %llu", (unsigned long long)r->segment);
	}
	return rc;
}

/* Evidence is not thrown away: the bytes go to <segment>-<generation>.cut first. */
static int keep_cut(const struct recovery *r, int dirfd, struct ocu_error *err)
{
	char name[64];
	if (!r->cut_bytes)
		return 0;
	snprintf(name, sizeof name, "%08llu-%llu.cut", (unsigned long long)r->segment,
	         (unsigned long long)r->head.generation);
	OCU_CLOSE int out = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "keeping what recovery cuts");
	for (size_t done = 0; done < r->cut_bytes;) {
		ssize_t n = write(out, r->cut + done, r->cut_bytes - done);
		if (n <= 0)
			return ocu_error_errno(err, OCU_E_IO, n < 0 ? errno : EIO,
			                       "keeping what recovery cuts");
		done += (size_t)n;
	}
	return fsync(out) ? ocu_error_errno(err, OCU_E_IO, errno, "keeping what recovery cuts") : 0;
}

/* A stop between making a segment and sealing the one before leaves that one open; its records are complete.
 */
static int seal_before(const struct recovery *r, const struct segment *s, const struct ocu_jwks *keys,
                       struct ocu_error *err)
{
	struct ocu_trail_slots slots;
	struct segment old;
	char time[32];
	OCU_CLOSE int fd = ocu_trail_segment_open(s->dirfd, r->segment - 1, err);
	if (fd < 0)
		return fd;
	int rc = ocu_trail_slots_read(fd, keys, &slots, err);
	const struct ocu_trail_head *h = rc ? NULL : ocu_trail_slots_newest(&slots);
	if (rc || !h || (h->sealed && ocu_trail_slots_settled(&slots)))
		return rc;
	segment_init(&old, s->dirfd, s->signer);
	rc = segment_adopt(&old, h, err);
	ocu_time_rfc3339(ocu_wall_ms(), time);
	if (!rc)
		rc = segment_seal(&old, time, err);
	segment_done(&old);
	return rc;
}

int recover_apply(struct recovery *r, struct segment *s, const struct ocu_jwks *keys, struct ocu_error *err)
{
	int rc = segment_adopt(s, &r->head, err);
	if (!rc && r->torn) {
		/* Not being able to keep them, on a full disk say, is no reason to stay down; the event has
		 * their hash. */
		r->cut_kept = keep_cut(r, s->dirfd, NULL) == 0;
		rc = segment_repair(s, err);
	} else if (!rc) {
		rc = segment_trim(s, err);
	}
	if (!rc && r->segment > r->first)
		rc = seal_before(r, s, keys, err);
	return rc;
}
