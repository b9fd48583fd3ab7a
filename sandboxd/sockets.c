/* sockets: see sockets.h. */
#include "sandboxd/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libocu/cleanup.h"

/* 0, or -errno; a process that has ended has no file, no process or no network to it. */
static int count(const char *process, unsigned long *ret)
{
	static const char head[] = "sockets: used ";
	char path[128], text[128] = "", *end;
	ssize_t n;

	snprintf(path, sizeof path, "%s/net/sockstat", process);
	OCU_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof text - 1);
	if (n < 0)
		return -errno;
	if (strncmp(text, head, sizeof head - 1) != 0)
		return -EIO;
	*ret = strtoul(text + sizeof head - 1, &end, 10);
	return end == text + sizeof head - 1 ? -EIO : 0;
}

const char *sockets_look(const char *process, unsigned *uncounted)
{
	unsigned long n = 0;
	int rc = count(process, &n);

	if (rc == 0 || rc == -ENOENT || rc == -ESRCH || rc == -ENXIO)
		*uncounted = 0;
	else if (++*uncounted >= SOCKETS_UNCOUNTED)
		return "its sockets could not be counted";
	return n > SOCKETS_MAX ? "had more sockets open than a sandbox may" : NULL;
}
