/*
 * forward_run: from the trail to the collector. Syslog has no answer that says a message was taken (RFC
 * 5425). So a record counts as sent when the other side's TCP has acknowledged it and the connection was
 * still good a second or two later; a connection that fails starts over behind the last one that counts. A
 * record may come twice, and its number says so.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "auditd/follow.h"
#include "auditd/forward_page.h"
#include "auditd/syslog.h"
#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/log.h"

#define BATCH_BYTES  ((size_t)256 << 10)
#define SETTLE_MS    1000
#define ACK_MS       30000 /* for one batch; a collector that is slower than that has stopped */
#define RETRY_MIN_MS 1000
#define RETRY_MAX_MS 30000
#define CURSOR_MAX   4096

struct run {
	const struct forward_opts *o;
	struct forward_page *page;
	struct syslog_origin origin;
	struct follow follow;
	struct link *link;
	struct ocu_buf batch;
	pid_t keeper;
	uint64_t stop_ms; /* when to leave; 0: nobody asked */
	uint64_t
	    queued; /* record numbers: in the batch, acknowledged, acknowledged for a while, remembered */
	uint64_t acked, settling, sent, saved;
	uint64_t settle_ms; /* when `settling` was taken */
};

/* --- how far it got --- */

static void load_cursor(struct run *r)
{
	OCU_JSON json_t *j = NULL;
	int rc = ocu_json_load_file(r->o->cursor, CURSOR_MAX, &j, NULL);
	if (rc == OCU_E_NOT_FOUND)
		return;
	json_int_t n = ocu_json_int(j, "n", -1);
	if (rc || n < 0 || strcmp(ocu_json_str(j, "trail", ""), r->follow.trail) != 0 ||
	    (uint64_t)n > atomic_load(&r->page->durable)) {
		ocu_log(OCU_LOG_WARN, "forward.cursor", NULL, "text",
		        "the cursor is not of this trail: everything is sent again", NULL);
		return;
	}
	r->sent = r->saved = (uint64_t)n;
}

static void save_cursor(struct run *r)
{
	struct ocu_error err = {0};
	char text[OCU_TRAIL_ID_MAX + 64], part[1100];
	if (r->saved == r->sent)
		return;
	int n =
	    snprintf(text, sizeof text, "{\"trail\":\"%s\",\"n\":%" PRIu64 "}\n", r->follow.trail, r->sent);
	snprintf(part, sizeof part, "%s.part", r->o->cursor);
	OCU_FILE FILE *f = fopen(part, "we");
	if (!f || fwrite(text, 1, (size_t)n, f) != (size_t)n || fflush(f) || fdatasync(fileno(f)) ||
	    rename(part, r->o->cursor)) {
		ocu_error_set(&err, OCU_E_IO, "%s", r->o->cursor);
		ocu_log_error(OCU_LOG_WARN, "forward.cursor", NULL, &err);
	}
	r->saved = r->sent; /* the next one is tried anew */
}

/* --- when to leave --- */

/* Asked to, or without the keeper that would end this process with auditd. */
static bool leaving(struct run *r)
{
	if (!r->stop_ms && (atomic_load(&r->page->stop) || getppid() != r->keeper))
		r->stop_ms = ocu_mono_ms() + FORWARD_STOP_MS;
	return r->stop_ms != 0;
}

static bool out_of_time(struct run *r)
{
	return leaving(r) && ocu_mono_ms() >= r->stop_ms;
}

/* --- sending --- */

static int fill(struct run *r, struct ocu_error *err)
{
	struct ocu_trail_record rec;
	int rc = 0;
	ocu_buf_reset(&r->batch);
	while (r->batch.len < BATCH_BYTES &&
	       (rc = follow_next(&r->follow, atomic_load(&r->page->durable), &rec, err)) > 0) {
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
		                                       FORWARD_TICK_MS, &n, err)
		                           : link_wait(r->link, 1, err);
		if (rc)
			return rc;
		if (at < r->batch.len)
			at += n;
		if (out_of_time(r) || ocu_mono_ms() >= end)
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
	atomic_store(&r->page->sent, r->sent);
	save_cursor(r);
}

static int serve(struct run *r, struct ocu_error *err)
{
	int rc = follow_seek(&r->follow, r->sent + 1, err);
	r->queued = r->acked = r->settling = r->sent;
	r->settle_ms = ocu_mono_ms();
	while (!rc) {
		bool last = leaving(r);
		rc = fill(r, err);
		if (!rc && r->batch.len)
			rc = give(r, err);
		else if (!rc && !last)
			rc = link_wait(r->link, FORWARD_TICK_MS, err);
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

static void say(struct run *r, enum forward_state state, const struct ocu_error *err)
{
	if (err)
		snprintf(r->page->why, sizeof r->page->why, "%s", err->text);
	if (atomic_exchange(&r->page->state, state) != state && err)
		ocu_log_error(OCU_LOG_WARN, "forward.unreachable", NULL, err);
}

static void wait_before_retry(struct run *r, unsigned *ms)
{
	uint64_t end = ocu_mono_ms() + *ms;
	while (!leaving(r) && ocu_mono_ms() < end)
		forward_pause(FORWARD_TICK_MS);
	*ms = *ms * 2 < RETRY_MAX_MS ? *ms * 2 : RETRY_MAX_MS;
}

/* The trail is there once auditd has written to it. */
static bool wait_for_trail(struct run *r)
{
	while (atomic_load(&r->page->durable) == 0 && !leaving(r))
		forward_pause(FORWARD_TICK_MS);
	return atomic_load(&r->page->durable) > 0;
}

/* Where to go on; asked again after a failure. */
static int prepare(struct run *r, struct ocu_error *err)
{
	follow_close(&r->follow);
	int rc = follow_open(&r->follow, r->o->trail_dir, err);
	if (!rc)
		rc = follow_seek(&r->follow, 1, err);
	if (!rc && r->saved == 0)
		load_cursor(r);
	atomic_store(&r->page->sent, r->sent);
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
	say(r, FORWARD_REACHED, NULL);
	rc = serve(r, err);
	link_close(ocu_steal(&r->link));
	return rc;
}

void forward_run(const struct forward_opts *o, struct forward_page *page)
{
	struct run r = {.o = o,
	                .page = page,
	                .keeper = getppid(),
	                .follow = {.fd = -1, .dirfd = -1},
	                .batch = OCU_BUF_INIT(BATCH_BYTES + (size_t)2 * OCU_TRAIL_RECORD_MAX)};
	unsigned retry = RETRY_MIN_MS;
	syslog_origin_init(&r.origin, o->host, o->facility);
	while (wait_for_trail(&r) && !out_of_time(&r)) {
		struct ocu_error err = {0};
		uint64_t before = r.sent;
		if (attempt(&r, &err) == 0 || leaving(&r))
			break;
		say(&r, FORWARD_UNREACHABLE, &err);
		retry = r.sent > before ? RETRY_MIN_MS : retry;
		wait_before_retry(&r, &retry);
	}
	save_cursor(&r);
	follow_close(&r.follow);
	ocu_buf_done(&r.batch);
}
