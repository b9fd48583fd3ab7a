/* daemon: a whole small daemon in a child: its command line, its way up, what it shows, and its way down.
 *
 * shows: NFR-SEC-48 (in part)
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libocu/clock.h"
#include "libocu/daemon.h"
#include "libocu/daemon_internal.h"
#include "libocu/httpd.h"
#include "libocu/jail.h"
#include "libocu_http_fixture.h"
#include "libocu_net_fixture.h"

#define PATIENCE_MS 60000

static const struct ocu_conf_opt options[] = {
    OCU_CONF_COMMON(0),
    {"answer", OCU_CONF_INT, "42", 0, 100, NULL, "What the check wants to be even"},
    {0},
};

static int check_even(const struct ocu_conf *c, struct ocu_error *err)
{
	if (ocu_conf_int(c, "answer") % 2)
		return ocu_error_set(err, OCU_E_CONFIG, "answer is odd");
	return 0;
}

static const struct ocu_daemon_spec spec = {.component = OCU_COMP_AUDITD,
                                            .summary = "a daemon for the tests",
                                            .options = options,
                                            .check = check_even};

static char *dir;

static void setup(void)
{
	dir = net_pki_new();
}

static void teardown(void)
{
	net_dir_free(dir);
}

/* --- a child and what it says --- */

struct child {
	pid_t pid;
	int out; /* its stdout and stderr */
	int ready, port;
};

typedef void run_fn(int argc, char **argv, int port_fd);

static void start(struct child *c, run_fn *run, char **argv)
{
	static char ready_arg[16];
	int out[2], ready[2], port[2], argc = 0;

	ck_assert_int_eq(pipe(out), 0);
	ck_assert_int_eq(pipe(ready), 0);
	ck_assert_int_eq(pipe(port), 0);
	while (argv[argc]) {
		if (strcmp(argv[argc], "READY") == 0) {
			snprintf(ready_arg, sizeof ready_arg, "%d", ready[1]);
			argv[argc] = ready_arg;
		}
		argc++;
	}
	c->pid = fork();
	ck_assert_int_ge(c->pid, 0);
	if (c->pid == 0) {
		dup2(out[1], 1);
		dup2(out[1], 2);
		close(out[0]);
		close(out[1]);
		close(ready[0]);
		close(port[0]);
		run(argc, argv, port[1]);
		/* as returning from main would, but without the test program's own exit handlers */
		fflush(stdout);
		_exit(0);
	}
	close(out[1]);
	close(ready[1]);
	close(port[1]);
	c->out = out[0];
	c->ready = ready[0];
	c->port = port[0];
}

/* Reads until the child closes its end, or until `until` was seen. */
static bool hear(int fd, char *buf, size_t size, const char *until)
{
	size_t n = 0;

	buf[0] = '\0';
	while (n < size - 1) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ck_assert_msg(poll(&p, 1, PATIENCE_MS) == 1, "silence after: %s", buf);
		ssize_t got = read(fd, buf + n, size - 1 - n);
		if (got <= 0)
			break;
		n += (size_t)got;
		buf[n] = '\0';
		if (until && strstr(buf, until))
			return true;
	}
	return !until;
}

static char output[65536];

static int end(struct child *c)
{
	int status = 0;

	hear(c->out, output, sizeof output, NULL);
	ck_assert_int_eq(waitpid(c->pid, &status, 0), c->pid);
	close(c->out);
	close(c->ready);
	close(c->port);
	ck_assert_msg(WIFEXITED(status), "status %#x: %s", (unsigned)status, output);
	return WEXITSTATUS(status);
}

static void only_init(int argc, char **argv, int port_fd)
{
	struct ocu_daemon d;

	(void)port_fd;
	ocu_daemon_init(&d, argc, argv, &spec);
	ocu_daemon_done(&d);
}

static int outcome(char *a, char *b, char *c)
{
	char *argv[] = {(char[]){"ocu-auditd"}, a, b, c, NULL};
	struct child ch;

	start(&ch, only_init, argv);
	return end(&ch);
}

#define S(text) ((char[]){text})

/* --- the command line --- */

