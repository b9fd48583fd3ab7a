/* path: validation of names and their rendering as evidence. */
#include "brokerd/path.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libocu/err.h"

bool path_name_ok(const char *name)
{
	size_t len = strnlen(name, PATH_COMPONENT_MAX + 1);
	if (len == 0 || len > PATH_COMPONENT_MAX || memchr(name, '/', len))
		return false;
	return strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

int path_name_error(const char *name)
{
	if (path_name_ok(name))
		return 0;
	return strnlen(name, PATH_COMPONENT_MAX + 1) > PATH_COMPONENT_MAX ? ENAMETOOLONG : EINVAL;
}

/* Length of the UTF-8 sequence at s (RFC 3629: no overlong form, no surrogate), 0 when there is none. */
static size_t utf8_length(const unsigned char *s, size_t left, unsigned *ret_code)
{
	static const struct {
		unsigned char mask, lead;
		unsigned min;
	} forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

	for (size_t n = 0; n < sizeof forms / sizeof *forms; n++) {
		if ((s[0] & forms[n].mask) != forms[n].lead)
			continue;
		if (n >= left)
			return 0;
		unsigned code = s[0] & (unsigned char)~forms[n].mask;
		for (size_t i = 1; i <= n; i++) {
			if ((s[i] & 0xc0) != 0x80)
				return 0;
			code = code << 6 | (s[i] & 0x3f);
		}
		if (code < forms[n].min || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
			return 0;
		*ret_code = code;
		return n + 1;
	}
	return 0;
}

static bool is_control(unsigned code)
{
	return code < 0x20 || (code >= 0x7f && code <= 0x9f);
}

static bool clean_text(const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		unsigned code;
		size_t n = utf8_length((const unsigned char *)s + i, len - i, &code);
		if (n == 0 || is_control(code))
			return false;
		i += n;
	}
	return true;
}

/* "scheme:/" at the start (RFC 3986 section 3.1). */
static bool has_scheme(const char *path)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	static const char rest[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-";
	if (strspn(path, letters) == 0)
		return false;
	size_t n = strspn(path, rest);
	return path[n] == ':' && path[n + 1] == '/';
}

bool path_north_name_ok(const char *name)
{
	return path_name_ok(name) && clean_text(name, strlen(name));
}

int path_north_check(const char *path, struct ocu_error *err)
{
	size_t len = strnlen(path, PATH_NORTH_MAX + 1);
	if (len > PATH_NORTH_MAX)
		return ocu_error_set(err, OCU_E_TOO_LARGE, "path over %d bytes", PATH_NORTH_MAX);
	if (!clean_text(path, len))
		return ocu_error_set(err, OCU_E_PARAMS, "path is not clean UTF-8");
	if (has_scheme(path))
		return ocu_error_set(err, OCU_E_PARAMS, "path has a scheme");
	for (const char *p = path;;) {
		size_t n = strcspn(p, "/");
		char name[PATH_COMPONENT_MAX + 1];
		if (n > PATH_COMPONENT_MAX)
			return ocu_error_set(err, OCU_E_TOO_LARGE, "a name is over %d bytes",
			                     PATH_COMPONENT_MAX);
		memcpy(name, p, n);
		name[n] = 0;
		if (!path_name_ok(name))
			return ocu_error_set(err, OCU_E_PARAMS, "empty, \".\" or \"..\" in path");
		if (!p[n])
			return 0;
		p += n + 1;
	}
}

size_t path_leaf(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? (size_t)(slash - path) + 1 : 0;
}

/* Renders at most `room` bytes of text, whole characters only; returns how many raw bytes went in. */
static size_t render(const char *raw, size_t len, char *out, size_t room, size_t *ret_len)
{
	size_t used = 0, i = 0;
	while (i < len) {
		unsigned code;
		size_t n = utf8_length((const unsigned char *)raw + i, len - i, &code);
		bool plain = n > 0 && !is_control(code) && code != '\\';
		size_t need = plain ? n : 4;
		if (used + need > room)
			break;
		if (plain)
			memcpy(out + used, raw + i, n);
		else
			snprintf(out + used, 5, "\\x%02x", (unsigned char)raw[i]);
		used += need;
		i += plain ? n : 1;
	}
	*ret_len = used;
	return i;
}

void path_handle(const char *raw, size_t len, char out[PATH_HANDLE_MAX])
{
	const size_t room = PATH_HANDLE_MAX - 1;
	size_t used;
	if (render(raw, len, out, room, &used) == len) {
		out[used] = 0;
		return;
	}
	static const char cut[] = "\\...";
	size_t half = (room - (sizeof cut - 1)) / 2;
	render(raw, len, out, half, &used);
	memcpy(out + used, cut, sizeof cut - 1);
	used += sizeof cut - 1;
	/* The tail: start where even four bytes of text for every raw byte still fit. */
	size_t tail = half / 4, tail_len;
	render(raw + len - tail, tail, out + used, room - used, &tail_len);
	out[used + tail_len] = 0;
}
