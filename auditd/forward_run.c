/*
 * forward_run: from the trail to the collector. Syslog has no answer that says a message was taken (RFC
 * 5425). So a record counts as sent when the other side's TCP has acknowledged it and the connection was
 * still good a second or two later; a connection that fails starts over behind the last one that counts. A
 * record may come twice, and its number says so.
 */
#include "auditd/forward_run.h"

#include <inttypes.h>
#include <unistd.h>

#include "auditd/aside_page.h"
#include "auditd/cursor.h"
#include "auditd/follow.h"
#include "auditd/syslog.h"
#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/err.h"

#define BATCH_BYTES ((size_t)256 << 10)
#define SETTLE_MS   1000
#define ACK_MS      30000 /* for one batch; a collector that is slower than that has stopped */

struct run {
	const struct forward_opts *o;
	struct aside_life life;
	struct syslog_origin origin;
	struct follow follow;
	struct link *link;
	struct ocu_buf batch;
	struct cursor cursor;
	bool known;      /* the cursor was read */
	uint64_t queued; /* record numbers: in the batch, acknowledged, acknowledged for a while */
	uint64_t acked, settling, sent;
	uint64_t settle_ms; /* when `settling` was taken */
};

/* --- sending --- */

static int fill(struct run *r, struct ocu_error *err)
{
	struct ocu_trail_record rec;
	int rc = 0;
	ocu_buf_reset(&r->batch);
	while (r->batch.len < BATCH_BYTES &&
	       (rc = follow_next(&r->follow, atomic_load(&r->life.page->durable), &rec, err)) > 0) {
		rc = syslog_put(&r->batch, &r->origin, r->follow.trail, &rec);
		if (rc)
			return ocu_error_set(err, rc, "record %" PRIu64, rec.number);
		r->queued = rec.number;
	}
	return rc;
}

static int give(struct run *r, struct ocu_error *err)
{
	uint64_t end = ocu_mono_ms() + ACK_MS;
	size_t at = 0, n;
	while (at < r->batch.len || !link_acknowledged(r->link)) {
		int rc = at < r->batch.len ? link_send(r->link, r->batch.data + at, r->batch.len - at,
		                                       ASIDE_TICK_MS, &n, err)
		                           : link_wait(r->link, 1, err);
		if (rc)
			return rc;
		if (at < r->batch.len)
			at += n;
		if (aside_out_of_time(&r->life) || ocu_mono_ms() >= end)
			return ocu_error_set(err, OCU_E_UNAVAILABLE, "the collector takes nothing");
	}
	r->acked = r->queued;
	return 0;
}

/* What was acknowledged a second ago, on a connection that has not failed since, is sent. */
static void settle(struct run *r, bool at_once)
{
	uint64_t now = ocu_mono_ms();
	if (!at_once && now - r->settle_ms < SETTLE_MS)
		return;
	r->sent = at_once ? r->acked : r->settling;
	r->settling = r->acked;
	r->settle_ms = now;
	atomic_store(&r->life.page->done, r->sent);
	cursor_save(&r->cursor, r->sent);
}

static int serve(struct run *r, struct ocu_error *err)
{
	int rc = follow_seek(&r->follow, r->sent + 1, err);
	r->queued = r->acked = r->settling = r->sent;
	r->settle_ms = ocu_mono_ms();
	while (!rc) {
		bool last = aside_leaving(&r->life);
		rc = fill(r, err);
		if (!rc && r->batch.len)
			rc = give(r, err);
		else if (!rc && !last)
			rc = link_wait(r->link, ASIDE_TICK_MS, err);
		if (!rc)
			settle(r, false);
		if (!rc && !r->batch.len && last) {
			settle(r, true);
			break;
		}
	}
	return rc;
}

/* --- keeping it up --- */

/* Where to go on; asked again after a failure. */
static int prepare(struct run *r, struct ocu_error *err)
{
	follow_close(&r->follow);
	int rc = follow_open(&r->follow, r->o->trail_dir, err);
	if (!rc)
		rc = follow_seek(&r->follow, 1, err);
	if (!rc && !r->known) {
		r->sent = cursor_load(&r->cursor, r->follow.trail, atomic_load(&r->life.page->durable));
		r->known = true;
	}
	atomic_store(&r->life.page->done, r->sent);
	return rc;
}

/* One connection, from its beginning to its end; 0 when it is time to leave. */
static int attempt(struct run *r, struct ocu_error *err)
{
	int rc = prepare(r, err);
	if (!rc)
		rc = link_open(&r->link, &r->o->link, err);
	if (rc)
		return rc;
	aside_say(r->life.page, ASIDE_REACHED, "forward.reached", NULL);
	rc = serve(r, err);
	link_close(ocu_steal(&r->link));
	return rc;
}

void forward_run(const struct forward_opts *o, struct aside_page *page)
{
	struct run r = {.o = o,
	                .life = {.page = page, .keeper = getppid()},
	                .cursor = {.path = o->cursor},
	                .follow = {.fd = -1, .dirfd = -1},
	                .batch = OCU_BUF_INIT(BATCH_BYTES + (size_t)2 * OCU_TRAIL_RECORD_MAX)};
	unsigned retry = ASIDE_RETRY_MS;
	syslog_origin_init(&r.origin, o->host, o->facility);
	while (aside_wait_for_trail(&r.life) && !aside_out_of_time(&r.life)) {
		struct ocu_error err = {0};
		uint64_t before = r.sent;
		if (attempt(&r, &err) == 0 || aside_leaving(&r.life))
			break;
		aside_say(page, ASIDE_UNREACHABLE, "forward.unreachable", &err);
		retry = r.sent > before ? ASIDE_RETRY_MS : retry;
		aside_wait_before_retry(&r.life, &retry);
	}
	if (r.known)
		cursor_save(&r.cursor, r.sent);
	follow_close(&r.follow);
	ocu_buf_done(&r.batch);
}
