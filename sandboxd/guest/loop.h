/*
 * loop: the agent's only thread: one epoll set, and one timer per waiting thing, found by asking each module
 * when it wants to be called next. A watch may be dropped at any time, also from within the handling of the
 * same batch.
 */
#ifndef OCU_GUEST_LOOP_H
#define OCU_GUEST_LOOP_H

#include <stdint.h>

struct watch {
	int fd;
	void (*ready)(struct watch *w, uint32_t events);
};

int loop_init(void);
/* events as of epoll(7). Returns 0 or a negative errno. */
int loop_add(struct watch *w, uint32_t events);
void loop_mod(struct watch *w, uint32_t events);
void loop_drop(struct watch *w); /* the descriptor stays open; dropping twice is fine */

/* Runs until the process ends. tick() does what is due and returns when it wants to run again (milliseconds
 * of now_ms(), 0: not at all). */
void loop_run(uint64_t (*tick)(void)) __attribute__((noreturn));

uint64_t now_ms(void);
uint64_t now_us(void);

#endif
