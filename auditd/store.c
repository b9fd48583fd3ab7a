/* store: batches into records, records into the segment, one segment after another. */
#include "auditd/store.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auditd/chain.h"
#include "auditd/metrics.h"
#include "auditd/notice.h"
#include "auditd/recover.h"
#include "auditd/segment.h"
#include "libocu/buf.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/id.h"
#include "libocu/trail_segment.h"

/* Room between the generations of two segments, for what sealing the older may still need. */
#define GENERATION_GAP 8
/* What one large batch left allocated is given back when it is over this. */
#define BATCH_KEEP (2u << 20)
/* How late a segment's age may be noticed. */
#define TEND_MS 60000

struct store {
	int dirfd;
	struct store_opts opts;
	bool opened;     /* the segment's end is established */
	char since[32];  /* when the segment was made */
	uint64_t before; /* records in the segments before it */
	struct chain chain;
	struct segment segment;
	struct notices notices;
	struct ocu_buf batch;
	uint64_t batch_records;
	size_t batch_notices; /* how many of the pending notices the batch holds */
	pthread_mutex_t lock; /* published */
	pthread_rwlock_t removal;
	struct store_head published;
};

static void publish(struct store *s)
{
	const struct ocu_trail_head *h = &s->segment.head;
	pthread_mutex_lock(&s->lock);
	s->published.records = h->number;
	s->published.segment = h->segment;
	s->published.end = h->end;
	ocu_trail_hash_bytes(&h->last, s->published.hash);
	memcpy(s->published.slot, s->segment.slot, sizeof s->published.slot);
	pthread_mutex_unlock(&s->lock);
}

void store_head(struct store *s, struct store_head *ret)
{
	pthread_mutex_lock(&s->lock);
	*ret = s->published;
	pthread_mutex_unlock(&s->lock);
}

/* Makes segment `number` behind the chain's last record. The opening becomes the link the next record refers
 * to. */
static int open_segment(struct store *s, struct segment *ret, uint64_t number, uint64_t generation,
                        struct ocu_trail_hash *ret_last, struct ocu_error *err)
{
	OCU_BUF struct ocu_buf line = OCU_BUF_INIT(OCU_TRAIL_LINE_MAX);
	struct ocu_trail_opening o = {.segment = number, .first = s->chain.number + 1};
	struct ocu_trail_head h = {.number = s->chain.number, .segment = number, .generation = generation};
	memcpy(o.trail, s->chain.at.trail, sizeof o.trail);
	memcpy(h.trail, s->chain.at.trail, sizeof h.trail);
	ocu_time_rfc3339(ocu_wall_ms(), o.time);
	memcpy(h.time, o.time, sizeof h.time);
	int rc = ocu_trail_opening_put(&line, s->chain.at.hasher, &o, &s->chain.at.sources, &s->chain.last,
	                               &h.last, err);
	if (!rc)
		rc = segment_create(ret, &h, line.data, line.len, err);
	if (!rc)
		*ret_last = h.last;
	return rc;
}

static int rotate(struct store *s, struct ocu_error *err)
{
	struct segment next;
	struct ocu_trail_hash last;
	const struct ocu_trail_head *h = &s->segment.head;
	segment_init(&next, s->dirfd, s->opts.signer);
	int rc = open_segment(s, &next, h->segment + 1, h->generation + GENERATION_GAP, &last, err);
	if (rc)
		return rc;
	/* Not sealed is not broken: the next start does it. */
	struct ocu_error unsealed = {0};
	if (segment_seal(&s->segment, next.head.time, &unsealed))
		metrics_failure();
	segment_done(&s->segment);
	s->segment = next;
	memcpy(s->since, next.head.time, sizeof s->since);
	s->before = next.head.number;
	s->chain.at.segment = next.head.segment;
	s->chain.at.last = last;
	chain_commit(&s->chain);
	publish(s);
	return 0;
}

