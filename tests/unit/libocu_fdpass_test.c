/* fdpass: descriptors arrive whole, from the right uid, or not at all; what is refused leaves nothing open.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libocu/err.h"
#include "libocu/fdpass.h"
#include "proto/handover.pb-c.h"

static char dir[] = "/tmp/ocu-fdpass-test-XXXXXX";
static char path[128];
static int listener;

static void setup(void)
{
	struct ocu_error err = {0};

	snprintf(dir + sizeof dir - 7, 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/s.sock", dir);
	listener = ocu_fdpass_listen(path, (uid_t)-1, &err);
	ck_assert_msg(listener >= 0, "%s", err.text);
}

static void teardown(void)
{
	close(listener);
	unlink(path);
	rmdir(dir);
}

static void connected(int *ours, int *theirs)
{
	*theirs = ocu_fdpass_connect(path, getuid(), NULL);
	ck_assert_int_ge(*theirs, 0);
	*ours = ocu_fdpass_accept(listener, getuid(), NULL);
	ck_assert_int_ge(*ours, 0);
}

static int open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static Ocu__Handover__Handover handover(void)
{
	Ocu__Handover__Handover h = OCU__HANDOVER__HANDOVER__INIT;

	h.session_id = (char *)"ses_01ARZ3NDEKTSV4RRFFQ69G5FAV";
	h.kind = OCU__HANDOVER__KIND__EDGE;
	h.guest_uid = 100000;
	return h;
}

/* shows: NFR-SEC-43, NFR-SEC-76 */
START_TEST(descriptors_and_their_header_arrive)
{
	Ocu__Handover__Handover h = handover();
	ProtobufCMessage *got = NULL;
	int a, b, fds[3], came[OCU_FDPASS_MAX], p[2];
	size_t n = 99;
	char byte;

	connected(&a, &b);
	ck_assert_int_eq(pipe(p), 0);
	fds[0] = p[0];
	fds[1] = p[1];
	fds[2] = p[0];
	ck_assert_int_eq(ocu_fdpass_send(b, &h.base, fds, 3, NULL), 0);
	ck_assert_int_eq(ocu_fdpass_recv(a, &ocu__handover__handover__descriptor, &got, came, &n, NULL), 0);
	ck_assert_uint_eq(n, 3);
	ck_assert_str_eq(((Ocu__Handover__Handover *)got)->session_id, h.session_id);
	ck_assert_uint_eq(((Ocu__Handover__Handover *)got)->guest_uid, 100000);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(fcntl(came[i], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ck_assert_int_eq(write(came[1], "x", 1), 1);
	ck_assert_int_eq(read(p[0], &byte, 1), 1);
	protobuf_c_message_free_unpacked(got, NULL);
	for (size_t i = 0; i < n; i++)
		close(came[i]);
	close(p[0]);
	close(p[1]);
	close(a);
	close(b);
}
END_TEST

/* A message in which everything has its default is no bytes at all, and is not the end of the connection. */
START_TEST(an_empty_result_is_a_result)
{
	Ocu__Handover__Result r = OCU__HANDOVER__RESULT__INIT;
	ProtobufCMessage *got = NULL;
	int a, b, came[OCU_FDPASS_MAX];
	size_t n;
	struct ocu_error err = {0};

	connected(&a, &b);
	ck_assert_int_eq(ocu_fdpass_send(a, &r.base, NULL, 0, NULL), 0);
	ck_assert_int_eq(ocu_fdpass_recv(b, &ocu__handover__result__descriptor, &got, came, &n, NULL), 0);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(((Ocu__Handover__Result *)got)->code, 0);
	protobuf_c_message_free_unpacked(got, NULL);
	close(a);
	ck_assert_int_eq(ocu_fdpass_recv(b, &ocu__handover__result__descriptor, &got, came, &n, &err),
	                 OCU_E_UNAVAILABLE);
	ck_assert_int_eq(ocu_fdpass_send(b, &r.base, NULL, 0, NULL), OCU_E_UNAVAILABLE);
	close(b);
}
END_TEST

/* --- refused packets --- */

/* Sends raw bytes with so many copies of stderr. */
static void send_raw(int fd, const void *data, size_t len, size_t nfds)
{
	struct iovec iov = {.iov_base = (void *)data, .iov_len = len};
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * 64)];
	} control = {.space = {0}};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (nfds > 0) {
		struct cmsghdr *c;
		int fds[64];

		for (size_t i = 0; i < nfds; i++)
			fds[i] = STDERR_FILENO;
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
	}
	ck_assert_int_eq(sendmsg(fd, &msg, MSG_NOSIGNAL), (ssize_t)len);
}

static const struct {
	const char *name;
	const char *bytes;
	size_t len;
	size_t nfds;
	int code;
} bad[] = {
    {"five descriptors", "\x01\x10\x01", 3, 5, OCU_E_TOO_LARGE},
    {"sixty descriptors", "\x01\x10\x01", 3, 60, OCU_E_TOO_LARGE},
    {"unknown field", "\x01\x10\x01\x38\x01", 5, 4, OCU_E_UNKNOWN_FIELD},
    {"cut header", "\x01\x0a\x09ses", 6, 1, OCU_E_PARSE},
    {"another format", "\x02\x10\x01", 3, 1, OCU_E_PARSE},
    {"text not UTF-8", "\x01\x0a\x01\xff", 4, 2, OCU_E_PARSE},
    {"no format byte", "", 0, 1, OCU_E_UNAVAILABLE},
    {"HTTP", "GET / HTTP/1.1\r\n\r\n", 18, 0, OCU_E_PARSE},
};

