/* trail_scan: the cursor with which trail lines are parsed; a false return leaves the line refused. Internal.
 */
#ifndef OCU_TRAIL_SCAN_H
#define OCU_TRAIL_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "libocu/jwt.h"
#include "libocu/trail_format.h"

#define OCU_TRAIL_TIME 24 /* bytes of an RFC 3339 time with milliseconds */
#define OCU_TRAIL_SIG  86 /* 64 bytes in base64url without padding */

/* Ends text[n], a line up to its signature, with the signature over it and the closing brace; size is that of
 * text. In trail_head. */
int ocu_trail_sign(char *text, size_t size, size_t n, const struct ocu_signer *signer, size_t *ret_len,
                   struct ocu_error *err);

struct ocu_scan {
	const char *p;
	const char *end;
};

static inline bool ocu_scan_text(struct ocu_scan *s, const char *text, size_t len)
{
	if ((size_t)(s->end - s->p) < len || memcmp(s->p, text, len) != 0)
		return false;
	s->p += len;
	return true;
}
#define ocu_scan_lit(s, literal) ocu_scan_text((s), (literal), sizeof(literal) - 1)

/* Decimal without leading zeros, below 10^19. */
static inline bool ocu_scan_number(struct ocu_scan *s, uint64_t *ret)
{
	const char *start = s->p;
	uint64_t v = 0;
	while (s->p < s->end && *s->p >= '0' && *s->p <= '9' && s->p - start < 19)
		v = v * 10 + (uint64_t)(*s->p++ - '0');
	if (s->p == start || (*start == '0' && s->p - start > 1))
		return false;
	*ret = v;
	return true;
}

/* n bytes of which nothing is asked but that the line has them and a quote follows. */
static inline bool ocu_scan_bytes(struct ocu_scan *s, size_t n, const char **ret)
{
	if ((size_t)(s->end - s->p) <= n || s->p[n] != '"')
		return false;
	*ret = s->p;
	s->p += n + 1;
	return true;
}

static inline bool ocu_scan_hex(struct ocu_scan *s, const char **ret)
{
	if (!ocu_scan_bytes(s, OCU_TRAIL_HEX, ret))
		return false;
	for (int i = 0; i < OCU_TRAIL_HEX; i++) {
		char c = (*ret)[i];
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
	}
	return true;
}

/* "2026-11-23T20:51:00.123Z" and its quote. */
static inline bool ocu_scan_time(struct ocu_scan *s, const char **ret)
{
	static const char form[] = "0000-00-00T00:00:00.000Z";
	if (!ocu_scan_bytes(s, OCU_TRAIL_TIME, ret))
		return false;
	for (int i = 0; i < OCU_TRAIL_TIME; i++) {
		char c = (*ret)[i];
		if (form[i] == '0' ? c < '0' || c > '9' : c != form[i])
			return false;
	}
	return true;
}

/* Up to the next quote, which is taken; 1 to max-1 bytes of letters, digits and ".-_/". */
static inline bool ocu_scan_word(struct ocu_scan *s, size_t max, const char **ret, size_t *len)
{
	const char *quote = memchr(s->p, '"', (size_t)(s->end - s->p));
	if (!quote || quote == s->p || (size_t)(quote - s->p) >= max)
		return false;
	for (const char *c = s->p; c < quote; c++)
		if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
		      *c == '.' || *c == '-' || *c == '_' || *c == '/'))
			return false;
	*ret = s->p;
	*len = (size_t)(quote - s->p);
	s->p = quote + 1;
	return true;
}

/* The same, copied and NUL-terminated into out[max]. */
static inline bool ocu_scan_copy(struct ocu_scan *s, size_t max, char *out)
{
	const char *at;
	size_t len;
	if (!ocu_scan_word(s, max, &at, &len))
		return false;
	memcpy(out, at, len);
	out[len] = '\0';
	return true;
}

static inline bool ocu_scan_sig(struct ocu_scan *s, unsigned char sig[64])
{
	const char *text;
	unsigned char raw[66];
	if (!ocu_scan_lit(s, ",\"sig\":\"") || !ocu_scan_bytes(s, OCU_TRAIL_SIG, &text) ||
	    ocu_b64url_decode(text, OCU_TRAIL_SIG, raw, sizeof raw) != 64)
		return false;
	memcpy(sig, raw, 64);
	return true;
}

#endif
