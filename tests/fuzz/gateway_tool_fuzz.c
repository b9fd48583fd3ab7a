/* Arguments of every tool against its closed schema: no input may crash, and none with a foreign member may
 * pass. */
#include <stdint.h>
#include <stdlib.h>

#include "gateway/tool.h"
#include "libocu/json.h"

static const char *const names[] = {"bash_tool", "view", "create_file", "str_replace"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static int ready;
	struct ocu_error err = {0};
	OCU_JSON json_t *args = NULL;
	if (!ready) {
		if (tools_init(&err))
			abort();
		ready = 1;
	}
	if (ocu_json_parse((const char *)data, len, MCP_BODY_MAX, &args, &err))
		return 0;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		int rc = tool_check(tool_find(names[i]), args, &err);
		if (rc == 0 && json_object_get(args, "evil"))
			abort();
	}
	return 0;
}
