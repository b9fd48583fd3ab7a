/*
 * exec_steer: reading from, writing to and steering a background program. None of these waits behind a Run.
 * What changes the program (Write, Signal) is recorded like a tool call; asking about it is part of the call
 * that started it.
 */
#include <stdio.h>
#include <string.h>

#include "libocu/ocsf.h"
#include "proto/exec.pb-c.h"
#include "proto/methods.h"
#include "sandboxd/evidence.h"
#include "sandboxd/exec.h"

#define OCSF_OTHER 99
#define READ_MAX   (1u << 20)
#define LATE_MS    10000

/* Every request here begins with grant and process_id. */
#define HEAD(name, type)                                                                                     \
	static struct tool_head name(const ProtobufCMessage *req)                                            \
	{                                                                                                    \
		return (struct tool_head){((const type *)req)->grant, NULL, NULL, NULL};                     \
	}

static int check_nothing(const ProtobufCMessage *req, struct ocu_error *err)
{
	(void)req;
	(void)err;
	return 0;
}

static int check_wait(uint32_t wait_ms, struct ocu_error *err)
{
	return wait_ms > EXEC_WAIT_MAX_MS ? ocu_error_set(err, OCU_E_PARAMS, "wait_ms is at most one minute")
	                                  : 0;
}

/* --- Read --- */

HEAD(read_head, Ocu__Exec__ReadRequest)

static int read_check(const ProtobufCMessage *req, struct ocu_error *err)
{
	const Ocu__Exec__ReadRequest *q = (const Ocu__Exec__ReadRequest *)req;

	if (q->max_bytes > READ_MAX)
		return ocu_error_set(err, OCU_E_PARAMS, "max_bytes is at most 1 MiB");
	return check_wait(q->wait_ms, err);
}

static int read_ask(struct tool *t, struct ocu_error *err)
{
	const Ocu__Exec__ReadRequest *q = (const Ocu__Exec__ReadRequest *)t->req;
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__Read read = OCU__AGENT__READ__INIT;

	read.process_id = q->process_id;
	read.stream = q->stream;
	read.offset = q->offset;
	read.max_bytes = q->max_bytes ? q->max_bytes : READ_MAX;
	read.wait_ms = q->wait_ms;
	r.op_case = OCU__AGENT__REQUEST__OP_READ;
	r.read = &read;
	return tool_ask(t, &r, read.max_bytes, q->wait_ms + LATE_MS, err);
}

static void read_answer(struct tool *t, const Ocu__Agent__Reply *r)
{
	Ocu__Exec__ReadReply reply = OCU__EXEC__READ_REPLY__INIT;

	reply.data = r->read->data;
	reply.offset = r->read->offset;
	reply.dropped = r->read->dropped;
	reply.eof = r->read->eof;
	ocu_rpc_reply(t->call, &reply.base);
}

const struct tool_kind exec_read_kind = {
    .method = &ocu_m_exec_read,
    .name = "read",
    .expect = OCU__AGENT__REPLY__RESULT_READ,
    .head = read_head,
    .check = read_check,
    .ask = read_ask,
    .answer = read_answer,
};

/* --- Write --- */

HEAD(write_head, Ocu__Exec__WriteRequest)

static int write_check(const ProtobufCMessage *req, struct ocu_error *err)
{
	const Ocu__Exec__WriteRequest *q = (const Ocu__Exec__WriteRequest *)req;

	return q->data.len > EXEC_COMMAND_MAX
	           ? ocu_error_set(err, OCU_E_TOO_LARGE, "data is longer than 256 KiB")
	           : 0;
}

static int write_ask(struct tool *t, struct ocu_error *err)
{
	const Ocu__Exec__WriteRequest *q = (const Ocu__Exec__WriteRequest *)t->req;
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__Write write = OCU__AGENT__WRITE__INIT;

	write.process_id = q->process_id;
	write.data = q->data;
	write.close = q->close;
	r.op_case = OCU__AGENT__REQUEST__OP_WRITE;
	r.write = &write;
	return tool_ask(t, &r, 0, LATE_MS, err);
}

static void write_answer(struct tool *t, const Ocu__Agent__Reply *r)
{
	Ocu__Exec__WriteReply reply = OCU__EXEC__WRITE_REPLY__INIT;

	reply.accepted = r->write->accepted;
	ocu_rpc_reply(t->call, &reply.base);
}

static void write_record(const struct tool *t, const Ocu__Agent__Reply *r, json_t *d)
{
	const Ocu__Exec__WriteRequest *q = (const Ocu__Exec__WriteRequest *)t->req;
	int cut = 0;

	json_object_set_new(d, "process_id", json_integer(q->process_id));
	json_object_set_new(d, "input", evidence_text(q->data.data, q->data.len, EXEC_EVIDENCE_MAX, &cut));
	if (cut)
		json_object_set_new(d, "input_cut", json_true());
	json_object_set_new(d, "bytes", json_integer((json_int_t)q->data.len));
	if (r)
		json_object_set_new(d, "accepted", json_integer((json_int_t)r->write->accepted));
}

