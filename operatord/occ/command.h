/*
 * command: occ's commands as one table: words, what they take, what runs. Parsing, help and the list of
 * options all come from it. A secret is never an argument: it comes from a file of the deployment and goes to
 * a file or to standard output.
 */
#ifndef OCC_COMMAND_H
#define OCC_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#define LIST_MAX 256 /* names of brokerd's services on 64 nodes, three each, and those of the others */

/* Exit codes. */
enum { OCC_OK = 0, OCC_FAILED = 1, OCC_USAGE = 2, OCC_UNREACHABLE = 3 };

struct list {
	const char *item[LIST_MAX + 1]; /* NULL-terminated */
	size_t n;
};

/* What was on the command line; strings are argv's. NULL and 0 when absent. */
struct args {
	const char *deployment;
	bool json, help;
	const char *dir, *state, *run, *split, *trust_domain, *uids;
	const char *caller, *label, *hint, *reason, *ttl, *out;
	const char *session, *actor, *action, *limit, *name;
	const char *url, *token, *prefix;
	struct list dns, audience;
	bool all, yes, no_chown, force, minimal, apply, sealed, at_rest;
	const char *word[2]; /* positional */
	size_t nwords;
};

struct command {
	const char *group, *verb; /* verb NULL: the group is the command */
	const char *words;        /* for help: "KIND VALUE" */
	size_t min_words, max_words;
	const char *options; /* names it permits, separated by blanks */
	const char *summary;
	int (*run)(const struct args *a);
};

extern const struct command commands[]; /* ends with {0} */

/* Fills a and *ret_command; 0, or the exit code when the program is done (help, version, usage error). -1: go
 * on. */
int command_parse(int argc, char **argv, struct args *a, const struct command **ret_command);

int run_init(const struct args *a);
int run_status(const struct args *a);
int run_session_list(const struct args *a);
int run_session_show(const struct args *a);
int run_session_create(const struct args *a);
int run_session_destroy(const struct args *a);
int run_kill(const struct args *a);
int run_deny_list(const struct args *a);
int run_deny_add(const struct args *a);
int run_deny_lift(const struct args *a);
int run_token_mint(const struct args *a);
int run_token_list(const struct args *a);
int run_token_revoke(const struct args *a);
int run_audit_verify(const struct args *a);
int run_audit_show(const struct args *a);
int run_audit_export(const struct args *a);
int run_image_build(const struct args *a);
int run_image_list(const struct args *a);
int run_call(const struct args *a);
int run_kubernetes_secrets(const struct args *a);

#endif
