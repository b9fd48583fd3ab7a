/*
 * archive: a segment is put once it is sealed, in order, under <trail>/<segment>.jsonl; what it says of
 * itself when downloaded again verifies with the public envelope keys. Whatever fails is tried again, and the
 * next one waits.
 */
#include "auditd/archive.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "auditd/aside.h"
#include "auditd/aside_page.h"
#include "auditd/bucket.h"
#include "auditd/cursor.h"
#include "auditd/holding.h"
#include "auditd/metrics.h"
#include "libocu/cleanup.h"
#include "libocu/daemon.h"
#include "libocu/err.h"
#include "libocu/log.h"
#include "libocu/trail_anchor.h"
#include "libocu/trail_segment.h"

int archive_check(const struct ocu_conf *c, struct ocu_error *err)
{
	const char *url = ocu_conf_str(c, "archive_url");
	if (!*url)
		return 0;
	int port = bucket_url_port(url, err);
	if (port < 0)
		return port;
	if (!*ocu_conf_str(c, "archive_access_key") || !*ocu_conf_str(c, "archive_secret_key"))
		return ocu_error_set(err, OCU_E_CONFIG,
		                     "archive_access_key and archive_secret_key: name the files with the two "
		                     "halves of the bucket's credential");
	return 0;
}

#define OBJECT_MAX (OCU_TRAIL_ID_MAX + OCU_TRAIL_NAME_MAX + 2)

struct run {
	struct bucket bucket;
	struct aside_life life;
	struct cursor cursor;
	const char *trail_dir;
	uint64_t done; /* segments */
	bool known;    /* the cursor was read */
	unsigned hot_days;
};

/* What a segment says of itself. *ret_fd is the caller's to close. */
static int look_at(const struct run *r, uint64_t segment, int *ret_fd, struct ocu_trail_head *ret,
                   struct ocu_error *err)
{
	struct ocu_trail_slots slots;
	OCU_CLOSE int dir = ocu_trail_dir_open(r->trail_dir, err);
	OCU_CLOSE int fd = dir < 0 ? dir : ocu_trail_segment_open(dir, segment, err);
	if (fd < 0)
		return fd;
	int rc = ocu_trail_slots_peek(fd, &slots, err);
	const struct ocu_trail_head *h = rc ? NULL : ocu_trail_slots_newest(&slots);
	if (!rc && !h)
		rc = ocu_error_set(err, OCU_E_CHAIN_BROKEN, "segment %" PRIu64 " has no readable head",
		                   segment);
	if (rc)
		return rc;
	*ret = *h;
	/* auditd says it in one slot and then in the other; only then the file never changes again. */
	ret->sealed = ocu_trail_slots_settled(&slots) && slots.head[0].sealed && slots.head[1].sealed;
	*ret_fd = ocu_steal_fd(&fd);
	return 0;
}

static int span(const struct run *r, struct ocu_trail_span *ret, struct ocu_error *err)
{
	OCU_CLOSE int dir = ocu_trail_dir_open(r->trail_dir, err);
	if (dir < 0)
		return dir;
	int rc = ocu_trail_span(dir, NULL, ret, err);
	if (!rc && ret->last == 0)
		rc = ocu_error_set(err, OCU_E_NOT_FOUND, "the trail has no segment");
	return rc;
}

/* The first segment names the trail; from there on the cursor tells where to go on. What is not here any more
 * is in the bucket. */
static int prepare(struct run *r, const struct ocu_trail_span *here, struct ocu_error *err)
{
	struct ocu_trail_head head;
	int fd = -1, rc = r->known ? 0 : look_at(r, here->first, &fd, &head, err);
	if (fd >= 0)
		close(fd);
	if (!rc && !r->known) {
		r->done = cursor_load(&r->cursor, head.trail, here->last);
		r->known = true;
	}
	if (r->done < here->first - 1)
		r->done = here->first - 1;
	return rc;
}

static void object_name(const char *trail, uint64_t segment, char out[OBJECT_MAX])
{
	char file[OCU_TRAIL_NAME_MAX];
	ocu_trail_segment_name(segment, file);
	snprintf(out, OBJECT_MAX, "%s/%s", trail, file);
}

static int put(struct run *r, uint64_t segment, int fd, const struct ocu_trail_head *head,
               struct ocu_error *err)
{
	char name[OBJECT_MAX];
	object_name(r->cursor.trail, segment, name);
	/* Its size is its end: sealing cut the zeros off. */
	int rc = bucket_put(&r->bucket, name, fd, head->end, err);
	if (rc)
		return ocu_error_add(err, "segment %" PRIu64, segment);
	r->done = segment;
	atomic_store(&r->life.page->done, segment);
	cursor_save(&r->cursor, segment);
	aside_say(r->life.page, ASIDE_REACHED, "archive.reached", NULL);
	return 0;
}

