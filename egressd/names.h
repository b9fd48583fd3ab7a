/*
 * names: the made-up addresses of one session. The edge resolver answers an allowed name with an address of
 * 198.18.0.0/15 that means this name in this session and nothing anywhere else; a connection to it is mapped
 * back here. Bounded; the least recently used entry goes first, one that live connections use never goes, and
 * a number is used again only after all 131070 were. Used by one worker thread.
 */
#ifndef EGRESSD_NAMES_H
#define EGRESSD_NAMES_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "egressd/host.h"

#define NAMES_NET        0xc6120000u /* 198.18.0.0, host byte order */
#define NAMES_BITS       15
#define NAMES_ADDR_COUNT ((1u << (32 - NAMES_BITS)) - 2)

struct names;

struct name {
	char host[HOST_MAX + 1];
	uint32_t addr;        /* host byte order */
	unsigned refs;        /* live connections */
	bool dialled;         /* counted as a distinct destination */
	uint64_t recorded_ms; /* when a lookup was last put on the audit trail; 0: never */
	uint32_t repeats;     /* lookups since then */
	/* links, owned by names.c */
	struct name *newer, *older, *next_host, *next_addr;
};

struct names *names_new(unsigned max); /* NULL: no memory */
void names_free(struct names *n);
/* The entry of a name, made when absent. NULL: every entry is in use by connections, or no memory. */
struct name *names_get(struct names *n, const char *host);
struct name *names_peek(const struct names *n, const char *host); /* no new entry, no change of order */
/* The entry behind an address in host byte order, or NULL. */
struct name *names_find(struct names *n, uint32_t addr);
void names_hold(struct name *e);
void names_release(struct name *e);
unsigned names_count(const struct names *n);
static inline bool names_in_range(uint32_t addr)
{
	return (addr ^ NAMES_NET) >> (32 - NAMES_BITS) == 0;
}

#endif
