/* ClientHellos: the verdict on the whole is the verdict on its pieces: no prefix is accepted with another
 * name than the whole, and one that was accepted stays accepted whatever follows. The same for a server's
 * reply. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct hello whole = {0}, part = {0};
	char again[HOST_MAX + 1];
	int rc = hello_parse(data, len, &whole, NULL);

	if (rc == 0 && whole.has_sni &&
	    (host_parse(whole.sni, strlen(whole.sni), again, NULL) || strcmp(again, whole.sni) != 0))
		abort();
	size_t size = 0, part_size = 0;
	enum hello_reply reply = hello_reply(data, len, &size);
	for (size_t n = 0; n < len; n += 1 + len / 16) {
		uint8_t *copy = malloc(n ? n : 1);
		memcpy(copy, data, n);
		int early = hello_parse(copy, n, &part, NULL);
		enum hello_reply early_reply = hello_reply(copy, n, &part_size);
		free(copy);
		if (early == 0 &&
		    (rc != 0 || part.has_sni != whole.has_sni || strcmp(part.sni, whole.sni) != 0))
			abort();
		if (early < 0 && rc == 0)
			abort();
		if (early_reply != HELLO_REPLY_MORE && early_reply != reply)
			abort();
		if (early_reply == HELLO_REPLY_RETRY && part_size != size)
			abort();
	}
	return 0;
}
