/* view: see view.h. Replies are sorted once, so that a lookup is a binary search. */
#include "operatord/view.h"

#include <stdlib.h>
#include <string.h>

#include "libocu/clock.h"
#include "libocu/err.h"
#include "operatord/node.h"

static int compare_sandboxes(const void *a, const void *b)
{
	return strcmp((*(Ocu__Control__Sandbox *const *)a)->session_id,
	              (*(Ocu__Control__Sandbox *const *)b)->session_id);
}

static int compare_mounts(const void *a, const void *b)
{
	return strcmp((*(Ocu__Mount__Mount *const *)a)->session_id,
	              (*(Ocu__Mount__Mount *const *)b)->session_id);
}

static int compare_edges(const void *a, const void *b)
{
	return strcmp((*(Ocu__Edge__Session *const *)a)->session_id,
	              (*(Ocu__Edge__Session *const *)b)->session_id);
}

static void sort(void *list, size_t n, int (*compare)(const void *, const void *))
{
	if (n > 1)
		qsort(list, n, sizeof(void *), compare);
}

static void first(int rc, const struct ocu_error *failure, int *all, struct ocu_error *err)
{
	if (rc == 0 || *all)
		return;
	*all = rc;
	if (err)
		*err = *failure;
}

void view_done(struct view *v)
{
	ocu__control__list_reply__free_unpacked(v->sandboxes, NULL);
	ocu__mount__list_reply__free_unpacked(v->mounts, NULL);
	ocu__mount__list_reply__free_unpacked(v->mounts_before, NULL);
	ocu__edge__list_reply__free_unpacked(v->edges, NULL);
	*v = (struct view){0};
}

int view_refresh(struct view *v, struct node *n, struct ocu_error *err)
{
	struct view now = {.mounts_before = v->mounts, .asked_ms = ocu_wall_ms()};
	struct ocu_error failure[3] = {0};
	int rc = 0;

	v->mounts = NULL;
	view_done(v);
	first(peers_sandboxes(&n->peers, &now.sandboxes, &failure[0]), &failure[0], &rc, err);
	first(peers_mounts(&n->peers, &now.mounts, &failure[1]), &failure[1], &rc, err);
	first(peers_edges(&n->peers, &now.edges, &failure[2]), &failure[2], &rc, err);
	if (now.sandboxes) {
		sort(now.sandboxes->sandboxes, now.sandboxes->n_sandboxes, compare_sandboxes);
		node_boot(n, NODE_SANDBOXD, now.sandboxes->boot_id);
		node_sandboxd(n, now.sandboxes->tier, now.sandboxes->instance);
	}
	if (now.mounts) {
		sort(now.mounts->mounts, now.mounts->n_mounts, compare_mounts);
		node_boot(n, NODE_BROKERD, now.mounts->boot_id);
	}
	if (now.edges) {
		sort(now.edges->sessions, now.edges->n_sessions, compare_edges);
		node_boot(n, NODE_EGRESSD, now.edges->boot_id);
	}
	*v = now;
	return rc;
}

static const Ocu__Control__Sandbox *sandbox(const struct view *v, const char *session_id)
{
	Ocu__Control__Sandbox key = {.session_id = (char *)session_id}, *k = &key, **found;

	if (!v->sandboxes || v->sandboxes->n_sandboxes == 0)
		return NULL;
	found = bsearch(&k, v->sandboxes->sandboxes, v->sandboxes->n_sandboxes, sizeof k, compare_sandboxes);
	return found ? *found : NULL;
}

bool view_sandbox(const struct view *v, const char *session_id)
{
	const Ocu__Control__Sandbox *s = sandbox(v, session_id);

	return s && s->running;
}

bool view_busy(const struct view *v, const char *session_id)
{
	const Ocu__Control__Sandbox *s = sandbox(v, session_id);

	return s && s->busy;
}

static bool mounted(const Ocu__Mount__ListReply *list, const char *session_id)
{
	Ocu__Mount__Mount key = {.session_id = (char *)session_id}, *k = &key, **found;

	if (!list || list->n_mounts == 0)
		return false;
	found = bsearch(&k, list->mounts, list->n_mounts, sizeof k, compare_mounts);
	return found && (*found)->mounted;
}

bool view_mount(const struct view *v, const char *session_id)
{
	/* Without an earlier list nothing is concluded from this one alone. */
	return mounted(v->mounts, session_id) || !v->mounts_before || mounted(v->mounts_before, session_id);
}

bool view_edge(const struct view *v, const char *session_id)
{
	Ocu__Edge__Session key = {.session_id = (char *)session_id}, *k = &key;

	return v->edges && v->edges->n_sessions > 0 &&
	       bsearch(&k, v->edges->sessions, v->edges->n_sessions, sizeof k, compare_edges);
}

bool view_all_reachable(const struct view *v)
{
	return v->sandboxes && v->mounts && v->edges;
}