START_TEST(printing_needs_nothing)
{
	ck_assert_int_eq(outcome(S("--help"), NULL, NULL), 0);
	ck_assert_ptr_nonnull(strstr(output, "a daemon for the tests"));
	ck_assert_ptr_nonnull(strstr(output, "answer"));
	ck_assert_int_eq(outcome(S("--version"), NULL, NULL), 0);
	ck_assert_str_eq(output, "ocu-auditd " OCU_VERSION "\n");
	ck_assert_int_eq(outcome(S("--print-example"), NULL, NULL), 0);
	ck_assert_ptr_nonnull(strstr(output, "answer:"));
	ck_assert_int_eq(outcome(S("--print-reference"), NULL, NULL), 0);
	ck_assert_ptr_nonnull(strstr(output, "What the check wants to be even"));
}
END_TEST

START_TEST(usage)
{
	ck_assert_int_eq(outcome(S("--nonsense"), NULL, NULL), 2);
	ck_assert_ptr_nonnull(strstr(output, "Usage: ocu-auditd"));
	ck_assert_int_eq(outcome(S("extra"), NULL, NULL), 2);
	ck_assert_ptr_nonnull(strstr(output, "unexpected argument: extra"));
	ck_assert_int_eq(outcome(S("--config"), NULL, NULL), 2);
	ck_assert_int_eq(outcome(S("--ready-fd"), S("x"), NULL), 2);
	ck_assert_int_eq(outcome(S("--ready-fd"), S("999"), NULL), 2);
	ck_assert_int_eq(outcome(S("--ready-fd=-1"), NULL, NULL), 2);
}
END_TEST

static char *write_config(const char *more)
{
	static char path[256];
	FILE *f;

	snprintf(path, sizeof path, "%s/auditd.yaml", dir);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fprintf(f,
	        "trust_domain: " TD "\npki_dir: %s\nstate_dir: %s/state/deep\nrun_dir: %s/run\n"
	        "metrics_listen: 127.0.0.1:0\n%s",
	        dir, dir, dir, more);
	fclose(f);
	return path;
}

START_TEST(checking)
{
	ck_assert_int_eq(outcome(S("--check"), S("--config"), write_config("")), 0);
	ck_assert_ptr_nonnull(strstr(output, "valid"));
	ck_assert_int_eq(outcome(S("--check"), S("--config"), write_config("nonsense: 1\n")), 78);
	ck_assert_ptr_nonnull(strstr(output, "nonsense"));
	ck_assert_int_eq(outcome(S("--check"), S("--config"), write_config("answer: 41\n")), 78);
	ck_assert_ptr_nonnull(strstr(output, "odd"));
	ck_assert_int_eq(outcome(S("--check"), S("--config"), S("/nonexistent.yaml")), 78);
}
END_TEST

START_TEST(starts_that_fail)
{
	ck_assert_int_eq(outcome(S("--config"), write_config("answer: 41\n"), NULL), 78);
	ck_assert_ptr_nonnull(strstr(output, "daemon.fatal"));
	ck_assert_int_eq(outcome(S("--config"), write_config("run_as: no-such-user-here\n"), NULL), 78);
	char cert[256];
	snprintf(cert, sizeof cert, "%s/auditd/cert.pem", dir);
	ck_assert_int_eq(unlink(cert), 0);
	ck_assert_int_eq(outcome(S("--config"), write_config(""), NULL), 78);
	ck_assert_ptr_nonnull(strstr(output, "cert.pem"));
}
END_TEST

/* --- a whole life --- */

static _Atomic int can_work;

static int ready(void *arg, char *why, size_t size)
{
	(void)arg;
	if (can_work)
		return 1;
	can_work = 1;
	snprintf(why, size, "first time");
	return 0;
}

static void live(int argc, char **argv, int port_fd)
{
	struct ocu_daemon d;
	struct ocu_error err = {0};

	ocu_daemon_init(&d, argc, argv, &spec);
	const struct ocu_jail_path paths[] = {{d.state_dir, true}, {d.run_dir, true}, {NULL, false}};
	const struct ocu_jail j = {.run_as = ocu_conf_str(d.conf, "run_as"), .paths = paths};
	if (ocu_jail_enter(&j, NULL, &err) || ocu_daemon_metrics(&d, ready, NULL, &err))
		ocu_daemon_fatal(&d, &err);
	dprintf(port_fd, "%d %u\n", ocu_httpd_port(d.metrics), (unsigned)getuid());
	ocu_daemon_ready(&d);
	ocu_daemon_wait(&d);
	ocu_daemon_done(&d);
}

