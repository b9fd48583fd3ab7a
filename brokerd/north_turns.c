/* north_turns: a line for each caller that has something waiting or taken; lines with a turn stand in a ring.
 */
#include "brokerd/north_turns.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "brokerd/volume.h"
#include "libocu/err.h"

struct line {
	LIST_ENTRY(line) all;
	TAILQ_ENTRY(line) ring; /* while something waits */
	STAILQ_HEAD(turn_queue, turn) turns;
	unsigned taken;
	char caller[VOLUME_CALLER_MAX];
};

struct turns {
	pthread_mutex_t lock;
	pthread_cond_t work;
	LIST_HEAD(line_list, line) lines; /* no more than there are requests */
	TAILQ_HEAD(line_ring, line) ring;
	unsigned waiting, max, inside;
	bool stop;
};

int turns_new(struct turns **ret, unsigned max, unsigned inside, struct ocu_error *err)
{
	struct turns *t = calloc(1, sizeof *t);
	if (!t)
		return ocu_error_set(err, OCU_E_NOMEM, "turns");
	LIST_INIT(&t->lines);
	TAILQ_INIT(&t->ring);
	t->max = max;
	t->inside = inside;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->work, NULL);
	*ret = t;
	return 0;
}

void turns_free(struct turns *t)
{
	if (!t)
		return;
	pthread_mutex_destroy(&t->lock);
	pthread_cond_destroy(&t->work);
	free(t);
}

static struct line *line_of(struct turns *t, const char *caller)
{
	struct line *l;
	LIST_FOREACH(l, &t->lines, all)
	if (strcmp(l->caller, caller) == 0)
		return l;
	l = strlen(caller) < sizeof l->caller ? calloc(1, sizeof *l) : NULL;
	if (!l)
		return NULL;
	memcpy(l->caller, caller, strlen(caller) + 1);
	STAILQ_INIT(&l->turns);
	LIST_INSERT_HEAD(&t->lines, l, all);
	return l;
}

bool turns_put(struct turns *t, const char *caller, struct turn *turn)
{
	pthread_mutex_lock(&t->lock);
	struct line *l = t->waiting < t->max && !t->stop ? line_of(t, caller) : NULL;
	if (l) {
		if (STAILQ_EMPTY(&l->turns))
			TAILQ_INSERT_TAIL(&t->ring, l, ring);
		STAILQ_INSERT_TAIL(&l->turns, turn, next);
		t->waiting++;
		pthread_cond_signal(&t->work);
	}
	pthread_mutex_unlock(&t->lock);
	return l != NULL;
}

static struct line *line_in_turn(struct turns *t)
{
	struct line *l;
	TAILQ_FOREACH(l, &t->ring, ring)
	if (l->taken < t->inside)
		break;
	return l;
}

static struct turn *pop(struct turns *t, struct line *l)
{
	struct turn *turn = STAILQ_FIRST(&l->turns);
	STAILQ_REMOVE_HEAD(&l->turns, next);
	TAILQ_REMOVE(&t->ring, l, ring);
	if (!STAILQ_EMPTY(&l->turns))
		TAILQ_INSERT_TAIL(&t->ring, l, ring);
	l->taken++;
	t->waiting--;
	return turn;
}

struct turn *turns_take(struct turns *t, struct line **ret_line)
{
	struct turn *turn = NULL;
	struct line *l;
	pthread_mutex_lock(&t->lock);
	while (!(l = line_in_turn(t)) && !(t->stop && t->waiting == 0))
		pthread_cond_wait(&t->work, &t->lock);
	if (l)
		turn = pop(t, l);
	pthread_mutex_unlock(&t->lock);
	*ret_line = l;
	return turn;
}

void turns_done(struct turns *t, struct line *line)
{
	pthread_mutex_lock(&t->lock);
	if (--line->taken == 0 && STAILQ_EMPTY(&line->turns)) {
		LIST_REMOVE(line, all);
		free(line);
	}
	/* Whoever passed this caller over is there for it again, or may stop. */
	if (t->waiting > 0)
		pthread_cond_signal(&t->work);
	else if (t->stop)
		pthread_cond_broadcast(&t->work);
	pthread_mutex_unlock(&t->lock);
}

void turns_stop(struct turns *t)
{
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_broadcast(&t->work);
	pthread_mutex_unlock(&t->lock);
}
