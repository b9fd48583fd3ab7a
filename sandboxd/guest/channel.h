/*
 * channel: the two control descriptors. Reads requests, queues replies, and ends the agent (and with it the
 * sandbox) when the other end is gone or speaks nonsense. While too many reply bytes wait, no request is
 * read.
 */
#ifndef OCU_GUEST_CHANNEL_H
#define OCU_GUEST_CHANNEL_H

#include <stdint.h>

#include "proto/agent.pb-c.h"

struct fail;

#define CHANNEL_QUEUE_MAX (16u << 20) /* bytes of replies waiting */

/* Takes both descriptors over; each request goes to handle() and lives until that returns. */
int channel_init(int in, int out, void (*handle)(const Ocu__Agent__Request *r));
void channel_reply(const Ocu__Agent__Reply *r);
void channel_fail(uint64_t request, const struct fail *f);

#endif
