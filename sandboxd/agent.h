/*
 * agent: the host's end of the control channels. One thread reads all of them. A guest is believed nothing:
 * what it sends must be the answer to something it was asked, of the kind and size that answer may have, in
 * time. A guest that breaks this, floods or falls silent loses its channel: every call under way ends with an
 * error and `lost` is called once.
 */
#ifndef OCU_SANDBOXD_AGENT_H
#define OCU_SANDBOXD_AGENT_H

#include <stdint.h>

#include "proto/agent.pb-c.h"

struct agent;
struct agents;
struct ocu_error;

#define AGENT_CALLS_MAX 96         /* calls under way on one channel */
#define AGENT_QUEUE_MAX (4u << 20) /* bytes a guest has not yet read */

int agents_start(struct agents **ret, struct ocu_error *err);
void agents_stop(struct agents *as); /* after every agent was closed; NULL is fine */

/* The answer to a call, exactly once: reply when the guest answered without an error (it may be kept by
 * setting *reply to NULL, then freed with protobuf_c_message_free_unpacked), else err. Runs on the agents'
 * thread or on the thread that closes the agent; must not block. */
typedef void agent_done_fn(void *arg, Ocu__Agent__Reply **reply, const struct ocu_error *err);

/* Takes over the ends of two pipes that do not block, also on failure: `in` comes from the guest, `out` goes
 * to it. No socket: that would carry descriptors, and closing those is work of this process, which a guest
 * can make last. lost(owner, why) runs at most once, on the agents' thread, and must not block; it does not
 * run any more after agent_close() returned. The first thing expected is the guest's hello, within hello_ms.
 */
int agent_open(struct agent **ret, struct agents *as, int in, int out, unsigned hello_ms,
               agent_done_fn *hello, void (*lost)(void *owner, const char *why), void *owner,
               struct ocu_error *err);
struct agent *agent_ref(struct agent *a); /* keeps the memory; NULL is fine */
void agent_unref(struct agent *a);        /* NULL is fine */
/* Ends all calls under way with code and text, and the channel with them. May be called more than once. */
void agent_cut(struct agent *a, int code, const char *text);
void agent_close(struct agent *a); /* cut and free; NULL is fine */

struct agent_call {
	Ocu__Agent__Request *request;         /* id is set by agent_call() */
	Ocu__Agent__Reply__ResultCase expect; /* RESULT__NOT_SET: an empty answer */
	uint32_t reply_max;                   /* bytes its result may have */
	uint32_t deadline_ms;                 /* silence after that ends the guest */
	agent_done_fn *done;
	void *arg;
};

/* Sends now, or as soon as the guest reads; never blocks. Returns 0 when done will run (its id in *ret_id
 * when wanted), else OCU_E_SESSION_GONE, OCU_E_BUSY or OCU_E_NOMEM. */
int agent_call(struct agent *a, const struct agent_call *c, uint64_t *ret_id, struct ocu_error *err);

#endif
