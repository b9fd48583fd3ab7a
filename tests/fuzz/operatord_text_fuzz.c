/* text: what text_copy() makes is always text, fits, and is the input when that was text already. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "operatord/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t room = size > 0 ? data[0] + 1u : 1;
	char *in = malloc(size + 1), *out = malloc(room);

	if (!in || !out)
		abort();
	memcpy(in, data, size);
	in[size] = '\0';
	text_copy(out, room, in);
	if (strlen(out) >= room || !text_ok(out, room))
		abort();
	if (text_ok(in, room - 1) && strcmp(in, out) != 0)
		abort();
	free(in);
	free(out);
	return 0;
}
