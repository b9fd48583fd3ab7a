/* command: see command.h. */
#include "operatord/occ/command.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct command commands[] = {
    {"init", NULL, "", 0, 0, "dir state run split trust-domain caller ttl dns uids no-chown",
     "make a deployment: keys, certificates, first caller token, configuration", run_init},
    {"status", NULL, "", 0, 0, "", "what runs, and what it holds", run_status},
    {"session", "list", "", 0, 0, "all caller", "sessions that live, or all that are remembered",
     run_session_list},
    {"session", "show", "ID", 1, 1, "", "one session", run_session_show},
    {"session", "create", "", 0, 0, "caller label hint", "a session for a caller", run_session_create},
    {"session", "destroy", "ID", 1, 1, "", "end a session in order", run_session_destroy},
    {"kill", NULL, "ID|--all", 0, 1, "all yes reason", "revoke and stop at once: one session, or every one",
     run_kill},
    {"deny", "list", "", 0, 0, "", "the denylist", run_deny_list},
    {"deny", "add", "session|caller|token VALUE", 2, 2, "reason", "deny, and stop what it names",
     run_deny_add},
    {"deny", "lift", "session|caller|token VALUE", 2, 2, "", "take an entry off the denylist", run_deny_lift},
    {"token", "mint", "", 0, 0, "caller ttl label audience out", "a caller token, shown once",
     run_token_mint},
    {"token", "list", "", 0, 0, "", "who was given which token", run_token_list},
    {"token", "revoke", "JTI", 1, 1, "", "revoke a caller token", run_token_revoke},
    {"audit", "verify", "", 0, 0, "dir sealed at-rest",
     "check the whole trail, and its head against the running auditd", run_audit_verify},
    {"audit", "show", "", 0, 0, "dir session actor action limit", "events, one a line", run_audit_show},
    {"audit", "export", "", 0, 0, "dir session actor action limit", "events as JSON lines", run_audit_export},
    {"image", "build", "", 0, 0, "dir name force minimal", "make a sandbox image", run_image_build},
    {"image", "list", "", 0, 0, "dir", "sandbox images that are there", run_image_list},
    {"call", NULL, "COMMAND", 1, 1, "url token",
     "one governed tool call, as a caller: bash_tool with COMMAND", run_call},
    {"kubernetes", "secrets", "", 0, 0, "dir prefix apply",
     "the keys as Kubernetes secrets, one for each daemon: printed, or made", run_kubernetes_secrets},
    {0},
};