/* 1: one more is in the bucket. 0: there is nothing to put now. */
static int step(struct run *r, struct ocu_error *err)
{
	struct ocu_trail_head head;
	OCU_CLOSE int fd = -1;
	struct ocu_trail_span here;
	int rc = span(r, &here, err);
	if (!rc)
		rc = prepare(r, &here, err);
	if (rc)
		return rc;
	atomic_store(&r->life.page->done, r->done);
	/* The last one is being written to; those before it are sealed, or will be in a moment. */
	atomic_store(&r->life.page->known, here.last - 1);
	if (r->done + 1 >= here.last)
		return 0;
	rc = look_at(r, r->done + 1, &fd, &head, err);
	if (rc || !head.sealed)
		return rc;
	rc = put(r, r->done + 1, fd, &head, err);
	return rc ? rc : 1;
}

static int holds(struct run *r, uint64_t segment, struct ocu_error *err)
{
	char name[OBJECT_MAX];
	struct ocu_trail_head head;
	OCU_CLOSE int fd = -1;
	int rc = look_at(r, segment, &fd, &head, err);
	if (rc)
		return rc;
	object_name(head.trail, segment, name);
	struct holding_want want = {.size = head.end,
	                            .lock = r->bucket.lock,
	                            .lock_days = r->bucket.days,
	                            .hot_days = r->hot_days,
	                            .sealed = holding_time(head.time)};
	return bucket_holds(&r->bucket, name, fd, &want, err);
}

/* auditd wants to remove what the archive has. */
static void answer(struct run *r)
{
	struct aside_page *p = r->life.page;
	struct ocu_error err = {0};
	uint64_t question = atomic_load(&p->question);
	if (question == atomic_load(&p->answered))
		return;
	uint64_t segment = atomic_load(&p->segment);
	int rc = holds(r, segment, &err);
	/* The cursor was not right, or somebody took it out: it is put again. */
	if (rc == OCU_E_NOT_FOUND && segment && segment <= r->done)
		r->done = segment - 1;
	snprintf(p->answer_why, sizeof p->answer_why, "%s", err.text);
	atomic_store(&p->answer, rc);
	atomic_store(&p->answered, question);
}

static void run(const struct ocu_daemon *d, const char *folder, struct aside_page *page)
{
	char cursor[1100];
	unsigned retry = ASIDE_RETRY_MS;
	snprintf(cursor, sizeof cursor, "%s/segments", folder);
	struct run r = {
	    .bucket = {.url = ocu_conf_str(d->conf, "archive_url"),
	               .region = ocu_conf_str(d->conf, "archive_region"),
	               .access_key = ocu_conf_str(d->conf, "archive_access_key"),
	               .secret_key = ocu_conf_str(d->conf, "archive_secret_key"),
	               .ca = ocu_conf_str(d->conf, "archive_ca"),
	               .lock = ocu_conf_str(d->conf, "archive_lock"),
	               .days = (unsigned)ocu_conf_int(d->conf, "archive_days")},
	    .life = {.page = page, .keeper = getppid()},
	    .cursor = {.path = cursor},
	    .trail_dir = d->state_dir,
	    .hot_days = (unsigned)ocu_conf_int(d->conf, "hot_days"),
	};
	while (aside_wait_for_trail(&r.life) && !aside_out_of_time(&r.life)) {
		struct ocu_error err = {0};
		answer(&r);
		int rc = step(&r, &err);
		if (rc == 0 && aside_leaving(&r.life))
			break;
		if (rc < 0) {
			aside_say(page, rc == OCU_E_EXISTS ? ASIDE_REFUSED : ASIDE_UNREACHABLE,
			          rc == OCU_E_EXISTS ? "archive.refused" : "archive.unreachable", &err);
			aside_wait_before_retry(&r.life, &retry);
		} else {
			retry = ASIDE_RETRY_MS;
			if (rc == 0)
				aside_pause(ASIDE_TICK_MS);
		}
	}
}

static void observe(const struct aside_page *page, uint64_t durable)
{
	(void)durable;
	metrics_archive(atomic_load(&page->state) < ASIDE_UNREACHABLE, atomic_load(&page->done),
	                atomic_load(&page->known));
}

static const struct aside_kind kind = {
    .name = "archive",
    .event = "archive",
    .files = {"archive_access_key", "archive_secret_key", "archive_ca"},
    .run = run,
    .observe = observe,
};

int archive_start(struct aside **ret, const struct ocu_daemon *d, struct ocu_error *err)
{
	const char *url = ocu_conf_str(d->conf, "archive_url");
	*ret = NULL;
	if (!*url)
		return 0;
	if (strcmp(ocu_conf_str(d->conf, "archive_lock"), "none") != 0 &&
	    ocu_conf_int(d->conf, "archive_days") <= ocu_conf_int(d->conf, "hot_days"))
		ocu_log(
		    OCU_LOG_WARN, "archive.short_lock", NULL, "text",
		    "archive_days is not more than hot_days: no segment leaves this host, because its lock "
		    "in the archive is over by then",
		    NULL);
	return aside_start(ret, d, &kind, url, (uint16_t)bucket_url_port(url, NULL), err);
}
