/* retire: see retire.h. */
#include "auditd/retire.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auditd/anchor.h"
#include "auditd/store.h"
#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/trail_anchor.h"
#include "libocu/trail_segment.h"
#include "libocu/trail_walk.h"

/* The segment in question. */
struct candidate {
	int fd;
	struct ocu_trail_head head;
	struct ocu_trail_anchor anchor; /* in force; segment 0: none */
	struct ocu_trail_anchor next;   /* once it is removed */
};

/* RFC 3339 in UTC with a fixed width orders as text. */
static bool old(const char *time, int64_t before_ms)
{
	char text[32];
	ocu_time_rfc3339(before_ms, text);
	return strcmp(time, text) <= 0;
}

/* 1 when it is sealed and old enough by its seal and its file, as far as can be seen without reading it. */
static int look(const struct retire *r, uint64_t segment, int64_t before_ms, struct candidate *c,
                struct ocu_error *err)
{
	struct ocu_trail_slots slots;
	struct stat st;
	c->fd = ocu_trail_segment_open(store_dirfd(r->store), segment, err);
	int rc = c->fd < 0 ? c->fd : ocu_trail_slots_read(c->fd, r->keys, &slots, err);
	if (rc)
		return rc;
	if (!ocu_trail_slots_settled(&slots) || !slots.head[0].sealed || !slots.head[1].sealed)
		return ocu_error_set(err, OCU_E_STATE, "the segment is not sealed");
	c->head = *ocu_trail_slots_newest(&slots);
	if (fstat(c->fd, &st) || st.st_size < 0 || (uint64_t)st.st_size != c->head.end)
		return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "the segment's size is not that of its seal");
	return old(c->head.time, before_ms) && (int64_t)st.st_mtim.tv_sec * 1000 <= before_ms;
}

/* What the anchor will vouch for was read first, line by line: nobody will find here what is wrong with it
 * once it is gone. 1 when its last record is old enough as well. */
static int verify(struct candidate *c, int64_t before_ms, struct ocu_error *err)
{
	struct ocu_trail_walk walk;
	struct ocu_trail_lines lines = {0};
	int rc = ocu_trail_walk_init(&walk, err);
	if (!rc)
		rc = ocu_trail_lines_init(&lines, err);
	if (c->anchor.segment && c->head.segment == c->anchor.segment + 1)
		ocu_trail_walk_anchor(&walk, &c->anchor);
	if (!rc)
		rc = ocu_trail_walk_segment(&walk, &lines, c->fd, &c->head, err);
	if (!rc && c->head.segment == c->anchor.segment)
		rc = ocu_trail_walk_at_anchor(&walk, &c->anchor, err);
	if (!rc)
		rc = old(walk.time, before_ms);
	ocu_trail_lines_done(&lines);
	ocu_trail_walk_done(&walk);
	return rc;
}

static int record(const struct retire *r, const struct candidate *c, struct ocu_error *err)
{
	char name[OCU_TRAIL_ID_MAX + OCU_TRAIL_NAME_MAX + 2], file[OCU_TRAIL_NAME_MAX];
	ocu_trail_segment_name(c->head.segment, file);
	snprintf(name, sizeof name, "%s/%s", c->head.trail, file);
	OCU_JSON json_t *d =
	    json_pack("{s:I, s:I, s:I, s:s, s:s, s:I}", "segment", (json_int_t)c->head.segment, "records",
	              (json_int_t)c->head.number, "bytes", (json_int_t)c->head.end, "last", c->head.last.hex,
	              "sealed", c->head.time, "hot_days", (json_int_t)(r->hot_ms / INT64_C(86400000)));
	const struct ocu_event ev = {
	    .class_uid = OCU_OCSF_APP_LIFECYCLE,
	    .activity_id = 99,
	    .action = "segment.removed",
	    .resource = name,
	    .actor_id = "system:auditd",
	    .outcome = OCU_OUTCOME_SUCCESS,
	    .detail = d,
	};
	return r->record(r->arg, &ev, err);
}

/* A segment that the anchor names already was on its way out when auditd stopped: its event is in the trail.
 */
static int let_go(const struct retire *r, struct candidate *c, struct ocu_error *err)
{
	int rc = 0;
	if (c->head.segment > c->anchor.segment) {
		c->next = (struct ocu_trail_anchor){
		    .segment = c->head.segment, .records = c->head.number, .last = c->head.last};
		memcpy(c->next.trail, c->head.trail, sizeof c->next.trail);
		ocu_time_rfc3339(ocu_wall_ms(), c->next.time);
		rc = record(r, c, err);
		if (!rc)
			rc = anchor_write(store_dirfd(r->store), &c->next, r->signer, err);
	}
	return rc ? rc : store_remove_first(r->store, err);
}

static int step(struct retire *r, uint64_t segment, int64_t before_ms, struct candidate *c,
                struct ocu_error *err)
{
	struct ocu_error none = {0};
	int rc = look(r, segment, before_ms, c, err);
	if (rc <= 0)
		return rc;
	rc = ocu_trail_anchor_read(store_dirfd(r->store), r->keys, &c->anchor, &none);
	if (rc && rc != OCU_E_NOT_FOUND)
		return ocu_error_set(err, rc, "%s", none.text);
	rc = verify(c, before_ms, err);
	if (rc <= 0)
		return rc;
	if (c->head.segment != segment || strcmp(c->head.trail, store_trail(r->store)) != 0)
		return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "the segment is another's");
	if (r->given(r->arg) < c->head.number)
		return ocu_error_set(err, OCU_E_UNAVAILABLE, "the collector does not have it yet");
	rc = r->confirm(r->arg, segment, err);
	if (!rc)
		rc = let_go(r, c, err);
	return rc ? rc : 1;
}

int retire_step(struct retire *r, int64_t now_ms, struct ocu_error *err)
{
	struct store_head head;
	struct candidate c = {.fd = -1};
	store_head(r->store, &head);
	if (head.first >= head.segment || head.first > r->archived(r->arg))
		return 0;
	int rc = step(r, head.first, now_ms - r->hot_ms, &c, err);
	if (c.fd >= 0)
		close(c.fd);
	if (rc < 0)
		ocu_error_add(err, "segment %" PRIu64, head.first);
	return rc;
}
