/* lane: deficit round robin over the sources. */
#include "auditd/lane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auditd/request.h"
#include "libocu/err.h"

#define TURN_BYTES (64u << 10)

void lanes_init(struct lanes *l, size_t bytes_max)
{
	memset(l, 0, sizeof *l);
	pthread_mutex_init(&l->lock, NULL);
	l->bytes_max = bytes_max;
}

void lanes_done(struct lanes *l)
{
	for (unsigned i = 0; i < l->n; i++)
		free(l->lane[i]);
	pthread_mutex_destroy(&l->lock);
}

static int lane_new(struct lanes *l, const struct ocu_peer *peer, const char *name, struct lane **ret,
                    struct ocu_error *err)
{
	if (l->n == OCU_TRAIL_SOURCES_MAX)
		return ocu_error_set(err, OCU_E_QUOTA, "too many audit sources");
	struct lane *lane = calloc(1, sizeof *lane);
	if (!lane)
		return ocu_error_set(err, OCU_E_NOMEM, "audit source");
	snprintf(lane->name, sizeof lane->name, "%s", name);
	lane->component = peer->component;
	lane->tail = &lane->head;
	l->lane[l->n++] = lane;
	*ret = lane;
	return 0;
}

int lanes_get(struct lanes *l, const struct ocu_peer *peer, struct lane **ret, struct ocu_error *err)
{
	char name[OCU_TRAIL_SOURCE_MAX];
	int rc = 0;
	int n = snprintf(name, sizeof name, "%s%s%s", ocu_component_name(peer->component),
	                 peer->instance[0] ? "/" : "", peer->instance);
	if (n < 0 || !ocu_trail_source_valid(name, (size_t)n))
		return ocu_error_set(err, OCU_E_PEER_UNKNOWN, "a peer without a usable name");
	pthread_mutex_lock(&l->lock);
	struct lane *found = NULL;
	for (unsigned i = 0; i < l->n && !found; i++)
		if (strcmp(l->lane[i]->name, name) == 0)
			found = l->lane[i];
	if (!found)
		rc = lane_new(l, peer, name, &found, err);
	pthread_mutex_unlock(&l->lock);
	if (!rc)
		*ret = found;
	return rc;
}

int lanes_put(struct lanes *l, struct request *r, bool *ret_shaped, struct ocu_error *err)
{
	struct lane *lane = r->lane;
	int rc = 0;
	pthread_mutex_lock(&l->lock);
	*ret_shaped = lane->requests >= LANE_SHARE;
	if (lane->requests >= LANE_REQUESTS_MAX ||
	    (lane->requests && lane->bytes + r->bytes > l->bytes_max)) {
		rc = ocu_error_set(err, OCU_E_RATE, "this source's audit queue is full");
	} else {
		r->next = NULL;
		*lane->tail = r;
		lane->tail = &r->next;
		lane->requests++;
		lane->bytes += r->bytes;
		l->waiting++;
	}
	pthread_mutex_unlock(&l->lock);
	return rc;
}

static struct request *unlink_head(struct lanes *l, struct lane *lane)
{
	struct request *r = lane->head;
	lane->head = r->next;
	if (!lane->head)
		lane->tail = &lane->head;
	lane->requests--;
	lane->bytes -= r->bytes;
	lane->credit -= r->bytes;
	l->waiting--;
	r->next = NULL;
	return r;
}

/* Ends at the first lane whose credit pays for its request; every empty turn adds credit, so there is one. */
struct request *lanes_take(struct lanes *l)
{
	struct request *r = NULL;
	pthread_mutex_lock(&l->lock);
	while (l->waiting && !r) {
		struct lane *lane = l->lane[l->turn];
		if (lane->head && lane->credit >= lane->head->bytes) {
			r = unlink_head(l, lane);
			continue;
		}
		/* What an idle lane did not use it does not keep. */
		if (!lane->head)
			lane->credit = 0;
		l->turn = (l->turn + 1) % l->n;
		if (l->lane[l->turn]->head)
			l->lane[l->turn]->credit += TURN_BYTES;
	}
	pthread_mutex_unlock(&l->lock);
	return r;
}
