/*
 * id: ULIDs (https://github.com/ulid/spec). Within one millisecond the random part grows by a random 64-bit
 * step instead of by one: the order holds, and an id still tells nothing about the one after it.
 */
#include "libocu/id.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "libocu/clock.h"

#define ULID_CHARS 26
#define TIME_BITS  48

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* The 80 random bits as 16 high and 64 low; the time lives in the 48 bits above. */
struct ulid {
	uint64_t ms;
	uint16_t hi;
	uint64_t lo;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ulid last;

static void randomness(void *out, size_t len)
{
	unsigned char *p = out;
	while (len) {
		ssize_t n = getrandom(p, len, 0);
		if (n < 0 && errno != EINTR)
			abort();
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
}

static struct ulid next(uint64_t ms)
{
	struct {
		uint64_t lo;
		uint16_t hi;
	} r;
	randomness(&r, sizeof r);
	pthread_mutex_lock(&lock);
	if (ms > last.ms) {
		/* The top bit starts clear: room for 32768 steps before the part overflows. */
		last = (struct ulid){.ms = ms, .hi = r.hi & 0x7fff, .lo = r.lo};
	} else {
		uint64_t lo = last.lo + (r.lo ? r.lo : 1);
		uint16_t carry = lo <= last.lo;
		last.lo = lo;
		last.hi = (uint16_t)(last.hi + carry);
		if (carry && last.hi == 0)
			last = (struct ulid){.ms = last.ms + 1, .hi = r.hi & 0x7fff, .lo = r.lo};
	}
	struct ulid u = last;
	pthread_mutex_unlock(&lock);
	return u;
}

static void encode(const struct ulid *u, char *out)
{
	unsigned __int128 v = ((unsigned __int128)(u->ms & ((UINT64_C(1) << TIME_BITS) - 1)) << 80) |
	                      ((unsigned __int128)u->hi << 64) | u->lo;
	for (int i = ULID_CHARS - 1; i >= 0; i--) {
		out[i] = alphabet[(unsigned)v & 31];
		v >>= 5;
	}
	out[ULID_CHARS] = '\0';
}

void ocu_id_new(const char *prefix, char out[OCU_ID_MAX])
{
	size_t len = strnlen(prefix, OCU_ID_MAX);
	if (len + ULID_CHARS >= OCU_ID_MAX)
		abort();
	struct ulid u = next((uint64_t)ocu_wall_ms());
	memcpy(out, prefix, len);
	encode(&u, out + len);
}

bool ocu_id_valid(const char *prefix, const char *s)
{
	size_t len = strlen(prefix);
	if (!s || strncmp(s, prefix, len) != 0)
		return false;
	s += len;
	/* 26 characters hold 130 bits: a first one over 7 is no ULID. */
	if (strnlen(s, ULID_CHARS + 1) != ULID_CHARS || s[0] > '7')
		return false;
	return strspn(s, alphabet) == ULID_CHARS;
}
