/*
 * daemon: from argv to a process that is ready, and from a signal to one that has stopped. Everything here
 * runs before the jail or needs nothing the jail takes away: descriptors for the stop event and for the
 * service manager are opened at start.
 */
#include "libocu/daemon.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/daemon_internal.h"
#include "libocu/err.h"
#include "libocu/httpd.h"
#include "libocu/jail.h"
#include "libocu/log.h"
#include "libocu/pki.h"

#define FLOOR_EVERY_S 60 /* how much of the wall clock floor a crash may lose */
#define DRAIN_MS      500
#define LARGE_BLOCK   (128 << 10)

unsigned ocu_daemon_stop_max_s = 10;

/* Descriptors 0 to 2 exist, so that nothing we open lands where somebody prints to. */
static void open_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR); /* inherited on purpose: no O_CLOEXEC for 0 to 2 */
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int init_libraries(struct ocu_error *err)
{
	/* No clean-up at exit: other threads may still be in OpenSSL then. */
	if (OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_LOAD_CONFIG, NULL) != 1)
		return ocu_error_set(err, OCU_E_INTERNAL, "initialising OpenSSL");
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		return ocu_error_set(err, OCU_E_INTERNAL, "initialising libcurl");
	return 0;
}

/* Connected now, because the jail may later forbid reaching a socket outside of it. */
static int open_notify(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t n = path ? strlen(path) : 0;
	int fd;

	if (n < 2 || n >= sizeof sa.sun_path || (path[0] != '/' && path[0] != '@'))
		return -1;
	memcpy(sa.sun_path, path, n);
	if (path[0] == '@')
		sa.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa,
	                       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void notify(const struct ocu_daemon *d, const char *text)
{
	if (d->notify_fd >= 0)
		(void)send(d->notify_fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int load_config(struct ocu_daemon *d, const char *path, struct ocu_error *err)
{
	char dflt[128];
	int rc;

	if (!path) {
		snprintf(dflt, sizeof dflt, "/etc/ocu/%s.yaml", d->name);
		path = access(dflt, F_OK) == 0 ? dflt : NULL;
	}
	rc = ocu_conf_load(&d->conf, d->name, d->spec->options, path, err);
	if (!rc && d->spec->check)
		rc = d->spec->check(d->conf, err);
	return rc;
}

static int make_folders(struct ocu_daemon *d, struct ocu_error *err)
{
	const char *state = ocu_conf_str(d->conf, "state_dir");
	const char *run = ocu_conf_str(d->conf, "run_dir");
	uid_t uid;
	gid_t gid;
	int rc;

	if (snprintf(d->state_dir, sizeof d->state_dir, "%s/%s", state, d->name) >=
	        (int)sizeof d->state_dir ||
	    snprintf(d->run_dir, sizeof d->run_dir, "%s", run) >= (int)sizeof d->run_dir)
		return ocu_error_set(err, OCU_E_CONFIG, "state_dir or run_dir is too long");
	rc = ocu_jail_ids(ocu_conf_str(d->conf, "run_as"), &uid, &gid, err);
	if (rc)
		return rc;
	/* The shared folders are passed through by every daemon's user; only the daemon's own is private. */
	if ((rc = ocu_jail_mkdir(state, getuid(), getgid(), 0755, err)) ||
	    (rc = ocu_jail_mkdir(d->state_dir, uid, gid, 0700, err)))
		return rc;
	return ocu_jail_mkdir(d->run_dir, getuid(), getgid(), 0755, err);
}

static int floor_path(const struct ocu_daemon *d, char *out, size_t size)
{
	return snprintf(out, size, "%s/clock-floor", d->state_dir) < (int)size ? 0 : -1;
}

static int load_floor(const struct ocu_daemon *d, struct ocu_error *err)
{
	char path[600];

	return floor_path(d, path, sizeof path) ? 0 : ocu_clock_floor_load(path, err);
}

static void save_floor(const struct ocu_daemon *d)
{
	static bool said;
	struct ocu_error err = {0};
	char path[600];

	if (floor_path(d, path, sizeof path) || ocu_clock_floor_save(path, &err) == 0 || said)
		return;
	said = true;
	ocu_log_error(OCU_LOG_WARN, "daemon.clock_floor", NULL, &err);
}

static int start(struct ocu_daemon *d, const struct ocu_daemon_args *args, struct ocu_error *err)
{
	enum ocu_log_level level = OCU_LOG_INFO;
	int rc;

	d->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->stop_fd < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "eventfd");
	if (ocu_log_level_parse(ocu_conf_str(d->conf, "log_level"), &level) == 0)
		ocu_log_init(d->name, level);
	d->ready_fd = args->ready_fd;
	d->notify_fd = open_notify();
	if ((rc = init_libraries(err)) || (rc = make_folders(d, err)) || (rc = load_floor(d, err)))
		return rc;
	return ocu_identity_load(&d->identity, ocu_conf_str(d->conf, "pki_dir"),
	                         ocu_conf_str(d->conf, "trust_domain"), d->spec->component, err);
}

void ocu_daemon_init(struct ocu_daemon *d, int argc, char **argv, const struct ocu_daemon_spec *spec)
{
	struct ocu_daemon_args args;
	struct ocu_error err = {0};
	int rc;

	/* A large block goes back to the kernel when it is freed, whichever thread had it. */
	mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
	*d = (struct ocu_daemon){
	    .spec = spec,
	    .name = ocu_component_name(spec->component),
	    .stop_fd = -1,
	    .ready_fd = -1,
	    .notify_fd = -1,
	};
	open_standard_fds();
	umask(077);
	ocu_log_init(d->name, OCU_LOG_INFO);
	ocu_daemon_args(&args, d->name, spec, argc, argv);
	rc = load_config(d, args.config, &err);
	if (args.check) {
		if (rc)
			fprintf(stderr, "ocu-%s: %s\n", d->name, err.text);
		else
			printf("ocu-%s: configuration is valid\n", d->name);
		exit(rc ? OCU_EXIT_CONFIG : 0);
	}
	if (rc) {
		err.code = OCU_E_CONFIG;
		ocu_daemon_fatal(d, &err);
	}
	if (args.health)
		exit(ocu_daemon_ask_health(d->name, d->conf));
	if (args.probe)
		exit(spec->probe(d->conf));
	block_signals();
	if (start(d, &args, &err))
		ocu_daemon_fatal(d, &err);
}

void ocu_daemon_ready(struct ocu_daemon *d)
{
	save_floor(d);
	ocu_log(OCU_LOG_INFO, "daemon.ready", NULL, "version", OCU_VERSION, NULL);
	notify(d, "READY=1");
	if (d->ready_fd >= 0) {
		if (write(d->ready_fd, "\n", 1) != 1)
			ocu_log(OCU_LOG_WARN, "daemon.ready_fd", NULL, "why", "nobody reads it", NULL);
		close(d->ready_fd);
		d->ready_fd = -1;
	}
}

/* Whatever hangs in a stop, the process ends: a service manager and a kill switch both count on it. */
static void *watchdog(void *arg)
{
	struct timespec left = {.tv_sec = ocu_daemon_stop_max_s};

	(void)arg;
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
	ocu_log(OCU_LOG_ERROR, "daemon.stop_overrun", NULL, "why", "stopping took too long", NULL);
	_exit(OCU_EXIT_STUCK);
}

static void arm_watchdog(void)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&t, &attr, watchdog, NULL) != 0)
		alarm(ocu_daemon_stop_max_s); /* SIGALRM ends the process, if without a word */
	pthread_attr_destroy(&attr);
}

