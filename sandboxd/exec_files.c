/* exec_files: View, CreateFile and StrReplace, done by the guest agent in the guest's own view of its files.
 */
#include <string.h>

#include "libocu/ocsf.h"
#include "proto/exec.pb-c.h"
#include "proto/methods.h"
#include "sandboxd/evidence.h"
#include "sandboxd/exec.h"

#define OCSF_READ   2
#define OCSF_CREATE 1
#define OCSF_UPDATE 3
#define VIEW_MAX    (1u << 20)
#define FILE_MS     60000 /* the workspace's server may be slow; a guest that is silent for longer has ended */

static int check_path(const char *path, struct ocu_error *err)
{
	if (path[0] != '/' || strlen(path) >= EXEC_PATH_MAX)
		return ocu_error_set(err, OCU_E_PARAMS,
		                     "the path must be absolute and shorter than 4096 bytes");
	return 0;
}

static void record_path(json_t *d, const char *path)
{
	json_object_set_new(d, "path", evidence_text(path, strlen(path), 1024, NULL));
}

static void record_size(json_t *d, const char *name, uint64_t n)
{
	json_object_set_new(d, name, json_integer((json_int_t)n));
}

/* --- View --- */

static struct tool_head view_head(const ProtobufCMessage *req)
{
	const Ocu__Exec__ViewRequest *q = (const Ocu__Exec__ViewRequest *)req;

	return (struct tool_head){q->grant, q->call_id, NULL, NULL};
}

static int view_check(const ProtobufCMessage *req, struct ocu_error *err)
{
	const Ocu__Exec__ViewRequest *q = (const Ocu__Exec__ViewRequest *)req;

	if (q->first_line < 0 || q->last_line < -1 || (q->last_line > 0 && q->last_line < q->first_line))
		return ocu_error_set(err, OCU_E_PARAMS, "the range of lines is not one");
	if (q->max_bytes > VIEW_MAX)
		return ocu_error_set(err, OCU_E_PARAMS, "max_bytes is at most 1 MiB");
	return check_path(q->path, err);
}

static int view_ask(struct tool *t, struct ocu_error *err)
{
	const Ocu__Exec__ViewRequest *q = (const Ocu__Exec__ViewRequest *)t->req;
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__View view = OCU__AGENT__VIEW__INIT;

	view.path = q->path;
	view.first_line = (uint32_t)q->first_line;
	view.last_line = q->last_line > 0 ? (uint32_t)q->last_line : 0;
	view.max_bytes = q->max_bytes ? q->max_bytes : VIEW_MAX;
	r.op_case = OCU__AGENT__REQUEST__OP_VIEW;
	r.view = &view;
	return tool_ask(t, &r, view.max_bytes, FILE_MS, err);
}

static void view_answer(struct tool *t, const Ocu__Agent__Reply *r)
{
	const Ocu__Exec__ViewRequest *q = (const Ocu__Exec__ViewRequest *)t->req;
	Ocu__Exec__ViewReply reply = OCU__EXEC__VIEW_REPLY__INIT;

	reply.first_line = q->first_line > 1 ? (uint32_t)q->first_line : 1;
	reply.content = r->view->content;
	reply.is_directory = r->view->is_directory;
	reply.total_lines = r->view->total_lines;
	reply.size = r->view->size;
	reply.truncated = r->view->truncated;
	ocu_rpc_reply(t->call, &reply.base);
}

static void view_record(const struct tool *t, const Ocu__Agent__Reply *r, json_t *d)
{
	const Ocu__Exec__ViewRequest *q = (const Ocu__Exec__ViewRequest *)t->req;

	record_path(d, q->path);
	if (r)
		record_size(d, "bytes", r->view->content.len);
}

const struct tool_kind exec_view_kind = {
    .method = &ocu_m_exec_view,
    .name = "view",
    .action = "tool.call",
    .class_uid = OCU_OCSF_API_ACTIVITY,
    .activity_id = OCSF_READ,
    .takes_turns = true,
    .expect = OCU__AGENT__REPLY__RESULT_VIEW,
    .head = view_head,
    .check = view_check,
    .ask = view_ask,
    .answer = view_answer,
    .record = view_record,
};

/* --- CreateFile --- */

static struct tool_head create_head(const ProtobufCMessage *req)
{
	const Ocu__Exec__CreateFileRequest *q = (const Ocu__Exec__CreateFileRequest *)req;

	return (struct tool_head){q->grant, q->call_id, NULL, q->description};
}

static int create_check(const ProtobufCMessage *req, struct ocu_error *err)
{
	const Ocu__Exec__CreateFileRequest *q = (const Ocu__Exec__CreateFileRequest *)req;

	if (q->content.len > EXEC_COMMAND_MAX)
		return ocu_error_set(err, OCU_E_TOO_LARGE, "the content is longer than 256 KiB");
	return check_path(q->path, err);
}

