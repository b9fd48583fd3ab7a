/*
 * httpd_internal: what the http*.c files share. Threads: MHD's pool threads run every MHD callback; handlers
 * may answer from any thread; one watcher thread per server notices clients that went away and requests that
 * take too long to arrive.
 *
 * A request is held by two parties: MHD, until its completion callback, and whoever owes the answer. Its
 * memory goes when both have let go. Locks: request, then server; none is held while a callback of the daemon
 * runs.
 */
#ifndef OCU_HTTPD_INTERNAL_H
#define OCU_HTTPD_INTERNAL_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "libocu/err.h"
#include "libocu/httpd.h"
#include "libocu/id.h"

#define HTTP_PARAMS_MAX  8
#define HTTP_QUERY_MAX   64           /* name=value pairs */
#define HTTP_TARGET_MAX  8192         /* bytes of the request target */
#define HTTP_HEADERS_OUT 24           /* response headers a handler may set */
#define HTTP_DISCARD_MAX (256u << 10) /* bytes read past a limit so that the client can see why */
#define HTTP_STREAM_MAX  (1u << 20)   /* unread bytes over which a stream refuses more */
#define HTTP_WRITE_MAX   (16u << 20)  /* bytes of one stream write */

/* --- http_target.c: the request target, as pure functions --- */

struct http_pair {
	const char *name, *value;
};

struct http_target {
	char *path; /* decoded once, starts with "/" */
	struct http_pair query[HTTP_QUERY_MAX];
	unsigned n_query;
	char *buf; /* owns what query points into */
};

/* Origin-form only. OCU_E_PARSE, OCU_E_TOO_LARGE or OCU_E_NOMEM; nothing is left to free on failure. */
int ocu_http_target_parse(struct http_target *t, const char *raw, struct ocu_error *err);
void ocu_http_target_done(struct http_target *t);

/* --- http_route.c: the route table, as pure functions --- */

struct http_match {
	const struct ocu_http_route *route;
	struct http_pair params[HTTP_PARAMS_MAX]; /* names point into the pattern and end at '}' or '.' */
	unsigned n_params;
	char *buf; /* owns the values */
};

/* Every pattern of the table is well formed. OCU_E_INVALID: a defect of the program. */
int ocu_http_routes_check(const struct ocu_http_route *routes, struct ocu_error *err);
/* 0 with m filled; OCU_E_NOT_FOUND; OCU_E_UNKNOWN_METHOD when the path is there but not for this method;
 * OCU_E_NOMEM. */
int ocu_http_route_find(const struct ocu_http_route *routes, const char *method, const char *path,
                        struct http_match *m, struct ocu_error *err);
void ocu_http_match_done(struct http_match *m);
const char *ocu_http_match_param(const struct http_match *m, const char *name);
/* "GET, PUT" of every route that matches path. */
void ocu_http_route_allow(const struct ocu_http_route *routes, const char *path, char *out, size_t size);

/* --- the server and its connections --- */

struct http_conn { /* one TCP connection; lives from MHD's STARTED to its CLOSED */
	struct http_conn *prev, *next;
	int fd;
	_Atomic uint64_t deadline_ms; /* the request being read must be complete by then; 0: none is */
};

struct http_watch {
	struct ocu_http_req *req;
	uint32_t generation; /* tells a stale event from one of the descriptor's next user */
};

enum http_stopping { HTTP_RUNNING, HTTP_DRAINING, HTTP_CLOSING, HTTP_CLOSED, HTTP_ABANDONED };

struct ocu_httpd {
	struct MHD_Daemon *mhd;
	struct ocu_httpd_opts opts;
	int listen_fd; /* MHD closes it */
	int port;
	char *cert, *key;
	_Atomic unsigned
	    refs; /* ours, and one of every request: late answers find the server's memory in place */
	_Atomic int stopping;
	_Atomic unsigned active; /* handed to a handler and not completed */
	_Atomic unsigned inside; /* threads in a callback of the daemon */
	_Atomic unsigned
	    pinning; /* unanswered requests and suspended streams: MHD cannot be stopped meanwhile */

	pthread_t watcher;
	int epoll_fd, wake_fd;

	pthread_mutex_t lock; /* what follows */
	pthread_cond_t idle;  /* active or pinning went down while stopping */
	struct http_watch *watches;
	size_t n_watches;
	struct ocu_http_req *suspended; /* list */
	struct http_conn *conns;        /* list */
	struct ocu_httpd *abandoned;    /* next of the list of servers whose handlers never answered */
};

