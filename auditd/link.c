#include "auditd/link.h"

#include <curl/curl.h>
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "libocu/err.h"

#define CONNECT_MS 10000
#define SETTLE_MS  1000

struct link {
	CURL *curl;
	struct curl_slist *connect_to;
	curl_socket_t fd;
	char why[CURL_ERROR_SIZE];
};

void link_close(struct link *l)
{
	if (!l)
		return;
	curl_easy_cleanup(l->curl);
	curl_slist_free_all(l->connect_to);
	free(l);
}

static int lost(const struct link *l, CURLcode code, const char *what, struct ocu_error *err)
{
	return ocu_error_set(err, OCU_E_UNAVAILABLE, "%s: %s", what,
	                     *l->why ? l->why : curl_easy_strerror(code));
}

/* The URL has the name that is to be in the certificate; connect_to leads to the address. */
static CURLcode address(struct link *l, const struct link_opts *o)
{
	char text[1024];
	const char *port = strrchr(o->address, ':') + 1;
	if (*o->name) {
		snprintf(text, sizeof text, "::%s", o->address);
		l->connect_to = curl_slist_append(NULL, text);
		if (!l->connect_to)
			return CURLE_OUT_OF_MEMORY;
		curl_easy_setopt(l->curl, CURLOPT_CONNECT_TO, l->connect_to);
		snprintf(text, sizeof text, "https://%s:%s", o->name, port);
	} else {
		snprintf(text, sizeof text, "https://%s", o->address);
	}
	return curl_easy_setopt(l->curl, CURLOPT_URL, text);
}

static CURLcode configure(struct link *l, const struct link_opts *o)
{
	const struct {
		CURLoption option;
		const char *value;
	} text[] = {{CURLOPT_CAINFO, o->ca},
	            {CURLOPT_CAPATH, NULL},
	            {CURLOPT_PROXY, ""},
	            {CURLOPT_SSLCERT, *o->cert ? o->cert : NULL},
	            {CURLOPT_SSLKEY, *o->key ? o->key : NULL}};
	const struct {
		CURLoption option;
		long value;
	} number[] = {{CURLOPT_CONNECT_ONLY, 1},        {CURLOPT_NOSIGNAL, 1},
	              {CURLOPT_SSL_ENABLE_ALPN, 0},     {CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
	              {CURLOPT_SSL_SESSIONID_CACHE, 0}, {CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS},
	              {CURLOPT_TCP_KEEPALIVE, 1},       {CURLOPT_TCP_KEEPIDLE, 30},
	              {CURLOPT_TCP_KEEPINTVL, 10}};
	CURLcode rc = curl_easy_setopt(l->curl, CURLOPT_ERRORBUFFER, l->why);
	for (size_t i = 0; !rc && i < sizeof text / sizeof text[0]; i++)
		rc = curl_easy_setopt(l->curl, text[i].option, text[i].value);
	for (size_t i = 0; !rc && i < sizeof number / sizeof number[0]; i++)
		rc = curl_easy_setopt(l->curl, number[i].option, number[i].value);
	return rc ? rc : address(l, o);
}

int link_open(struct link **ret, const struct link_opts *o, struct ocu_error *err)
{
	struct link *l = calloc(1, sizeof *l);
	if (!l || !(l->curl = curl_easy_init())) {
		free(l);
		return ocu_error_set(err, OCU_E_NOMEM, "connection");
	}
	CURLcode code = configure(l, o);
	if (!code)
		code = curl_easy_perform(l->curl);
	if (!code)
		code = curl_easy_getinfo(l->curl, CURLINFO_ACTIVESOCKET, &l->fd);
	int rc = code ? lost(l, code, o->address, err) : link_wait(l, SETTLE_MS, err);
	if (rc) {
		link_close(l);
		return rc;
	}
	*ret = l;
	return 0;
}

static int ready(struct link *l, short events, int wait_ms)
{
	struct pollfd p = {.fd = l->fd, .events = events};
	return poll(&p, 1, wait_ms) > 0;
}

int link_send(struct link *l, const char *data, size_t len, int wait_ms, size_t *ret_sent,
              struct ocu_error *err)
{
	*ret_sent = 0;
	CURLcode code = curl_easy_send(l->curl, data, len, ret_sent);
	if (code == CURLE_AGAIN) {
		ready(l, POLLOUT, wait_ms);
		code = curl_easy_send(l->curl, data, len, ret_sent);
	}
	return code && code != CURLE_AGAIN ? lost(l, code, "sending", err) : 0;
}

int link_acknowledged(struct link *l)
{
	int waiting = 0;
	return ioctl(l->fd, SIOCOUTQ, &waiting) == 0 && waiting == 0;
}

int link_wait(struct link *l, int wait_ms, struct ocu_error *err)
{
	char heard[4096];
	size_t n = 0;
	if (!ready(l, POLLIN, wait_ms))
		return 0;
	CURLcode code = curl_easy_recv(l->curl, heard, sizeof heard, &n);
	if (code == CURLE_AGAIN)
		return 0;
	if (code)
		return lost(l, code, "the collector refused", err);
	return ocu_error_set(err, OCU_E_UNAVAILABLE,
	                     n ? "the collector talks, which no syslog receiver does"
	                       : "the collector hung up");
}
