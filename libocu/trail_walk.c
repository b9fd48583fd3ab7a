/* trail_walk: each check says what it compared, because "broken" alone does not help whoever has to find out
 * why. */
#include "libocu/trail_walk.h"

#include <string.h>

#include "libocu/err.h"
#include "libocu/trail_anchor.h"
#include "libocu/trail_segment.h"

int ocu_trail_walk_init(struct ocu_trail_walk *w, struct ocu_error *err)
{
	memset(w, 0, sizeof *w);
	w->last = OCU_TRAIL_HASH_ZERO;
	ocu_trail_sources_init(&w->sources);
	return ocu_trail_hasher_new(&w->hasher, err);
}

void ocu_trail_walk_done(struct ocu_trail_walk *w)
{
	ocu_trail_hasher_free(w->hasher);
	ocu_trail_sources_done(&w->sources);
	w->hasher = NULL;
}

static int broken(struct ocu_error *err, const char *what)
{
	return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "%s", what);
}

static bool same_hash(const char *hex, const struct ocu_trail_hash *h)
{
	return memcmp(hex, h->hex, OCU_TRAIL_HEX) == 0;
}

/* In any order: auditd may have met a source first in a batch that then was refused. */
static bool same_sources(const struct ocu_trail_sources *a, const struct ocu_trail_sources *b)
{
	if (a->n != b->n)
		return false;
	for (uint32_t i = 0; i < a->n; i++) {
		int at = ocu_trail_sources_find(b, a->v[i].name, strlen(a->v[i].name));
		if (at < 0 || a->v[i].sequence != b->v[at].sequence)
			return false;
	}
	return true;
}

/* What an opening must say given what was seen before it. */
static const char *opening_fault(const struct ocu_trail_walk *w, const struct ocu_trail_opening *o,
                                 const struct ocu_trail_sources *sources)
{
	bool begins = w->segment == 0;
	if (begins && o->segment > 1)
		return NULL;
	if (!begins && strcmp(o->trail, w->trail) != 0)
		return "the segment belongs to another trail";
	if (o->segment != w->segment + 1)
		return "the segment's own number is another";
	if (o->first != w->number + 1)
		return "the segment does not go on where the one before ended";
	if (!same_hash(o->prev, &w->last))
		return "the segment is not linked to the one before";
	if (!w->anchored && !same_sources(sources, &w->sources))
		return "the segment's sequences are not those of the one before";
	return NULL;
}

int ocu_trail_walk_opening(struct ocu_trail_walk *w, const char *line, size_t len, struct ocu_error *err)
{
	struct ocu_trail_opening o;
	struct ocu_trail_sources sources;
	struct ocu_trail_hash hash;
	ocu_trail_sources_init(&sources);
	const char *fault = NULL;
	if (ocu_trail_opening_parse(&o, &sources, line, len, NULL))
		fault = "the opening line is malformed";
	else if (ocu_trail_hash(w->hasher, line, o.hashed, &hash) || !same_hash(o.hash, &hash))
		fault = "the opening line's hash is not that of its content";
	else if (o.first == 0 || o.segment == 0)
		fault = "the opening line counts from zero";
	else
		fault = opening_fault(w, &o, &sources);
	if (fault) {
		ocu_trail_sources_done(&sources);
		return broken(err, fault);
	}
	ocu_trail_sources_done(&w->sources);
	w->sources = sources;
	w->anchored = false;
	memcpy(w->trail, o.trail, sizeof w->trail);
	memcpy(w->time, o.time, sizeof w->time);
	w->segment = o.segment;
	memcpy(w->since, o.time, sizeof w->since);
	w->number = w->before = o.first - 1;
	w->last = hash;
	return 0;
}

int ocu_trail_walk_record(struct ocu_trail_walk *w, const char *line, size_t len, struct ocu_error *err)
{
	struct ocu_trail_record r;
	struct ocu_trail_hash hash;
	if (ocu_trail_record_parse(&r, line, len, NULL))
		return broken(err, "the line is no well-formed record");
	if (ocu_trail_hash(w->hasher, line, r.hashed, &hash) || !same_hash(r.hash, &hash))
		return broken(err, "the record's hash is not that of its content");
	if (r.number != w->number + 1)
		return broken(err, "the record's number is not the next one");
	if (!same_hash(r.prev, &w->last))
		return broken(err, "the record is not linked to the one before");
	int at = ocu_trail_sources_find(&w->sources, r.source, r.source_len);
	if (r.sequence != (at < 0 ? 1 : w->sources.v[at].sequence + 1))
		return broken(err, "the source's sequence has a gap");
	if (at < 0)
		at = ocu_trail_sources_add(&w->sources, r.source, r.source_len);
	if (at < 0)
		return broken(err, "too many sources, or a malformed name");
	w->sources.v[at].sequence = r.sequence;
	w->number = r.number;
	w->last = hash;
	memcpy(w->time, r.time, 24);
	w->time[24] = '\0';
	return 0;
}

void ocu_trail_walk_anchor(struct ocu_trail_walk *w, const struct ocu_trail_anchor *a)
{
	memcpy(w->trail, a->trail, sizeof w->trail);
	w->segment = a->segment;
	w->number = a->records;
	w->last = a->last;
	w->anchored = true;
}

int ocu_trail_walk_at_anchor(const struct ocu_trail_walk *w, const struct ocu_trail_anchor *a,
                             struct ocu_error *err)
{
	if (w->segment == a->segment && w->number == a->records && strcmp(w->trail, a->trail) == 0 &&
	    same_hash(a->last.hex, &w->last))
		return 0;
	return broken(err, "the anchor is not of this segment's end");
}

int ocu_trail_walk_segment(struct ocu_trail_walk *w, struct ocu_trail_lines *lines, int fd,
                           const struct ocu_trail_head *h, struct ocu_error *err)
{
	const char *line;
	size_t len;
	ocu_trail_lines_seek(lines, fd, OCU_TRAIL_HEADER, h->end);
	int rc = ocu_trail_lines_next(lines, &line, &len, err);
	if (rc == 0)
		return broken(err, "no opening line");
	if (rc > 0)
		rc = ocu_trail_walk_opening(w, line, len, err);
	while (rc == 0 && (rc = ocu_trail_lines_next(lines, &line, &len, err)) > 0)
		rc = ocu_trail_walk_record(w, line, len, err);
	if (rc)
		return rc;
	if (h->segment != w->segment || h->number != w->number || strcmp(h->trail, w->trail) != 0 ||
	    !same_hash(h->last.hex, &w->last))
		return broken(err, "the signed head is not that of the last record");
	return 0;
}
