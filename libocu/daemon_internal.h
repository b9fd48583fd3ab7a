/* daemon_internal: what daemon.c, daemon_args.c and daemon_health.c share. */
#ifndef OCU_DAEMON_INTERNAL_H
#define OCU_DAEMON_INTERNAL_H

#include "libocu/daemon.h"

enum { OCU_EXIT_RUNTIME = 1, OCU_EXIT_USAGE = 2, OCU_EXIT_STUCK = 70, OCU_EXIT_CONFIG = 78 };

/* How long a stop may take before the watchdog ends the process; only tests change it. */
extern unsigned ocu_daemon_stop_max_s;

struct ocu_daemon_args {
	const char *config; /* NULL: the default path when it exists */
	bool check, health, probe;
	int ready_fd; /* -1 when not given */
};

/* Answers --help, --version and --print-* itself and exits 0; exits 2 on anything it does not know. */
void ocu_daemon_args(struct ocu_daemon_args *ret, const char *name, const struct ocu_daemon_spec *spec,
                     int argc, char **argv);
/* Asks /readyz of the daemon that runs with this configuration and prints the answer: an exit status. */
int ocu_daemon_ask_health(const char *name, const struct ocu_conf *c);

#endif
