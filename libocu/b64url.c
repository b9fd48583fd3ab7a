/*
 * b64url: base64url without padding (RFC 4648 section 5, as RFC 7515 uses it). Decoding is strict: no
 * padding, no white space, no bits left over in the last character, so that one value has exactly one
 * spelling.
 */
#include "libocu/jwt.h"

#include <string.h>

static const char alphabet[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t ocu_b64url_encode(const void *data, size_t n, char *out)
{
	const unsigned char *p = data;
	char *o = out;

	for (; n >= 3; n -= 3, p += 3) {
		*o++ = alphabet[p[0] >> 2];
		*o++ = alphabet[(p[0] & 3) << 4 | p[1] >> 4];
		*o++ = alphabet[(p[1] & 15) << 2 | p[2] >> 6];
		*o++ = alphabet[p[2] & 63];
	}
	if (n > 0) {
		*o++ = alphabet[p[0] >> 2];
		*o++ = alphabet[(p[0] & 3) << 4 | (n == 2 ? p[1] >> 4 : 0)];
		if (n == 2)
			*o++ = alphabet[(p[1] & 15) << 2];
	}
	*o = '\0';
	return (size_t)(o - out);
}

static int value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	return c == '_' ? 63 : -1;
}

long ocu_b64url_decode(const char *s, size_t n, unsigned char *out, size_t max)
{
	size_t len = n / 4 * 3 + (n % 4 ? n % 4 - 1 : 0);
	unsigned acc = 0;
	unsigned bits = 0;
	size_t o = 0;

	if (n % 4 == 1 || len > max)
		return -1;
	for (size_t i = 0; i < n; i++) {
		int v = value(s[i]);
		if (v < 0)
			return -1;
		acc = acc << 6 | (unsigned)v;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			out[o++] = (unsigned char)(acc >> bits);
			acc &= (1u << bits) - 1;
		}
	}
	return acc ? -1 : (long)o;
}