/* Every option of every command; long names only. */
enum kind { FLAG, TEXT, LIST };
static const struct opt {
	const char *name;
	enum kind kind;
	size_t at;
	const char *value, *doc;
} opts[] = {
    {"deployment", TEXT, offsetof(struct args, deployment), "DIR",
     "the deployment (default $OCU_DEPLOYMENT or /etc/ocu)"},
    {"json", FLAG, offsetof(struct args, json), NULL, "machine-readable output"},
    {"help", FLAG, offsetof(struct args, help), NULL, "this text"},
    {"dir", TEXT, offsetof(struct args, dir), "DIR", "the folder to work on"},
    {"sealed", FLAG, offsetof(struct args, sealed), NULL,
     "the folder has sealed segments alone, as an archive does; nothing is said of what follows"},
    {"at-rest", FLAG, offsetof(struct args, at_rest), NULL,
     "nobody writes to the trail: refuse whatever follows its last signature"},
    {"state", TEXT, offsetof(struct args, state), "DIR", "durable state (default /var/lib/ocu)"},
    {"run", TEXT, offsetof(struct args, run), "DIR", "sockets (default /run/ocu)"},
    {"split", TEXT, offsetof(struct args, split), "DIR",
     "also put what each daemon holds, and nothing else, in DIR/<daemon>/pki"},
    {"trust-domain", TEXT, offsetof(struct args, trust_domain), "NAME",
     "SPIFFE trust domain (default ocu.local)"},
    {"uids", TEXT, offsetof(struct args, uids), "A,B,C,D,E",
     "uids of gateway, operatord, brokerd, egressd, auditd (default 58101,...,58105)"},
    {"no-chown", FLAG, offsetof(struct args, no_chown), NULL, "all daemons run as the user who starts them"},
    {"dns", LIST, offsetof(struct args, dns), "NAME",
     "another name for the certificates, or DAEMON=NAME for one of them; repeatable"},
    {"caller", TEXT, offsetof(struct args, caller), "NAME", "the caller"},
    {"label", TEXT, offsetof(struct args, label), "TEXT", "a note for operators"},
    {"hint", TEXT, offsetof(struct args, hint), "TEXT", "the same caller and hint give the same session"},
    {"reason", TEXT, offsetof(struct args, reason), "TEXT", "for the trail"},
    {"ttl", TEXT, offsetof(struct args, ttl), "TIME",
     "how long the token lives: 30s, 12h, 90d (default 90d)"},
    {"audience", LIST, offsetof(struct args, audience), "NAME", "whom the token is for; repeatable"},
    {"out", TEXT, offsetof(struct args, out), "FILE",
     "write the token there (mode 0600) instead of showing it"},
    {"session", TEXT, offsetof(struct args, session), "ID", "only this session's events"},
    {"actor", TEXT, offsetof(struct args, actor), "NAME", "only what this one did"},
    {"action", TEXT, offsetof(struct args, action), "NAME",
     "only this action; \"session.*\" for all that start so"},
    {"limit", TEXT, offsetof(struct args, limit), "N", "only the last N that match"},
    {"name", TEXT, offsetof(struct args, name), "NAME", "name of the image (default base)"},
    {"all", FLAG, offsetof(struct args, all), NULL, "every session"},
    {"yes", FLAG, offsetof(struct args, yes), NULL, "do not ask"},
    {"force", FLAG, offsetof(struct args, force), NULL, "make it anew when it is there"},
    {"minimal", FLAG, offsetof(struct args, minimal), NULL, "busybox and bash only"},
    {"url", TEXT, offsetof(struct args, url), "URL", "the gateway (default http://127.0.0.1:8080)"},
    {"token", TEXT, offsetof(struct args, token), "FILE",
     "the caller's token (default: caller.token of the deployment)"},
    {"prefix", TEXT, offsetof(struct args, prefix), "NAME", "the objects' names begin with it (default ocu)"},
    {"apply", FLAG, offsetof(struct args, apply), NULL,
     "make them by way of the API of the cluster this pod runs in, instead of printing them"},
};
#define OPTS (sizeof opts / sizeof *opts)

static bool is_general(const char *name)
{
	return strcmp(name, "deployment") == 0 || strcmp(name, "json") == 0 || strcmp(name, "help") == 0;
}

