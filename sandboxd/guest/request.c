/* request: see request.h. */
#include "sandboxd/guest/request.h"

#include <stdlib.h>
#include <string.h>

#include "sandboxd/guest/channel.h"
#include "sandboxd/guest/fail.h"
#include "sandboxd/guest/files.h"
#include "sandboxd/guest/proc.h"

/* The session's token: what the agent proves the session with when asked to. It stays in this process, which
 * no program of the sandbox can read (not dumpable, no capabilities), and is wiped when a newer one comes. */
static char *session_jwt;

static int take_token(uint64_t request, const Ocu__Agent__Token *t, struct fail *f)
{
	Ocu__Agent__Reply r = OCU__AGENT__REPLY__INIT;
	char *copy = strdup(t->session_jwt);

	if (!copy)
		return fail_set(f, FAIL_NO_MEMORY, "out of memory");
	if (session_jwt)
		explicit_bzero(session_jwt, strlen(session_jwt));
	free(session_jwt);
	session_jwt = copy;
	r.id = request;
	channel_reply(&r);
	return 0;
}

void request_handle(const Ocu__Agent__Request *r)
{
	struct fail f = {0};
	int rc;

	switch (r->op_case) {
#define ROW(name, member, call)                                                                              \
	case OCU__AGENT__REQUEST__OP_##name:                                                                 \
		rc = call(r->id, r->member, &f);                                                             \
		break
		ROW(RUN, run, proc_run);
		ROW(VIEW, view, files_view);
		ROW(CREATE_FILE, create_file, files_create);
		ROW(STR_REPLACE, str_replace, files_str_replace);
		ROW(START, start, proc_start);
		ROW(READ, read, proc_read);
		ROW(WRITE, write, proc_write);
		ROW(SIGNAL, signal, proc_signal);
		ROW(RESIZE, resize, proc_resize);
		ROW(WAIT, wait, proc_wait);
		ROW(CANCEL, cancel, proc_cancel);
		ROW(TOKEN, token, take_token);
#undef ROW
	default:
		rc = fail_set(&f, FAIL_UNKNOWN_REQUEST, "unknown request");
	}
	if (rc < 0)
		channel_fail(r->id, &f);
}
