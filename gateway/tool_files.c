/* tool_files: view, create_file and str_replace, done by the guest agent on the guest's own view of its
 * files. */
#include <string.h>

#include "gateway/tool.h"
#include "libocu/json.h"
#include "proto/exec.pb-c.h"
#include "proto/methods.h"

#define VIEW_MAX (256u << 10)

#define PATH_PROPERTY                                                                                        \
	"\"path\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":4096,\"pattern\":\"^/\","               \
	"\"description\":\"Absolute path inside the sandbox\"}"
#define DESCRIPTION_PROPERTY                                                                                 \
	"\"description\":{\"type\":\"string\",\"maxLength\":1024,\"description\":\"Why this is done; kept "  \
	"in the audit trail\"}"

static ProtobufCBinaryData bytes_of(const json_t *args, const char *key)
{
	const json_t *v = json_object_get(args, key);
	return (ProtobufCBinaryData){json_string_length(v), (uint8_t *)json_string_value(v)};
}

static void view_request(struct call *c, const json_t *args)
{
	const json_t *range = json_object_get(args, "view_range");
	Ocu__Exec__ViewRequest q = OCU__EXEC__VIEW_REQUEST__INIT;
	q.grant = c->grant;
	q.call_id = c->call_id;
	q.path = (char *)ocu_json_str(args, "path", "");
	q.first_line = (int32_t)json_integer_value(json_array_get(range, 0));
	q.last_line = (int32_t)json_integer_value(json_array_get(range, 1));
	q.max_bytes = VIEW_MAX;
	tool_send(c, &q.base, 0);
}

/* Lines are numbered from the first one shown, as `cat -n` does: what models edit by. */
static void number_lines(struct ocu_buf *out, const char *p, size_t len, uint32_t line)
{
	const char *end = p + len;
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		const char *stop = nl ? nl + 1 : end;
		ocu_buf_printf(out, "%6u\t", line++);
		ocu_buf_put(out, p, (size_t)(stop - p));
		p = stop;
	}
}

static void view_render(struct ocu_buf *out, const ProtobufCMessage *reply, size_t limit)
{
	const Ocu__Exec__ViewReply *r = (const Ocu__Exec__ViewReply *)reply;
	size_t len = r->content.len < limit ? r->content.len : limit;
	bool truncated = r->truncated || len < r->content.len;
	OCU_BUF struct ocu_buf text = OCU_BUF_INIT(12 * limit + 1024);
	if (r->is_directory)
		ocu_buf_put(&text, r->content.data, len);
	else
		number_lines(&text, (const char *)r->content.data, len, r->first_line ? r->first_line : 1);
	if (truncated)
		ocu_buf_puts(&text, "\n[truncated: use view_range]");
	ocu_buf_puts(out, "\"content\":[{\"type\":\"text\",\"text\":");
	ocu_buf_json_string(out, text.len ? text.data : "", text.len);
	ocu_buf_puts(out, "}],\"structuredContent\":{\"content\":");
	ocu_buf_json_string(out, len ? (const char *)r->content.data : "", len);
	ocu_buf_printf(out, ",\"is_directory\":%s,\"total_lines\":%u,\"size\":%llu,\"truncated\":%s}",
	               r->is_directory ? "true" : "false", r->total_lines, (unsigned long long)r->size,
	               truncated ? "true" : "false");
	if (text.failed)
		out->failed = text.failed;
}

const struct tool tool_view = {
    .name = "view",
    .title = "View a file or folder",
    .description =
        "Shows a text file with line numbers, or the contents of a folder two levels deep. view_range "
        "[first, last] selects lines, counted from 1; -1 as last means to the end.",
    .input = "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"path\"],\"properties\":"
             "{" PATH_PROPERTY ",\"view_range\":{\"type\":\"array\",\"minItems\":2,\"maxItems\":2,\"items\":{"
             "\"type\":\"integer\",\"minimum\":-1,"
             "\"maximum\":2147483647},\"description\":\"First and last line; -1 as last: to the "
             "end\"}," DESCRIPTION_PROPERTY "}}",
    .output = "{\"type\":\"object\",\"required\":[\"content\",\"is_directory\"],\"properties\":{\"content\":{"
              "\"type\":\"string\"},"
              "\"is_directory\":{\"type\":\"boolean\"},\"total_lines\":{\"type\":\"integer\"},\"size\":{"
              "\"type\":\"integer\"},"
              "\"truncated\":{\"type\":\"boolean\"}}}",
    .annotations =
        "{\"readOnlyHint\":true,\"destructiveHint\":false,\"idempotentHint\":true,\"openWorldHint\":false}",
    .method = &ocu_m_exec_view,
    .request = view_request,
    .render = view_render,
};

