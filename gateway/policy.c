#include "gateway/policy.h"

#include <stdlib.h>
#include <string.h>

#include "libocu/json.h"

struct policy {
	json_t *rules;
};

int policy_new(struct policy **ret, const json_t *rules, struct ocu_error *err)
{
	struct policy *p = calloc(1, sizeof *p);
	if (!p)
		return ocu_error_set(err, OCU_E_NOMEM, "policy");
	p->rules = json_incref((json_t *)rules);
	*ret = p;
	return 0;
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	json_decref(p->rules);
	free(p);
}

static bool names(const json_t *list, const char *word)
{
	size_t i;
	json_t *v;
	json_array_foreach(list, i, v)
	{
		const char *s = json_string_value(v);
		if (strcmp(s, "*") == 0 || strcmp(s, word) == 0)
			return true;
	}
	return false;
}

/* A prefix matches whole components, and a path with a dot-dot component matches none: the guest resolves it.
 */
static bool path_matches(const json_t *prefixes, const char *path)
{
	size_t i, n = strlen(path);
	json_t *v;
	if (strstr(path, "/../") || (n >= 3 && strcmp(path + n - 3, "/..") == 0))
		return false;
	json_array_foreach(prefixes, i, v)
	{
		const char *s = json_string_value(v);
		size_t len = strlen(s);
		while (len > 1 && s[len - 1] == '/')
			len--;
		if (len == 1 || (strncmp(path, s, len) == 0 && (path[len] == '/' || path[len] == 0)))
			return true;
	}
	return false;
}

int policy_check(const struct policy *p, const char *caller, const char *tool, const char *path,
                 struct ocu_error *err)
{
	size_t i;
	json_t *rule;
	json_array_foreach(p->rules, i, rule)
	{
		const char *who = ocu_json_str(rule, "caller", "");
		const json_t *prefixes = json_object_get(rule, "path_prefixes");
		if (strcmp(who, "*") != 0 && strcmp(who, caller) != 0)
			continue;
		if (!names(json_object_get(rule, "tools"), tool))
			continue;
		if (path && prefixes && !path_matches(prefixes, path))
			continue;
		return 0;
	}
	return ocu_error_set(err, OCU_E_POLICY, "no rule of tool_policy allows this call");
}
