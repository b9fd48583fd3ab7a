/* exec: the table; see exec.h. */
#include "sandboxd/exec.h"

#include "proto/exec.pb-c.h"
#include "proto/methods.h"
#include "sandboxd/node.h"
#include "sandboxd/session.h"

#define HANDLER(name)                                                                                        \
	static void name(struct ocu_rpc_call *call, const ProtobufCMessage *req, void *arg)                  \
	{                                                                                                    \
		tool_accept(arg, &exec_##name##_kind, call, req);                                            \
	}
HANDLER(run)
HANDLER(view)
HANDLER(create_file)
HANDLER(str_replace)
HANDLER(start)
HANDLER(read)
HANDLER(write)
HANDLER(signal)
HANDLER(resize)
HANDLER(wait)

/* The call it ends has a record of its own, which says that it was cancelled. */
static void cancel(struct ocu_rpc_call *call, const ProtobufCMessage *req, void *arg)
{
	const Ocu__Exec__CancelRequest *q = (const Ocu__Exec__CancelRequest *)req;
	Ocu__Exec__CancelReply reply = OCU__EXEC__CANCEL_REPLY__INIT;
	struct ocu_error err = {0};
	struct grant grant = {0};
	struct session *s = tool_authorise(arg, q->grant, &grant, &err);

	if (!s) {
		ocu_rpc_fail(call, &err);
		return;
	}
	tool_cancel(s, q->call_id);
	session_unref(s);
	ocu_rpc_reply(call, &reply.base);
}

const struct ocu_rpc_entry exec_table[] = {
    {&ocu_m_exec_run, run},
    {&ocu_m_exec_view, view},
    {&ocu_m_exec_create_file, create_file},
    {&ocu_m_exec_str_replace, str_replace},
    {&ocu_m_exec_start, start},
    {&ocu_m_exec_read, read},
    {&ocu_m_exec_write, write},
    {&ocu_m_exec_signal, signal},
    {&ocu_m_exec_resize, resize},
    {&ocu_m_exec_wait, wait},
    {&ocu_m_exec_cancel, cancel},
    {NULL, NULL},
};
