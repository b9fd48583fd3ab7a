/* input: see input.h. */
#include "sandboxd/guest/input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define END_OF_FILE "\004" /* VEOF of a new terminal */

static void close_input(struct input *in)
{
	if (in->watch.fd < 0)
		return;
	if (in->watched)
		loop_drop(&in->watch);
	in->watched = false;
	close(in->watch.fd);
	in->watch.fd = -1;
	in->len = 0;
}

void input_free(struct input *in)
{
	if (!in)
		return;
	close_input(in);
	free(in->data);
	free(in);
}

static void flush(struct input *in)
{
	size_t done = 0;

	while (in->watch.fd >= 0 && done < in->len) {
		ssize_t n = write(in->watch.fd, in->data + done, in->len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			close_input(in);
			return;
		}
		done += (size_t)n;
	}
	memmove(in->data, in->data + done, in->len - done);
	in->len -= done;
	if (in->len == 0 && in->ending) {
		if (in->terminal && write(in->watch.fd, END_OF_FILE, 1) < 0) {
			/* A terminal that is full or gone has no reader to tell. */
		}
		close_input(in);
		return;
	}
	if (in->len > 0 && !in->watched)
		in->watched = loop_add(&in->watch, EPOLLOUT) == 0;
	if (in->len == 0 && in->watched) {
		loop_drop(&in->watch);
		in->watched = false;
	}
}

static void input_ready(struct watch *w, uint32_t events)
{
	(void)events;
	flush((struct input *)(void *)w);
}

struct input *input_new(int fd, size_t max, bool terminal)
{
	struct input *in = calloc(1, sizeof *in);

	if (!in) {
		close(fd);
		return NULL;
	}
	*in = (struct input){.watch = {.fd = fd, .ready = input_ready}, .max = max, .terminal = terminal};
	return in;
}

long input_put(struct input *in, const void *data, size_t len)
{
	size_t take = in->max - in->len < len ? in->max - in->len : len;

	if (in->watch.fd < 0 || in->ending)
		return -EPIPE;
	if (in->len + take > in->cap) {
		unsigned char *p = realloc(in->data, in->len + take);

		if (!p)
			return -ENOMEM;
		in->data = p;
		in->cap = in->len + take;
	}
	if (take > 0)
		memcpy(in->data + in->len, data, take);
	in->len += take;
	flush(in);
	return (long)take;
}

void input_end(struct input *in)
{
	in->ending = true;
	if (in->watch.fd >= 0)
		flush(in);
}