static bool permits(const struct command *c, const char *name)
{
	size_t n = strlen(name);

	if (is_general(name))
		return true;
	for (const char *p = strstr(c->options, name); p; p = strstr(p + 1, name))
		if ((p == c->options || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0'))
			return true;
	return false;
}

static void usage_line(FILE *out, const struct command *c)
{
	fprintf(out, "occ %s%s%s%s%s", c->group, c->verb ? " " : "", c->verb ? c->verb : "",
	        c->words[0] ? " " : "", c->words);
}

/* Lines for every command, or for those of one group; how many. */
static int help_lines(FILE *out, const char *group)
{
	int n = 0;

	for (const struct command *c = commands; c->group; c++) {
		char line[128];
		if (group && strcmp(c->group, group) != 0)
			continue;
		snprintf(line, sizeof line, "%s%s%s %s", c->group, c->verb ? " " : "", c->verb ? c->verb : "",
		         c->words);
		fprintf(out, "  %-36s %s\n", line, c->summary);
		n++;
	}
	return n;
}

static void help_all(FILE *out)
{
	fputs("occ: operate an Open Computer Use deployment\n\nUsage: occ [--deployment DIR] COMMAND "
	      "[OPTIONS]\n\n",
	      out);
	help_lines(out, NULL);
	fputs("\nEvery command has --json and --help. occ --version prints the version.\n"
	      "Exit status: 0 done, 1 failed, 2 usage, 3 not reachable or not permitted.\n",
	      out);
}

static void help_one(FILE *out, const struct command *c)
{
	fputs("Usage: ", out);
	usage_line(out, c);
	fprintf(out, " [OPTIONS]\n\n%s\n\n", c->summary);
	for (size_t i = 0; i < OPTS; i++) {
		char line[64];
		if (!permits(c, opts[i].name))
			continue;
		snprintf(line, sizeof line, "--%s %s", opts[i].name, opts[i].value ? opts[i].value : "");
		fprintf(out, "  %-24s %s\n", line, opts[i].doc);
	}
}

static int usage(const struct command *c, const char *why, const char *what)
{
	fprintf(stderr, "occ: %s%s%s\n", why, what ? ": " : "", what ? what : "");
	if (c) {
		fputs("usage: ", stderr);
		usage_line(stderr, c);
		fputs("\n", stderr);
	} else {
		fputs("occ --help lists the commands\n", stderr);
	}
	return OCC_USAGE;
}

static const struct command *find(const char *group, const char *verb)
{
	for (const struct command *c = commands; c->group; c++)
		if (strcmp(c->group, group) == 0 && (!c->verb || (verb && strcmp(c->verb, verb) == 0)))
			return c;
	return NULL;
}

/* Takes one option's value in; false when a list is full. */
static bool store(struct args *a, const struct opt *o, const char *value)
{
	void *at = (char *)a + o->at;
	struct list *list = at;

	switch (o->kind) {
	case FLAG:
		*(bool *)at = true;
		return true;
	case TEXT:
		*(const char **)at = value;
		return true;
	default:
		if (list->n == LIST_MAX)
			return false;
		list->item[list->n++] = value;
		return true;
	}
}

static void options_for(const struct command *c, struct option *out)
{
	size_t n = 0;

	for (size_t i = 0; i < OPTS; i++)
		if (!c || permits(c, opts[i].name))
			out[n++] = (struct option){opts[i].name, opts[i].kind != FLAG, NULL, (int)i + 256};
	if (!c)
		out[n++] = (struct option){"version", no_argument, NULL, 'V'};
	out[n] = (struct option){0};
}

/* Options up to the first word ("+"), or among the words. -1, or the exit code. */
static int options_read(int argc, char **argv, const struct command *c, struct args *a)
{
	struct option list[OPTS + 2];
	int got;

	options_for(c, list);
	opterr = 0;
	while ((got = getopt_long(argc, argv, c ? ":" : "+:", list, NULL)) != -1) {
		if (got == 'V') {
			printf("occ %s\n", OCU_VERSION);
			return OCC_OK;
		}
		if (got == ':')
			return usage(c, "a value is missing", argv[optind - 1]);
		if (got < 256)
			return usage(c, "unknown option", argv[optind - 1]);
		if (!c && !is_general(opts[got - 256].name))
			return usage(c, "options of a command come after it", argv[optind - 1]);
		if (!store(a, &opts[got - 256], optarg))
			return usage(c, "given too often", argv[optind - 1]);
	}
	return -1;
}

static int words_read(int argc, char **argv, const struct command *c, struct args *a)
{
	for (int i = optind; i < argc; i++) {
		if (a->nwords == c->max_words)
			return usage(c, "too many words", argv[i]);
		a->word[a->nwords++] = argv[i];
	}
	if (a->nwords < c->min_words)
		return usage(c, "something is missing", NULL);
	return -1;
}

static const char *default_deployment(void)
{
	const char *env = getenv("OCU_DEPLOYMENT");

	return env && env[0] ? env : "/etc/ocu";
}

/* A group without a verb of its own: its commands are what was asked for. */
static int not_a_command(const char *group, const char *verb)
{
	bool asked = verb && strcmp(verb, "--help") == 0;

	if (verb && !asked)
		return usage(NULL, "unknown command", group);
	if (help_lines(asked ? stdout : stderr, group) == 0)
		return usage(NULL, "unknown command", group);
	return asked ? OCC_OK : OCC_USAGE;
}

int command_parse(int argc, char **argv, struct args *a, const struct command **ret_command)
{
	const struct command *c;
	int rc;

	*a = (struct args){0};
	optind = 0; /* glibc: start anew, whatever was parsed before */
	rc = options_read(argc, argv, NULL, a);
	if (rc >= 0)
		return rc;
	if (optind >= argc) {
		if (!a->help)
			return usage(NULL, "a command is missing", NULL);
		help_all(stdout);
		return OCC_OK;
	}
	c = find(argv[optind], optind + 1 < argc ? argv[optind + 1] : NULL);
	if (!c)
		return not_a_command(argv[optind], optind + 1 < argc ? argv[optind + 1] : NULL);
	/* getopt starts over behind the command's words; argv[0] of that part is never looked at. */
	int skip = optind + (c->verb ? 1 : 0);
	optind = 0;
	rc = options_read(argc - skip, argv + skip, c, a);
	if (rc < 0 && a->help) {
		help_one(stdout, c);
		return OCC_OK;
	}
	if (rc < 0)
		rc = words_read(argc - skip, argv + skip, c, a);
	if (!a->deployment)
		a->deployment = default_deployment();
	*ret_command = c;
	return rc;
}
