/* readers: a list, as long as the files API sends files. */
#include "brokerd/readers.h"

#include "brokerd/quota.h"

void readers_init(struct readers *r, struct quota *q)
{
	pthread_mutex_init(&r->lock, NULL);
	LIST_INIT(&r->list);
	r->quota = q;
}

void readers_done(struct readers *r)
{
	pthread_mutex_destroy(&r->lock);
}

void reader_enter(struct readers *r, struct reader *me, uint64_t ino)
{
	*me = (struct reader){.ino = ino, .in = true};
	pthread_mutex_lock(&r->lock);
	LIST_INSERT_HEAD(&r->list, me, next);
	pthread_mutex_unlock(&r->lock);
}

/* With the lock. Nobody opens a file without a name: who reads it now has been in the list before. */
static void charge_a_reader(struct readers *r, uint64_t ino, uint64_t size)
{
	struct reader *other;
	LIST_FOREACH(other, &r->list, next)
	if (other->ino == ino && !other->owing) {
		other->owes = size;
		other->owing = true;
		return;
	}
	quota_drop_bytes(r->quota, size);
}

void reader_leave(struct readers *r, struct reader *me)
{
	if (!me->in)
		return;
	pthread_mutex_lock(&r->lock);
	LIST_REMOVE(me, next);
	me->in = false;
	if (me->owing)
		charge_a_reader(r, me->ino, me->owes);
	pthread_mutex_unlock(&r->lock);
}

void readers_gone(struct readers *r, uint64_t ino, uint64_t size)
{
	pthread_mutex_lock(&r->lock);
	charge_a_reader(r, ino, size);
	pthread_mutex_unlock(&r->lock);
}
