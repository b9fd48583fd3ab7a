#include "gateway/hosts.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ENTRIES_MAX 160

struct list {
	char *item[ENTRIES_MAX];
	size_t n;
};

struct hosts {
	struct list hosts, origins;
};

static void add(struct list *l, const char *text)
{
	if (l->n < ENTRIES_MAX && (l->item[l->n] = strdup(text)))
		l->n++;
}

static void add_local(struct list *l, const char *scheme, const char *name, int port)
{
	char text[64];
	snprintf(text, sizeof text, "%s%s:%d", scheme, name, port);
	add(l, text);
}

static void add_json(struct list *l, const json_t *array)
{
	size_t i;
	json_t *v;
	json_array_foreach(array, i, v)
	{
		add(l, json_string_value(v));
	}
}

static bool has(const struct list *l, const char *s)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcasecmp(l->item[i], s) == 0)
			return true;
	return false;
}

static void list_done(struct list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->item[i]);
}

int hosts_new(struct hosts **ret, const struct ocu_conf *c, const char *public_url, int port,
              struct ocu_error *err)
{
	static const char *const local[] = {"127.0.0.1", "localhost", "[::1]"};
	struct hosts *h = calloc(1, sizeof *h);
	if (!h)
		return ocu_error_set(err, OCU_E_NOMEM, "hosts");
	const char *authority = strstr(public_url, "://");
	if (!authority || strchr(authority + 3, '/')) {
		free(h);
		return ocu_error_set(err, OCU_E_CONFIG,
		                     "public_url must be scheme://host[:port] without a path");
	}
	add(&h->hosts, authority + 3);
	add(&h->hosts, ocu_conf_str(c, "listen"));
	add(&h->origins, public_url);
	for (size_t i = 0; i < sizeof local / sizeof *local; i++) {
		add_local(&h->hosts, "", local[i], port);
		add_local(&h->origins, "http://", local[i], port);
	}
	add_json(&h->hosts, ocu_conf_json(c, "allowed_hosts"));
	add_json(&h->origins, ocu_conf_json(c, "allowed_origins"));
	*ret = h;
	return 0;
}

void hosts_free(struct hosts *h)
{
	if (!h)
		return;
	list_done(&h->hosts);
	list_done(&h->origins);
	free(h);
}

int hosts_check(const struct hosts *h, const char *host, const char *origin, struct ocu_error *err)
{
	if (!host || !has(&h->hosts, host))
		return ocu_error_set(err, OCU_E_ORIGIN, "Host is not one of allowed_hosts");
	if (origin && !has(&h->origins, origin))
		return ocu_error_set(err, OCU_E_ORIGIN, "Origin is not one of allowed_origins");
	return 0;
}
