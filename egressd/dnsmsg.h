/*
 * dnsmsg: DNS on the wire, as much as a resolver needs that only ever answers A (RFC 1035, 6891, 8914).
 * Queries come from the guest: parsed strictly, no compression, nothing behind the end. Replies are built
 * from the parsed query and never copy more of it than the question.
 */
#ifndef EGRESSD_DNSMSG_H
#define EGRESSD_DNSMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "egressd/host.h"

#define DNS_REPLY_MAX 512 /* every reply fits: question <= 259, one answer, one OPT with one short option */
#define DNS_QUERY_MAX 4096

enum dns_type {
	DNS_A = 1,
	DNS_PTR = 12,
	DNS_AAAA = 28,
	DNS_OPT = 41,
	DNS_HTTPS = 65,
	DNS_IXFR = 251,
	DNS_AXFR = 252,
	DNS_MAILB = 253,
	DNS_MAILA = 254,
	DNS_ANY = 255
};
enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
	DNS_BADVERS = 16,
};
#define DNS_EDE_BLOCKED 15 /* RFC 8914 4.16 */
#define DNS_EDE_OTHER   0

struct dns_query {
	uint16_t id;
	bool recursion_desired;
	bool edns;
	bool dnssec_ok;
	uint16_t type;
	bool
	    name_ok; /* host holds the name; else it has characters no host name has, and cannot be allowed */
	char host[HOST_MAX + 1];
	const uint8_t *question; /* into the message: name, type, class; NULL when it could not be read */
	size_t question_len;
};

/* DNS_NOERROR: q is complete. Another rcode: answer with it (q has what was readable). -1: not a query or
 * shorter than a header: no answer at all. */
int dns_parse(const uint8_t *msg, size_t len, struct dns_query *q);

struct dns_answer {
	enum dns_rcode rcode;
	uint32_t addr; /* host byte order; 0: no answer record */
	uint32_t ttl;
	int ede;            /* info code, or -1 for none; sent only when the query carried EDNS */
	const char *reason; /* its text */
};

/* Always succeeds; returns the length. */
size_t dns_build(const struct dns_query *q, const struct dns_answer *a, uint8_t out[DNS_REPLY_MAX]);
const char *dns_type_name(uint16_t type); /* "A", "AAAA", ... "other" */

#endif
