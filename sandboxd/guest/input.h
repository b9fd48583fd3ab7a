/* input: bytes on their way to a program's standard input, bounded, written when the program takes them. */
#ifndef OCU_GUEST_INPUT_H
#define OCU_GUEST_INPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "sandboxd/guest/loop.h"

struct input {
	struct watch watch;
	unsigned char *data;
	size_t len, cap, max;
	bool watched, ending, terminal;
};

/* Takes fd (non-blocking) over, also on failure. NULL when out of memory. A terminal is ended with its
 * end-of-file character, a pipe by closing it. */
struct input *input_new(int fd, size_t max, bool terminal);
void input_free(struct input *in); /* closes; NULL is fine */
/* Takes as much of the bytes as fits and returns how much; -EPIPE once the program closed its end. */
long input_put(struct input *in, const void *data, size_t len);
void input_end(struct input *in); /* after what is queued */

#endif
