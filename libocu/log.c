/*
 * log: the operational log. A line is built in a bounded buffer and leaves by one write(2), so that lines of
 * several threads or processes on one pipe do not mix. What does not fit is left out and marked, never cut
 * in the middle of a value: each line stays one JSON object.
 */
#include "libocu/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libocu/buf.h"
#include "libocu/clock.h"
#include "libocu/cleanup.h"
#include "libocu/err.h"

#define LINE_MAX_BYTES 4096
#define VALUE_MAX      1024
/* Kept free for the mark, the closing brace and the newline. */
#define TAIL      ",\"truncated\":true}\n"
#define TAIL_SIZE (sizeof TAIL - 1)

static const char *const level_names[] = {"debug", "info", "warn", "error"};
#define LEVELS (sizeof level_names / sizeof *level_names)

static char component_name[32] = "ocu";
static _Atomic int least = OCU_LOG_INFO;

struct line {
	struct ocu_buf buf;
	bool truncated;
};

void ocu_log_init(const char *component, enum ocu_log_level level)
{
	snprintf(component_name, sizeof component_name, "%s", component);
	atomic_store(&least, (int)level);
}

int ocu_log_level_parse(const char *s, enum ocu_log_level *ret)
{
	for (size_t i = 0; s && i < LEVELS; i++) {
		if (strcmp(s, level_names[i]) == 0) {
			*ret = (enum ocu_log_level)i;
			return 0;
		}
	}
	return OCU_E_INVALID;
}

/* Bytes of value that are kept: VALUE_MAX, less what would cut a character. */
static size_t kept(const char *value)
{
	size_t len = strnlen(value, VALUE_MAX + 1);
	if (len <= VALUE_MAX)
		return len;
	len = VALUE_MAX;
	while (len > VALUE_MAX - 4 && ((unsigned char)value[len] & 0xc0) == 0x80)
		len--;
	return len;
}

static void field(struct line *l, const char *name, const char *value)
{
	struct ocu_buf *b = &l->buf;
	size_t mark = b->len;
	size_t len = kept(value);
	ocu_buf_putc(b, mark ? ',' : '{');
	ocu_buf_json_string(b, name, strlen(name));
	ocu_buf_putc(b, ':');
	ocu_buf_json_string(b, value, len);
	if (value[len] != '\0')
		l->truncated = true;
	if (b->failed == OCU_E_TOO_LARGE && b->data) {
		b->failed = 0;
		b->len = mark;
		b->data[mark] = '\0';
		l->truncated = true;
	}
}

static void begin(struct line *l, enum ocu_log_level level, const char *event, const char *trace_id)
{
	char when[32];
	ocu_time_rfc3339(ocu_wall_ms(), when);
	*l = (struct line){.buf = OCU_BUF_INIT(LINE_MAX_BYTES - TAIL_SIZE)};
	field(l, "time", when);
	field(l, "level", level_names[(unsigned)level < LEVELS ? level : OCU_LOG_ERROR]);
	field(l, "component", component_name);
	field(l, "event", event);
	if (trace_id && trace_id[0])
		field(l, "trace_id", trace_id);
}

static void end(struct line *l)
{
	l->buf.max = LINE_MAX_BYTES;
	ocu_buf_puts(&l->buf, l->truncated ? TAIL : "}\n");
	ssize_t n;
	if (l->buf.failed) {
		static const char lost[] = "{\"level\":\"error\",\"event\":\"log.out_of_memory\"}\n";
		n = write(STDERR_FILENO, lost, sizeof lost - 1);
	} else {
		do
			n = write(STDERR_FILENO, l->buf.data, l->buf.len);
		while (n < 0 && errno == EINTR);
	}
	/* A log that cannot be written has nowhere to say so. */
	(void)n;
	ocu_buf_done(&l->buf);
}

void ocu_log(enum ocu_log_level level, const char *event, const char *trace_id, ...)
{
	if ((int)level < atomic_load_explicit(&least, memory_order_relaxed))
		return;
	int saved = errno;
	struct line l;
	begin(&l, level, event, trace_id);
	va_list ap;
	va_start(ap, trace_id);
	for (const char *name = va_arg(ap, const char *); name; name = va_arg(ap, const char *)) {
		const char *value = va_arg(ap, const char *);
		if (value)
			field(&l, name, value);
	}
	va_end(ap);
	end(&l);
	errno = saved;
}

void ocu_log_error(enum ocu_log_level level, const char *event, const char *trace_id,
                   const struct ocu_error *err)
{
	const char *sys = err->sys_errno ? strerrorname_np(err->sys_errno) : NULL;
	ocu_log(level, event, trace_id, "reason_code", ocu_err_reason(err->code), "error", err->text, "errno",
	        sys, NULL);
}
