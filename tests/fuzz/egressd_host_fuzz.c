/* Names and authorities: what passes as a name is no address to any reader of addresses, is canonical, and a
 * policy that allows one name allows no other. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/host.h"
#include "egressd/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct policy *policy(void)
{
	static const struct policy_rule rules[] = {{"allowed.example", NULL, 0}, {"*.wild.example", NULL, 0}};
	struct policy *p = NULL;

	if (policy_new(&p, "passthrough", rules, 2, NULL))
		abort();
	return p;
}

static int may_pass(const char *host)
{
	static const char below[] = ".wild.example";
	size_t n = strlen(host);

	return strcmp(host, "allowed.example") == 0 ||
	       (n > sizeof below - 1 && strcmp(host + n - (sizeof below - 1), below) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct policy *p;
	char host[HOST_MAX + 1], again[HOST_MAX + 1];
	struct in_addr v4;
	struct in6_addr v6;
	uint16_t port;

	if (!p)
		p = policy();
	if (host_parse_authority((const char *)data, len, host, &port, NULL) == 0 && memchr(data, '@', len))
		abort();
	if (host_parse((const char *)data, len, host, NULL))
		return 0;
	if (inet_aton(host, &v4) || inet_pton(AF_INET6, host, &v6) == 1)
		abort();
	if (host_parse(host, strlen(host), again, NULL) || strcmp(host, again) != 0)
		abort();
	if ((policy_check(p, host, 443) == 0) != may_pass(host))
		abort();
	return 0;
}
