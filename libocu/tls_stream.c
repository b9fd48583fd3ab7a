/*
 * tls_stream: how a dropped operation is told from one that completed. nng starts an operation, and marks the
 * aio with NNG_ECANCELED when that is dropped; a started operation on a TLS stream enters the engine on the
 * same thread before anything else can happen to it, because a stream has at most one send and one receive at
 * a time. So "not entered and NNG_ECANCELED" is a drop. It is completed with NNG_ECONNRESET: NNG_ECLOSED
 * would stop a listener for good.
 */
#include "libocu/tls_stream.h"

#include <dlfcn.h>
#include <nng/nng.h>
#include <pthread.h>
#include <stdlib.h>

static _Thread_local struct {
	unsigned depth; /* of the two functions */
	bool entered;   /* the engine was, during the outermost of them */
	bool *cut;      /* not NULL: the engine is running */
} here;

typedef void stream_fn(nng_stream *, nng_aio *);

static struct {
	pthread_once_t once;
	stream_fn *send, *recv;
} next = {.once = PTHREAD_ONCE_INIT};

static void find_next(void)
{
	next.send = (stream_fn *)dlsym(RTLD_NEXT, "nng_stream_send");
	next.recv = (stream_fn *)dlsym(RTLD_NEXT, "nng_stream_recv");
	if (!next.send || !next.recv)
		abort(); /* not linked with libnng at all */
}

void ocu_tls_stream_enter(bool *cut)
{
	here.cut = cut;
	here.entered = true;
}

void ocu_tls_stream_leave(void)
{
	here.cut = NULL;
}

bool ocu_tls_stream_inside(void)
{
	return here.depth > 0;
}

static void pass(stream_fn *fn, nng_stream *stream, nng_aio *aio)
{
	bool *cut = here.cut;

	if (cut) {
		fn(stream, aio);
		*cut |= nng_aio_result(aio) == NNG_ECANCELED;
		return;
	}
	here.entered = false;
	here.depth++;
	fn(stream, aio);
	here.depth--;
	if (!here.entered && nng_aio_result(aio) == NNG_ECANCELED)
		nng_aio_finish(aio, NNG_ECONNRESET);
}

void nng_stream_send(nng_stream *stream, nng_aio *aio)
{
	pthread_once(&next.once, find_next);
	pass(next.send, stream, aio);
}

void nng_stream_recv(nng_stream *stream, nng_aio *aio)
{
	pthread_once(&next.once, find_next);
	pass(next.recv, stream, aio);
}
