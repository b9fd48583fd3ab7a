/* text: see text.h. */
#include "operatord/text.h"

#include <string.h>

#include "libocu/buf.h"

/* Bytes of the printable character at s, 0 when it is none. C1 controls are two bytes in UTF-8. */
static size_t printable(const char *s, size_t left)
{
	unsigned char c = (unsigned char)*s;
	size_t n = ocu_utf8_seq(s, left);

	if (c < 0x20 || c == 0x7f)
		return 0;
	if (c == 0xc2 && n == 2 && (unsigned char)s[1] < 0xa0)
		return 0;
	return n;
}

bool text_ok(const char *s, size_t max)
{
	size_t left = strnlen(s, max + 1);

	if (left > max)
		return false;
	while (left > 0) {
		size_t n = printable(s, left);
		if (n == 0)
			return false;
		s += n;
		left -= n;
	}
	return true;
}

void text_copy(char *out, size_t size, const char *s)
{
	size_t at = 0, left = strlen(s);

	while (left > 0) {
		size_t n = printable(s, left);
		size_t take = n ? n : 1;
		if (at + take >= size)
			break;
		if (n)
			memcpy(out + at, s, n);
		else
			out[at] = '?';
		at += take;
		s += take;
		left -= take;
	}
	out[at] = '\0';
}