/* shows: NFR-SEC-43 */
START_TEST(a_bad_packet_is_refused_and_its_descriptors_closed)
{
	ProtobufCMessage *got = (ProtobufCMessage *)dir;
	int a, b, came[OCU_FDPASS_MAX], before, rv;
	size_t n = 77;

	connected(&a, &b);
	before = open_descriptors();
	send_raw(b, bad[_i].bytes, bad[_i].len, bad[_i].nfds);
	rv = ocu_fdpass_recv(a, &ocu__handover__handover__descriptor, &got, came, &n, NULL);
	ck_assert_msg(rv == bad[_i].code, "%s: %d", bad[_i].name, rv);
	ck_assert_ptr_eq(got, dir);
	ck_assert_uint_eq(n, 77);
	ck_assert_int_eq(open_descriptors(), before);
	close(a);
	close(b);
}
END_TEST

START_TEST(an_over_long_header_is_refused)
{
	Ocu__Handover__Handover h = handover();
	ProtobufCMessage *got;
	char text[OCU_FDPASS_HEADER + 10];
	int a, b, came[OCU_FDPASS_MAX], before, many[OCU_FDPASS_MAX + 1] = {0};
	size_t n;

	connected(&a, &b);
	memset(text, 'a', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	h.session_id = text;
	ck_assert_int_eq(ocu_fdpass_send(b, &h.base, NULL, 0, NULL), OCU_E_INVALID);
	h = handover();
	ck_assert_int_eq(ocu_fdpass_send(b, &h.base, many, OCU_FDPASS_MAX + 1, NULL), OCU_E_INVALID);
	text[0] = 1;
	before = open_descriptors();
	send_raw(b, text, sizeof text, 2);
	ck_assert_int_eq(ocu_fdpass_recv(a, &ocu__handover__handover__descriptor, &got, came, &n, NULL),
	                 OCU_E_TOO_LARGE);
	ck_assert_int_eq(open_descriptors(), before);
	close(a);
	close(b);
}
END_TEST

/* --- who takes part --- */

/* shows: NFR-SEC-43 */
START_TEST(another_uid_is_refused_on_both_sides)
{
	struct ocu_error err = {0};
	int fd = ocu_fdpass_connect(path, getuid(), NULL);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ocu_fdpass_accept(listener, getuid() + 1, &err), OCU_E_PEER_UNKNOWN);
	ck_assert_int_eq(ocu_fdpass_connect(path, getuid() + 1, &err), OCU_E_PEER_UNKNOWN);
	close(fd);
}
END_TEST

START_TEST(a_process_of_another_uid_is_refused)
{
	int status, fd;
	pid_t pid;

	if (getuid() != 0)
		return; /* only root can become another */
	ck_assert_int_eq(chmod(path, 0666), 0);
	ck_assert_int_eq(chmod(dir, 0755), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		char byte;

		if (setuid(58199) != 0 || (fd = ocu_fdpass_connect(path, 0, NULL)) < 0)
			_exit(1);
		_exit(read(fd, &byte, 1) == 0 ? 0 : 2);
	}
	ck_assert_int_eq(ocu_fdpass_accept(listener, 0, NULL), OCU_E_PEER_UNKNOWN);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0); /* it saw its connection closed */
}
END_TEST

START_TEST(the_socket_is_its_owners_alone)
{
	struct stat st;
	int second;

	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
	ck_assert_uint_eq(st.st_uid, getuid());
	/* An old socket is replaced, anything else is left alone. */
	second = ocu_fdpass_listen(path, getuid(), NULL);
	ck_assert_int_ge(second, 0);
	close(second);
	unlink(path);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	ck_assert_int_eq(ocu_fdpass_listen(path, getuid(), NULL), OCU_E_EXISTS);
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(paths_that_cannot_be_are_errors)
{
	char longest[200];

	memset(longest, 'a', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	ck_assert_int_eq(ocu_fdpass_listen(longest, getuid(), NULL), OCU_E_INVALID);
	ck_assert_int_eq(ocu_fdpass_connect("", getuid(), NULL), OCU_E_INVALID);
	ck_assert_int_eq(ocu_fdpass_connect("/nonexistent/socket", getuid(), NULL), OCU_E_UNAVAILABLE);
	ck_assert_int_eq(ocu_fdpass_listen("/nonexistent/socket", getuid(), NULL), OCU_E_IO);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fdpass");
	TCase *t = tcase_create("packets");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, descriptors_and_their_header_arrive);
	tcase_add_test(t, an_empty_result_is_a_result);
	tcase_add_loop_test(t, a_bad_packet_is_refused_and_its_descriptors_closed, 0,
	                    sizeof bad / sizeof *bad);
	tcase_add_test(t, an_over_long_header_is_refused);
	tcase_add_test(t, another_uid_is_refused_on_both_sides);
	tcase_add_test(t, a_process_of_another_uid_is_refused);
	tcase_add_test(t, the_socket_is_its_owners_alone);
	tcase_add_test(t, paths_that_cannot_be_are_errors);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
