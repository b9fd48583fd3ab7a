/* loop: epoll and the clock; see loop.h. */
#include "sandboxd/guest/loop.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

static int epoll_fd = -1;
static struct epoll_event batch[32];
static int batch_len;

int loop_init(void)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return epoll_fd < 0 ? -errno : 0;
}

int loop_add(struct watch *w, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, w->fd, &ev) < 0 ? -errno : 0;
}

void loop_mod(struct watch *w, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};

	epoll_ctl(epoll_fd, EPOLL_CTL_MOD, w->fd, &ev);
}

void loop_drop(struct watch *w)
{
	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
	for (int i = 0; i < batch_len; i++)
		if (batch[i].data.ptr == w)
			batch[i].data.ptr = NULL;
}

static int timeout_until(uint64_t at)
{
	uint64_t now = now_ms();

	if (at == 0)
		return -1;
	if (at <= now)
		return 0;
	return at - now > INT_MAX ? INT_MAX : (int)(at - now);
}

void loop_run(uint64_t (*tick)(void))
{
	for (;;) {
		int n =
		    epoll_wait(epoll_fd, batch, (int)(sizeof batch / sizeof *batch), timeout_until(tick()));

		if (n < 0 && errno != EINTR)
			_exit(70);
		batch_len = n < 0 ? 0 : n;
		for (int i = 0; i < batch_len; i++) {
			struct watch *w = batch[i].data.ptr;

			if (w)
				w->ready(w, batch[i].events);
		}
		batch_len = 0;
	}
}

uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

uint64_t now_ms(void)
{
	return now_us() / 1000u;
}
