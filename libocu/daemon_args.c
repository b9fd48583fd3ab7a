/*
 * daemon_args: the command line every daemon has. What only prints (help, version, example, reference) is
 * answered here, before a configuration or a key is looked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/daemon_internal.h"

enum {
	OPT_CONFIG = 256,
	OPT_CHECK,
	OPT_HEALTH,
	OPT_HELP,
	OPT_VERSION,
	OPT_EXAMPLE,
	OPT_REFERENCE,
	OPT_READY_FD,
	OPT_PROBE
};

static const struct option options[] = {
    {"config", required_argument, NULL, OPT_CONFIG},
    {"check", no_argument, NULL, OPT_CHECK},
    {"health", no_argument, NULL, OPT_HEALTH},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {"print-example", no_argument, NULL, OPT_EXAMPLE},
    {"print-reference", no_argument, NULL, OPT_REFERENCE},
    {"ready-fd", required_argument, NULL, OPT_READY_FD},
    {"probe", no_argument, NULL, OPT_PROBE},
    {0},
};

static void usage(FILE *out, const char *name)
{
	fprintf(out,
	        "Usage: ocu-%s [--config FILE] [--check | --health | --ready-fd N]\n"
	        "       ocu-%s --help | --version | --print-example | --print-reference\n",
	        name, name);
}

static void print_help(const char *name, const struct ocu_daemon_spec *spec)
{
	printf("ocu-%s: %s\n\n", name, spec->summary);
	usage(stdout, name);
	printf("\n"
	       "  --config FILE      configuration (default /etc/ocu/%s.yaml when it exists)\n"
	       "  --check            validate the configuration and exit\n"
	       "  --health           ask the one that runs with this configuration whether it is ready: 0 "
	       "yes, 1 no\n"
	       "%s"
	       "  --ready-fd N       write one newline to descriptor N when ready, then close it\n"
	       "  --print-example    print an example configuration\n"
	       "  --print-reference  print the reference of all options, as Markdown\n"
	       "  --version          print the version\n"
	       "\n"
	       "Exit status: 0 stopped as asked, 1 runtime failure, 2 usage, 70 a stop that took over 10 s,\n"
	       "78 configuration.\n\n",
	       name,
	       spec->probe
	           ? "  --probe            say what this host lacks for the daemon and exit (0: nothing)\n"
	           : "");
	ocu_conf_print_help(name, spec->options, stdout);
}

static void __attribute__((noreturn)) refuse(const char *name, const char *what, const char *value)
{
	if (what)
		fprintf(stderr, "ocu-%s: %s%s%s\n", name, what, value ? ": " : "", value ? value : "");
	usage(stderr, name);
	exit(OCU_EXIT_USAGE);
}

/* The caller's descriptor: it must exist, and must not reach what this daemon starts. */
static int parse_fd(const char *name, const char *text)
{
	char *end;
	long fd;

	errno = 0;
	fd = strtol(text, &end, 10);
	if (errno || end == text || *end || fd < 1 || fd > 65535 || fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
		refuse(name, "--ready-fd is not an open descriptor", text);
	return (int)fd;
}

static void __attribute__((noreturn)) finish_print(void)
{
	/* A reference page cut short by a full disk must not look like success. */
	exit(fflush(stdout) == 0 && !ferror(stdout) ? 0 : OCU_EXIT_RUNTIME);
}

void ocu_daemon_args(struct ocu_daemon_args *ret, const char *name, const struct ocu_daemon_spec *spec,
                     int argc, char **argv)
{
	int c;

	*ret = (struct ocu_daemon_args){.ready_fd = -1};
	optind = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case OPT_CONFIG:
			ret->config = optarg;
			break;
		case OPT_CHECK:
			ret->check = true;
			break;
		case OPT_HEALTH:
			ret->health = true;
			break;
		case OPT_PROBE:
			if (!spec->probe)
				refuse(name, "this daemon has no --probe", NULL);
			ret->probe = true;
			break;
		case OPT_READY_FD:
			ret->ready_fd = parse_fd(name, optarg);
			break;
		case OPT_HELP:
			print_help(name, spec);
			finish_print();
		case OPT_VERSION:
			printf("ocu-%s %s\n", name, OCU_VERSION);
			finish_print();
		case OPT_EXAMPLE:
			ocu_conf_print_example(name, spec->options, stdout);
			finish_print();
		case OPT_REFERENCE:
			ocu_conf_print_reference(name, spec->options, stdout);
			finish_print();
		default: /* getopt has said what it did not know */
			refuse(name, NULL, NULL);
		}
	}
	if (optind < argc)
		refuse(name, "unexpected argument", argv[optind]);
}