static void create_request(struct call *c, const json_t *args)
{
	Ocu__Exec__CreateFileRequest q = OCU__EXEC__CREATE_FILE_REQUEST__INIT;
	q.grant = c->grant;
	q.call_id = c->call_id;
	q.path = (char *)ocu_json_str(args, "path", "");
	q.content = bytes_of(args, "file_text");
	q.description = (char *)ocu_json_str(args, "description", "");
	tool_send(c, &q.base, 0);
}

static void create_render(struct ocu_buf *out, const ProtobufCMessage *reply, size_t limit)
{
	const Ocu__Exec__CreateFileReply *r = (const Ocu__Exec__CreateFileReply *)reply;
	(void)limit;
	ocu_buf_printf(out,
	               "\"content\":[{\"type\":\"text\",\"text\":\"%s file with %llu bytes\"}],"
	               "\"structuredContent\":{\"size\":%llu,\"replaced\":%s}",
	               r->replaced ? "Replaced the" : "Created the", (unsigned long long)r->size,
	               (unsigned long long)r->size, r->replaced ? "true" : "false");
}

const struct tool tool_create_file = {
    .name = "create_file",
    .title = "Create a file",
    .description = "Writes a text file, making its parent folders; an existing file is replaced.",
    .input = "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"path\",\"file_text\"],"
             "\"properties\":{" PATH_PROPERTY ",\"file_text\":{\"type\":\"string\",\"maxLength\":262144,"
             "\"description\":\"The whole content\"}," DESCRIPTION_PROPERTY "}}",
    .output = "{\"type\":\"object\",\"required\":[\"size\",\"replaced\"],\"properties\":{\"size\":{\"type\":"
              "\"integer\"},"
              "\"replaced\":{\"type\":\"boolean\"}}}",
    .annotations =
        "{\"readOnlyHint\":false,\"destructiveHint\":true,\"idempotentHint\":true,\"openWorldHint\":false}",
    .method = &ocu_m_exec_create_file,
    .request = create_request,
    .render = create_render,
};

static void replace_request(struct call *c, const json_t *args)
{
	Ocu__Exec__StrReplaceRequest q = OCU__EXEC__STR_REPLACE_REQUEST__INIT;
	q.grant = c->grant;
	q.call_id = c->call_id;
	q.path = (char *)ocu_json_str(args, "path", "");
	q.old_str = bytes_of(args, "old_str");
	q.new_str = bytes_of(args, "new_str");
	q.description = (char *)ocu_json_str(args, "description", "");
	tool_send(c, &q.base, 0);
}

static void replace_render(struct ocu_buf *out, const ProtobufCMessage *reply, size_t limit)
{
	const Ocu__Exec__StrReplaceReply *r = (const Ocu__Exec__StrReplaceReply *)reply;
	(void)limit;
	ocu_buf_printf(
	    out,
	    "\"content\":[{\"type\":\"text\",\"text\":\"Replaced at line %u; the file has %llu bytes now\"}],"
	    "\"structuredContent\":{\"line\":%u,\"size\":%llu}",
	    r->line, (unsigned long long)r->size, r->line, (unsigned long long)r->size);
}

const struct tool tool_str_replace = {
    .name = "str_replace",
    .title = "Replace text in a file",
    .description =
        "Replaces old_str, which must occur exactly once in the file, with new_str (empty: deletes it).",
    .input = "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"path\",\"old_str\"],"
             "\"properties\":{" PATH_PROPERTY
             ",\"old_str\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":131072},"
             "\"new_str\":{\"type\":\"string\",\"maxLength\":131072}," DESCRIPTION_PROPERTY "}}",
    .output = "{\"type\":\"object\",\"required\":[\"line\",\"size\"],\"properties\":{\"line\":{\"type\":"
              "\"integer\"},"
              "\"size\":{\"type\":\"integer\"}}}",
    .annotations =
        "{\"readOnlyHint\":false,\"destructiveHint\":true,\"idempotentHint\":false,\"openWorldHint\":false}",
    .method = &ocu_m_exec_str_replace,
    .request = replace_request,
    .render = replace_render,
};