static int begin_trail(struct store *s, struct ocu_error *err)
{
	struct ocu_trail_walk walk;
	struct ocu_trail_hash last;
	int rc = ocu_trail_walk_init(&walk, err);
	if (rc)
		return rc;
	ocu_id_new(OCU_TRAIL_ID_PREFIX, walk.trail);
	chain_init(&s->chain, &walk);
	rc = open_segment(s, &s->segment, 1, 1, &last, err);
	if (rc)
		return rc;
	memcpy(s->since, s->segment.head.time, sizeof s->since);
	s->published.first = 1;
	s->chain.at.segment = 1;
	s->chain.at.last = last;
	chain_commit(&s->chain);
	notice_opened(&s->notices, s->chain.at.trail);
	return 0;
}

static int continue_trail(struct store *s, struct recovery *r, struct ocu_error *err)
{
	int rc = recover_apply(r, &s->segment, s->opts.keys, err);
	if (rc)
		return rc;
	if (r->torn)
		notice_recovered(&s->notices, r);
	memcpy(s->since, r->walk.since, sizeof s->since);
	s->before = r->walk.before;
	s->published.first = r->first;
	chain_init(&s->chain, &r->walk);
	return 0;
}

int store_open(struct store **ret, const struct store_opts *o, struct ocu_error *err)
{
	struct recovery r;
	struct store *s = calloc(1, sizeof *s);
	if (!s)
		return ocu_error_set(err, OCU_E_NOMEM, "trail store");
	s->opts = *o;
	s->opts.dir = NULL;
	ocu_buf_init(&s->batch, STORE_BATCH_MAX + OCU_TRAIL_RECORD_MAX);
	pthread_mutex_init(&s->lock, NULL);
	pthread_rwlock_init(&s->removal, NULL);
	s->dirfd = ocu_trail_dir_open(o->dir, err);
	segment_init(&s->segment, s->dirfd, o->signer);
	int rc = s->dirfd < 0 ? s->dirfd : recover_find(&r, s->dirfd, o->keys, err);
	if (!rc) {
		rc = r.segment ? continue_trail(s, &r, err) : begin_trail(s, err);
		recovery_done(&r);
	}
	if (rc) {
		store_close(s);
		return rc;
	}
	s->opened = true;
	publish(s);
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	/* A trail that is not trimmed is as good; the next start trims it. */
	if (s->opened && !s->segment.dirty && segment_trim(&s->segment, NULL))
		metrics_failure();
	segment_done(&s->segment);
	if (s->dirfd >= 0)
		close(s->dirfd);
	chain_done(&s->chain);
	notices_done(&s->notices);
	ocu_buf_done(&s->batch);
	pthread_mutex_destroy(&s->lock);
	pthread_rwlock_destroy(&s->removal);
	free(s);
}

void store_abort(struct store *s)
{
	chain_rollback(&s->chain);
	s->batch_records = 0;
	s->batch_notices = 0;
	ocu_buf_reset(&s->batch);
}

static int failed(struct store *s, int rc)
{
	metrics_failure();
	store_abort(s);
	return rc;
}

static int add_notices(struct store *s, struct ocu_error *err)
{
	s->batch_notices = 0;
	for (size_t i = 0; i < s->notices.n; i++) {
		const struct ocu_buf *text = &s->notices.text[i];
		uint64_t number;
		int rc = store_add(s, STORE_SELF, ocu_wall_ms(), text->data, text->len, &number, err);
		if (rc)
			return rc;
		s->batch_notices++;
	}
	return 0;
}

/* RFC 3339 in UTC with a fixed width orders as text. */
static bool due(const struct store *s)
{
	char oldest[32];
	if (s->segment.head.end >= s->opts.segment_size)
		return true;
	if (!s->opts.segment_age_ms || s->segment.head.number == s->before)
		return false;
	ocu_time_rfc3339(ocu_wall_ms() - s->opts.segment_age_ms, oldest);
	return strcmp(s->since, oldest) <= 0;
}

