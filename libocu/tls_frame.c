/* tls_frame: a two-state machine over nng's stream: eight bytes of length, then that many bytes of content.
 */
#include "libocu/tls_frame.h"

enum { LENGTH_BYTES = 8 };

/* Takes bytes of the length; true when the frame is complete with them: the greeting, or an empty frame. */
static bool take_length(struct ocu_tls_frame *f, const uint8_t *data, size_t n, size_t *used)
{
	while (*used < n && f->have < LENGTH_BYTES) {
		f->length = f->length << 8 | data[(*used)++];
		f->have++;
	}
	if (f->have < LENGTH_BYTES)
		return false;
	f->left = f->greeted ? f->length : 0;
	f->greeted = true;
	return f->left == 0;
}

size_t ocu_tls_frame_take(struct ocu_tls_frame *f, const uint8_t *data, size_t n, bool *end)
{
	size_t used = 0;

	*end = false;
	if (f->have < LENGTH_BYTES)
		*end = take_length(f, data, n, &used);
	if (f->have == LENGTH_BYTES && f->left > 0) {
		size_t part = n - used < f->left ? n - used : (size_t)f->left;

		f->left -= part;
		used += part;
		*end = f->left == 0;
	}
	if (*end) {
		f->have = 0;
		f->length = 0;
	}
	return used;
}
