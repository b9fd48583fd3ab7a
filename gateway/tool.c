#include "gateway/tool.h"

#include <stdlib.h>
#include <string.h>

#include "libocu/json.h"

static const struct tool *const tools[] = {&tool_bash, &tool_view, &tool_create_file, &tool_str_replace};
#define TOOLS (sizeof tools / sizeof *tools)

static struct ocu_schema *schemas[TOOLS];
static struct ocu_buf list;

static int add_to_list(const struct tool *t)
{
	ocu_buf_printf(&list, "%s{\"name\":\"%s\",\"title\":\"%s\",\"description\":",
	               list.data[list.len - 1] == '[' ? "" : ",", t->name, t->title);
	ocu_buf_json_string(&list, t->description, strlen(t->description));
	ocu_buf_printf(&list, ",\"inputSchema\":%s,\"outputSchema\":%s,\"annotations\":%s}", t->input,
	               t->output, t->annotations);
	return list.failed;
}

int tools_init(struct ocu_error *err)
{
	ocu_buf_init(&list, 64u << 10);
	ocu_buf_puts(&list, "{\"tools\":[");
	for (size_t i = 0; i < TOOLS; i++) {
		int rc = ocu_schema_new_text(&schemas[i], tools[i]->input, err);
		if (rc)
			return rc;
		if (add_to_list(tools[i]))
			return ocu_error_set(err, OCU_E_NOMEM, "tools/list");
	}
	ocu_buf_puts(&list, "]}");
	return list.failed;
}

void tools_done(void)
{
	for (size_t i = 0; i < TOOLS; i++) {
		ocu_schema_free(schemas[i]);
		schemas[i] = NULL;
	}
	ocu_buf_done(&list);
}

const char *tools_list(void)
{
	return list.data;
}

const struct tool *tool_find(const char *name)
{
	for (size_t i = 0; i < TOOLS; i++)
		if (strcmp(tools[i]->name, name) == 0)
			return tools[i];
	return NULL;
}

int tool_check(const struct tool *t, const json_t *args, struct ocu_error *err)
{
	for (size_t i = 0; i < TOOLS; i++)
		if (tools[i] == t)
			return ocu_schema_check(schemas[i], args, err);
	return ocu_error_set(err, OCU_E_INTERNAL, "tool is not in the table");
}
