/* Recovery: whatever one change made of the last segment, auditd either refuses it or goes on, and what it
 * goes on with verifies and holds no record that was not signed. */
#include "auditd/store.h"
#include "libocu/err.h"
#include "libocu/trail.h"
#include "tests/fuzz/trail_build.h"

static struct build b;

static void clean(void)
{
	char name[128];
	for (unsigned generation = 0; generation < 16; generation++) {
		snprintf(name, sizeof name, "%s/00000001-%u.cut", b.dir, generation);
		unlink(name);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store *s = NULL;
	struct ocu_trail_report rep;
	struct ocu_error err = {0};
	uint64_t number;
	if (!b.signer)
		build_init(&b);
	unsigned n = 1 + take(&data, &size, 6);
	build_segment(&b, n);
	build_change(&b, &data, &size);
	build_write(&b);
	const struct store_opts o = {
	    .dir = b.dir, .signer = b.signer, .keys = b.keys, .segment_size = 1 << 20};
	int rc = store_open(&s, &o, &err);
	if (rc) {
		REQUIRE(rc == OCU_E_CHAIN_BROKEN && !s);
		return 0;
	}
	REQUIRE(store_begin(s, &err) == 0);
	REQUIRE(store_add(s, "gateway", 0, "{\"y\":1}", 7, &number, &err) == 0);
	REQUIRE(store_commit(s, &err) == 0);
	/* At most the last batch was cut; at most one notice was added. */
	REQUIRE(number >= n && number <= (uint64_t)n + 2);
	store_close(s);
	REQUIRE(ocu_trail_verify(b.dir, b.keys, &rep, &err) == 0);
	REQUIRE(rep.records == number && rep.unsigned_bytes == 0);
	clean();
	return 0;
}
