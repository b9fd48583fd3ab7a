/* The guest agent's background programs: rings read by offset, input, terminals, signals, waiting.
 * shows: NFR-SEC-74, NFR-IC-03 (in part) */
#include <inttypes.h>
#include <stdint.h>
#include <time.h>

#include "tests/unit/sandboxd_guest_fixture.h"

#define WAIT_MS 60000 /* for what comes, however slow the machine */

static struct guest g;

static void setup(void)
{
	guest_open(&g);
}

static void teardown(void)
{
	ck_assert_int_eq(guest_close(&g), 0);
	rmdir(g.dir);
}

static uint32_t start(const char *command, int pty)
{
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__Start s = OCU__AGENT__START__INIT;
	char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)command};
	Ocu__Agent__Reply *reply;
	uint32_t id;

	s.argv = argv;
	s.n_argv = 3;
	s.cwd = (char *)"/";
	s.pty = pty;
	s.rows = 30;
	s.cols = 99;
	r.op_case = OCU__AGENT__REQUEST__OP_START;
	r.start = &s;
	reply = guest_call(&g, &r);
	ck_assert_msg(reply->code == 0, "%s", reply->text);
	id = reply->start->process_id;
	ck_assert_uint_gt(id, 0);
	guest_free(reply);
	return id;
}

static uint64_t ask_read(uint32_t id, uint32_t stream, uint64_t offset, uint32_t max, uint32_t wait_ms)
{
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__Read read = OCU__AGENT__READ__INIT;

	read.process_id = id;
	read.stream = stream;
	read.offset = offset;
	read.max_bytes = max;
	read.wait_ms = wait_ms;
	r.op_case = OCU__AGENT__REQUEST__OP_READ;
	r.read = &read;
	return guest_send(&g, &r);
}

static Ocu__Agent__Reply *answer_to(uint64_t request)
{
	Ocu__Agent__Reply *r = guest_receive(&g);

	ck_assert_ptr_nonnull(r);
	ck_assert_uint_eq(r->id, request);
	return r;
}

static Ocu__Agent__Reply *read_at(uint32_t id, uint32_t stream, uint64_t offset, uint32_t max,
                                  uint32_t wait_ms)
{
	return answer_to(ask_read(id, stream, offset, max, wait_ms));
}

static int write_to(uint32_t id, const char *text, int close_it)
{
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__Write write = OCU__AGENT__WRITE__INIT;
	Ocu__Agent__Reply *reply;
	int accepted;

	write.process_id = id;
	write.data.data = (uint8_t *)text;
	write.data.len = strlen(text);
	write.close = close_it;
	r.op_case = OCU__AGENT__REQUEST__OP_WRITE;
	r.write = &write;
	reply = guest_call(&g, &r);
	accepted = reply->code ? -(int)reply->code : (int)reply->write->accepted;
	guest_free(reply);
	return accepted;
}

static Ocu__Agent__Reply *wait_for(uint32_t id, uint32_t wait_ms)
{
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__Wait wait = OCU__AGENT__WAIT__INIT;

	wait.process_id = id;
	wait.wait_ms = wait_ms;
	r.op_case = OCU__AGENT__REQUEST__OP_WAIT;
	r.wait = &wait;
	return guest_call(&g, &r);
}

static int signal_to(uint32_t id, uint32_t sig)
{
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__Signal s = OCU__AGENT__SIGNAL__INIT;
	Ocu__Agent__Reply *reply;
	int code;

	s.process_id = id;
	s.signal = sig;
	r.op_case = OCU__AGENT__REQUEST__OP_SIGNAL;
	r.signal = &s;
	reply = guest_call(&g, &r);
	code = (int)reply->code;
	guest_free(reply);
	return code;
}

static int resize(uint32_t id, uint32_t rows, uint32_t cols)
{
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__Resize s = OCU__AGENT__RESIZE__INIT;
	Ocu__Agent__Reply *reply;
	int code;

	s.process_id = id;
	s.rows = rows;
	s.cols = cols;
	r.op_case = OCU__AGENT__REQUEST__OP_RESIZE;
	r.resize = &s;
	reply = guest_call(&g, &r);
	code = (int)reply->code;
	guest_free(reply);
	return code;
}

/* Reads stream 1 from offset until `want` has been seen; the number of bytes read by then. */
static uint64_t read_until(uint32_t id, uint64_t offset, const char *want)
{
	char text[8192] = "";
	size_t len = 0;

	while (!strstr(text, want)) {
		Ocu__Agent__Reply *r = read_at(id, 1, offset, 1024, WAIT_MS);

		ck_assert_int_eq(r->code, 0);
		ck_assert_msg(r->read->data.len > 0, "\"%s\" never came; there was \"%s\"", want, text);
		ck_assert_uint_lt(len + r->read->data.len, sizeof text);
		memcpy(text + len, r->read->data.data, r->read->data.len);
		len += r->read->data.len;
		text[len] = 0;
		offset += r->read->data.len;
		guest_free(r);
	}
	return offset;
}

