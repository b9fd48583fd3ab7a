/*
 * daemon_health: the listener for whoever watches a daemon: /metrics, /healthz (the process answers) and
 * /readyz (it can do its work). It holds nothing a caller could change and tells no names of sessions.
 */
#include <stdio.h>
#include <string.h>

#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/daemon_internal.h"
#include "libocu/err.h"
#include "libocu/httpc.h"
#include "libocu/httpd.h"
#include "libocu/metrics.h"

#define METRICS_MAX (4u << 20)
#define WHY_MAX     256
#define CONNS_MAX   64
#define HEALTH_MS   5000

static void get_metrics(struct ocu_http_req *r, void *arg)
{
	OCU_BUF struct ocu_buf b = OCU_BUF_INIT(METRICS_MAX);
	struct ocu_error err = {0};

	(void)arg;
	if (ocu_metrics_render(&b) != 0) {
		ocu_error_set(&err, OCU_E_INTERNAL, "rendering metrics");
		ocu_http_reply_error(r, &err);
		return;
	}
	ocu_http_reply(r, 200, "text/plain; version=0.0.4; charset=utf-8", b.data, b.len);
}

static void get_healthz(struct ocu_http_req *r, void *arg)
{
	(void)arg;
	ocu_http_reply(r, 200, "text/plain; charset=utf-8", "ok\n", 3);
}

static void get_readyz(struct ocu_http_req *r, void *arg)
{
	const struct ocu_daemon *d = arg;
	char why[WHY_MAX] = "";
	int ready = d->ready ? d->ready(d->ready_arg, why, sizeof why - 1) : 1;
	size_t n;

	if (ready) {
		ocu_http_reply(r, 200, "text/plain; charset=utf-8", "ready\n", 6);
		return;
	}
	n = strnlen(why, sizeof why - 2);
	why[n++] = '\n';
	ocu_http_reply(r, 503, "text/plain; charset=utf-8", why, n);
}

static const struct ocu_http_route routes[] = {
    {.method = "GET", .pattern = "/metrics", .handler = get_metrics},
    {.method = "GET", .pattern = "/healthz", .handler = get_healthz},
    {.method = "GET", .pattern = "/readyz", .handler = get_readyz},
    {0},
};

int ocu_daemon_metrics(struct ocu_daemon *d, int (*ready)(void *arg, char *why, size_t size), void *arg,
                       struct ocu_error *err)
{
	const char *listen = ocu_conf_str(d->conf, "metrics_listen");
	const struct ocu_httpd_opts o = {
	    .listen = listen,
	    .routes = routes,
	    .arg = d,
	    .threads = 1,
	    .max_conns = CONNS_MAX,
	};
	int rc;

	d->ready = ready;
	d->ready_arg = arg;
	ocu_gauge_set(
	    ocu_gauge("ocu_build_info", "version=\"" OCU_VERSION "\"", "Version of this daemon; always 1"),
	    1);
	if (!*listen)
		return 0;
	rc = ocu_httpd_start(&d->metrics, &o, err);
	return rc ? ocu_error_add(err, "metrics listener") : 0;
}

/* --- asking it --- */

/* A listener on every address of the host is asked on the loopback one. */
static void readyz_url(char *out, size_t size, const char *listen)
{
	static const char *const any[] = {"0.0.0.0:", "[::]:"}, *const own[] = {"127.0.0.1:", "[::1]:"};

	for (size_t i = 0; i < 2; i++)
		if (strncmp(listen, any[i], strlen(any[i])) == 0) {
			snprintf(out, size, "http://%s%s/readyz", own[i], listen + strlen(any[i]));
			return;
		}
	snprintf(out, size, "http://%s/readyz", listen);
}

int ocu_daemon_ask_health(const char *name, const struct ocu_conf *c)
{
	const char *listen = ocu_conf_str(c, "metrics_listen");
	struct ocu_httpc_resp a = {0};
	struct ocu_error err = {0};
	char url[320];
	int status;

	if (!*listen) {
		fprintf(stderr, "ocu-%s: metrics_listen is off, so nothing answers\n", name);
		return OCU_EXIT_CONFIG;
	}
	readyz_url(url, sizeof url, listen);
	if (ocu_httpc(
	        &(struct ocu_httpc_req){
	            .url = url, .timeout_ms = HEALTH_MS, .max_body = WHY_MAX, .no_proxy = true},
	        &a, &err)) {
		fprintf(stderr, "ocu-%s: %s\n", name, err.text);
		return OCU_EXIT_RUNTIME;
	}
	fputs(a.body, stdout);
	status = a.status == 200 ? 0 : OCU_EXIT_RUNTIME;
	ocu_httpc_resp_done(&a);
	return status;
}
