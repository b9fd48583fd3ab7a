/* init: the options, the order of the steps, the report; see init.h. */
#include "operatord/occ/init.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "operatord/occ/command.h"
#include "operatord/occ/duration.h"
#include "operatord/occ/show.h"

#define FIRST_UID 58101

int init_made(struct init *in, const char *name)
{
	return json_array_append_new(in->made, json_string(name)) ? OCU_E_NOMEM : 0;
}

int init_kept(struct init *in, const char *name)
{
	return json_array_append_new(in->kept, json_string(name)) ? OCU_E_NOMEM : 0;
}

int init_path(char *out, size_t size, struct ocu_error *err, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(out, size, fmt, ap);
	va_end(ap);
	return n < (int)size ? 0 : ocu_error_set(err, OCU_E_PARAMS, "a path is too long");
}

/* mkdir -p. Folders on the way are for everybody to pass through; what is secret is closed below them. */
int init_folders(const char *path, struct ocu_error *err)
{
	char part[INIT_PATH_MAX];
	struct stat st;

	for (const char *p = path + 1;; p++) {
		if (*p != '/' && *p != '\0')
			continue;
		snprintf(part, sizeof part, "%.*s", (int)(p - path), path);
		if (mkdir(part, 0755) != 0 && errno != EEXIST)
			return ocu_error_errno(err, OCU_E_IO, errno, "making %s", part);
		if (*p == '\0')
			break;
	}
	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
		return ocu_error_set(err, OCU_E_IO, "%s is not a folder", path);
	return 0;
}

static int absolute(char *out, size_t size, const char *path, struct ocu_error *err)
{
	char cwd[INIT_PATH_MAX] = "";

	if (path[0] != '/' && !getcwd(cwd, sizeof cwd))
		return ocu_error_errno(err, OCU_E_IO, errno, "the current folder");
	return init_path(out, size, err, "%s%s%s", path[0] == '/' ? "" : cwd, path[0] == '/' ? "" : "/",
	                 path);
}

/* The five that do not run as root, in the order of --uids. */
static const enum ocu_component unprivileged[] = {OCU_COMP_GATEWAY, OCU_COMP_OPERATORD, OCU_COMP_BROKERD,
                                                  OCU_COMP_EGRESSD, OCU_COMP_AUDITD};

static int read_uids(struct init *in, const char *text, struct ocu_error *err)
{
	const char *p = text;

	for (size_t i = 0; i < 5; i++) {
		char *end;
		errno = 0;
		unsigned long uid = *p >= '0' && *p <= '9' ? strtoul(p, &end, 10) : 0;
		if (uid == 0 || errno || uid >= 0xffffffffUL || *end != (i < 4 ? ',' : '\0'))
			return ocu_error_set(err, OCU_E_PARAMS,
			                     "--uids: five numbers above 0, separated by commas");
		in->uid[unprivileged[i]] = (uid_t)uid;
		p = end + 1;
	}
	return 0;
}

static int read_options(struct init *in, const struct args *a, struct ocu_error *err)
{
	int rc;

	in->args = a;
	in->trust_domain = a->trust_domain ? a->trust_domain : "ocu.local";
	in->caller = a->caller ? a->caller : "me";
	in->chown = !a->no_chown;
	for (int i = 0; i < OCU_COMP_COUNT; i++)
		in->uid[i] = in->chown ? 0 : getuid();
	for (size_t i = 0; in->chown && i < 5; i++)
		in->uid[unprivileged[i]] = FIRST_UID + (uid_t)i;
	if (strlen(in->caller) == 0 || strlen(in->caller) > 127)
		return ocu_error_set(err, OCU_E_PARAMS, "--caller: 1 to 127 bytes");
	if (duration_parse(a->ttl ? a->ttl : "90d", &in->token_ttl_s))
		return ocu_error_set(err, OCU_E_PARAMS, "--ttl is a time like 30s, 12h or 90d");
	if (a->uids && a->no_chown)
		return ocu_error_set(err, OCU_E_PARAMS, "--uids and --no-chown exclude each other");
	if (a->uids && (rc = read_uids(in, a->uids, err)))
		return rc;
	if (in->chown && geteuid() != 0)
		return ocu_error_set(err, OCU_E_PARAMS,
		                     "only root can give each daemon its files: use --no-chown");
	if ((rc = absolute(in->dir, sizeof in->dir, a->dir ? a->dir : a->deployment, err)) ||
	    (rc = absolute(in->state, sizeof in->state, a->state ? a->state : "/var/lib/ocu", err)) ||
	    (rc = absolute(in->run, sizeof in->run, a->run ? a->run : "/run/ocu", err)))
		return rc;
	if (a->split && (rc = absolute(in->split, sizeof in->split, a->split, err)))
		return rc;
	return init_path(in->pki, sizeof in->pki, err, "%s/pki", in->dir);
}

static int steps(struct init *in, struct ocu_error *err)
{
	int rc = init_folders(in->dir, err);

	if (rc == 0)
		rc = init_folders(in->pki, err);
	if (rc == 0)
		rc = init_keys(in, err);
	if (rc == 0)
		rc = init_caller_token(in, err);
	if (rc == 0)
		rc = init_configs(in, err);
	if (rc == 0 && in->chown)
		rc = init_owners(in, err);
	return rc || !in->split[0] ? rc : init_split(in, err);
}

static void show_list(const char *title, const json_t *names)
{
	const json_t *name;
	size_t i;

	json_array_foreach(names, i, name)
	{
		printf("%s %s\n", title, json_string_value(name));
	}
}

static void report(const struct init *in)
{
	if (in->args->json) {
		json_t *j = json_pack("{ss sO sO}", "dir", in->dir, "made", in->made, "kept", in->kept);
		show_json(j);
		json_decref(j);
		return;
	}
	show_list("made ", in->made);
	show_list("there", in->kept);
	printf("deployment %s is complete: the caller token is in %s/caller.token\n", in->dir, in->dir);
}

int run_init(const struct args *a)
{
	OCU_JSON json_t *made = json_array();
	OCU_JSON json_t *kept = json_array();
	struct init in = {.made = made, .kept = kept};
	struct ocu_error err = {0};
	int rc;

	/* Public files and folders must be readable by every daemon's user; secret ones are made with their
	 * own mode. */
	umask(022);
	rc = read_options(&in, a, &err);
	if (rc) {
		fprintf(stderr, "occ: init: %s\n", err.text);
		return rc == OCU_E_PARAMS ? OCC_USAGE : OCC_FAILED;
	}
	rc = steps(&in, &err);
	if (rc)
		return show_error(a, "init", &err);
	report(&in);
	return OCC_OK;
}
