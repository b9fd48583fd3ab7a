/*
 * buf: the growing buffer behind every rendered or received text. All growth goes through reserve(), which is
 * the one place where the declared maximum is held.
 */
#include "libocu/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/err.h"

#define FIRST_CAP 256

void ocu_buf_init(struct ocu_buf *b, size_t max)
{
	*b = OCU_BUF_INIT(max);
}

void ocu_buf_done(struct ocu_buf *b)
{
	if (!b)
		return;
	free(b->data);
	*b = OCU_BUF_INIT(b->max);
}

void ocu_buf_reset(struct ocu_buf *b)
{
	b->len = 0;
	b->failed = 0;
	if (b->data)
		b->data[0] = '\0';
}

static int fail(struct ocu_buf *b, int code)
{
	b->failed = code;
	return code;
}

/* Room for n more bytes and the NUL. */
static int reserve(struct ocu_buf *b, size_t n)
{
	if (b->failed)
		return b->failed;
	if (n > b->max - b->len)
		return fail(b, OCU_E_TOO_LARGE);
	size_t need = b->len + n;
	if (need < b->cap)
		return 0;
	if (need == SIZE_MAX)
		return fail(b, OCU_E_NOMEM);
	size_t cap = b->cap ? b->cap : FIRST_CAP;
	while (cap <= need)
		cap = cap > SIZE_MAX / 2 ? SIZE_MAX : cap * 2;
	if (cap > b->max && b->max < SIZE_MAX)
		cap = b->max + 1;
	char *data = realloc(b->data, cap);
	if (!data)
		return fail(b, OCU_E_NOMEM);
	b->data = data;
	b->cap = cap;
	return 0;
}

int ocu_buf_put(struct ocu_buf *b, const void *data, size_t len)
{
	int rc = reserve(b, len);
	if (rc)
		return rc;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
	return 0;
}

int ocu_buf_puts(struct ocu_buf *b, const char *s)
{
	return ocu_buf_put(b, s, strlen(s));
}

int ocu_buf_putc(struct ocu_buf *b, char c)
{
	return ocu_buf_put(b, &c, 1);
}

int ocu_buf_printf(struct ocu_buf *b, const char *fmt, ...)
{
	if (b->failed)
		return b->failed;
	va_list ap;
	va_start(ap, fmt);
	va_list again;
	va_copy(again, ap);
	size_t room = b->cap - b->len;
	int n = vsnprintf(b->data ? b->data + b->len : NULL, room, fmt, ap);
	va_end(ap);
	int rc = n < 0 ? fail(b, OCU_E_NOMEM) : reserve(b, (size_t)n);
	if (!rc) {
		if ((size_t)n >= room)
			vsnprintf(b->data + b->len, b->cap - b->len, fmt, again);
		b->len += (size_t)n;
	} else if (b->data) {
		b->data[b->len] = '\0';
	}
	va_end(again);
	return rc;
}

static int load_fd(struct ocu_buf *b, int fd, const char *path, struct ocu_error *err)
{
	struct stat st;
	if (fstat(fd, &st))
		return ocu_error_errno(err, OCU_E_IO, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return ocu_error_set(err, OCU_E_IO, "%s: not a regular file", path);
	for (;;) {
		char chunk[16384];
		ssize_t n = read(fd, chunk, sizeof chunk);
		if (n == 0)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ocu_error_errno(err, OCU_E_IO, errno, "%s", path);
		int rc = ocu_buf_put(b, chunk, (size_t)n);
		if (rc)
			return ocu_error_set(err, rc, "%s: %s", path, ocu_err_text(rc));
	}
}

int ocu_buf_load_file(struct ocu_buf *b, const char *path, struct ocu_error *err)
{
	/* O_NONBLOCK: a FIFO in place of the file must not hold up the start of a daemon. */
	OCU_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return ocu_error_errno(err, errno == ENOENT ? OCU_E_NOT_FOUND : OCU_E_IO, errno, "%s", path);
	return load_fd(b, fd, path, err);
}

void ocu_buf_consume(struct ocu_buf *b, size_t n)
{
	if (!b->data)
		return;
	if (n > b->len)
		n = b->len;
	b->len -= n;
	memmove(b->data, b->data + n, b->len);
	b->data[b->len] = '\0';
}

char *ocu_buf_steal(struct ocu_buf *b)
{
	char *data = NULL;
	if (!b->failed) {
		data = b->data ? b->data : calloc(1, 1);
		b->data = NULL;
	}
	ocu_buf_done(b);
	return data;
}

size_t ocu_utf8_seq(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;
	if (len == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || len < n)
		return 0;
	/* RFC 3629 section 4: the second byte excludes overlong forms, surrogates and what is past U+10FFFF.
	 */
	unsigned lo = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
	unsigned hi = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
	if (p[1] < lo || p[1] > hi)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

static void put_escape(struct ocu_buf *b, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	static const char letters[32] = {
	    ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
	char letter = c < 32 ? letters[c] : (char)c;
	if (letter)
		ocu_buf_put(b, (const char[]){'\\', letter}, 2);
	else
		ocu_buf_put(b, (const char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
}

int ocu_buf_json_string(struct ocu_buf *b, const char *s, size_t len)
{
	size_t mark = b->len;
	size_t run = 0; /* start of the bytes that go out as they are */
	size_t i = 0;
	ocu_buf_putc(b, '"');
	while (i < len) {
		unsigned char c = (unsigned char)s[i];
		if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
			i++;
			continue;
		}
		size_t n = c >= 0x80 ? ocu_utf8_seq(s + i, len - i) : 0;
		if (n) {
			i += n;
			continue;
		}
		ocu_buf_put(b, s + run, i - run);
		if (c >= 0x80)
			ocu_buf_put(b, "\xef\xbf\xbd", 3);
		else
			put_escape(b, c);
		run = ++i;
	}
	ocu_buf_put(b, s + run, len - run);
	ocu_buf_putc(b, '"');
	if (b->failed && b->data && b->len != mark) {
		b->len = mark;
		b->data[mark] = '\0';
	}
	return b->failed;
}
