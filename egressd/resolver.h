/*
 * resolver: what a guest's lookups are answered with. An allowed name gets a made-up address of its session;
 * every other name gets NXDOMAIN with the reason. Nothing a guest asks leaves the host here: the allowed
 * names are resolved later, when one is connected to, and no other name ever is.
 */
#ifndef EGRESSD_RESOLVER_H
#define EGRESSD_RESOLVER_H

#include "egressd/edge.h"

#define RESOLVER_STREAMS 16u /* TCP connections of one session */

void resolver_on_datagram(struct watch *w, uint32_t events); /* edge.udp */
void resolver_on_stream(struct watch *w, uint32_t events);   /* edge.dns: accepts */
void resolver_close_streams(struct edge *e);

#endif
