#include "gateway/sandboxes.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ENDPOINTS_MAX 256

struct endpoint {
	char url[256];
	struct ocu_rpc_client *client;
};

struct sandboxes {
	const struct ocu_identity *identity;
	pthread_mutex_t lock;
	struct endpoint item[ENDPOINTS_MAX];
	size_t n;
};

int sandboxes_new(struct sandboxes **ret, const struct ocu_identity *identity, struct ocu_error *err)
{
	struct sandboxes *s = calloc(1, sizeof *s);
	if (!s)
		return ocu_error_set(err, OCU_E_NOMEM, "sandboxes");
	s->identity = identity;
	pthread_mutex_init(&s->lock, NULL);
	*ret = s;
	return 0;
}

void sandboxes_free(struct sandboxes *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		ocu_rpc_client_free(s->item[i].client);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static struct ocu_rpc_client *make(struct sandboxes *s, const char *url, struct ocu_error *err)
{
	struct ocu_rpc_client_opts o = {
	    .url = url, .identity = s->identity, .peer = OCU_COMP_SANDBOXD, .inflight = 1024};
	struct endpoint *e = &s->item[s->n];
	if (s->n == ENDPOINTS_MAX || strlen(url) >= sizeof e->url) {
		ocu_error_set(err, OCU_E_UNAVAILABLE, "too many sandboxd endpoints");
		return NULL;
	}
	if (ocu_rpc_client_new(&e->client, &o, err))
		return NULL;
	snprintf(e->url, sizeof e->url, "%s", url);
	s->n++;
	return e->client;
}

struct ocu_rpc_client *sandboxes_get(struct sandboxes *s, const char *url, struct ocu_error *err)
{
	struct ocu_rpc_client *found = NULL;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n && !found; i++)
		if (strcmp(s->item[i].url, url) == 0)
			found = s->item[i].client;
	if (!found)
		found = make(s, url, err);
	pthread_mutex_unlock(&s->lock);
	return found;
}