const struct tool_kind exec_write_kind = {
    .method = &ocu_m_exec_write,
    .name = "write",
    .action = "tool.input",
    .class_uid = OCU_OCSF_PROCESS_ACTIVITY,
    .activity_id = OCSF_OTHER,
    .expect = OCU__AGENT__REPLY__RESULT_WRITE,
    .head = write_head,
    .check = write_check,
    .ask = write_ask,
    .answer = write_answer,
    .record = write_record,
};

/* --- Signal --- */

HEAD(signal_head, Ocu__Exec__SignalRequest)

static int signal_ask(struct tool *t, struct ocu_error *err)
{
	const Ocu__Exec__SignalRequest *q = (const Ocu__Exec__SignalRequest *)t->req;
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__Signal signal = OCU__AGENT__SIGNAL__INIT;

	signal.process_id = q->process_id;
	signal.signal = q->signal;
	r.op_case = OCU__AGENT__REQUEST__OP_SIGNAL;
	r.signal = &signal;
	return tool_ask(t, &r, 0, LATE_MS, err);
}

static void signal_answer(struct tool *t, const Ocu__Agent__Reply *r)
{
	Ocu__Exec__SignalReply reply = OCU__EXEC__SIGNAL_REPLY__INIT;

	(void)r;
	ocu_rpc_reply(t->call, &reply.base);
}

static void signal_record(const struct tool *t, const Ocu__Agent__Reply *r, json_t *d)
{
	const Ocu__Exec__SignalRequest *q = (const Ocu__Exec__SignalRequest *)t->req;

	(void)r;
	json_object_set_new(d, "process_id", json_integer(q->process_id));
	json_object_set_new(d, "signal", json_integer(q->signal));
}

const struct tool_kind exec_signal_kind = {
    .method = &ocu_m_exec_signal,
    .name = "signal",
    .action = "tool.signal",
    .class_uid = OCU_OCSF_PROCESS_ACTIVITY,
    .activity_id = OCSF_OTHER,
    .expect = OCU__AGENT__REPLY__RESULT__NOT_SET,
    .head = signal_head,
    .check = check_nothing,
    .ask = signal_ask,
    .answer = signal_answer,
    .record = signal_record,
};

/* --- Resize --- */

HEAD(resize_head, Ocu__Exec__ResizeRequest)

static int resize_ask(struct tool *t, struct ocu_error *err)
{
	const Ocu__Exec__ResizeRequest *q = (const Ocu__Exec__ResizeRequest *)t->req;
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__Resize resize = OCU__AGENT__RESIZE__INIT;

	resize.process_id = q->process_id;
	resize.rows = q->rows;
	resize.cols = q->cols;
	r.op_case = OCU__AGENT__REQUEST__OP_RESIZE;
	r.resize = &resize;
	return tool_ask(t, &r, 0, LATE_MS, err);
}

static void resize_answer(struct tool *t, const Ocu__Agent__Reply *r)
{
	Ocu__Exec__ResizeReply reply = OCU__EXEC__RESIZE_REPLY__INIT;

	(void)r;
	ocu_rpc_reply(t->call, &reply.base);
}

const struct tool_kind exec_resize_kind = {
    .method = &ocu_m_exec_resize,
    .name = "resize",
    .expect = OCU__AGENT__REPLY__RESULT__NOT_SET,
    .head = resize_head,
    .check = check_nothing,
    .ask = resize_ask,
    .answer = resize_answer,
};

/* --- Wait --- */

HEAD(wait_head, Ocu__Exec__WaitRequest)

static int wait_check(const ProtobufCMessage *req, struct ocu_error *err)
{
	return check_wait(((const Ocu__Exec__WaitRequest *)req)->wait_ms, err);
}

static int wait_ask(struct tool *t, struct ocu_error *err)
{
	const Ocu__Exec__WaitRequest *q = (const Ocu__Exec__WaitRequest *)t->req;
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__Wait wait = OCU__AGENT__WAIT__INIT;

	wait.process_id = q->process_id;
	wait.wait_ms = q->wait_ms;
	r.op_case = OCU__AGENT__REQUEST__OP_WAIT;
	r.wait = &wait;
	return tool_ask(t, &r, 0, q->wait_ms + LATE_MS, err);
}

static void wait_answer(struct tool *t, const Ocu__Agent__Reply *r)
{
	Ocu__Exec__WaitReply reply = OCU__EXEC__WAIT_REPLY__INIT;

	reply.exited = r->wait->exited;
	reply.exit_code = (int32_t)(r->wait->exit_code & 0xff);
	reply.signal = r->wait->signal;
	ocu_rpc_reply(t->call, &reply.base);
}

const struct tool_kind exec_wait_kind = {
    .method = &ocu_m_exec_wait,
    .name = "wait",
    .expect = OCU__AGENT__REPLY__RESULT_WAIT,
    .head = wait_head,
    .check = wait_check,
    .ask = wait_ask,
    .answer = wait_answer,
};
