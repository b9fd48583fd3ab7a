/*
 * ocu-guest-agent: PID 1 of a sandbox. Its one way to the outside are two pipes, descriptors 0 and 1, whose
 * other ends sandboxd holds; nobody in the sandbox can open another. It runs programs and handles files on
 * request, looks after everything that is orphaned in the sandbox, and ends, and the sandbox with it, when
 * descriptor 0 does. It is in the same room as what it runs, so nobody outside believes it anything: the host
 * bounds, times and records it.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandboxd/guest/channel.h"
#include "sandboxd/guest/confine.h"
#include "sandboxd/guest/loop.h"
#include "sandboxd/guest/proc.h"
#include "sandboxd/guest/request.h"

#define EXIT_SETUP 70

/* Descriptors 1 and 2 go nowhere: whatever the runtime left there is not the sandbox's, and no pipe end of a
 * program must ever get their numbers. */
static int discard_output(void)
{
	int fd = open("/dev/null", O_RDWR);

	if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
		return -1;
	if (fd > 2)
		close(fd);
	return 0;
}

static int default_signals(void)
{
	const struct sigaction dflt = {.sa_handler = SIG_DFL};

	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &dflt, NULL);
	return 0;
}

static void say_hello(int landlock_abi)
{
	Ocu__Agent__Reply r = OCU__AGENT__REPLY__INIT;
	Ocu__Agent__Hello hello = OCU__AGENT__HELLO__INIT;

	hello.version = 1;
	hello.landlock_abi = (uint32_t)landlock_abi;
	r.result_case = OCU__AGENT__REPLY__RESULT_HELLO;
	r.hello = &hello;
	channel_reply(&r);
}

int main(void)
{
	int abi, out = fcntl(1, F_DUPFD_CLOEXEC, 3);

	umask(022);
	if (out < 0 || discard_output() < 0 || default_signals() < 0)
		return EXIT_SETUP;
	abi = confine();
	if (abi < 0 || loop_init() < 0 || proc_init() < 0 || channel_init(0, out, request_handle) < 0)
		return EXIT_SETUP;
	say_hello(abi);
	loop_run(proc_tick);
}
