/*
 * routes: from (caller, hint) to the sandbox that serves it. Asks operatord's session RPC, which finds the
 * session or makes it, and remembers the grant until it ends. Concurrent first calls share one request.
 */
#ifndef GATEWAY_ROUTES_H
#define GATEWAY_ROUTES_H

#include "gateway/gateway.h"

struct route {
	char session_id[40];
	char filesystem_id[40];
	char url[256];
	char files_url[256]; /* "" when clients are not told */
	char grant[4097];
	uint64_t until_ms; /* monotonic */
};

typedef void route_done_fn(void *arg, const struct route *route, const struct ocu_error *err);

int routes_new(struct routes **ret, struct gateway *g, struct ocu_error *err);
void routes_free(struct routes *r);
/* done runs exactly once, at once or later on an RPC thread; route is borrowed, NULL on failure. */
void routes_get(struct routes *r, const struct caller *caller, const char *hint, const char *trace,
                route_done_fn *done, void *arg);
/* The session proved gone or denied: ask operatord again next time. */
void routes_forget(struct routes *r, const char *session_id);
/* Ends the session of (caller, hint), if there is one; done as above with route NULL. */
void routes_destroy(struct routes *r, const struct caller *caller, const char *hint, const char *trace,
                    route_done_fn *done, void *arg);

#endif
