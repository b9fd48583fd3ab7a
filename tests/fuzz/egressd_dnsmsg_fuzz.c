/* Lookups of a guest: no input reads or writes out of bounds; what is answered is a reply to it that parses
 * as DNS, and a name that passes is one host_parse() takes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/dnsmsg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct dns_query q;
	uint8_t out[DNS_REPLY_MAX];
	char again[HOST_MAX + 1];
	int rc = dns_parse(data, len, &q);

	if (rc < 0)
		return 0;
	const struct dns_answer answers[] = {
	    {.rcode = rc ? (enum dns_rcode)rc : DNS_NXDOMAIN,
	     .ede = DNS_EDE_BLOCKED,
	     .reason = "destination_not_allowed"},
	    {.addr = 0xc6120001, .ttl = 10, .ede = -1},
	};
	for (size_t i = 0; i < 2; i++) {
		size_t n = dns_build(&q, &answers[i], out);
		if (n < 12 || n > sizeof out || memcmp(out, data, 2) != 0 || !(out[2] & 0x80))
			abort();
	}
	if (rc == 0 && q.name_ok &&
	    (host_parse(q.host, strlen(q.host), again, NULL) || strcmp(again, q.host) != 0))
		abort();
	return 0;
}