static int tend(struct store *s, struct ocu_error *err)
{
	int rc = s->segment.dirty ? segment_repair(&s->segment, err) : 0;
	return rc || !due(s) ? rc : rotate(s, err);
}

int store_tend(struct store *s, struct ocu_error *err)
{
	int rc = tend(s, err);
	if (rc)
		metrics_failure();
	return rc;
}

uint64_t store_tend_every_ms(const struct store *s)
{
	return s->opts.segment_age_ms < TEND_MS ? (uint64_t)s->opts.segment_age_ms : TEND_MS;
}

int store_begin(struct store *s, struct ocu_error *err)
{
	if (s->batch.cap > BATCH_KEEP)
		ocu_buf_done(&s->batch);
	ocu_buf_reset(&s->batch);
	s->batch_records = 0;
	int rc = tend(s, err);
	if (!rc)
		notices_resume(&s->notices);
	if (!rc)
		rc = add_notices(s, err);
	return rc ? failed(s, rc) : 0;
}

int store_add(struct store *s, const char *source, int64_t wall_ms, const char *event, size_t len,
              uint64_t *ret_number, struct ocu_error *err)
{
	int rc = chain_add(&s->chain, &s->batch, source, wall_ms, event, len, err);
	if (rc)
		return rc;
	s->batch_records++;
	*ret_number = s->chain.at.number;
	return 0;
}

size_t store_batch_bytes(const struct store *s)
{
	return s->batch.len;
}

uint64_t store_batch_records(const struct store *s)
{
	return s->batch_records;
}

int store_commit(struct store *s, struct ocu_error *err)
{
	if (s->batch_records == 0)
		return 0;
	struct ocu_trail_head next = {.number = s->chain.at.number, .last = s->chain.at.last};
	memcpy(next.trail, s->chain.at.trail, sizeof next.trail);
	memcpy(next.time, s->chain.at.time, sizeof next.time);
	int rc = segment_append(&s->segment, s->batch.data, s->batch.len, s->opts.preallocate, &next, err);
	if (rc) {
		/* At once, so that the trail verifies while the disk stays full; else with the next batch. */
		segment_repair(&s->segment, NULL);
		return failed(s, rc);
	}
	chain_commit(&s->chain);
	notices_drop(&s->notices, s->batch_notices);
	metrics_batch(s->batch_records, s->batch.len);
	publish(s);
	return 0;
}

void store_note_refused(struct store *s, uint64_t events, const struct ocu_error *why)
{
	notices_refused(&s->notices, events, why);
}

void store_read_begin(struct store *s, struct store_head *ret)
{
	pthread_rwlock_rdlock(&s->removal);
	store_head(s, ret);
}

void store_read_end(struct store *s)
{
	pthread_rwlock_unlock(&s->removal);
}

static int remove_first(struct store *s, struct ocu_error *err)
{
	char name[OCU_TRAIL_NAME_MAX];
	pthread_mutex_lock(&s->lock);
	ocu_trail_segment_name(s->published.first, name);
	int failed = unlinkat(s->dirfd, name, 0) && errno != ENOENT ? errno : 0;
	s->published.first += failed == 0;
	pthread_mutex_unlock(&s->lock);
	/* Should the name come back after a crash, the anchor says what it is. */
	if (!failed && fsync(s->dirfd))
		failed = errno;
	return failed ? ocu_error_errno(err, OCU_E_IO, failed, "removing %s", name) : 0;
}

int store_remove_first(struct store *s, struct ocu_error *err)
{
	pthread_rwlock_wrlock(&s->removal);
	int rc = remove_first(s, err);
	pthread_rwlock_unlock(&s->removal);
	return rc;
}

int store_dirfd(const struct store *s)
{
	return s->dirfd;
}

const char *store_trail(const struct store *s)
{
	return s->chain.at.trail;
}
