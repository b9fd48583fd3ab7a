/*
 * north_sending: answers that take as long as their client likes to read. A thread looks at them every second
 * and cuts those that would not be admitted any more: denied, released, or nothing heard of the denylist for
 * too long.
 */
#ifndef BROKERD_NORTH_SENDING_H
#define BROKERD_NORTH_SENDING_H

struct job;
struct ocu_error;
struct sending;

int sending_start(struct sending **ret, struct ocu_error *err);
void sending_stop(struct sending *s); /* NULL is fine */
/* The job is about to be answered; it stays in the list until it is removed, which every job is. */
void sending_add(struct sending *s, struct job *j);
void sending_remove(struct sending *s, struct job *j);

#endif