START_TEST(reads_by_offset)
{
	uint32_t id = start("echo one; read x; echo two $x; echo bad >&2", 0);
	Ocu__Agent__Reply *r;

	ck_assert_uint_eq(read_until(id, 0, "one\n"), 4);
	/* The same bytes again, and a part of them. */
	r = read_at(id, 1, 1, 2, 0);
	ck_assert(guest_said(&r->read->data, "ne"));
	ck_assert_uint_eq(r->read->offset, 1);
	ck_assert(!r->read->eof);
	guest_free(r);
	r = read_at(id, 1, 4, 100, 0);
	ck_assert_uint_eq(r->read->data.len, 0);
	guest_free(r);
	ck_assert_int_eq(write_to(id, "line\n", 0), 5);
	ck_assert_uint_eq(read_until(id, 4, "two line\n"), 13);
	r = wait_for(id, WAIT_MS);
	ck_assert(r->wait->exited);
	ck_assert_uint_eq(r->wait->exit_code, 0);
	guest_free(r);
	r = read_at(id, 1, 13, 100, WAIT_MS);
	ck_assert_uint_eq(r->read->data.len, 0);
	ck_assert(r->read->eof);
	guest_free(r);
	r = read_at(id, 2, 0, 100, WAIT_MS);
	ck_assert(guest_said(&r->read->data, "bad\n"));
	ck_assert(r->read->eof);
	guest_free(r);
	r = read_at(id, 1, 14, 100, 0);
	ck_assert_int_eq(r->code, OCU__AGENT__CODE__PARAMS);
	guest_free(r);
}
END_TEST

START_TEST(a_ring_keeps_the_last_and_says_what_is_gone)
{
	/* Lines of 16 bytes, numbered; 4 MiB of them. */
	uint32_t id = start("seq -f '%015.0f' 0 262143", 0);
	Ocu__Agent__Reply *r = wait_for(id, WAIT_MS);
	const uint64_t total = 262144ull * 16;

	ck_assert(r->wait->exited);
	guest_free(r);
	r = read_at(id, 1, 0, 1 << 20, WAIT_MS);
	ck_assert_uint_eq(r->read->dropped, total - PROC_RING);
	ck_assert_uint_eq(r->read->offset, total - PROC_RING);
	ck_assert_uint_eq(r->read->data.len, PROC_RING);
	ck_assert(r->read->eof);
	for (uint64_t i = 0; i < PROC_RING / 16; i += 1021) {
		char want[32];

		snprintf(want, sizeof want, "%015" PRIu64 "\n", r->read->offset / 16 + i);
		ck_assert_mem_eq(r->read->data.data + i * 16, want, 16);
	}
	guest_free(r);
}
END_TEST

START_TEST(a_read_waits_for_its_first_byte)
{
	uint32_t id = start("read x; echo late", 0);
	Ocu__Agent__Reply *r = read_at(id, 1, 0, 100, 100);
	uint64_t asked;

	ck_assert_uint_eq(r->read->data.len, 0);
	ck_assert(!r->read->eof);
	guest_free(r);
	asked = ask_read(id, 1, 0, 100, WAIT_MS);
	ck_assert_int_eq(write_to(id, "\n", 0), 1);
	r = answer_to(asked);
	ck_assert(guest_said(&r->read->data, "late\n"));
	guest_free(r);
}
END_TEST

START_TEST(a_wait_has_its_time)
{
	uint32_t id = start("exec cat", 0);
	Ocu__Agent__Reply *r = wait_for(id, 50);

	ck_assert(!r->wait->exited);
	guest_free(r);
	ck_assert_int_eq(signal_to(id, SIGTERM), 0);
	r = wait_for(id, WAIT_MS);
	ck_assert(r->wait->exited);
	ck_assert_uint_eq(r->wait->signal, SIGTERM);
	ck_assert_uint_eq(r->wait->exit_code, 143);
	guest_free(r);
	ck_assert_int_eq(signal_to(id, SIGTERM), OCU__AGENT__CODE__WRONG_STATE);
	ck_assert_int_eq(signal_to(id, 0), OCU__AGENT__CODE__PARAMS);
	ck_assert_int_eq(signal_to(id, 1000), OCU__AGENT__CODE__PARAMS);
}
END_TEST

START_TEST(input_ends_when_told)
{
	uint32_t id = start("cat; echo end", 0);

	ck_assert_int_eq(write_to(id, "some ", 0), 5);
	ck_assert_int_eq(write_to(id, "more\n", 1), 5);
	read_until(id, 0, "some more\nend\n");
	guest_free(wait_for(id, WAIT_MS));
	ck_assert_int_eq(write_to(id, "x", 0), -(int)OCU__AGENT__CODE__WRONG_STATE);
}
END_TEST

