/* The trail reader: strict parsers give back what they read; a changed segment never verifies as it did. */
#include "libocu/err.h"
#include "libocu/trail.h"
#include "libocu/trail_anchor.h"
#include "libocu/trail_segment.h"
#include "libocu/trail_walk.h"
#include "tests/fuzz/trail_build.h"

static struct build b;

static void parse_lines(const char *text, size_t len)
{
	struct ocu_trail_record r;
	struct ocu_trail_opening o;
	struct ocu_trail_sources sources;
	struct ocu_trail_walk w;
	ocu_trail_sources_init(&sources);
	if (ocu_trail_record_parse(&r, text, len, NULL) == 0) {
		struct ocu_buf again = OCU_BUF_INIT(1 << 20);
		struct ocu_trail_hash prev, hash;
		char source[OCU_TRAIL_SOURCE_MAX];
		memcpy(prev.hex, r.prev, OCU_TRAIL_HEX);
		prev.hex[OCU_TRAIL_HEX] = '\0';
		memcpy(source, r.source, r.source_len);
		source[r.source_len] = '\0';
		struct ocu_trail_new n = {r.number, r.sequence, r.time, source, r.event, r.event_len};
		/* Names and bytes below space are checked by the renderer, by the parser, or both. */
		if (ocu_trail_record_put(&again, b.hasher, &n, &prev, &hash, NULL) == 0)
			REQUIRE(again.len == len + 1 && r.hashed + 75 == len);
		ocu_buf_done(&again);
	}
	if (ocu_trail_opening_parse(&o, &sources, text, len, NULL) == 0)
		REQUIRE(sources.n <= OCU_TRAIL_SOURCES_MAX && o.hashed < len);
	ocu_trail_sources_done(&sources);
	REQUIRE(ocu_trail_walk_init(&w, NULL) == 0);
	ocu_trail_walk_opening(&w, text, len, NULL);
	ocu_trail_walk_record(&w, text, len, NULL);
	ocu_trail_walk_done(&w);
}

static void parse_head(const char *text, size_t len)
{
	struct ocu_trail_head h;
	char slot[OCU_TRAIL_SLOT];
	unsigned char sig[64];
	size_t signed_len;
	memset(slot, ' ', sizeof slot);
	slot[sizeof slot - 1] = '\n';
	memcpy(slot, text, len < sizeof slot ? len : sizeof slot);
	if (ocu_trail_head_parse(&h, slot, &signed_len, sig, NULL) == 0)
		REQUIRE(signed_len < sizeof slot && strlen(h.last.hex) == OCU_TRAIL_HEX);
}

static int each(void *arg, uint64_t number, const char *source, const char *event, uint64_t len)
{
	(void)arg;
	REQUIRE(number && source[0] && len >= 2 && event[0] == '{' && event[len - 1] == '}');
	return 0;
}

/* Whatever one change does, the records that verify are the ones that were signed. */
static void verify_changed(const uint8_t *data, size_t size)
{
	struct ocu_trail_report rep;
	struct ocu_error err = {0};
	unsigned n = 1 + take(&data, &size, 6);
	build_segment(&b, n);
	size_t covered = b.file.len;
	bool changed = build_change(&b, &data, &size);
	build_write(&b);
	int rc = ocu_trail_verify(b.dir, b.keys, &rep, &err);
	REQUIRE(rc == 0 || rc == OCU_E_CHAIN_BROKEN);
	if (!changed)
		REQUIRE(rc == 0 && rep.records == n && rep.unsigned_bytes == 0);
	if (rc == 0)
		REQUIRE(rep.records == n && (!changed || b.file.len > covered));
	else
		REQUIRE(rep.why[0]);
	ocu_trail_each(b.dir, each, NULL, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!b.signer)
		build_init(&b);
	if (size < 1)
		return 0;
	struct ocu_trail_anchor anchor;
	ocu_trail_anchor_parse(&anchor, (const char *)data + 1, size - 1, b.keys, NULL);
	if (data[0] % 4 == 0)
		parse_lines((const char *)data + 1, size - 1);
	else if (data[0] % 4 == 1)
		parse_head((const char *)data + 1, size - 1);
	else
		verify_changed(data + 1, size - 1);
	return 0;
}
