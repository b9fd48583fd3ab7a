/* renew: what a running session needs again: its session JWT before it expires, its edge after egressd
 * restarted. */
#ifndef OPERATORD_RENEW_H
#define OPERATORD_RENEW_H

#include <stdint.h>

struct control;
struct session;

/* Both log what fails. A token that was not taken is due again after half a minute, or a quarter of its life;
 * the edge with the next comparison. */
int renew_token(struct control *c, const struct session *s, int64_t now_mono);
void renew_edge(struct control *c, const struct session *s);

#endif