START_TEST(input_nobody_reads_is_bounded)
{
	uint32_t id = start("while echo; do sleep 0.2; done", 0);
	char *big = malloc(200001);
	int accepted = 0, n;

	memset(big, 'x', 200000);
	big[200000] = 0;
	do {
		n = write_to(id, big, 0);
		ck_assert_int_ge(n, 0);
		accepted += n;
	} while (n > 0);
	/* What the pipe takes and what the agent keeps. */
	ck_assert_int_ge(accepted, (int)PROC_INPUT_MAX);
	ck_assert_int_le(accepted, (int)PROC_INPUT_MAX + (1 << 20));
	free(big);
}
END_TEST

START_TEST(a_terminal_is_one)
{
	uint32_t id = start("tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo three; trap 'stty "
	                    "size; exit' WINCH; "
	                    "echo go; while :; do sleep 0.1; done",
	                    1);

	read_until(id, 0, "30 99\r\nthree\r\ngo\r\n");
	ck_assert_int_eq(resize(id, 40, 120), 0);
	read_until(id, 0, "40 120\r\n");
	ck_assert_int_eq(resize(id, 0, 120), OCU__AGENT__CODE__PARAMS);
	guest_free(wait_for(id, WAIT_MS));
}
END_TEST

START_TEST(a_terminal_interrupts)
{
	/* cat answers, so it runs: a shell puts an interrupt off while it starts a program. */
	uint32_t id = start("exec cat", 1);
	Ocu__Agent__Reply *r;

	ck_assert_int_eq(write_to(id, "hi\n", 0), 3);
	read_until(id, 0, "hi\r\nhi\r\n");
	ck_assert_int_eq(write_to(id, "\003", 0), 1);
	r = wait_for(id, WAIT_MS);
	ck_assert(r->wait->exited);
	ck_assert_uint_eq(r->wait->signal, SIGINT);
	guest_free(r);
	r = read_at(id, 1, 0, 100, WAIT_MS);
	ck_assert(r->read->eof);
	guest_free(r);
}
END_TEST

START_TEST(unknown_ones_are_said)
{
	Ocu__Agent__Reply *r = read_at(77, 1, 0, 1, 0);

	ck_assert_int_eq(r->code, OCU__AGENT__CODE__NOT_FOUND);
	guest_free(r);
	ck_assert_int_eq(signal_to(77, 9), OCU__AGENT__CODE__NOT_FOUND);
	ck_assert_int_eq(write_to(77, "x", 0), -(int)OCU__AGENT__CODE__NOT_FOUND);
	ck_assert_int_eq(resize(start("exec cat", 0), 10, 10), OCU__AGENT__CODE__WRONG_STATE);
	r = read_at(start("exec cat", 0), 3, 0, 1, 0);
	ck_assert_int_eq(r->code, OCU__AGENT__CODE__PARAMS);
	guest_free(r);
}
END_TEST

START_TEST(the_table_is_bounded)
{
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__Start s = OCU__AGENT__START__INIT;
	char *argv[] = {(char *)"cat"};
	Ocu__Agent__Reply *reply;
	uint32_t ended = start("true", 0);

	guest_free(wait_for(ended, WAIT_MS));
	for (int i = 1; i < PROC_TABLE_MAX; i++)
		start("exec cat", 0);
	/* The one that has ended gives way. */
	start("exec cat", 0);
	reply = wait_for(ended, 0);
	ck_assert_int_eq(reply->code, OCU__AGENT__CODE__NOT_FOUND);
	guest_free(reply);
	s.argv = argv;
	s.n_argv = 1;
	s.cwd = (char *)"/";
	r.op_case = OCU__AGENT__REQUEST__OP_START;
	r.start = &s;
	reply = guest_call(&g, &r);
	ck_assert_int_eq(reply->code, OCU__AGENT__CODE__BUSY);
	guest_free(reply);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sandboxd_guest_background");
	TCase *t = tcase_create("background");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, reads_by_offset);
	tcase_add_test(t, a_ring_keeps_the_last_and_says_what_is_gone);
	tcase_add_test(t, a_read_waits_for_its_first_byte);
	tcase_add_test(t, a_wait_has_its_time);
	tcase_add_test(t, input_ends_when_told);
	tcase_add_test(t, input_nobody_reads_is_bounded);
	tcase_add_test(t, a_terminal_is_one);
	tcase_add_test(t, a_terminal_interrupts);
	tcase_add_test(t, unknown_ones_are_said);
	tcase_add_test(t, the_table_is_bounded);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
