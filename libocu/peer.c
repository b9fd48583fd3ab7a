/*
 * peer: SPIFFE ids of the components, made and parsed in one place. The parse is strict: whatever is not
 * exactly spiffe://<trust-domain>/ocu/<component>[/<instance>] names nobody.
 */
#include "libocu/peer.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "libocu/err.h"

static const char *const names[OCU_COMP_COUNT] = {[OCU_COMP_NONE] = "none",
#define X(id, name) [OCU_COMP_##id] = (name),
                                                  OCU_COMPONENTS(X)
#undef X
};

const char *ocu_component_name(enum ocu_component c)
{
	return (unsigned)c < OCU_COMP_COUNT ? names[c] : names[OCU_COMP_NONE];
}

static enum ocu_component component_lookup(const char *name, size_t len)
{
	for (unsigned i = OCU_COMP_NONE + 1; i < OCU_COMP_COUNT; i++)
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
			return (enum ocu_component)i;
	return OCU_COMP_NONE;
}

enum ocu_component ocu_component_parse(const char *name)
{
	return name ? component_lookup(name, strlen(name)) : OCU_COMP_NONE;
}

/* A path segment of the SPIFFE standard (section 2.2): letters, digits, '.', '-', '_'; never "." or "..". */
static bool segment_valid(const char *s)
{
	size_t len = strlen(s);

	if (len == 0 || len >= OCU_INSTANCE_MAX || strcmp(s, ".") == 0 || strcmp(s, "..") == 0)
		return false;
	return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

int ocu_peer_spiffe(const char *trust_domain, enum ocu_component c, const char *instance,
                    char out[OCU_SPIFFE_MAX], struct ocu_error *err)
{
	char id[OCU_SPIFFE_MAX];
	bool named = instance && *instance;
	int n;

	if (c <= OCU_COMP_NONE || c >= OCU_COMP_COUNT || !trust_domain || !segment_valid(trust_domain))
		return ocu_error_set(err, OCU_E_INVALID, "no such component or trust domain");
	if (named && !segment_valid(instance))
		return ocu_error_set(err, OCU_E_INVALID, "instance name is not a SPIFFE path segment");
	n = snprintf(id, sizeof id, "spiffe://%s/ocu/%s%s%s", trust_domain, names[c], named ? "/" : "",
	             named ? instance : "");
	if (n < 0 || (size_t)n >= sizeof id)
		return ocu_error_set(err, OCU_E_TOO_LARGE, "SPIFFE id over %d bytes", OCU_SPIFFE_MAX - 1);
	memcpy(out, id, (size_t)n + 1);
	return 0;
}

/* Cuts prefix off *s, or says no. */
static bool skip(const char **s, const char *prefix)
{
	size_t len = strlen(prefix);

	if (strncmp(*s, prefix, len) != 0)
		return false;
	*s += len;
	return true;
}

int ocu_peer_parse(struct ocu_peer *ret, const char *trust_domain, const char *spiffe, struct ocu_error *err)
{
	const char *s = spiffe;
	const char *instance = "";
	size_t len;
	enum ocu_component c;

	if (!s || !trust_domain || strlen(s) >= OCU_SPIFFE_MAX || !skip(&s, "spiffe://") ||
	    !skip(&s, trust_domain) || !skip(&s, "/ocu/"))
		return ocu_error_set(err, OCU_E_PEER_UNKNOWN, "not a SPIFFE id of this trust domain");
	len = strcspn(s, "/");
	c = component_lookup(s, len);
	if (c == OCU_COMP_NONE)
		return ocu_error_set(err, OCU_E_PEER_UNKNOWN, "SPIFFE id names no component");
	if (s[len] == '/') {
		instance = s + len + 1;
		if (!segment_valid(instance))
			return ocu_error_set(err, OCU_E_PEER_UNKNOWN, "SPIFFE id has a malformed instance");
	}
	memset(ret, 0, sizeof *ret);
	ret->component = c;
	memcpy(ret->instance, instance, strlen(instance));
	memcpy(ret->spiffe, spiffe, strlen(spiffe));
	return 0;
}
