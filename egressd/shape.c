/* shape: a token bucket for each kind of denial and a small memory of names. */
#include "egressd/shape.h"

#include <string.h>

bool bucket_ready(struct bucket *b, uint64_t now_ms, uint32_t rate, uint32_t burst)
{
	uint64_t full = (uint64_t)burst * 1000;

	if (b->last_ms == 0)
		b->tokens_milli = full;
	else
		b->tokens_milli += (now_ms - b->last_ms) * rate;
	if (b->tokens_milli > full)
		b->tokens_milli = full;
	b->last_ms = now_ms ? now_ms : 1;
	return b->tokens_milli >= 1000;
}

bool bucket_take(struct bucket *b, uint64_t now_ms, uint32_t rate, uint32_t burst)
{
	bool ready = bucket_ready(b, now_ms, rate, burst);

	if (ready)
		b->tokens_milli -= 1000;
	return ready;
}

static void count(struct shape *s, enum shape_kind kind, int code)
{
	unsigned i = code < 0 && (unsigned)-code < SHAPE_CODES ? (unsigned)-code : 1;

	s->suppressed[kind][i]++;
	s->total++;
}

bool shape_denial(struct shape *s, uint64_t now_ms, enum shape_kind kind, int code)
{
	if (bucket_take(&s->buckets[kind], now_ms, SHAPE_RATE, SHAPE_BURST))
		return true;
	count(s, kind, code);
	return false;
}

bool shape_lookup(struct shape *s, uint64_t now_ms, const char *name, int code)
{
	uint64_t key = 0xcbf29ce484222325u;

	for (const char *p = name; *p; p++)
		key = (key ^ (unsigned char)*p) * 0x100000001b3u;
	/* A collision costs one event more or one less; the counter stays right either way. */
	unsigned i = (unsigned)(key >> 32) % SHAPE_NAMES;
	if (s->names[i].key == key && now_ms - s->names[i].last_ms < SHAPE_NAME_WINDOW_MS) {
		count(s, SHAPE_DNS, code);
		return false;
	}
	if (!shape_denial(s, now_ms, SHAPE_DNS, code))
		return false;
	s->names[i].key = key;
	s->names[i].last_ms = now_ms;
	return true;
}

void shape_summary(struct shape *s, void (*each)(void *arg, enum shape_kind kind, int code, uint32_t count),
                   void *arg)
{
	if (s->total == 0)
		return;
	for (unsigned kind = 0; kind < SHAPE_KINDS; kind++)
		for (unsigned i = 0; i < SHAPE_CODES; i++)
			if (s->suppressed[kind][i])
				each(arg, (enum shape_kind)kind, -(int)i, s->suppressed[kind][i]);
	memset(s->suppressed, 0, sizeof s->suppressed);
	s->total = 0;
}
