/*
 * sockets: how many a sandbox may have. What waits in a socket is the host's memory, and not all of it is
 * counted as the sandbox's; so they are counted, in its network namespace. One whose sockets cannot be
 * counted may have any number.
 */
#ifndef OCU_SANDBOXD_SOCKETS_H
#define OCU_SANDBOXD_SOCKETS_H

#define SOCKETS_MAX       2048
#define SOCKETS_UNCOUNTED 3 /* looks in a row; what is short for a moment is not a sandbox's fault */

/* Called now and then for a process in the namespace, process being its folder in /proc, and a number that is
 * 0 at first: why the sandbox has to end, or NULL. A process that has ended is no reason. */
const char *sockets_look(const char *process, unsigned *uncounted);

#endif
