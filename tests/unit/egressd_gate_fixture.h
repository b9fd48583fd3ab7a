/* What the gate's tests share: what comes out of one, and ways to put something in. */
#ifndef OCU_TEST_EGRESSD_GATE_FIXTURE_H
#define OCU_TEST_EGRESSD_GATE_FIXTURE_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "egressd/gate.h"
#include "libocu/err.h"

static struct ocu_buf out;

static inline void setup(void)
{
	ocu_buf_init(&out, 1 << 20);
}

static inline void teardown(void)
{
	ocu_buf_done(&out);
}

static inline void start(struct gate *g, uint16_t port)
{
	gate_init(g, "a.example", port);
	ocu_buf_reset(&out);
}

static inline int feed(struct gate *g, const char *text)
{
	return gate_feed(g, text, strlen(text), &out, NULL);
}

/* In pieces of `step` bytes. */
static inline int feed_slowly(struct gate *g, const char *text, size_t len, size_t step)
{
	for (size_t at = 0; at < len; at += step) {
		size_t n = len - at < step ? len - at : step;
		char *copy = malloc(n);
		memcpy(copy, text + at, n);
		ck_assert_uint_ge(gate_room(g), n);
		int rc = gate_feed(g, copy, n, &out, NULL);
		free(copy);
		if (rc)
			return rc;
	}
	return 0;
}

#endif
