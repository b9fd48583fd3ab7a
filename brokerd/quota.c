/* quota: two counters that cannot pass their bound and cannot go below zero. */
#include "brokerd/quota.h"

#include <errno.h>

void quota_init(struct quota *q, uint64_t max_bytes, uint64_t max_files)
{
	q->max_bytes = max_bytes;
	q->max_files = max_files;
	atomic_store(&q->bytes, 0);
	atomic_store(&q->files, 0);
}

uint64_t quota_charge(uint64_t size)
{
	if (size > UINT64_MAX - (QUOTA_BLOCK - 1))
		return UINT64_MAX - (QUOTA_BLOCK - 1);
	return (size + QUOTA_BLOCK - 1) / QUOTA_BLOCK * QUOTA_BLOCK;
}

static int raise_by(_Atomic uint64_t *counter, uint64_t max, uint64_t n)
{
	uint64_t old = atomic_load(counter);
	do {
		if (n > UINT64_MAX - old || (max && old + n > max))
			return -EDQUOT;
	} while (!atomic_compare_exchange_weak(counter, &old, old + n));
	return 0;
}

static void lower_by(_Atomic uint64_t *counter, uint64_t n)
{
	uint64_t old = atomic_load(counter);
	while (!atomic_compare_exchange_weak(counter, &old, old > n ? old - n : 0))
		;
}

int quota_resize(struct quota *q, uint64_t from, uint64_t to)
{
	uint64_t was = quota_charge(from), is = quota_charge(to);
	if (is > was)
		return raise_by(&q->bytes, q->max_bytes, is - was);
	lower_by(&q->bytes, was - is);
	return 0;
}

int quota_add_file(struct quota *q)
{
	return raise_by(&q->files, q->max_files, 1);
}

void quota_drop_file(struct quota *q)
{
	lower_by(&q->files, 1);
}

void quota_drop_bytes(struct quota *q, uint64_t size)
{
	lower_by(&q->bytes, quota_charge(size));
}

uint64_t quota_bytes_left(const struct quota *q)
{
	uint64_t used = atomic_load(&q->bytes);
	if (!q->max_bytes)
		return UINT64_MAX;
	return used < q->max_bytes ? q->max_bytes - used : 0;
}
