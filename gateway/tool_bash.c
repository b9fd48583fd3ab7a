/* tool_bash: bash_tool, a shell command run to its end. */
#include <string.h>

#include "gateway/tool.h"
#include "libocu/json.h"
#include "proto/exec.pb-c.h"
#include "proto/methods.h"

#define OUTPUT_MAX (256u << 10) /* bytes a stream that are of use in a 1 MiB result */
#define GRACE_MS   10000        /* SIGTERM, 5 s, SIGKILL, and the way back */

static void request(struct call *c, const json_t *args)
{
	char *argv[] = {"/bin/bash", "-c", (char *)ocu_json_str(args, "command", "")};
	Ocu__Exec__RunRequest q = OCU__EXEC__RUN_REQUEST__INIT;
	q.grant = c->grant;
	q.call_id = c->call_id;
	q.tool = (char *)c->tool->name;
	q.description = (char *)ocu_json_str(args, "description", "");
	q.n_argv = sizeof argv / sizeof *argv;
	q.argv = argv;
	q.timeout_ms = c->ex->g->tool_timeout_ms;
	q.max_output = OUTPUT_MAX;
	tool_send(c, &q.base, q.timeout_ms + GRACE_MS);
}

struct text {
	const char *data;
	size_t len;
	uint64_t dropped;
};

static struct text cut(const ProtobufCBinaryData *b, uint64_t dropped, size_t limit)
{
	struct text t = {(const char *)b->data, b->len, dropped};
	if (t.len > limit) {
		t.dropped += t.len - limit;
		t.len = limit;
	}
	return t;
}

static void gather(struct ocu_buf *out, const struct text *t, const char *stream)
{
	ocu_buf_put(out, t->data, t->len);
	if (t->len && t->data[t->len - 1] != '\n')
		ocu_buf_putc(out, '\n');
	if (t->dropped)
		ocu_buf_printf(out, "[%s truncated: %llu bytes dropped]\n", stream,
		               (unsigned long long)t->dropped);
}

static void human(struct ocu_buf *out, const Ocu__Exec__RunReply *r, const struct text *so,
                  const struct text *se)
{
	gather(out, so, "stdout");
	if (se->len || se->dropped) {
		ocu_buf_puts(out, "[stderr]\n");
		gather(out, se, "stderr");
	}
	if (r->timed_out)
		ocu_buf_puts(out, "[timed out and was stopped]\n");
	else if (r->signal)
		ocu_buf_printf(out, "[ended by signal %u]\n", r->signal);
	if (r->exit_code)
		ocu_buf_printf(out, "[exit code %d]\n", r->exit_code);
	while (out->len && out->data[out->len - 1] == '\n')
		out->data[--out->len] = 0;
}

static void render(struct ocu_buf *out, const ProtobufCMessage *reply, size_t limit)
{
	const Ocu__Exec__RunReply *r = (const Ocu__Exec__RunReply *)reply;
	struct text so = cut(&r->stdout, r->stdout_dropped, limit),
	            se = cut(&r->stderr, r->stderr_dropped, limit);
	OCU_BUF struct ocu_buf text = OCU_BUF_INIT(2 * limit + 1024);
	human(&text, r, &so, &se);
	ocu_buf_puts(out, "\"content\":[{\"type\":\"text\",\"text\":");
	ocu_buf_json_string(out, text.len ? text.data : "", text.len);
	ocu_buf_puts(out, "}],\"structuredContent\":{\"stdout\":");
	ocu_buf_json_string(out, so.len ? so.data : "", so.len);
	ocu_buf_puts(out, ",\"stderr\":");
	ocu_buf_json_string(out, se.len ? se.data : "", se.len);
	ocu_buf_printf(out,
	               ",\"exit_code\":%d,\"timed_out\":%s,\"stdout_dropped\":%llu,\"stderr_dropped\":%llu,"
	               "\"duration_ms\":%.3f}",
	               r->exit_code, r->timed_out ? "true" : "false", (unsigned long long)so.dropped,
	               (unsigned long long)se.dropped, (double)r->duration_us / 1000.0);
	ocu_buf_printf(out, ",\"isError\":%s", r->timed_out ? "true" : "false");
}

const struct tool tool_bash = {
    .name = "bash_tool",
    .title = "Run a shell command",
    .description =
        "Runs a command with bash inside this session's isolated sandbox and returns its output and exit "
        "code. The working directory is /workspace, which keeps its files for the whole session. The network "
        "is "
        "reachable only where the operator allows it. Long output is truncated and says so.",
    .input = "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"command\"],\"properties\":{"
             "\"command\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":131072,\"description\":\"The "
             "command, as for bash -c\"},"
             "\"description\":{\"type\":\"string\",\"maxLength\":1024,\"description\":\"Why the command is "
             "run; kept in the audit trail\"}}}",
    .output = "{\"type\":\"object\",\"required\":[\"stdout\",\"stderr\",\"exit_code\",\"timed_out\"],"
              "\"properties\":{"
              "\"stdout\":{\"type\":\"string\"},\"stderr\":{\"type\":\"string\"},\"exit_code\":{\"type\":"
              "\"integer\"},"
              "\"timed_out\":{\"type\":\"boolean\"},\"stdout_dropped\":{\"type\":\"integer\"},"
              "\"stderr_dropped\":{\"type\":\"integer\"},\"duration_ms\":{\"type\":\"number\"}}}",
    .annotations =
        "{\"readOnlyHint\":false,\"destructiveHint\":true,\"idempotentHint\":false,\"openWorldHint\":true}",
    .method = &ocu_m_exec_run,
    .request = request,
    .render = render,
};