static int get(int port, const char *path, struct http_answer *a)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char req[128];

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	snprintf(req, sizeof req, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
	http_send(fd, req);
	http_read(fd, a);
	close(fd);
	return a->status;
}

static int notify_socket(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof sa.sun_path, "%s/notify", dir);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	setenv("NOTIFY_SOCKET", sa.sun_path, 1);
	return fd;
}

static void from_notify(int fd, const char *want)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char text[64] = "";

	ck_assert_int_eq(poll(&p, 1, PATIENCE_MS), 1);
	ck_assert_int_gt(recv(fd, text, sizeof text - 1, 0), 0);
	ck_assert_str_eq(text, want);
}

START_TEST(a_life)
{
	char *argv[] = {S("ocu-auditd"), S("--config"), NULL, S("--ready-fd"), S("READY"), NULL};
	struct http_answer a = {0};
	int notify = notify_socket(), port = 0;
	char text[256];
	unsigned uid = 0;
	char *rest = NULL;
	struct child c;
	struct stat st;

	argv[2] = write_config(getuid() == 0 ? "run_as: \"58105\"\n" : "");
	chmod(dir, 0755);
	start(&c, live, argv);
	ck_assert(hear(c.port, text, sizeof text, "\n"));
	port = (int)strtol(text, &rest, 10);
	uid = (unsigned)strtoul(rest, NULL, 10);
	ck_assert_uint_eq(uid, getuid() == 0 ? 58105 : getuid());
	ck_assert(hear(c.ready, text, sizeof text, "\n"));
	ck_assert_str_eq(text, "\n");
	from_notify(notify, "READY=1");
	ck_assert_int_eq(get(port, "/healthz", &a), 200);
	ck_assert_int_eq(get(port, "/readyz", &a), 503);
	ck_assert_str_eq(a.body, "first time\n");
	ck_assert_int_eq(get(port, "/readyz", &a), 200);
	ck_assert_int_eq(get(port, "/metrics", &a), 200);
	ck_assert_ptr_nonnull(strstr(a.body, "ocu_build_info{version=\"" OCU_VERSION "\"} 1"));
	ck_assert_int_eq(get(port, "/", &a), 404);
	snprintf(text, sizeof text, "127.0.0.1:%d", port);
	setenv("OCU_AUDITD_METRICS_LISTEN", text, 1);
	ck_assert_int_eq(outcome(S("--health"), S("--config"), argv[2]), 0);
	ck_assert_str_eq(output, "ready\n");
	snprintf(text, sizeof text, "0.0.0.0:%d", port);
	setenv("OCU_AUDITD_METRICS_LISTEN", text, 1);
	ck_assert_int_eq(outcome(S("--health"), S("--config"), argv[2]), 0);
	/* a hangup asks for nothing */
	kill(c.pid, SIGHUP);
	ck_assert(hear(c.out, output, sizeof output, "daemon.hangup_ignored"));
	ck_assert_int_eq(get(port, "/healthz", &a), 200);
	kill(c.pid, SIGTERM);
	from_notify(notify, "STOPPING=1");
	ck_assert_int_eq(end(&c), 0);
	ck_assert_ptr_nonnull(strstr(output, "daemon.stopped"));
	ck_assert_int_eq(outcome(S("--health"), S("--config"), argv[2]), 1);
	setenv("OCU_AUDITD_METRICS_LISTEN", "", 1);
	ck_assert_int_eq(outcome(S("--health"), S("--config"), argv[2]), 78);
	unsetenv("OCU_AUDITD_METRICS_LISTEN");
	snprintf(text, sizeof text, "%s/state/deep/auditd", dir);
	ck_assert_int_eq(stat(text, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	ck_assert_uint_eq(st.st_uid, uid);
	snprintf(text, sizeof text, "%s/state/deep/auditd/clock-floor", dir);
	ck_assert_int_eq(stat(text, &st), 0);
	close(notify);
	unsetenv("NOTIFY_SOCKET");
	http_answer_done(&a);
}
END_TEST

static void stop_itself(int argc, char **argv, int port_fd)
{
	struct ocu_daemon d;

	(void)port_fd;
	ocu_daemon_init(&d, argc, argv, &spec);
	ocu_daemon_ready(&d);
	ocu_daemon_stop(&d);
	ocu_daemon_wait(&d);
	struct pollfd p = {.fd = d.stop_fd, .events = POLLIN};
	if (poll(&p, 1, 0) != 1)
		_exit(9);
	ocu_daemon_done(&d);
}

START_TEST(a_daemon_that_stops_itself)
{
	char *argv[] = {S("ocu-auditd"), S("--config"), write_config(""), NULL};
	struct child c;

	start(&c, stop_itself, argv);
	ck_assert_int_eq(end(&c), 0);
}
END_TEST

static void hang(int argc, char **argv, int port_fd)
{
	struct ocu_daemon d;

	(void)port_fd;
	ocu_daemon_stop_max_s = 1;
	ocu_daemon_init(&d, argc, argv, &spec);
	ocu_daemon_stop(&d);
	ocu_daemon_wait(&d);
	for (;;)
		pause();
}

START_TEST(a_stop_that_hangs)
{
	char *argv[] = {S("ocu-auditd"), S("--config"), write_config(""), NULL};
	struct child c;

	start(&c, hang, argv);
	ck_assert_int_eq(end(&c), 70);
	ck_assert_ptr_nonnull(strstr(output, "daemon.stop_overrun"));
}
END_TEST

static void fail_at_run_time(int argc, char **argv, int port_fd)
{
	struct ocu_daemon d;
	struct ocu_error err = {0};

	(void)port_fd;
	ocu_daemon_init(&d, argc, argv, &spec);
	ocu_error_set(&err, OCU_E_UNAVAILABLE, "the backend is gone");
	ocu_daemon_fatal(&d, &err);
}

START_TEST(a_fatal_error)
{
	char *argv[] = {S("ocu-auditd"), S("--config"), write_config(""), NULL};
	struct child c;

	start(&c, fail_at_run_time, argv);
	ck_assert_int_eq(end(&c), 1);
	ck_assert_ptr_nonnull(strstr(output, "the backend is gone"));
}
END_TEST

/* A wall clock set back while the daemon was down extends no token. */
static void show_clock(int argc, char **argv, int port_fd)
{
	struct ocu_daemon d;

	ocu_daemon_init(&d, argc, argv, &spec);
	dprintf(port_fd, "%lld\n", (long long)ocu_wall_s());
	ocu_daemon_done(&d);
}

START_TEST(the_clock_floor)
{
	char *argv[] = {S("ocu-auditd"), S("--config"), write_config(""), NULL};
	const long long later = (long long)time(NULL) + 86400;
	char path[256], text[64];
	long long seen = 0;
	struct child c;

	snprintf(path, sizeof path, "%s/state", dir);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	snprintf(path, sizeof path, "%s/state/deep", dir);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	snprintf(path, sizeof path, "%s/state/deep/auditd", dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof path, "%s/state/deep/auditd/clock-floor", dir);
	FILE *f = fopen(path, "w");
	fprintf(f, "%lld000\n", later);
	fclose(f);
	/* The certificates of this test live a day; the floor moves tokens' time, not theirs. */
	start(&c, show_clock, argv);
	ck_assert(hear(c.port, text, sizeof text, "\n"));
	seen = strtoll(text, NULL, 10);
	ck_assert_int_eq(end(&c), 0);
	ck_assert_int_ge(seen, later);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libocu_daemon");
	TCase *c = tcase_create("daemon");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, printing_needs_nothing);
	tcase_add_test(c, usage);
	tcase_add_test(c, checking);
	tcase_add_test(c, starts_that_fail);
	tcase_add_test(c, a_life);
	tcase_add_test(c, a_daemon_that_stops_itself);
	tcase_add_test(c, a_stop_that_hangs);
	tcase_add_test(c, a_fatal_error);
	tcase_add_test(c, the_clock_floor);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
