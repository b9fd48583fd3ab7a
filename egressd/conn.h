/*
 * conn: one connection of a guest, from accept to its close event.
 *
 *   FIRST     reading until the destination is known and named by the guest's own bytes   (inspect.c)
 *   RECORD    that the name will be asked for is on its way to the trail; nothing has been asked  (dial.c)
 *   RESOLVE   the name is being resolved                                                    (dial.c)
 *   COMMIT    the allow event is on its way to the trail; nothing has been dialled          (dial.c)
 *   DIAL      connecting to the checked address                                             (dial.c)
 *   RELAY     bytes go both ways, the guest's through the gate                              (relay.c)
 *   DENIED    the deny event is on its way; the answer waits for it                         (refuse.c)
 *   LINGER    the answer was sent; what the guest still sends is dropped                    (refuse.c)
 *
 * Owned by its edge and used by its worker only. conn_end() is the one way out of every state.
 */
#ifndef EGRESSD_CONN_H
#define EGRESSD_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "egressd/addr.h"
#include "egressd/edge.h"
#include "egressd/events.h"
#include "egressd/gate.h"
#include "egressd/host.h"
#include "egressd/lookup.h"
#include "libocu/err.h"
#include "libocu/id.h"

#define CONN_DIALS_MAX   4u                   /* addresses tried for one connection */
#define CONN_PENDING_MAX ((size_t)512 * 1024) /* bytes one direction may hold for a slow reader */
#define CONN_HELD_MAX    (16u << 20) /* all connections of a session together; beyond it reads are small */
#define CONN_READ_SMALL  4096u

enum conn_state {
	CONN_FIRST,
	CONN_RECORD,
	CONN_RESOLVE,
	CONN_COMMIT,
	CONN_DIAL,
	CONN_RELAY,
	CONN_DENIED,
	CONN_LINGER
};

/* How the guest asked. */
enum conn_via { VIA_REDIRECT, VIA_PROXY, VIA_CONNECT };

/* What an answer to the guest must look like. */
enum conn_speaks { SPEAKS_UNKNOWN, SPEAKS_TLS, SPEAKS_HTTP };

/* One direction. */
struct flow {
	struct ocu_buf pending; /* read, not yet written */
	size_t sent;            /* of pending */
	size_t counted;         /* of pending, in edge.held */
	uint64_t bytes;         /* written */
	bool eof;               /* the reader's end was seen */
	bool shut;              /* and passed on */
};

struct conn {
	struct grave grave;
	struct edge *edge;
	struct conn *next, **prev;
	enum conn_state state;
	enum conn_via via;
	enum conn_speaks speaks;
	struct watch guest, up;  /* fd -1: none */
	struct timer timer;      /* the state's */
	struct timer head_timer; /* armed while the beginning of something is held */
	uint64_t head_steps;     /* the gate's steps when it was armed */
	union addr asked;        /* where the guest connected to */
	char host[HOST_MAX + 1]; /* "": not known yet */
	uint16_t port;
	struct name *name; /* held; NULL for explicit destinations */
	int deny;          /* decided at accept; the answer awaits the first bytes */
	struct gate gate;
	struct ocu_buf first; /* head of a request to the explicit proxy */
	size_t first_seen;
	struct flow out, in; /* guest to upstream, upstream to guest */
	struct lookup_wait lookup;
	union addr addrs[CONN_DIALS_MAX];
	unsigned naddrs, dialled; /* the address under way is addrs[dialled - 1] */
	struct verdict verdict;
	bool committing; /* verdict is under way; the memory stays */
	bool ended;
	bool allowed; /* an allow event was submitted: a close event follows */
	struct ocu_error why;
	char trace[OCU_ID_MAX];
	uint64_t started_ns, started_ms;
};

/* Takes fd on success. -1: no memory. */
int conn_accept(struct edge *e, int fd);
/* Ends it: descriptors closed, memory buried, close event reported. why is a word for the event. */
void conn_end(struct conn *c, const char *why);
/* The same with resets instead of an orderly close. */
void conn_reset(struct conn *c, const char *why);
/* Cut by the operator or by a policy. */
void conn_cut(struct conn *c, int reason);
/* Only resets both sides, so that of many connections all are cut before the first is accounted for;
 * conn_cut() follows. */
void conn_sever(struct conn *c);
struct worker *conn_worker(const struct conn *c);
const struct limits *conn_limits(const struct conn *c);
void conn_timer(struct conn *c, unsigned ms); /* the state's timer, from now */
/* Writes "name:port", or the address when there is no name. */
#define CONN_TEXT_MAX (HOST_MAX + 8)
void conn_destination(const struct conn *c, char out[CONN_TEXT_MAX]);
const char *conn_via_name(const struct conn *c);

/* inspect.c */
void inspect_begin(struct conn *c);
void inspect_guest(struct conn *c); /* guest readable in FIRST */
void inspect_timeout(struct conn *c);
enum conn_speaks inspect_speaks(const struct conn *c, const char *data, size_t len);

/* dial.c */
void dial_begin(struct conn *c);
void dial_event(struct conn *c); /* upstream ready in DIAL */
void dial_timeout(struct conn *c);

/* relay.c */
void relay_begin(struct conn *c);
void relay_guest(struct conn *c, uint32_t events);
void relay_up(struct conn *c, uint32_t events);
void relay_timeout(struct conn *c);
bool relay_head_wait(const struct conn *c); /* the head timer should run */
void relay_uncount(struct conn *c);         /* its buffers go */

/* refuse.c */
/* Denies: event, then answer, then close. Not after bytes of the upstream went to the guest: then it only
 * cuts. */
void refuse(struct conn *c, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* A permitted connection that could not be made: reported as failure, answered, closed. */
void refuse_failed(struct conn *c, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void refuse_linger(struct conn *c); /* guest readable in LINGER */

#endif
