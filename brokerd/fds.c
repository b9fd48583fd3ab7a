/* fds: places and the pot. */
#include "brokerd/fds.h"

#include <errno.h>

#define OWN       3 /* a volume's data and staging, a mount's /dev/fuse */
#define FLOOR_MIN 32
#define FLOOR_MAX 256

void fds_init(struct fd_budget *b, long total, unsigned sessions)
{
	long certain = total / 2, floor = certain / (long)(sessions ? sessions : 1);
	floor = floor < FLOOR_MIN ? FLOOR_MIN : floor > FLOOR_MAX ? FLOOR_MAX : floor;
	long places = certain / floor;
	if (places > (long)sessions)
		places = (long)sessions;
	long pot = total - places * floor;
	*b = (struct fd_budget){.floor = floor, .half_pot = pot / 2, .places = places, .pot = pot};
	pthread_mutex_init(&b->lock, NULL);
}

unsigned fds_folders(const struct fd_budget *b)
{
	return (unsigned)(b->floor / 2);
}

int fds_join(struct fd_share *s, struct fd_budget *b)
{
	pthread_mutex_lock(&b->lock);
	int r = b->places > 0 ? 0 : -ENFILE;
	if (r == 0) {
		b->places--;
		*s = (struct fd_share){.of = b, .used = OWN + (long)fds_folders(b)};
	}
	pthread_mutex_unlock(&b->lock);
	return r;
}

void fds_leave(struct fd_share *s)
{
	if (!s->of)
		return;
	pthread_mutex_lock(&s->of->lock);
	s->of->places++;
	pthread_mutex_unlock(&s->of->lock);
	s->of = NULL;
}

int fds_take(struct fd_share *s)
{
	struct fd_budget *b = s->of;
	int r = 0;
	pthread_mutex_lock(&b->lock);
	long beyond = s->used - b->floor;
	if (beyond >= b->half_pot)
		r = -EMFILE;
	else if (beyond >= 0 && b->pot == 0)
		r = -ENFILE;
	if (r == 0) {
		s->used++;
		b->pot -= beyond >= 0;
	}
	pthread_mutex_unlock(&b->lock);
	return r;
}

void fds_give(struct fd_share *s)
{
	struct fd_budget *b = s->of;
	pthread_mutex_lock(&b->lock);
	b->pot += --s->used >= b->floor;
	pthread_mutex_unlock(&b->lock);
}