static int create_ask(struct tool *t, struct ocu_error *err)
{
	const Ocu__Exec__CreateFileRequest *q = (const Ocu__Exec__CreateFileRequest *)t->req;
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__CreateFile create = OCU__AGENT__CREATE_FILE__INIT;

	create.path = q->path;
	create.content = q->content;
	r.op_case = OCU__AGENT__REQUEST__OP_CREATE_FILE;
	r.create_file = &create;
	return tool_ask(t, &r, 0, FILE_MS, err);
}

static void create_answer(struct tool *t, const Ocu__Agent__Reply *r)
{
	Ocu__Exec__CreateFileReply reply = OCU__EXEC__CREATE_FILE_REPLY__INIT;

	reply.size = r->create_file->size;
	reply.replaced = r->create_file->replaced;
	ocu_rpc_reply(t->call, &reply.base);
}

static void create_record(const struct tool *t, const Ocu__Agent__Reply *r, json_t *d)
{
	const Ocu__Exec__CreateFileRequest *q = (const Ocu__Exec__CreateFileRequest *)t->req;

	record_path(d, q->path);
	record_size(d, "bytes", q->content.len);
	if (r)
		json_object_set_new(d, "replaced", json_boolean(r->create_file->replaced));
}

const struct tool_kind exec_create_file_kind = {
    .method = &ocu_m_exec_create_file,
    .name = "create_file",
    .action = "tool.call",
    .class_uid = OCU_OCSF_API_ACTIVITY,
    .activity_id = OCSF_CREATE,
    .takes_turns = true,
    .expect = OCU__AGENT__REPLY__RESULT_CREATE_FILE,
    .head = create_head,
    .check = create_check,
    .ask = create_ask,
    .answer = create_answer,
    .record = create_record,
};

/* --- StrReplace --- */

static struct tool_head replace_head(const ProtobufCMessage *req)
{
	const Ocu__Exec__StrReplaceRequest *q = (const Ocu__Exec__StrReplaceRequest *)req;

	return (struct tool_head){q->grant, q->call_id, NULL, q->description};
}

static int replace_check(const ProtobufCMessage *req, struct ocu_error *err)
{
	const Ocu__Exec__StrReplaceRequest *q = (const Ocu__Exec__StrReplaceRequest *)req;

	if (q->old_str.len > EXEC_COMMAND_MAX || q->new_str.len > EXEC_COMMAND_MAX)
		return ocu_error_set(err, OCU_E_TOO_LARGE, "old_str and new_str are at most 256 KiB each");
	if (q->old_str.len == 0)
		return ocu_error_set(err, OCU_E_PARAMS, "old_str is empty");
	return check_path(q->path, err);
}

static int replace_ask(struct tool *t, struct ocu_error *err)
{
	const Ocu__Exec__StrReplaceRequest *q = (const Ocu__Exec__StrReplaceRequest *)t->req;
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__StrReplace replace = OCU__AGENT__STR_REPLACE__INIT;

	replace.path = q->path;
	replace.old_str = q->old_str;
	replace.new_str = q->new_str;
	r.op_case = OCU__AGENT__REQUEST__OP_STR_REPLACE;
	r.str_replace = &replace;
	return tool_ask(t, &r, 0, FILE_MS, err);
}

static void replace_answer(struct tool *t, const Ocu__Agent__Reply *r)
{
	Ocu__Exec__StrReplaceReply reply = OCU__EXEC__STR_REPLACE_REPLY__INIT;

	reply.line = r->str_replace->line;
	reply.size = r->str_replace->size;
	ocu_rpc_reply(t->call, &reply.base);
}

static void replace_record(const struct tool *t, const Ocu__Agent__Reply *r, json_t *d)
{
	const Ocu__Exec__StrReplaceRequest *q = (const Ocu__Exec__StrReplaceRequest *)t->req;

	record_path(d, q->path);
	record_size(d, "old_bytes", q->old_str.len);
	record_size(d, "new_bytes", q->new_str.len);
	if (r)
		record_size(d, "line", r->str_replace->line);
}

const struct tool_kind exec_str_replace_kind = {
    .method = &ocu_m_exec_str_replace,
    .name = "str_replace",
    .action = "tool.call",
    .class_uid = OCU_OCSF_API_ACTIVITY,
    .activity_id = OCSF_UPDATE,
    .takes_turns = true,
    .expect = OCU__AGENT__REPLY__RESULT_STR_REPLACE,
    .head = replace_head,
    .check = replace_check,
    .ask = replace_ask,
    .answer = replace_answer,
    .record = replace_record,
};
