/* Frames on the control descriptor: cut anywhere, too long, not what the schema says, larger in memory than
 * they look. shows: NFR-SEC-46, NFR-SEC-51, NFR-SEC-74 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/agent.pb-c.h"
#include "sandboxd/guest/frame.h"

static int ends[2];

static void setup(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
}

static void teardown(void)
{
	close(ends[0]);
	close(ends[1]);
}

START_TEST(frames_come_through_cut_anywhere)
{
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__Signal s = OCU__AGENT__SIGNAL__INIT;
	struct frame_reader in;
	unsigned char *frame;
	size_t len, got = 0;

	r.id = 1ull << 60;
	s.signal = 9;
	s.process_id = 3;
	r.op_case = OCU__AGENT__REQUEST__OP_SIGNAL;
	r.signal = &s;
	frame = frame_pack(&r.base, FRAME_REQUEST_MAX, &len);
	frame_reader_init(&in, FRAME_REQUEST_MAX);
	for (size_t i = 0; i < 100 * len; i++) {
		const unsigned char *data;
		size_t n;

		ck_assert_int_eq(write(ends[1], &frame[i % len], 1), 1);
		ck_assert_int_eq(frame_reader_fill(&in, ends[0]), 1);
		if (frame_reader_next(&in, &data, &n) == 1) {
			Ocu__Agent__Request *back =
			    (Ocu__Agent__Request *)frame_unpack(&ocu__agent__request__descriptor, data, n);

			ck_assert_ptr_nonnull(back);
			ck_assert_uint_eq(back->id, r.id);
			ck_assert_uint_eq(back->signal->signal, 9);
			ocu__agent__request__free_unpacked(back, NULL);
			got++;
		}
	}
	ck_assert_uint_eq(got, 100);
	ck_assert_int_eq(frame_reader_fill(&in, ends[0]), -EAGAIN);
	close(ends[1]);
	ck_assert_int_eq(frame_reader_fill(&in, ends[0]), 0);
	frame_reader_done(&in);
	free(frame);
	ends[1] = -1;
}
END_TEST

START_TEST(the_maximum_is_the_readers)
{
	static const unsigned char header[4] = {101, 0, 0, 0}, zero[4] = {0};
	const unsigned char *data;
	struct frame_reader in;
	size_t len;

	frame_reader_init(&in, 100);
	ck_assert_int_eq(write(ends[1], header, 4), 4);
	ck_assert_int_eq(frame_reader_fill(&in, ends[0]), 4);
	ck_assert_int_eq(frame_reader_next(&in, &data, &len), -1);
	in.max = 101;
	ck_assert_int_eq(frame_reader_next(&in, &data, &len), 0);
	frame_reader_done(&in);
	frame_reader_init(&in, 100);
	ck_assert_int_eq(write(ends[1], zero, 4), 4);
	frame_reader_fill(&in, ends[0]);
	ck_assert_int_eq(frame_reader_next(&in, &data, &len), -1);
	frame_reader_done(&in);
}
END_TEST

START_TEST(memory_is_given_back_after_a_large_frame)
{
	const size_t big = 4 << 20;
	unsigned char header[4] = {(unsigned char)big, (unsigned char)(big >> 8), (unsigned char)(big >> 16),
	                           0};
	unsigned char *zeros = calloc(1, 1 << 16);
	const unsigned char *data;
	struct frame_reader in;
	size_t len, sent = 0;

	frame_reader_init(&in, FRAME_REPLY_MAX);
	ck_assert_int_eq(write(ends[1], header, 4), 4);
	while (frame_reader_next(&in, &data, &len) == 0) {
		if (sent < big)
			sent += (size_t)write(ends[1], zeros, big - sent < 1 << 16 ? big - sent : 1 << 16);
		ck_assert_int_gt(frame_reader_fill(&in, ends[0]), 0);
		ck_assert_uint_le(in.cap, 2 * (in.len + FRAME_SMALL));
	}
	ck_assert_uint_eq(len, big);
	ck_assert_int_eq(write(ends[1], header, 4), 4);
	frame_reader_fill(&in, ends[0]);
	ck_assert_uint_le(in.cap, (uintmax_t)2 * FRAME_SMALL);
	frame_reader_done(&in);
	free(zeros);
}
END_TEST

START_TEST(unknown_fields_are_refused_at_any_depth)
{
	/* Reply{id:1}, then field 100; Reply{hello{version:1, field 100}}. */
	static const unsigned char top[] = {8, 1, 0xa0, 6, 1}, deep[] = {0x22, 5, 8, 1, 0xa0, 6, 1},
	                           fine[] = {0x22, 2, 8, 1};
	ProtobufCMessage *m;

	ck_assert_ptr_null(frame_unpack(&ocu__agent__reply__descriptor, top, sizeof top));
	ck_assert_ptr_null(frame_unpack(&ocu__agent__reply__descriptor, deep, sizeof deep));
	m = frame_unpack(&ocu__agent__reply__descriptor, fine, sizeof fine);
	ck_assert_ptr_nonnull(m);
	protobuf_c_message_free_unpacked(m, NULL);
}
END_TEST

/* A million tiny unknown fields would be a million allocations. */
START_TEST(small_bytes_do_not_become_much_memory)
{
	size_t len = 2 << 20;
	unsigned char *data = malloc(len);

	for (size_t i = 0; i + 1 < len; i += 2) {
		data[i] = 0x78; /* field 15, varint */
		data[i + 1] = 1;
	}
	ck_assert_ptr_null(frame_unpack(&ocu__agent__reply__descriptor, data, len));
	for (size_t i = 0; i + 1 < len; i += 2) {
		data[i] = 8; /* field 1 over and over: allowed by protobuf, and cheap */
		data[i + 1] = 1;
	}
	protobuf_c_message_free_unpacked(frame_unpack(&ocu__agent__reply__descriptor, data, len), NULL);
	free(data);
}
END_TEST

START_TEST(packing_keeps_the_maximum)
{
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	size_t len;

	ck_assert_ptr_null(frame_pack(&r.base, 100, &len)); /* nothing to say is no frame */
	r.id = 1;
	ck_assert_ptr_null(frame_pack(&r.base, 1, &len));
	free(frame_pack(&r.base, 2, &len));
	ck_assert_uint_eq(len, 6);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sandboxd_frame");
	TCase *t = tcase_create("frame");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, frames_come_through_cut_anywhere);
	tcase_add_test(t, the_maximum_is_the_readers);
	tcase_add_test(t, memory_is_given_back_after_a_large_frame);
	tcase_add_test(t, unknown_fields_are_refused_at_any_depth);
	tcase_add_test(t, small_bytes_do_not_become_much_memory);
	tcase_add_test(t, packing_keeps_the_maximum);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
