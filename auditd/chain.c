/* chain: moves forward record by record, back batch by batch. */
#include "auditd/chain.h"

#include <string.h>

#include "libocu/buf.h"
#include "libocu/clock.h"
#include "libocu/err.h"

void chain_init(struct chain *c, struct ocu_trail_walk *steal)
{
	memset(c, 0, sizeof *c);
	c->at = *steal;
	memset(steal, 0, sizeof *steal);
	c->time_ms = -1;
	chain_commit(c);
}

void chain_done(struct chain *c)
{
	ocu_trail_walk_done(&c->at);
}

/* RFC 3339 in UTC with a fixed width orders as text, so the floor needs no parsing of what recovery read. */
static void advance_time(struct chain *c, int64_t wall_ms)
{
	char text[32];
	if (wall_ms == c->time_ms)
		return;
	ocu_time_rfc3339(wall_ms, text);
	if (strcmp(text, c->at.time) <= 0)
		return;
	memcpy(c->at.time, text, sizeof c->at.time);
	c->time_ms = wall_ms;
}

int chain_add(struct chain *c, struct ocu_buf *out, const char *source, int64_t wall_ms, const char *event,
              size_t len, struct ocu_error *err)
{
	int src = ocu_trail_sources_add(&c->at.sources, source, strlen(source));
	if (src < 0)
		return ocu_error_set(err, src, "source name not accepted");
	advance_time(c, wall_ms);
	struct ocu_trail_new r = {
	    .number = c->at.number + 1,
	    .sequence = c->at.sources.v[src].sequence + 1,
	    .time = c->at.time,
	    .source = source,
	    .event = event,
	    .event_len = len,
	};
	struct ocu_trail_hash hash;
	int rc = ocu_trail_record_put(out, c->at.hasher, &r, &c->at.last, &hash, err);
	if (rc)
		return rc;
	c->at.number = r.number;
	c->at.sources.v[src].sequence = r.sequence;
	c->at.last = hash;
	return 0;
}

void chain_commit(struct chain *c)
{
	c->number = c->at.number;
	c->last = c->at.last;
	for (uint32_t i = 0; i < c->at.sources.n; i++)
		c->sequence[i] = c->at.sources.v[i].sequence;
}

void chain_rollback(struct chain *c)
{
	c->at.number = c->number;
	c->at.last = c->last;
	for (uint32_t i = 0; i < c->at.sources.n; i++)
		c->at.sources.v[i].sequence = c->sequence[i];
}
