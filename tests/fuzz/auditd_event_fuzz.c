/* What peers send as an event: accepted ones are whole, checked, without a source claim, and one line in the
 * trail. */
#include <jansson.h>

#include "auditd/event.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/ocsf.h"
#include "tests/fuzz/trail_build.h"

static struct ocu_trail_hasher *hasher;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	size_t len = size;
	char *owned = NULL;
	struct ocu_error err = {0};
	if (!hasher)
		REQUIRE(ocu_trail_hasher_new(&hasher, NULL) == 0);
	if (event_accept(&text, &len, &owned, &err)) {
		REQUIRE(err.code < 0 && err.text[0] && !owned);
		return 0;
	}
	json_t *event = NULL;
	REQUIRE(ocu_json_parse(text, len, OCU_EVENT_MAX, &event, NULL) == 0);
	REQUIRE(ocu_event_check(event, NULL) == 0);
	REQUIRE(!json_object_get(event, "source"));
	json_decref(event);
	struct ocu_buf line = OCU_BUF_INIT(1 << 20);
	struct ocu_trail_hash hash, zero = OCU_TRAIL_HASH_ZERO;
	struct ocu_trail_record back;
	struct ocu_trail_new r = {1, 1, "2026-11-23T20:51:00.123Z", "gateway", text, len};
	REQUIRE(ocu_trail_record_put(&line, hasher, &r, &zero, &hash, NULL) == 0);
	REQUIRE(memchr(line.data, '\n', line.len) == line.data + line.len - 1);
	REQUIRE(ocu_trail_record_parse(&back, line.data, line.len - 1, NULL) == 0);
	event = NULL;
	REQUIRE(ocu_json_parse(back.event, back.event_len, OCU_EVENT_MAX, &event, NULL) == 0);
	json_decref(event);
	ocu_buf_done(&line);
	free(owned);
	return 0;
}
