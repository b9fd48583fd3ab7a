/* show: see show.h. */
#include "operatord/occ/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "operatord/occ/command.h"

#define CELL_MAX 256

/* The character of a valid sequence of n bytes, when it is of the first 65536; else 0. */
static unsigned character(const char *s, size_t n)
{
	const unsigned char *u = (const unsigned char *)s;

	if (n == 2)
		return (u[0] & 0x1fu) << 6 | (u[1] & 0x3fu);
	if (n == 3)
		return (u[0] & 0xfu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
	return n == 1 ? u[0] : 0;
}

/* Controls, C1's among them, which terminals obey as they do ESC, and what changes the direction of text or
 * breaks a line. */
static bool acts(unsigned c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x200e || c == 0x200f ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

static void put_printable(struct ocu_buf *b, const char *s)
{
	size_t left = strlen(s);

	while (left > 0) {
		unsigned char c = (unsigned char)*s;
		size_t n = ocu_utf8_seq(s, left);
		if (n == 0 || (n < 4 && acts(character(s, n)))) {
			ocu_buf_printf(b, "\\x%02x", c);
			n = 1;
		} else {
			ocu_buf_put(b, s, n);
		}
		s += n;
		left -= n;
	}
}

void show_text(const char *text)
{
	OCU_BUF struct ocu_buf b = OCU_BUF_INIT(65536);

	put_printable(&b, text);
	if (b.data)
		fputs(b.data, stdout);
}

static char *cell(const json_t *row, const char *key)
{
	const json_t *v = json_object_get(row, key);
	OCU_BUF struct ocu_buf b = OCU_BUF_INIT(CELL_MAX);

	if (json_is_string(v))
		put_printable(&b, json_string_value(v));
	else if (json_is_integer(v))
		ocu_buf_printf(&b, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else if (json_is_boolean(v))
		ocu_buf_puts(&b, json_is_true(v) ? "yes" : "no");
	if (b.len == 0)
		ocu_buf_puts(&b, "-");
	b.failed = 0;
	return ocu_buf_steal(&b);
}

/* Columns as a terminal counts them, near enough: characters, not bytes. */
static int width_of(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void put_cell(const char *text, int width, bool last)
{
	int pad = last ? 0 : width - width_of(text);

	printf("%s%*s%s", text, pad > 0 ? pad : 0, "", last ? "\n" : "  ");
}

void show_table(const struct column *columns, const json_t *rows)
{
	int width[16] = {0};
	size_t ncolumns = 0, i;
	const json_t *row;

	for (; ncolumns < 16 && columns[ncolumns].title; ncolumns++)
		width[ncolumns] = width_of(columns[ncolumns].title);
	json_array_foreach(rows, i, row)
	{
		for (size_t c = 0; c < ncolumns; c++) {
			OCU_FREE char *text = cell(row, columns[c].key);
			if (text && width_of(text) > width[c])
				width[c] = width_of(text);
		}
	}
	for (size_t c = 0; c < ncolumns; c++)
		put_cell(columns[c].title, width[c], c + 1 == ncolumns);
	json_array_foreach(rows, i, row)
	{
		for (size_t c = 0; c < ncolumns; c++) {
			OCU_FREE char *text = cell(row, columns[c].key);
			put_cell(text ? text : "-", width[c], c + 1 == ncolumns);
		}
	}
}

void show_object(const struct column *columns, const json_t *object)
{
	int width = 0;

	for (const struct column *c = columns; c->title; c++)
		if (width_of(c->title) > width)
			width = width_of(c->title);
	for (const struct column *c = columns; c->title; c++) {
		OCU_FREE char *text = cell(object, c->key);
		printf("%-*s  %s\n", width, c->title, text ? text : "-");
	}
}

/* Outside of strings JSON has nothing of the kind but line ends, so the escapes leave it what it is. */
static void dump(const json_t *j, size_t flags)
{
	OCU_FREE char *text = json_dumps(j, flags | JSON_ENCODE_ANY);
	size_t left = text ? strlen(text) : 0, n;

	for (const char *s = text; left > 0; s += n, left -= n) {
		n = ocu_utf8_seq(s, left);
		n = n ? n : 1;
		unsigned c = character(s, n);
		if (n < 4 && c != '\n' && acts(c))
			printf("\\u%04x", c);
		else
			fwrite(s, 1, n, stdout);
	}
	fputs("\n", stdout);
}

void show_json(const json_t *j)
{
	dump(j, JSON_INDENT(2));
}

void show_json_line(const json_t *j)
{
	dump(j, JSON_COMPACT);
}

static int exit_code(int code)
{
	int http = ocu_err_http(code);

	if (http == 401 || http == 403 || code == OCU_E_UNAVAILABLE || code == OCU_E_TIMEOUT ||
	    code == OCU_E_PEER_UNKNOWN)
		return OCC_UNREACHABLE;
	return OCC_FAILED;
}

int show_error(const struct args *a, const char *doing, const struct ocu_error *err)
{
	OCU_BUF struct ocu_buf b = OCU_BUF_INIT(4096);

	put_printable(&b, err->text[0] ? err->text : ocu_err_text(err->code));
	fprintf(stderr, "occ: %s: %s\n", doing, b.data ? b.data : "");
	if (a->json) {
		json_t *j = json_pack("{s{ss ss}}", "error", "code", ocu_err_reason(err->code), "message",
		                      b.data ? b.data : "");
		show_json(j);
		json_decref(j);
	}
	return exit_code(err->code);
}
