/* request: the table of everything the host can ask of the agent. What is not in it is refused. */
#ifndef OCU_GUEST_REQUEST_H
#define OCU_GUEST_REQUEST_H

#include "proto/agent.pb-c.h"

void request_handle(const Ocu__Agent__Request *r);

#endif
