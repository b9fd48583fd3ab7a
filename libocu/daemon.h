/*
 * daemon: the skeleton all six share: command line, configuration, log, signals, readiness, metrics and
 * health listener, graceful stop. A main reads: init; open listeners and files that need rights;
 * ocu_jail_enter; connect peers; serve; ready; wait; stop in reverse order (at most 10 s: a watchdog thread
 * then ends the process with status 70 and a log line).
 *
 * Command line: --config FILE (default /etc/ocu/<daemon>.yaml when it exists), --check, --health, --help,
 * --version, --print-example, --print-reference, --ready-fd N. --check looks at the configuration only, not
 * at the keys; --health asks the one that runs. Exit codes: 0, 1 runtime failure, 2 usage, 70 a stop that
 * took over 10 s, 78 configuration.
 */
#ifndef OCU_DAEMON_H
#define OCU_DAEMON_H

#include "libocu/conf.h"
#include "libocu/peer.h"

struct ocu_error;

struct ocu_daemon_spec {
	enum ocu_component component;
	const char *summary; /* one line for --help */
	const struct ocu_conf_opt *options;
	/* Extra checks for --check and start: pairs of values, files that must exist. May be NULL. */
	int (*check)(const struct ocu_conf *c, struct ocu_error *err);
	/* For --probe: says on standard output what this host has and lacks for the daemon, without a key and
	 * without a trace, and returns the exit status. NULL: the daemon needs nothing that could lack. */
	int (*probe)(const struct ocu_conf *c);
};

struct ocu_daemon {
	const struct ocu_daemon_spec *spec;
	const char *name;
	struct ocu_conf *conf;
	struct ocu_identity *identity; /* loaded by ocu_daemon_init */
	char state_dir[512];           /* <state_dir>/<daemon>, made and owned by run_as */
	char run_dir[512];             /* <run_dir>, made when missing */
	struct ocu_httpd *metrics;
	int stop_fd;   /* eventfd, readable once a stop is asked for */
	int ready_fd;  /* of --ready-fd, or -1 */
	int notify_fd; /* connected to NOTIFY_SOCKET, or -1 */
	int (*ready)(void *arg, char *why, size_t size);
	void *ready_arg;
};

/* A folder of this daemon's where another one has to make room for it first: as ocu_jail_mkdir(), and for
 * wait_ms again while that is refused. Before threads and after ocu_daemon_init(); OCU_E_CANCELLED when told
 * to stop. */
struct ocu_daemon_owner {
	uid_t uid;
	gid_t gid;
	mode_t mode;
};
int ocu_daemon_folder(const char *path, const struct ocu_daemon_owner *owner, uint64_t wait_ms,
                      struct ocu_error *err);

/* Parses argv; exits the process itself for --help and friends and on usage or configuration errors. No
 * thread runs when it returns, so that the jail can be entered. Loads the wall clock's floor, which is saved
 * again every minute and at the end. Blocks SIGTERM, SIGINT, SIGHUP; ignores SIGPIPE; OpenSSL and curl
 * initialised; umask 077. */
void ocu_daemon_init(struct ocu_daemon *d, int argc, char **argv, const struct ocu_daemon_spec *spec);
/* Starts the metrics listener; ready is polled by /readyz: 1 ready, 0 with a word in why (NUL-terminated). */
int ocu_daemon_metrics(struct ocu_daemon *d, int (*ready)(void *arg, char *why, size_t size), void *arg,
                       struct ocu_error *err);
/* Logs "daemon.ready" and tells systemd (NOTIFY_SOCKET) and `--ready-fd N`, which gets one newline. */
void ocu_daemon_ready(struct ocu_daemon *d);
/* Blocks until SIGTERM, SIGINT or ocu_daemon_stop(); then arms the 10 s watchdog and ends the metrics
 * listener. */
void ocu_daemon_wait(struct ocu_daemon *d);
void ocu_daemon_stop(struct ocu_daemon *d); /* async-signal-safe; from any thread */
void ocu_daemon_done(struct ocu_daemon *d); /* logs "daemon.stopped" */
/* Logs the error as fatal and exits with 1, or 78 for OCU_E_CONFIG. */
void ocu_daemon_fatal(struct ocu_daemon *d, const struct ocu_error *err) __attribute__((noreturn));

#endif
