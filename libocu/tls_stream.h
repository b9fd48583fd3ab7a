/*
 * tls_stream: this program's own nng_stream_send() and nng_stream_recv(), which stand before libnng's for
 * libnng, too (its calls go through the dynamic symbol table). They pass everything on, and mend one thing:
 * libnng 1.5 to 1.10 drops an operation on an aio that was closed meanwhile without ever completing it. A
 * connection that is closed between two parts of a message then hangs nng's only reaper thread, and with it
 * every later close and reconnect of the process (github.com/nanomsg/nng issues 1543, 1813). Private to the
 * TLS engine.
 */
#ifndef OCU_TLS_STREAM_H
#define OCU_TLS_STREAM_H

#include <stdbool.h>

/* The engine brackets each of its calls with these. In between, an operation that nng dropped on the TCP
 * stream below sets *cut: that stream is dead, and nng would not say so. */
void ocu_tls_stream_enter(bool *cut);
void ocu_tls_stream_leave(void);
/* Whether this thread is in one of the two functions. The first call nng makes for a connection is: when it
 * is not, this program's functions do not stand before libnng's, and nothing may rely on them. */
bool ocu_tls_stream_inside(void);

#endif
