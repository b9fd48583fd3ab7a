/* policy: rules kept sorted by name, so that a decision costs one binary search for each label of the name.
 */
#include "egressd/policy.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/host.h"
#include "libocu/err.h"

struct rule {
	char *host; /* without "*." */
	bool below; /* the rule is for names below host */
	uint16_t ports[POLICY_PORTS_MAX];
	size_t nports;
};

struct policy {
	atomic_uint refs;
	enum policy_rung rung;
	struct rule *rules;
	size_t nrules;
};

static const struct {
	const char *name;
	enum policy_rung rung;
} rungs[] = {{"deny-all", POLICY_DENY_ALL}, {"passthrough", POLICY_PASSTHROUGH}};

static int rule_compare(const void *a, const void *b)
{
	const struct rule *x = a, *y = b;
	int c = strcmp(x->host, y->host);

	return c ? c : (int)x->below - (int)y->below;
}

static int parse_rung(const char *name, enum policy_rung *ret, struct ocu_error *err)
{
	for (size_t i = 0; i < sizeof rungs / sizeof *rungs; i++)
		if (strcmp(name, rungs[i].name) == 0) {
			*ret = rungs[i].rung;
			return 0;
		}
	return ocu_error_set(err, OCU_E_UNSUPPORTED,
	                     "egress rung \"%.32s\" is not one of deny-all, passthrough", name);
}

static int rule_ports(struct rule *r, const struct policy_rule *in, struct ocu_error *err)
{
	static const uint16_t web[] = {80, 443};

	if (in->nports == 0) {
		memcpy(r->ports, web, sizeof web);
		r->nports = 2;
		return 0;
	}
	if (in->nports > POLICY_PORTS_MAX)
		return ocu_error_set(err, OCU_E_TOO_LARGE, "more than %d ports in a rule", POLICY_PORTS_MAX);
	for (size_t i = 0; i < in->nports; i++) {
		if (in->ports[i] == 0 || in->ports[i] > 65535)
			return ocu_error_set(err, OCU_E_INVALID, "port out of range in a rule");
		r->ports[r->nports++] = (uint16_t)in->ports[i];
	}
	return 0;
}

static int rule_init(struct rule *r, const struct policy_rule *in, struct ocu_error *err)
{
	char host[HOST_MAX + 1];
	const char *name = in->host;

	r->below = strncmp(name, "*.", 2) == 0;
	if (r->below)
		name += 2;
	if (host_parse(name, strlen(name), host, err))
		return ocu_error_set(err, OCU_E_INVALID, "\"%.64s\" is not a name a rule can allow",
		                     in->host);
	int rc = rule_ports(r, in, err);
	if (rc)
		return rc;
	r->host = strdup(host);
	return r->host ? 0 : ocu_error_set(err, OCU_E_NOMEM, "rule");
}

int policy_new(struct policy **ret, const char *rung, const struct policy_rule *rules, size_t nrules,
               struct ocu_error *err)
{
	enum policy_rung value = POLICY_DENY_ALL;
	int rc = parse_rung(rung, &value, err);

	if (rc)
		return rc;
	if (nrules > POLICY_RULES_MAX)
		return ocu_error_set(err, OCU_E_TOO_LARGE, "more than %d rules", POLICY_RULES_MAX);
	struct policy *p = calloc(1, sizeof *p);
	if (!p)
		return ocu_error_set(err, OCU_E_NOMEM, "policy");
	p->refs = 1;
	p->rung = value;
	p->rules = calloc(nrules ? nrules : 1, sizeof *p->rules);
	if (!p->rules) {
		policy_unref(p);
		return ocu_error_set(err, OCU_E_NOMEM, "policy");
	}
	for (size_t i = 0; i < nrules; i++) {
		p->nrules++;
		rc = rule_init(&p->rules[i], &rules[i], err);
		if (rc) {
			policy_unref(p);
			return rc;
		}
	}
	qsort(p->rules, p->nrules, sizeof *p->rules, rule_compare);
	*ret = p;
	return 0;
}

struct policy *policy_ref(struct policy *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void policy_unref(struct policy *p)
{
	if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < p->nrules; i++)
		free(p->rules[i].host);
	free(p->rules);
	free(p);
}

/* First of the equal rules, or NULL: the list may name one host several times, and their ports add up. */
static const struct rule *rule_find(const struct policy *p, const char *host, bool below)
{
	const struct rule key = {.host = (char *)host, .below = below};
	size_t low = 0, high = p->nrules;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (rule_compare(&p->rules[mid], &key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < p->nrules && rule_compare(&p->rules[low], &key) == 0 ? &p->rules[low] : NULL;
}

/* port 0 asks for the name alone. */
static int check_rules(const struct policy *p, const char *host, bool below, uint16_t port)
{
	const struct rule *r = rule_find(p, host, below);

	if (!r)
		return OCU_E_EGRESS_DEST;
	if (port == 0)
		return 0;
	for (const struct rule *end = p->rules + p->nrules; r < end; r++) {
		if (r->below != below || strcmp(r->host, host) != 0)
			break;
		for (size_t i = 0; i < r->nports; i++)
			if (r->ports[i] == port)
				return 0;
	}
	return OCU_E_EGRESS_PORT;
}

static int check(const struct policy *p, const char *host, uint16_t port)
{
	if (p->rung == POLICY_DENY_ALL)
		return OCU_E_EGRESS_DENY_ALL;
	int best = check_rules(p, host, false, port);
	for (const char *dot = strchr(host, '.'); dot && best; dot = strchr(dot + 1, '.')) {
		int rc = check_rules(p, dot + 1, true, port);
		if (rc != OCU_E_EGRESS_DEST)
			best = rc;
	}
	return best;
}

int policy_check_name(const struct policy *p, const char *host)
{
	return check(p, host, 0);
}

int policy_check(const struct policy *p, const char *host, uint16_t port)
{
	return port == 0 ? OCU_E_EGRESS_PORT : check(p, host, port);
}

enum policy_rung policy_rung_of(const struct policy *p)
{
	return p->rung;
}

const char *policy_rung_name(const struct policy *p)
{
	return rungs[p->rung].name;
}

size_t policy_rules(const struct policy *p)
{
	return p->nrules;
}
