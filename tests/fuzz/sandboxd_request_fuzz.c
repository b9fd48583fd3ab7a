/* What the guest agent makes of a request: the file tools and the steering of programs, with any content.
 * Programs are not started, and paths stay inside a folder of the fuzzer's own. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandboxd/guest/channel.h"
#include "sandboxd/guest/frame.h"
#include "sandboxd/guest/loop.h"
#include "sandboxd/guest/proc.h"
#include "sandboxd/guest/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int host;
static char dir[] = "/tmp/ocu-request-fuzz-XXXXXX";

static void clean_up(void)
{
	static const char *const names[] = {"a", "b", "c/d", "c", ""};
	char path[64];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		remove(path);
	}
}

static void start(void)
{
	int ends[2];

	if (!mkdtemp(dir) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 ||
	    loop_init() < 0 || channel_init(ends[0], dup(ends[0]), request_handle) < 0)
		abort();
	host = ends[1];
	atexit(clean_up);
}

/* Every path becomes one of a few in the folder. */
static void tame(char **path)
{
	static const char *const names[] = {"a", "b", "c/d", "c", "."};
	char text[64];

	snprintf(text, sizeof text, "%s/%s", dir, names[strlen(*path) % 5]);
	if (*path != protobuf_c_empty_string)
		free(*path);
	*path = strdup(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Ocu__Agent__Request *r;
	static char drop[1 << 16];

	if (!host)
		start();
	r = (Ocu__Agent__Request *)frame_unpack(&ocu__agent__request__descriptor, data, size);
	/* The agent ends over the one, and never gets here with the other. */
	if (!r || r->id == 0) {
		if (r)
			ocu__agent__request__free_unpacked(r, NULL);
		return 0;
	}
	if (r->op_case == OCU__AGENT__REQUEST__OP_VIEW)
		tame(&r->view->path);
	else if (r->op_case == OCU__AGENT__REQUEST__OP_CREATE_FILE)
		tame(&r->create_file->path);
	else if (r->op_case == OCU__AGENT__REQUEST__OP_STR_REPLACE)
		tame(&r->str_replace->path);
	if (r->op_case != OCU__AGENT__REQUEST__OP_RUN && r->op_case != OCU__AGENT__REQUEST__OP_START)
		request_handle(r);
	ocu__agent__request__free_unpacked(r, NULL);
	while (recv(host, drop, sizeof drop, MSG_DONTWAIT) > 0) {
	}
	return 0;
}
