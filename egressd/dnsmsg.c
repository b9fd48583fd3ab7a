/* dnsmsg: one cursor for reading, one for writing; both stop at their bounds. */
#include "egressd/dnsmsg.h"

#include <string.h>

#define HEADER_LEN    12
#define CLASS_IN      1
#define OPT_FLAG_DO   0x8000u
#define EDNS_UDP_SIZE 1232
#define EDE_OPTION    15
#define REASON_MAX    64

struct reader {
	const uint8_t *p, *end;
};

static bool read_u16(struct reader *r, uint16_t *v)
{
	if (r->end - r->p < 2)
		return false;
	*v = (uint16_t)(r->p[0] << 8 | r->p[1]);
	r->p += 2;
	return true;
}

static bool read_skip(struct reader *r, size_t n)
{
	if ((size_t)(r->end - r->p) < n)
		return false;
	r->p += n;
	return true;
}

/* Reads an uncompressed name. Its text goes to q when every label could stand in a host name: a label holding
 * a dot or any other byte would read as another name once it is text. */
static bool read_name(struct reader *r, struct dns_query *q)
{
	char text[256];
	size_t len = 0, wire = 0;
	bool plain = true;

	for (;;) {
		uint8_t n;
		if (r->p == r->end)
			return false;
		n = *r->p++;
		wire += (size_t)n + 1;
		if (n > 63 || wire > 255 || (size_t)(r->end - r->p) < n)
			return false;
		if (n == 0)
			break;
		plain = plain && !memchr(r->p, '.', n) && !memchr(r->p, ':', n);
		memcpy(text + len, r->p, n);
		len += n;
		text[len++] = '.';
		r->p += n;
	}
	q->name_ok = plain && len > 1 && host_parse(text, len - 1, q->host, NULL) == 0;
	return true;
}

static int read_opt(struct reader *r, struct dns_query *q)
{
	uint16_t type, size, ttl_high, ttl_low, rdlen;

	if (r->p == r->end || *r->p++ != 0)
		return DNS_FORMERR;
	if (!read_u16(r, &type) || !read_u16(r, &size) || !read_u16(r, &ttl_high) || !read_u16(r, &ttl_low) ||
	    !read_u16(r, &rdlen) || type != DNS_OPT)
		return DNS_FORMERR;
	struct reader options = {r->p, r->p + rdlen};
	if (!read_skip(r, rdlen))
		return DNS_FORMERR;
	while (options.p < options.end) {
		uint16_t code, len;
		if (!read_u16(&options, &code) || !read_u16(&options, &len) || !read_skip(&options, len))
			return DNS_FORMERR;
	}
	q->edns = true;
	q->dnssec_ok = ttl_low & OPT_FLAG_DO;
	return (ttl_high & 0xff) ? DNS_BADVERS : DNS_NOERROR;
}

int dns_parse(const uint8_t *msg, size_t len, struct dns_query *q)
{
	struct reader r = {msg, msg + len};
	uint16_t flags = 0, qd = 0, an = 0, ns = 0, ar = 0, class = 0;

	*q = (struct dns_query){0};
	if (len < HEADER_LEN || len > DNS_QUERY_MAX)
		return -1;
	read_u16(&r, &q->id);
	read_u16(&r, &flags);
	read_u16(&r, &qd);
	read_u16(&r, &an);
	read_u16(&r, &ns);
	read_u16(&r, &ar);
	if (flags & 0x8000)
		return -1;
	q->recursion_desired = flags & 0x0100;
	if (flags & 0x7800)
		return DNS_NOTIMP;
	if ((flags & 0x0200) || qd != 1 || an || ns || ar > 1)
		return DNS_FORMERR;
	const uint8_t *question = r.p;
	if (!read_name(&r, q) || !read_u16(&r, &q->type) || !read_u16(&r, &class))
		return DNS_FORMERR;
	q->question = question;
	q->question_len = (size_t)(r.p - question);
	int rc = ar ? read_opt(&r, q) : DNS_NOERROR;
	if (rc)
		return rc;
	if (r.p != r.end)
		return DNS_FORMERR;
	return class == CLASS_IN ? DNS_NOERROR : DNS_REFUSED;
}

static uint8_t *put_u16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

static uint8_t *put_u32(uint8_t *p, uint32_t v)
{
	return put_u16(put_u16(p, v >> 16), v & 0xffff);
}

static uint8_t *put_opt(uint8_t *p, const struct dns_query *q, const struct dns_answer *a)
{
	size_t text = a->ede >= 0 && a->reason ? strnlen(a->reason, REASON_MAX) : 0;

	*p++ = 0;
	p = put_u16(p, DNS_OPT);
	p = put_u16(p, EDNS_UDP_SIZE);
	p = put_u16(p, (unsigned)(a->rcode >> 4) << 8);
	p = put_u16(p, q->dnssec_ok ? OPT_FLAG_DO : 0);
	if (a->ede < 0)
		return put_u16(p, 0);
	p = put_u16(p, (unsigned)text + 6);
	p = put_u16(p, EDE_OPTION);
	p = put_u16(p, (unsigned)text + 2);
	p = put_u16(p, (unsigned)a->ede);
	if (text)
		memcpy(p, a->reason, text);
	return p + text;
}

size_t dns_build(const struct dns_query *q, const struct dns_answer *a, uint8_t out[DNS_REPLY_MAX])
{
	bool record = a->addr && a->rcode == DNS_NOERROR && q->question;
	uint8_t *p = out;

	p = put_u16(p, q->id);
	p = put_u16(p, 0x8080u | (q->recursion_desired ? 0x0100u : 0) | ((unsigned)a->rcode & 15));
	p = put_u16(p, q->question ? 1 : 0);
	p = put_u16(p, record ? 1 : 0);
	p = put_u16(p, 0);
	p = put_u16(p, q->edns ? 1 : 0);
	if (q->question) {
		memcpy(p, q->question, q->question_len);
		p += q->question_len;
	}
	if (record) {
		p = put_u16(p, 0xc000u | HEADER_LEN);
		p = put_u16(p, DNS_A);
		p = put_u16(p, CLASS_IN);
		p = put_u32(p, a->ttl);
		p = put_u16(p, 4);
		p = put_u32(p, a->addr);
	}
	if (q->edns)
		p = put_opt(p, q, a);
	return (size_t)(p - out);
}

const char *dns_type_name(uint16_t type)
{
	static const struct {
		uint16_t type;
		const char *name;
	} types[] = {{1, "A"},     {2, "NS"},     {5, "CNAME"}, {6, "SOA"},  {12, "PTR"},
	             {15, "MX"},   {16, "TXT"},   {28, "AAAA"}, {33, "SRV"}, {35, "NAPTR"},
	             {64, "SVCB"}, {65, "HTTPS"}, {255, "ANY"}};

	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (types[i].type == type)
			return types[i].name;
	return "other";
}
