/*
 * policy: what one session may reach: a rung and a list of (name, ports). Immutable once made and shared by
 * reference, so that the worker that decides never waits for the RPC that replaces it. Deny by default.
 */
#ifndef EGRESSD_POLICY_H
#define EGRESSD_POLICY_H

#include <stddef.h>
#include <stdint.h>

struct ocu_error;
struct policy;

#define POLICY_RULES_MAX 1024
#define POLICY_PORTS_MAX 64 /* ports a rule */

enum policy_rung { POLICY_DENY_ALL, POLICY_PASSTHROUGH };

struct policy_rule {
	const char *host;      /* "example.org", or "*.example.org": one or more labels below, not itself */
	const uint32_t *ports; /* none: 80 and 443 */
	size_t nports;
};

/* The rules are copied. OCU_E_UNSUPPORTED for a rung this edge does not have, OCU_E_INVALID for a rule that
 * is no name or names a bare "*", OCU_E_TOO_LARGE over the maxima. Reference count 1. */
int policy_new(struct policy **ret, const char *rung, const struct policy_rule *rules, size_t nrules,
               struct ocu_error *err);
struct policy *policy_ref(struct policy *p); /* any thread */
void policy_unref(struct policy *p);         /* any thread; NULL allowed */

/* host comes from host_parse(). 0, OCU_E_EGRESS_DENY_ALL, OCU_E_EGRESS_DEST or OCU_E_EGRESS_PORT. */
int policy_check_name(const struct policy *p, const char *host);
int policy_check(const struct policy *p, const char *host, uint16_t port);
enum policy_rung policy_rung_of(const struct policy *p);
const char *policy_rung_name(const struct policy *p);
size_t policy_rules(const struct policy *p);

#endif
