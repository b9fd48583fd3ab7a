/*
 * session: a sandbox as this node knows it, and the table of them. A session is found by its id, held by
 * reference, and in one of few states; every change of state happens under its lock and wakes whoever waits
 * for one.
 *
 *   STARTING -> RUNNING -> ENDING -> ENDED       ended: everything of it is gone but this record, which says
 * so in
 *         \________________/                     control.List until operatord stops the session
 */
#ifndef OCU_SANDBOXD_SESSION_H
#define OCU_SANDBOXD_SESSION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "libocu/err.h"
#include "libocu/id.h"
#include "sandboxd/netns.h"

struct agent;
struct node;
struct tool;

#define SESSION_SLOTS_MAX     16384
#define SESSION_ENDED_MAX     1024 /* records of ended sandboxes kept for control.List */
#define SESSION_QUEUE_MAX     32   /* tool calls waiting for their turn */
#define SESSION_CALL_IDS      1024 /* call ids remembered, to refuse one that comes again */
#define SESSION_CANCELLED_IDS 64   /* of calls whose cancellation came first */
#define SESSION_CALLER_MAX    256

enum session_state { SESSION_STARTING, SESSION_RUNNING, SESSION_ENDING, SESSION_ENDED };

struct session_limits {
	uint64_t memory_bytes, scratch_bytes;
	uint32_t cpu_percent, pids;
};

struct session {
	atomic_int refs;
	struct node *node;
	char id[OCU_ID_MAX], container[OCU_ID_MAX], filesystem[OCU_ID_MAX];
	char caller[SESSION_CALLER_MAX];
	char image[72];
	struct session_limits limits;
	int slot;
	uid_t guest_uid;

	pthread_mutex_t lock; /* all below */
	pthread_cond_t changed;
	enum session_state state;
	bool stop_asked;    /* whoever starts it gives up as soon as possible */
	bool files_lost;    /* brokerd ended, and the file system it served with it */
	bool lost;          /* it ended by itself while it started */
	bool edge_pending;  /* egressd has not (any more) got its sockets */
	bool killed;        /* it was an operator who asked */
	bool denied;        /* frozen because an operator denied it; its calls end with that reason */
	uint64_t denied_at; /* ocu_mono_ms */
	char why[128];      /* how it ended by itself */

	/* Made by the start, unmade by the end; -1 or NULL when not there. */
	struct netns_pair net;
	struct agent *agent;
	pid_t pid;
	int pidfd;
	bool staged, contained, files_mounted;
	bool greeted; /* the agent's hello has come, or its place was taken by hello_err */
	struct ocu_error hello_err;
	uint32_t landlock_abi;
	unsigned uncounted; /* sockets.h; the watch's alone */

	/* Tool calls: one runs, the others wait. See tool.c. */
	struct tool *running;
	struct tool *queue, **queue_last;
	unsigned queued;
	struct tool *beside; /* those that do not wait for a turn */
	uint64_t call_ids[SESSION_CALL_IDS];
	unsigned next_call_id;
	uint64_t cancelled_ids[SESSION_CANCELLED_IDS];
	unsigned next_cancelled_id;

	struct session *next; /* in its bucket */
};

struct sessions;

int sessions_new(struct sessions **ret, struct node *node, unsigned slots, uid_t uid_base,
                 struct ocu_error *err);
void sessions_free(struct sessions *t); /* all sessions have ended */

/* A new session in state STARTING with a slot (and so a range of uids) of its own, referenced twice: by the
 * table and by the caller. OCU_E_EXISTS, OCU_E_QUOTA when every slot is taken. */
int session_add(struct sessions *t, struct session **ret, const char *id, struct ocu_error *err);
/* A new reference, or NULL. */
struct session *session_find(struct sessions *t, const char *id);
/* Is a sandbox of this name known? */
bool sessions_know(struct sessions *t, const char *container);
/* Gives the slot back: everything of the sandbox is gone. */
void session_release_slot(struct session *s);
/* Takes the record out of the table. */
void session_forget(struct session *s);
struct session *session_ref(struct session *s);
void session_unref(struct session *s); /* NULL is fine */
/* Calls each with a reference held, without any lock; stops at a non-zero return. */
int sessions_each(struct sessions *t, int (*each)(void *arg, struct session *s), void *arg);
/* How many have a slot: they are being started, run, or are being ended. */
unsigned sessions_alive(struct sessions *t);

void session_set_state(struct session *s, enum session_state state);
enum session_state session_state(struct session *s);
/* Waits for any of the states of mask (1 << state); the state that is. */
enum session_state session_wait(struct session *s, unsigned mask);
/* RUNNING to ENDING, or STARTING to ENDING for the starter itself: true when the caller now owns the end. */
bool session_claim_end(struct session *s, enum session_state from);
/* Asks a start that is under way to give up. */
void session_ask_stop(struct session *s, bool killed);

#endif
