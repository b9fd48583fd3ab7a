/*
 * policy: which caller may call which tool, deny by default, decided before dispatch (NFR-SEC-49). A rule may
 * carry path prefixes, which bind the `path` argument of the file tools; shell command text is never matched:
 * for a shell the grant of the tool is the decision.
 */
#ifndef GATEWAY_POLICY_H
#define GATEWAY_POLICY_H

#include "gateway/gateway.h"

/* rules: the checked JSON of `tool_policy`; a reference is taken. */
int policy_new(struct policy **ret, const json_t *rules, struct ocu_error *err);
void policy_free(struct policy *p);
/* 0 or OCU_E_POLICY. path may be NULL (tool has none). */
int policy_check(const struct policy *p, const char *caller, const char *tool, const char *path,
                 struct ocu_error *err);

#endif
