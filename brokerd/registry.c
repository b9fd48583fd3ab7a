/* registry: a small array behind a lock; sessions are few, operations on files do not pass here. */
#include "brokerd/registry.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "brokerd/volume.h"
#include "libocu/err.h"

struct registry {
	pthread_mutex_t lock;
	struct volume **volume;
	size_t count, max;
};

int registry_new(struct registry **ret, size_t max, struct ocu_error *err)
{
	struct registry *r = calloc(1, sizeof *r);
	if (r)
		r->volume = calloc(max, sizeof *r->volume);
	if (!r || !r->volume) {
		free(r);
		return ocu_error_set(err, OCU_E_NOMEM, "registry");
	}
	r->max = max;
	pthread_mutex_init(&r->lock, NULL);
	*ret = r;
	return 0;
}

void registry_free(struct registry *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->count; i++)
		volume_unref(r->volume[i]);
	pthread_mutex_destroy(&r->lock);
	free(r->volume);
	free(r);
}

static bool clashes(const struct volume *v, const struct volume_id *id)
{
	return strcmp(v->session_id, id->session_id) == 0 || strcmp(v->filesystem_id, id->filesystem_id) == 0;
}

/* With the lock. */
static int room(const struct registry *r, const struct volume_id *id, struct ocu_error *err)
{
	for (size_t i = 0; i < r->count; i++)
		if (clashes(r->volume[i], id))
			return ocu_error_set(err, OCU_E_EXISTS, "session or filesystem is registered");
	return r->count == r->max ? ocu_error_set(err, OCU_E_QUOTA, "%zu sessions are registered", r->max)
	                          : 0;
}

int registry_room(struct registry *r, const struct volume_id *id, struct ocu_error *err)
{
	pthread_mutex_lock(&r->lock);
	int e = room(r, id, err);
	pthread_mutex_unlock(&r->lock);
	return e;
}

int registry_add(struct registry *r, struct volume *v, struct ocu_error *err)
{
	const struct volume_id id = {.session_id = v->session_id, .filesystem_id = v->filesystem_id};
	pthread_mutex_lock(&r->lock);
	int e = room(r, &id, err);
	if (e == 0)
		r->volume[r->count++] = volume_ref(v);
	pthread_mutex_unlock(&r->lock);
	return e;
}

void registry_remove(struct registry *r, struct volume *v)
{
	bool found = false;
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->count && !found; i++) {
		found = r->volume[i] == v;
		if (found)
			r->volume[i] = r->volume[--r->count];
	}
	pthread_mutex_unlock(&r->lock);
	if (found)
		volume_unref(v);
}

struct volume *registry_session(struct registry *r, const char *session_id)
{
	struct volume *v = NULL;
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->count && !v; i++)
		if (strcmp(r->volume[i]->session_id, session_id) == 0)
			v = volume_ref(r->volume[i]);
	pthread_mutex_unlock(&r->lock);
	return v;
}

struct volume *registry_filesystem(struct registry *r, const char *filesystem_id)
{
	struct volume *v = NULL;
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->count && !v; i++)
		if (strcmp(r->volume[i]->filesystem_id, filesystem_id) == 0)
			v = volume_ref(r->volume[i]);
	pthread_mutex_unlock(&r->lock);
	return v;
}

struct volume **registry_all(struct registry *r, size_t *ret_count)
{
	pthread_mutex_lock(&r->lock);
	*ret_count = r->count;
	struct volume **all = r->count ? calloc(r->count, sizeof(struct volume *)) : NULL;
	for (size_t i = 0; all && i < r->count; i++)
		all[i] = volume_ref(r->volume[i]);
	if (!all)
		*ret_count = 0;
	pthread_mutex_unlock(&r->lock);
	return all;
}

size_t registry_count(struct registry *r)
{
	pthread_mutex_lock(&r->lock);
	size_t n = r->count;
	pthread_mutex_unlock(&r->lock);
	return n;
}
