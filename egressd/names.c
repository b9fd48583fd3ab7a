/* names: two hash tables (by name, by address) over one list in order of use. */
#include "egressd/names.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct names {
	unsigned max, count, mask;
	uint32_t next;   /* offset of the next address to give */
	uint64_t secret; /* keys the hash: a guest must not choose its collisions */
	struct name **by_host, **by_addr;
	struct name *newest, *oldest;
};

static unsigned host_slot(const struct names *n, const char *host)
{
	uint64_t h = n->secret;

	for (; *host; host++)
		h = (h ^ (unsigned char)*host) * 0x9e3779b97f4a7c15u, h ^= h >> 29;
	return (unsigned)(h >> 16) & n->mask;
}

static unsigned addr_slot(const struct names *n, uint32_t addr)
{
	return addr & n->mask;
}

struct names *names_new(unsigned max)
{
	struct names *n = calloc(1, sizeof *n);
	unsigned size = 16;

	if (!n)
		return NULL;
	while (size < max)
		size *= 2;
	n->max = max < NAMES_ADDR_COUNT ? max : NAMES_ADDR_COUNT;
	n->mask = size - 1;
	n->by_host = calloc(size, sizeof *n->by_host);
	n->by_addr = calloc(size, sizeof *n->by_addr);
	if (!n->by_host || !n->by_addr || getrandom(&n->secret, sizeof n->secret, 0) != sizeof n->secret) {
		names_free(n);
		return NULL;
	}
	return n;
}

void names_free(struct names *n)
{
	if (!n)
		return;
	for (struct name *e = n->newest, *older; e; e = older) {
		older = e->older;
		free(e);
	}
	free(n->by_host);
	free(n->by_addr);
	free(n);
}

static void list_remove(struct names *n, struct name *e)
{
	*(e->newer ? &e->newer->older : &n->newest) = e->older;
	*(e->older ? &e->older->newer : &n->oldest) = e->newer;
	e->newer = e->older = NULL;
}

static void list_push(struct names *n, struct name *e)
{
	e->older = n->newest;
	*(n->newest ? &n->newest->newer : &n->oldest) = e;
	n->newest = e;
}

static void forget(struct names *n, struct name *e)
{
	struct name **p = &n->by_host[host_slot(n, e->host)];

	while (*p != e)
		p = &(*p)->next_host;
	*p = e->next_host;
	p = &n->by_addr[addr_slot(n, e->addr)];
	while (*p != e)
		p = &(*p)->next_addr;
	*p = e->next_addr;
	list_remove(n, e);
	n->count--;
	free(e);
}

static struct name *find_addr(const struct names *n, uint32_t addr)
{
	struct name *e = n->by_addr[addr_slot(n, addr)];

	while (e && e->addr != addr)
		e = e->next_addr;
	return e;
}

static int make_room(struct names *n)
{
	for (struct name *e = n->oldest; e && n->count >= n->max; e = e->newer)
		if (e->refs == 0) {
			forget(n, e);
			break;
		}
	return n->count < n->max ? 0 : -1;
}

static uint32_t free_addr(struct names *n)
{
	uint32_t addr;

	/* Ends: the table is smaller than the range. */
	do {
		addr = NAMES_NET + 1 + n->next;
		n->next = (n->next + 1) % NAMES_ADDR_COUNT;
	} while (find_addr(n, addr));
	return addr;
}

struct name *names_peek(const struct names *n, const char *host)
{
	struct name *e = n->by_host[host_slot(n, host)];

	while (e && strcmp(e->host, host) != 0)
		e = e->next_host;
	return e;
}

struct name *names_get(struct names *n, const char *host)
{
	struct name *e = names_peek(n, host);

	if (e) {
		list_remove(n, e);
		list_push(n, e);
		return e;
	}
	if (strlen(host) > HOST_MAX || make_room(n) || !(e = calloc(1, sizeof *e)))
		return NULL;
	memcpy(e->host, host, strlen(host) + 1);
	e->addr = free_addr(n);
	struct name **hs = &n->by_host[host_slot(n, host)], **as = &n->by_addr[addr_slot(n, e->addr)];
	e->next_host = *hs;
	*hs = e;
	e->next_addr = *as;
	*as = e;
	list_push(n, e);
	n->count++;
	return e;
}

struct name *names_find(struct names *n, uint32_t addr)
{
	struct name *e = names_in_range(addr) ? find_addr(n, addr) : NULL;

	if (e) {
		list_remove(n, e);
		list_push(n, e);
	}
	return e;
}

void names_hold(struct name *e)
{
	e->refs++;
}

void names_release(struct name *e)
{
	e->refs--;
}

unsigned names_count(const struct names *n)
{
	return n->count;
}