/* --- a request --- */

enum http_phase {
	HTTP_READING,   /* headers and body are coming in */
	HTTP_RUNNING_R, /* MHD's thread has it: handler, or the answer being sent */
	HTTP_SUSPENDED, /* waiting for the answer, or for more of a stream */
	HTTP_DONE,      /* MHD has let go */
};

struct http_header {
	char *name, *value;
};

struct http_stream {
	bool on, ended;
	char *data;
	size_t head, len, cap;
};

struct ocu_http_req {
	struct ocu_httpd *h;
	struct MHD_Connection *conn;
	struct http_conn *link;
	const char *method;
	_Atomic unsigned refs;
	uint64_t start_ns;
	char trace[OCU_ID_MAX];

	/* MHD's thread only, until the handler has run */
	bool begun;
	bool handed;          /* somebody has answered or owes the answer */
	bool counted, pinned; /* in h->active, in h->pinning */
	uint64_t answer_size; /* bytes; 0 of a stream */
	int refused;          /* error found while the body came in */
	int force_status;
	struct http_target target;
	struct http_match match;
	char *body;
	size_t body_cap;
	uint64_t body_max; /* the route's, or less: what admit() said */
	int body_over;     /* what more than that is refused as */
	int body_fd;
	uint64_t body_len, discarded;
	bool framed; /* the message's length is beyond doubt */
	bool has_length, has_body;
	uint64_t content_length;
	unsigned n_auth; /* Authorization headers */

	/* the handler's */
	struct http_header out[HTTP_HEADERS_OUT];
	unsigned n_out;
	bool in_error_body;
	void *user;
	void (*drop)(void *);
	char *ip;

	pthread_mutex_t lock; /* what follows */
	enum http_phase phase;
	bool answered, gone;
	void (*on_gone)(struct ocu_http_req *r, void *user);
	struct MHD_Response *response;
	int status;
	struct http_stream stream;
	struct ocu_http_req *prev, *next; /* h->suspended; under h->lock */
};

/* http_request.c */
struct ocu_http_req *ocu_http_req_new(struct ocu_httpd *h, struct MHD_Connection *conn,
                                      const char *raw_target);
void ocu_http_req_unref(struct ocu_http_req *r, unsigned n); /* gives n references back */
void *ocu_http_on_target(void *cls, const char *raw_target, struct MHD_Connection *conn);
enum MHD_Result ocu_http_on_request(void *cls, struct MHD_Connection *conn, const char *url,
                                    const char *method, const char *version, const char *data, size_t *size,
                                    void **req);
void ocu_http_on_completed(void *cls, struct MHD_Connection *conn, void **req,
                           enum MHD_RequestTerminationCode code);

/* http_body.c: 0, or the error to refuse with; the body is then dropped. */
int ocu_http_body_open(struct ocu_http_req *r, struct ocu_error *err);
int ocu_http_body_add(struct ocu_http_req *r, const char *data, size_t len);

/* http_reply.c: consumes response; hands the answer to MHD. keep: the answerer stays (a stream). */
void ocu_http_answer(struct ocu_http_req *r, int status, struct MHD_Response *response, bool keep);

/* http_watch.c. suspend and resume are called with r->lock held. */
int ocu_http_watch_start(struct ocu_httpd *h, struct ocu_error *err);
void ocu_http_watch_stop(struct ocu_httpd *h);
void ocu_http_suspend(struct ocu_http_req *r);
void ocu_http_resume(struct ocu_http_req *r);
void ocu_http_client_gone(struct ocu_http_req *r);
void ocu_http_on_connection(void *cls, struct MHD_Connection *conn, void **socket_context,
                            enum MHD_ConnectionNotificationCode code);
void ocu_http_unpin(struct ocu_httpd *h); /* httpd.c, as the two below */
/* Around every call into the daemon. False once the server was abandoned: what it would call is gone. */
bool ocu_http_enter(struct ocu_httpd *h);
void ocu_http_exit(struct ocu_httpd *h);
void ocu_http_leave(struct ocu_httpd *h);
void ocu_httpd_unref(struct ocu_httpd *h);

/* http_stream.c */
void ocu_http_stream_lost(struct ocu_http_req *r);

#endif
