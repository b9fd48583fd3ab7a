/* REST bodies: the first byte picks an endpoint's schema; what passes it has only fields and sizes the
 * handlers expect. */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/schema.h"
#include "operatord/api_call.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const texts[] = {SCHEMA_REASON, SCHEMA_CREATE, SCHEMA_DENY, SCHEMA_MINT};
#define SCHEMAS (sizeof texts / sizeof *texts)

static struct ocu_schema *schema_of(unsigned i)
{
	static struct ocu_schema *schemas[SCHEMAS];

	if (!schemas[i] && ocu_schema_new_text(&schemas[i], texts[i], NULL))
		abort();
	return schemas[i];
}

static void check(const json_t *body)
{
	const json_t *caller = json_object_get(body, "caller"), *ttl = json_object_get(body, "ttl_s");

	if (!json_is_object(body) || (caller && !json_is_string(caller)) || (ttl && !json_is_integer(ttl)))
		abort();
	if (caller && (json_string_length(caller) == 0 || json_string_length(caller) > 800))
		abort();
	if (ttl && (json_integer_value(ttl) < 1 || json_integer_value(ttl) > 34560000))
		abort();
	if (json_string_length(json_object_get(body, "reason")) > 400)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OCU_JSON json_t *body = NULL;
	struct ocu_error err = {0};

	if (size == 0 || ocu_json_parse((const char *)data + 1, size - 1, BODY_MAX, &body, &err))
		return 0;
	if (ocu_schema_check(schema_of(data[0] % SCHEMAS), body, &err) == 0)
		check(body);
	else if (err.code == 0 || strlen(err.text) >= sizeof err.text)
		abort();
	return 0;
}
