/* host: strict reading of names and authorities (RFC 1035 2.3, RFC 3986 3.2, WHATWG URL "ends in a number").
 */
#include "egressd/host.h"

#include <string.h>

#include "libocu/err.h"

#define LABEL_MAX 63

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* inet_aton() and URL parsers read a host as an IPv4 address when its last label is a number in any base, so
 * "127.1", "0x7f000001" and "2130706433" are addresses however name-like they look. */
static bool label_is_number(const char *s, size_t len)
{
	bool hex = len >= 2 && s[0] == '0' && (s[1] | 0x20) == 'x';

	for (size_t i = hex ? 2 : 0; i < len; i++)
		if (hex ? !is_hex(s[i]) : !is_digit(s[i]))
			return false;
	return true;
}

static bool label_valid(const char *s, size_t len)
{
	if (len == 0 || len > LABEL_MAX || s[0] == '-' || s[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = s[i];
		if (!is_digit(c) && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && c != '-' && c != '_')
			return false;
	}
	return true;
}

int host_parse(const char *s, size_t len, char out[HOST_MAX + 1], struct ocu_error *err)
{
	if (len > 0 && (s[0] == '[' || memchr(s, ':', len)))
		return ocu_error_set(err, OCU_E_EGRESS_RAW_ADDRESS, "an IPv6 address is not a name");
	if (len > 0 && s[len - 1] == '.')
		len--;
	if (len == 0 || len > HOST_MAX)
		return ocu_error_set(err, OCU_E_EGRESS_PROTOCOL, "a name has 1 to %d characters", HOST_MAX);

	const char *label = s;
	for (const char *p = s;; p++) {
		bool end = p == s + len;
		if (!end && *p != '.')
			continue;
		if (!label_valid(label, (size_t)(p - label)))
			return ocu_error_set(err, OCU_E_EGRESS_PROTOCOL, "malformed label in a name");
		if (end)
			break;
		label = p + 1;
	}
	if (label_is_number(label, (size_t)(s + len - label)))
		return ocu_error_set(err, OCU_E_EGRESS_RAW_ADDRESS, "an IPv4 address is not a name");

	for (size_t i = 0; i < len; i++)
		out[i] = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] | 0x20) : s[i];
	out[len] = '\0';
	return 0;
}

static int parse_port(const char *s, size_t len, uint16_t *port, struct ocu_error *err)
{
	unsigned value = 0;

	if (len == 0 || len > 5)
		return ocu_error_set(err, OCU_E_EGRESS_PROTOCOL, "malformed port");
	for (size_t i = 0; i < len; i++) {
		if (!is_digit(s[i]))
			return ocu_error_set(err, OCU_E_EGRESS_PROTOCOL, "malformed port");
		value = value * 10 + (unsigned)(s[i] - '0');
	}
	if (value == 0 || value > 65535)
		return ocu_error_set(err, OCU_E_EGRESS_PROTOCOL, "port out of range");
	*port = (uint16_t)value;
	return 0;
}

int host_parse_authority(const char *s, size_t len, char out[HOST_MAX + 1], uint16_t *port,
                         struct ocu_error *err)
{
	uint16_t value = 0;
	size_t name_len = len;

	if (memchr(s, '@', len))
		return ocu_error_set(err, OCU_E_EGRESS_PROTOCOL, "user information in an authority");
	if (len > 0 && s[0] == '[')
		return ocu_error_set(err, OCU_E_EGRESS_RAW_ADDRESS, "an IPv6 address is not a name");
	const char *colon = len ? memrchr(s, ':', len) : NULL;
	if (colon) {
		name_len = (size_t)(colon - s);
		int rc = parse_port(colon + 1, len - name_len - 1, &value, err);
		if (rc)
			return rc;
	}
	int rc = host_parse(s, name_len, out, err);
	if (rc)
		return rc;
	*port = value;
	return 0;
}