/* 1 when a signal asks for a stop, 0 for SIGHUP, which asks for nothing we do. */
static int read_signal(int fd)
{
	struct signalfd_siginfo si;

	if (read(fd, &si, sizeof si) != sizeof si)
		return 0;
	if (si.ssi_signo != SIGHUP)
		return 1;
	ocu_log(OCU_LOG_INFO, "daemon.hangup_ignored", NULL, NULL);
	return 0;
}

void ocu_daemon_wait(struct ocu_daemon *d)
{
	sigset_t set;
	bool stop = false;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	OCU_CLOSE int sfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	struct pollfd p[2] = {{.fd = d->stop_fd, .events = POLLIN}, {.fd = sfd, .events = POLLIN}};
	if (sfd < 0) {
		struct ocu_error err = {0};
		ocu_error_errno(&err, OCU_E_IO, errno, "signalfd");
		ocu_daemon_fatal(d, &err);
	}
	while (!stop) {
		int n = poll(p, 2, FLOOR_EVERY_S * 1000);
		if (n == 0)
			save_floor(d);
		if (n <= 0)
			continue;
		stop = p[0].revents != 0;
		if (p[1].revents && read_signal(sfd))
			stop = true;
	}
	ocu_daemon_stop(d); /* loops of the daemon's own watch stop_fd */
	arm_watchdog();
	notify(d, "STOPPING=1");
	ocu_log(OCU_LOG_INFO, "daemon.stopping", NULL, NULL);
	/* Its readiness asks parts of the daemon that are about to go. */
	ocu_httpd_stop(d->metrics, DRAIN_MS);
	d->metrics = NULL;
}

void ocu_daemon_stop(struct ocu_daemon *d)
{
	const uint64_t one = 1;

	/* EAGAIN means the counter is full, and then it is readable anyway. */
	while (write(d->stop_fd, &one, sizeof one) < 0 && errno == EINTR)
		;
}

void ocu_daemon_done(struct ocu_daemon *d)
{
	ocu_httpd_stop(d->metrics, DRAIN_MS);
	save_floor(d);
	ocu_identity_free(d->identity);
	ocu_conf_free(d->conf);
	if (d->ready_fd >= 0)
		close(d->ready_fd);
	if (d->notify_fd >= 0)
		close(d->notify_fd);
	close(d->stop_fd);
	ocu_log(OCU_LOG_INFO, "daemon.stopped", NULL, NULL);
}

void ocu_daemon_fatal(struct ocu_daemon *d, const struct ocu_error *err)
{
	(void)d;
	ocu_log_error(OCU_LOG_ERROR, "daemon.fatal", NULL, err);
	/* No exit handlers: threads of ours may still run. */
	fflush(stdout);
	_exit(err->code == OCU_E_CONFIG ? OCU_EXIT_CONFIG : OCU_EXIT_RUNTIME);
}
